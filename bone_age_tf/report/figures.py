"""The figures of an evaluation, as self-contained SVG elements.

Large numbers of points are rasterized, so that a page stays small.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bone_age_tf.metrics import bone_age as metrics
from bone_age_tf.metrics.predictions import LabelledPredictions
from bone_age_tf.report.drawing import GRID, INK, QUIET, svg
from bone_age_tf.sex import Sex

COLOURS = {Sex.F: "#c2456b", Sex.M: "#1d7a8c", Sex.UNKNOWN: "#8d8d8d"}
NAMES = {Sex.F: "girls", Sex.M: "boys", Sex.UNKNOWN: "sex unknown"}
TALL, FLAT = (4.6, 4.2), (4.6, 3.1)
"""Inches. All have the same width, so that they are scaled equally."""
MIN_FOR_LIMITS = 3
"""Limits of agreement are not drawn for fewer radiographs."""
MANY_POINTS = 400


def true_and_predicted(predictions: LabelledPredictions) -> str:
    """Predicted against true bone age, in years, with the least-squares line."""

    def draw(axes: Axes) -> None:
        edge = np.array([0.0, 20.0])
        axes.fill_between(edge, edge - 1, edge + 1, color="#f0f3f5", lw=0, zorder=0)
        axes.plot(edge, edge, color=QUIET, lw=0.9, zorder=1)
        _points(axes, predictions, predictions.true_months / 12, predictions.predicted / 12)
        if np.ptp(predictions.true_months) > 1:
            slope, intercept = np.polyfit(predictions.true_months, predictions.predicted, 1)
            axes.plot(edge, slope * edge + intercept / 12, color=INK, lw=1, ls=(0, (4, 3)))
        axes.set(xlim=(0, 20), ylim=(0, 20), aspect="equal")
        axes.set_xticks(range(0, 21, 4))
        axes.set_yticks(range(0, 21, 4))
        axes.set(xlabel="true bone age, years", ylabel="predicted bone age, years")
        _legend(axes, predictions)

    return svg(draw, TALL)


def bland_altman(predictions: LabelledPredictions) -> str:
    """Error against the mean of true and predicted bone age, with bias and limits of agreement."""

    def draw(axes: Axes) -> None:
        middle = (predictions.true_months + predictions.predicted) / 24
        _points(axes, predictions, middle, predictions.errors)
        lines = _agreement(predictions)
        values = [value for _, value in lines.values()]
        limit = max(30.0, 1.08 * float(np.abs([*predictions.errors, *values]).max()))
        gap = 0.17 * limit  # of labels, so that they do not overlap
        _, bias = lines["bias"]
        places = {"high": max, "low": min}
        for name, (word, value) in lines.items():
            apart = bias + gap if name == "high" else bias - gap
            place = places[name](value, apart) if name in places else value
            axes.axhline(value, color=INK, lw=0.9, ls="-" if name == "bias" else (0, (4, 3)))
            axes.annotate(
                f"{word}\n{_signed(value)}",
                (1.01, place),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8,
            )
        axes.set(xlim=(0, 20), ylim=(-limit, limit))
        axes.set_xticks(range(0, 21, 4))
        axes.set(
            xlabel="mean of true and predicted bone age, years",
            ylabel="predicted \N{MINUS SIGN} true, months",
        )

    return svg(draw, TALL)


def _agreement(predictions: LabelledPredictions) -> dict[str, tuple[str, float]]:
    """Words and months of the bias and, unless there are too few radiographs, of the limits of agreement."""
    summary = metrics.summarize(predictions.errors)
    lines = {"bias": ("bias", _value(summary, "bias_months"))}
    if len(predictions) >= MIN_FOR_LIMITS:
        lines["high"] = ("+1.96 SD", _value(summary, "agreement_high_months"))
        lines["low"] = ("\N{MINUS SIGN}1.96 SD", _value(summary, "agreement_low_months"))
    return lines


def error_by_age(result: dict[str, Any]) -> str:
    """MAE with its confidence interval by band of the true bone age, for girls and boys."""
    bands = list(metrics.AGE_BANDS)
    groups = result["by_sex_and_age_band"]

    def draw(axes: Axes) -> None:
        highest = 0.0
        for sex in Sex:
            shift = {Sex.F: -0.24, Sex.M: 0.24, Sex.UNKNOWN: 0.0}[sex]
            for place, band in enumerate(bands):
                summary = groups.get(f"{sex.label}, {band}")
                if summary is None:
                    continue
                mae = summary["mae_months"]
                if mae["low"] is not None:
                    ends = [mae["low"], mae["high"]]
                    axes.plot([place + shift] * 2, ends, color=COLOURS[sex], lw=2, alpha=0.45)
                axes.plot(place + shift, mae["value"], "o", color=COLOURS[sex], ms=5)
                axes.annotate(
                    f"{summary['n']}",
                    (place + shift, 0),
                    xytext=(0, 3),
                    textcoords="offset points",
                    ha="center",
                    fontsize=7,
                    color=COLOURS[sex],
                )
                highest = max(highest, mae["value"], mae["high"] or 0)
        overall = _value(result["overall"], "mae_months")
        axes.axhline(overall, color=INK, lw=0.9, ls=(0, (4, 3)))
        axes.set_xticks(range(len(bands)), [band.replace(" years", "") for band in bands])
        axes.set(xlim=(-0.5, len(bands) - 0.5), ylim=(0, highest * 1.1 + 1))
        axes.set(xlabel="true bone age, years (below: number of radiographs)", ylabel="MAE, months")

    return svg(draw, FLAT)


def within(predictions: LabelledPredictions) -> str:
    """Cumulative distribution of the absolute error."""

    def draw(axes: Axes) -> None:
        errors = np.sort(np.abs(predictions.errors))
        share = np.arange(1, len(errors) + 1) / len(errors) * 100
        end = max(36.0, float(errors[-1]))
        axes.step([0, *errors, end], [0, *share, 100], where="post", color=INK, lw=1.3)
        for months in (6, 12, 24):
            held = float((errors <= months).mean() * 100)
            axes.plot([months, months, 0], [0, held, held], color=GRID, lw=1, zorder=0)
            axes.annotate(
                f"{held:.0f} %",
                (months, held),
                xytext=(4, -10),
                textcoords="offset points",
                fontsize=8,
            )
        axes.set(xlim=(0, min(end, 60)), ylim=(0, 101))
        axes.set_xticks(range(0, int(min(end, 60)) + 1, 6))
        axes.set(xlabel="absolute error, months", ylabel="radiographs with at most this error, %")

    return svg(draw, FLAT)


def learning_curve(history: pd.DataFrame, constant: float) -> str:
    """Errors by epoch from a run's `history.csv`, with the MAE of a constant."""

    def draw(axes: Axes) -> None:
        lines = {"mae_months": ("training", QUIET), "validation_mae_months": ("validation", INK)}
        for name, (word, colour) in lines.items():
            if name in history:
                axes.plot(history["epoch"], history[name], "o-", ms=3, color=colour, label=word)
        axes.axhline(constant, color=INK, lw=0.9, ls=(0, (4, 3)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(ylim=(0, None), xlabel="epoch", ylabel="MAE, months")
        axes.legend(frameon=False, fontsize=8)

    return svg(draw, FLAT)


def _points(axes: Axes, predictions: LabelledPredictions, x: np.ndarray, y: np.ndarray) -> None:
    many = len(predictions) > MANY_POINTS
    for sex in Sex:
        rows = predictions.sex == sex
        if rows.any():
            axes.scatter(
                x[rows],
                y[rows],
                s=6 if many else 13,
                color=COLOURS[sex],
                alpha=0.45 if many else 0.65,
                lw=0,
                label=f"{NAMES[sex]} ({rows.sum()})",
                rasterized=many,
                zorder=3,
            )


def _legend(axes: Axes, predictions: LabelledPredictions) -> None:
    if len(predictions):
        axes.legend(loc="upper left", frameon=False, handletextpad=0.1, fontsize=8)


def _value(summary: dict[str, Any], name: str) -> float:
    return float(summary[name]["value"])


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "\N{MINUS SIGN}")
