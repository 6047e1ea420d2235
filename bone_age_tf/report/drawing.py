"""How figures look, and how they become SVG elements; without TensorFlow.

Text is drawn as outlines, so that a figure looks the same on every system.
"""

import io
from collections.abc import Callable

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, QUIET, GRID = "#1f2933", "#66737f", "#e3e8ec"
STYLE = {
    "svg.fonttype": "path",
    "svg.hashsalt": "bone-age-tf",
    "font.size": 9,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "text.color": INK,
}


def svg(draw: Callable[[Axes], None], size: tuple[float, float], *, label: str = "") -> str:
    """A figure of `size` inches, as an `<svg>` element that scales to the available width.

    `label` says what it is to those who cannot see it.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        axes = figure.add_subplot()
        axes.grid(color=GRID, lw=0.6)
        axes.set_axisbelow(True)
        draw(axes)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    text = stream.getvalue()
    opening = f'<svg role="img" aria-label="{label}" ' if label else '<svg role="img" '
    return text[text.index("<svg") :].replace("<svg ", opening, 1)
