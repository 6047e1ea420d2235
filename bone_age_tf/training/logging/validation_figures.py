"""Figures of a validation: uint8 [height, width, 3], red first.

Matplotlib draws into memory; it is imported where it is used, and no window is opened.
"""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from bone_age_tf.metrics.bone_age import METRICS
from bone_age_tf.preprocessing import overlay
from bone_age_tf.sex import SEX_NAMES, Sex
from bone_age_tf.training.callbacks import ValidationResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORST = 8
COLUMNS = 4
CELL, GAP, CAPTION, HEADING = 2.7, 0.12, 0.55, 0.5
"""Inches: width of a radiograph, gap between two, height of the caption below and of the heading above."""
TICKS_YEARS = range(0, 21, 2)
AXIS_YEARS = np.array([-0.5, 20.5])
NEAR_YEARS = 1.0
"""Half the width of the band around the identity line."""
COLOURS = {Sex.F: "#d1495b", Sex.M: "#00798c", Sex.UNKNOWN: "#8d8d8d"}


def scatter(result: ValidationResult, title: str) -> np.ndarray:
    """True bone age against predicted, in years, 900 x 900; predictions beyond the axes lie at their edge."""
    figure, axes = _square()
    low, high = AXIS_YEARS - NEAR_YEARS, AXIS_YEARS + NEAR_YEARS
    axes.fill_between(AXIS_YEARS, low, high, color="#ececec", lw=0, zorder=0)
    axes.plot(AXIS_YEARS, AXIS_YEARS, color="#404040", lw=1, zorder=1)
    predicted = np.clip(result.predicted_months / 12, *AXIS_YEARS)
    for sex in Sex:
        of = result.sex == sex
        if of.any():
            _points(axes, result.bone_age_months[of] / 12, predicted[of], sex)
    axes.set(xlim=AXIS_YEARS, ylim=AXIS_YEARS)
    axes.set_title(f"Validation, {title}", loc="left", fontweight="bold", pad=24)
    axes.text(0, 1.015, _in_words(result), transform=axes.transAxes, va="bottom", color="#404040")
    axes.legend(loc="upper left", frameon=False, handletextpad=0.2)
    return _pixels(figure)


def worst_rows(result: ValidationResult) -> list[int]:
    """Rows with the largest absolute errors, the worst first; at most `WORST`."""
    return np.argsort(-np.abs(result.errors_months), kind="stable")[:WORST].tolist()


def worst_sheet(
    result: ValidationResult, rows: list[int], radiographs: np.ndarray, title: str
) -> np.ndarray:
    """Radiographs uint8 [k, height, width, 1] of `rows`, with true and predicted months below each."""
    from matplotlib.figure import Figure

    tall = CELL * radiographs.shape[1] / radiographs.shape[2]
    lines = -(-len(rows) // COLUMNS)
    wide, high = COLUMNS * (CELL + GAP) + GAP, HEADING + lines * (tall + CAPTION)
    figure = Figure(figsize=(wide, high), dpi=100)
    heading = f"Validation, {title}: the largest errors"
    figure.text(GAP / wide, 1 - HEADING / high / 2, heading, weight="bold", va="center")
    for place, (row, radiograph) in enumerate(zip(rows, radiographs, strict=True)):
        left = GAP + place % COLUMNS * (CELL + GAP)
        bottom = high - HEADING - (place // COLUMNS + 1) * (tall + CAPTION) + CAPTION
        axes = figure.add_axes((left / wide, bottom / high, CELL / wide, tall / high))
        axes.axis("off")
        axes.imshow(radiograph[..., 0], cmap="gray", vmin=0, vmax=255, aspect="auto")
        middle = (left + CELL / 2) / wide
        figure.text(middle, (bottom - 0.06) / high, _caption(result, row), ha="center", va="top")
    return _pixels(figure)


def inputs_sheet(inputs: np.ndarray) -> np.ndarray:
    """The first inputs, uint8 [N, height, width, 1], side by side at their own size."""
    pictures = [cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB) for picture in inputs[: 2 * COLUMNS]]
    return overlay.sheet(pictures, COLUMNS)


def _square() -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 7.5), dpi=120)
    axes = figure.add_axes((0.09, 0.08, 0.86, 0.84))
    axes.set(xlabel="true bone age (years)", ylabel="predicted bone age (years)")
    axes.set(xticks=TICKS_YEARS, yticks=TICKS_YEARS)
    axes.grid(color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _points(axes: "Axes", true: np.ndarray, predicted: np.ndarray, sex: Sex) -> None:
    axes.scatter(
        true,
        predicted,
        s=18,
        alpha=0.65,
        lw=0,
        color=COLOURS[sex],
        zorder=2,
        clip_on=False,
        label=f"{sex.label} ({len(true)})",
    )


def _in_words(result: ValidationResult) -> str:
    errors = result.errors_months
    mae, bias, near = (
        float(METRICS[name](errors)) for name in ("mae_months", "bias_months", "within_12_months")
    )
    return (
        f"{len(errors)} radiographs   MAE {mae:.1f} months   bias {bias:+.1f} months   "
        f"{near:.0%} within 12 months (grey)"
    )


def _caption(result: ValidationResult, row: int) -> str:
    true, predicted = result.bone_age_months[row], result.predicted_months[row]
    sex = SEX_NAMES[result.sex[row]]
    return f"{sex}, true {true:.0f}, predicted {predicted:.0f} months\n{predicted - true:+.0f} months, row {row}"


def _pixels(figure: "Figure") -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
