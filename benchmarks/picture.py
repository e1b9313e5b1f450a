"""Picture of the table of ratios."""

import math

from benchmarks import peers

FULL_COLOUR = 2.0  # log2 of the ratio at the ends of the colour scale
DARK = 1.6  # log2 of the ratio above which text is white


def draw(runs, path):
    """Draw the time of the peers' updates relative to rnn4music.

    Parameters
    ----------
    runs : list of dict
        Results, each with ``threads``, ``machine`` and the part ``updates``.
    path : path of a .png file
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    n_rows = len(runs[0]["parts"]["updates"]["sizes"])
    columns = list(
        dict.fromkeys(
            name
            for run in runs
            for size in run["parts"]["updates"]["sizes"]
            for name in size["times_as_fast"]
        )
    )
    width = 2.2 + 1.5 * max(len(columns), 1)
    figure, axes = plt.subplots(
        1,
        len(runs),
        figsize=(width * len(runs), 1.8 + 0.42 * n_rows),
        squeeze=False,
        layout="constrained",
    )
    for axis, run in zip(axes[0], runs):
        draw_run(axis, run, columns)
    figure.suptitle(
        f"Time of an update relative to rnn4music\n{runs[0]['machine']['processor']}", fontsize=11
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_run(axis, run, columns):
    """Draw the table for one number of threads."""
    sizes = run["parts"]["updates"]["sizes"]
    ratios = [
        [size["times_as_fast"].get(name, {}).get("median", math.nan) for name in columns]
        for size in sizes
    ]
    if columns:
        axis.imshow(
            [[math.log2(ratio) for ratio in row] for row in ratios],
            cmap="RdYlGn",
            vmin=-FULL_COLOUR,
            vmax=FULL_COLOUR,
            aspect="auto",
        )
    for y, row in enumerate(ratios):
        for x, ratio in enumerate(row):
            text = "—" if math.isnan(ratio) else f"{ratio:.2f} ×"
            dark = abs(math.log2(ratio)) > DARK  # False for NaN
            colour = "white" if dark else "black"
            axis.text(x, y, text, ha="center", va="center", fontsize=10, color=colour)
    titles = [peers.title(name).replace(" ", "\n", 1) for name in columns]
    axis.set_xticks(range(len(columns)), titles, fontsize=9)
    axis.xaxis.tick_top()
    labels = ["H {hidden}, B {batch}, T {steps}".format(**size["size"]) for size in sizes]
    axis.set_yticks(range(len(sizes)), labels, fontsize=9)
    axis.tick_params(length=0)
    axis.set_title(f"threads: {run['threads']}", fontsize=10)
