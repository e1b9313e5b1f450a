"""The tutorial's graphs: one step of an LSTM, and three layers over three steps.

Conventions
-----------
The forward pass is black, the gradient's path coloured. Positions are in inches from the lower
left corner.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Circle

BLACK, BACK = "black", "#d55e00"
"""From Okabe and Ito's palette, which is distinct in print and to colour-blind readers."""


def arrow(axes, start, end, colour, shift=0.0, bend=0.0, gap=0.27, style="-"):
    """Draw an arrow between two nodes, moved to its left by `shift`; return its middle."""
    start, end = np.array(start, float), np.array(end, float)
    along = (end - start) / np.hypot(*(end - start))
    left = np.array([-along[1], along[0]])
    start, end = start + gap * along + shift * left, end - gap * along + shift * left
    axes.annotate(
        "",
        end,
        start,
        arrowprops={
            "arrowstyle": "-|>,head_width=0.22,head_length=0.45",
            "connectionstyle": f"arc3,rad={bend}",
            "color": colour,
            "linestyle": style,
            "linewidth": 1.1,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )
    return (start + end) / 2 - bend * np.hypot(*(end - start)) / 2 * left


def node(axes, place, text, filled="white", radius=0.25):
    """Draw a quantity: a circle with its name."""
    axes.add_patch(Circle(place, radius, facecolor=filled, edgecolor="black", zorder=3))
    axes.text(*place, text, ha="center", va="center", zorder=4)


def label(axes, place, text, colour):
    """Write a label beside an arrow."""
    axes.text(
        *place,
        text,
        color=colour,
        fontsize=8,
        ha="center",
        va="center",
        zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )


def blank(width, height):
    """Return a figure and its axes, without a frame, in units of an inch."""
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.axis("off")
    return figure, axes


def both_ways(axes, start, end, equation="", factor="", where=0.5):
    """Draw an edge of the graph: forward in black, the gradient's path in colour."""
    start, end = np.array(start, float), np.array(end, float)
    arrow(axes, start, end, BLACK, 0.055)
    arrow(axes, end, start, BACK, 0.055)
    along = (end - start) / np.hypot(*(end - start))
    left = np.array([-along[1], along[0]])
    middle = start + where * (end - start)
    for text, colour, side in ((equation, BLACK, 1), (factor, BACK, -1)):
        # farther away where the text runs along the normal
        distance = 0.17 + 0.042 * len(text.replace("$", "").replace("_", "")) * abs(left[0])
        label(axes, middle + side * distance * left, text, colour)


def draw_step():
    """Draw one step: forward in black, the factors of the gradient in colour."""
    figure, axes = blank(9.4, 5.0)
    places = {
        "c_{t-1}": (0.6, 2.5), "f_t": (2.6, 3.5), "i_t": (2.6, 1.5), "c_t": (5.0, 2.5),
        "g_t": (4.3, 0.95), "o_t": (6.2, 3.5), "h_t": (7.4, 2.5),
        "a_f": (2.6, 4.65), "a_i": (1.5, 0.5), "a_g": (3.1, 0.35), "a_o": (6.2, 4.65),
    }  # fmt: skip
    edges = [  # from, to, equation, factor of the gradient, position of the labels
        ("a_f", "f_t", "(2)", "f(1−f)", 0.5),
        ("a_i", "i_t", "(1)", "i(1−i)", 0.5),
        ("a_g", "g_t", "(3)", "1−g²", 0.5),
        ("a_o", "o_t", "(5)", "o(1−o)", 0.5),
        ("c_{t-1}", "f_t", "(2)", "$p_f$", 0.5),
        ("c_{t-1}", "i_t", "(1)", "$p_i$", 0.5),
        ("c_{t-1}", "c_t", "(4)", "f", 0.45),
        ("f_t", "c_t", "(4)", "$c_{t-1}$", 0.45),
        ("i_t", "c_t", "(4)", "g", 0.45),
        ("g_t", "c_t", "(4)", "i", 0.45),
        ("c_t", "o_t", "(5)", "$p_o$", 0.5),
        ("c_t", "h_t", "(6)", "o(1−tanh² c)", 0.5),
        ("o_t", "h_t", "(6)", "tanh c", 0.5),
    ]
    for start, end, equation, factor, where in edges:
        both_ways(axes, places[start], places[end], equation, factor, where)
    for start, end, words, arriving in (
        ("c_t", (8.1, 0.9), "step $t+1$", "$d_c$"),
        ("h_t", (8.6, 3.2), "step $t+1$", "$d_h$"),
        ("h_t", (8.6, 1.9), "layer above,\noutput (7)", "$d_h$"),
    ):
        both_ways(axes, places[start], end, "", arriving)
        axes.text(end[0] - 0.2, end[1], words, va="center", fontsize=9)
    for name, place in places.items():
        given = name.startswith("a_") or name == "c_{t-1}"
        node(axes, place, f"${name}$", "0.92" if given else "white")
    return figure


def draw_unrolled():
    """Draw three layers over three steps, with every path of the gradient."""
    figure, axes = blank(9.0, 6.1)
    xs = (1.7, 4.5, 7.3)
    x_row, rows, Y_row = 0.5, {1: 1.75, 2: 3.0, 3: 4.25}, 5.5
    for x, time in zip(xs, ("t-1", "t", "t+1")):
        column = {0: x_row, **rows, 4: Y_row}
        for n in range(4):
            arrow(axes, (x, column[n]), (x, column[n + 1]), BLACK, 0.055, gap=0.36)
            if n > 0:
                arrow(axes, (x, column[n + 1]), (x, column[n]), BACK, 0.055, gap=0.36)
        for n in (2, 3):  # input of the layers above the first
            arrow(axes, (x - 0.25, x_row), (x - 0.27, rows[n]), BLACK, 0, -0.3, 0.22)
        for n in (1, 2):  # output of the layers below the last
            arrow(axes, (x + 0.27, rows[n]), (x + 0.22, Y_row), BLACK, 0, 0.3, 0.2)
            arrow(axes, (x + 0.33, Y_row), (x + 0.4, rows[n]), BACK, 0, -0.3, 0.2)
        for n, y in rows.items():
            node(axes, (x, y), f"layer {n}", "white", 0.34)
        node(axes, (x, x_row), f"$x_{{{time}}}$", "0.92", 0.31)
        node(axes, (x, Y_row), f"$Y_{{{time}}}$", "white", 0.31)
    for y in rows.values():
        for start, end in zip((0.0, *xs), (*xs, 9.0)):
            for shift in (0.05, 0.13):
                arrow(axes, (start, y), (end, y), BLACK, shift, gap=0.38)
                arrow(axes, (end, y), (start, y), BACK, shift, gap=0.38)
    label(axes, (3.25, rows[3] + 0.3), "h, c", BLACK)
    label(axes, (3.25, rows[3] - 0.3), "$d_h$, $d_c$", BACK)
    return figure
