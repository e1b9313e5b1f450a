"""Time of composing, after compilation."""

from functools import partial

from benchmarks.figures import cell, markdown, summary, timed

START, MAIN = 49, 300  # steps; the start has one row more


def measure(settings):
    """Time composing several tunes together, and 300 steps after 50 as in the example."""
    from benchmarks import job

    hidden = settings.main.hidden
    model, (start,) = job.model_and_tunes(hidden, batch=1, steps=START)
    n_steps = settings.composed
    rates = {}
    for count in settings.at_once:
        compose = partial(model.genMusic, None, n_steps, count=count)
        compose()
        times = [timed(compose) for _ in range(settings.rounds)]
        rates[str(count)] = summary([count * n_steps / seconds for seconds in times])
    compose = partial(model.genMusic, start, MAIN)
    compose()
    times = [1000 * timed(compose) for _ in range(2 * settings.rounds)]
    return {
        "hidden": hidden,
        "composed": n_steps,
        "steps_per_second": rates,
        "compose_300_after_50_ms": summary(times),
    }


def report(results):
    """Return the table in Markdown."""
    rows = [
        [count, cell(figures, digits=0)] for count, figures in results["steps_per_second"].items()
    ]
    return "\n".join(
        [
            f"Composing, H {results['hidden']}, {results['composed']} steps per tune:",
            "",
            *markdown(["tunes together", "steps per second, over all tunes"], rows),
            "",
            f"{MAIN} steps after {START + 1}: {cell(results['compose_300_after_50_ms'], ' ms')}",
        ]
    )
