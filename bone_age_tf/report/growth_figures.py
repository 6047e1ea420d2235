"""The two charts of a child over time, from its entry in `growth.json`: bone age against age, and height.

Points are as measured or predicted; the thin lines only join them. Nothing is smoothed.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from bone_age_tf.growth.reference_standards import sd_at
from bone_age_tf.growth.visits import MODEL, REJECTED
from bone_age_tf.report.drawing import QUIET, svg
from bone_age_tf.sex import sex_from_label

Visit = Mapping[str, Any]
SIZE = (3.8, 3.95)
"""Inches."""
BONE, HEIGHT, ADULT, TARGET, WARN = "#1d5a72", "#1f2933", "#b0572b", "#5f8a3a", "#b3261e"
BANDS = ((2, "#e9eef2"), (1, "#d9e2e9"))
"""SDs on either side, the wider band first, and their colours."""
MIN_SPAN_YEARS = 5.0
MIN_PROBABILITY = 0.05
"""Columns of the table that are less likely have no mark of their own."""


def drawn_visits(child: Mapping[str, Any]) -> list[Visit]:
    """The usable rows of a child, by age."""
    usable = [visit for visit in child["visits"] if visit["status"] != REJECTED]
    return sorted(usable, key=lambda visit: (visit["chronological_age_months"], visit["row"]))


def bone_age_chart(child: Mapping[str, Any]) -> str:
    """Bone age against chronological age in years, with the identity line, SDs and prediction intervals."""
    visits = drawn_visits(child)
    limits = _years(visits)

    def draw(axes: Axes) -> None:
        axes.set(xlim=limits, ylim=limits, aspect="equal")
        _draw_bands(axes, child["sex"], limits)
        axes.plot(limits, limits, color=QUIET, lw=1.0, ls=(0, (4, 3)), zorder=2)
        known = [visit for visit in visits if visit["bone_age_months"] is not None]
        _join(axes, known, "bone_age_months", 12, BONE)
        for visit in known:
            _bar(axes, visit, "bone_age_low_months", "bone_age_high_months", 12, BONE)
        for source, fill, label in (
            (True, BONE, "by the model, with interval"),
            (False, "white", "given in the table"),
        ):
            found = [visit for visit in known if (visit["bone_age_from"] == MODEL) == source]
            _marks(axes, found, "bone_age_months", 12, "o", BONE, fill=fill, label=label)
        _ring(axes, known, child, "bone_age_months", 12, ("bone_age_falls", "same_date"))
        _ticks(axes, limits)
        axes.yaxis.set_major_locator(MultipleLocator(_step(limits)))
        axes.set(xlabel="chronological age, years", ylabel="bone age, years")
        _legend(axes)

    return svg(draw, SIZE, label="Bone age against chronological age")


def height_chart(child: Mapping[str, Any]) -> str:
    """Heights and the adult height predicted at each visit, in centimetres, with the target range."""
    visits = drawn_visits(child)
    limits = _years(visits)

    def draw(axes: Axes) -> None:
        _draw_target(axes, child)
        measured = [visit for visit in visits if visit["height_cm"] is not None]
        predicted = [visit for visit in visits if visit["adult_height_cm"] is not None]
        _join(axes, measured, "height_cm", 1, HEIGHT)
        _marks(axes, measured, "height_cm", 1, "o", HEIGHT, fill=HEIGHT, label="height")
        _join(axes, predicted, "adult_height_cm", 1, ADULT)
        for visit in visits:
            _bar(axes, visit, "adult_height_low_cm", "adult_height_high_cm", 1, ADULT)
            _other_columns(axes, visit)
        label = "predicted adult height"
        _marks(axes, predicted, "adult_height_cm", 1, "D", ADULT, fill=ADULT, label=label)
        wrong = ("height_falls", "height_jumps", "same_date")
        _ring(axes, measured, child, "height_cm", 1, wrong)
        axes.set(xlim=limits, ylim=_centimetres(child, visits))
        _ticks(axes, limits)
        axes.set(xlabel="chronological age, years", ylabel="height, cm")
        _legend(axes)

    return svg(draw, SIZE, label="Height and predicted adult height against chronological age")


# === Axes ===


def _years(visits: Sequence[Visit]) -> tuple[float, float]:
    """Ends of the axes of both charts: all ages and bone ages with their intervals, in whole years."""
    names = (
        "chronological_age_months",
        "bone_age_months",
        "bone_age_low_months",
        "bone_age_high_months",
    )
    months = [visit[name] for visit in visits for name in names if visit[name] is not None]
    low, high = min(months, default=0.0) / 12 - 0.5, max(months, default=216.0) / 12 + 0.5
    missing = max(0.0, MIN_SPAN_YEARS - (high - low)) / 2
    start = max(0.0, math.floor(low - missing))
    return start, max(math.ceil(high + missing), start + MIN_SPAN_YEARS)


def _centimetres(child: Mapping[str, Any], visits: Sequence[Visit]) -> tuple[float, float]:
    names = ("height_cm", "adult_height_cm", "adult_height_low_cm", "adult_height_high_cm")
    values = [visit[name] for visit in visits for name in names if visit[name] is not None]
    ends = ("target_height_cm", "target_height_low_cm", "target_height_high_cm")
    values += [child[name] for name in ends if child[name] is not None]
    low, high = min(values, default=50.0), max(values, default=200.0)
    return 10 * math.floor((low - 4) / 10), 10 * math.ceil((high + 4) / 10)


def _step(limits: tuple[float, float]) -> float:
    return 1.0 if limits[1] - limits[0] <= 10 else 2.0


def _ticks(axes: Axes, limits: tuple[float, float]) -> None:
    axes.xaxis.set_major_locator(MultipleLocator(_step(limits)))


def _legend(axes: Axes) -> None:
    """Above the axes, where nothing is drawn."""
    if axes.get_legend_handles_labels()[0]:
        place = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "borderaxespad": 0.2}
        axes.legend(
            ncols=2, frameon=False, fontsize=7.5, handletextpad=0.3, columnspacing=1.2, **place
        )


# === What is drawn ===


def _draw_bands(axes: Axes, sex: str, limits: tuple[float, float]) -> None:
    """1 and 2 SD of the bone age around the identity, where the reference table has them."""
    if not sex:
        return
    years = np.arange(limits[0], limits[1] + 0.01, 1 / 12)
    sds = [sd_at(12 * year, sex_from_label(sex)) for year in years]
    known = np.array([sd is not None for sd in sds])
    if not known.any():
        return
    at, sd = years[known], np.array([value for value in sds if value is not None]) / 12
    for count, colour in BANDS:
        axes.fill_between(at, at - count * sd, at + count * sd, color=colour, lw=0, zorder=0)
    for sign in (-1, 1):
        _name_band(axes, at, at + sign * 2 * sd, f"{'+' if sign > 0 else chr(0x2212)}2 SD")


def _name_band(axes: Axes, at: np.ndarray, edge: np.ndarray, text: str) -> None:
    """Where the edge leaves the axes, or beside its end."""
    limit = axes.get_xlim()[1] - 0.15
    inside = np.flatnonzero((edge < limit) & (at < limit))
    if len(inside):
        last = inside[-1]
        side = "left" if last == len(at) - 1 and at[last] < limit - 1 else "right"
        place = {"ha": side, "va": "center" if side == "left" else "top"}
        axes.annotate(text, (at[last], edge[last]), fontsize=7, color=QUIET, **place)


def _draw_target(axes: Axes, child: Mapping[str, Any]) -> None:
    target, low = child["target_height_cm"], child["target_height_low_cm"]
    if target is None:
        return
    if low is not None:
        label = "target range"
        axes.axhspan(
            low, child["target_height_high_cm"], color="#e8f0e0", lw=0, zorder=0, label=label
        )
    axes.axhline(target, color=TARGET, lw=1.0, ls=(0, (4, 3)), zorder=1, label="target height")


def _at(visit: Visit) -> float:
    return visit["chronological_age_months"] / 12


def _join(axes: Axes, visits: Sequence[Visit], name: str, unit: float, colour: str) -> None:
    values = [visit[name] / unit for visit in visits]
    axes.plot([*map(_at, visits)], values, color=colour, lw=0.8, alpha=0.6, zorder=3)


def _marks(
    axes: Axes,
    visits: Sequence[Visit],
    name: str,
    unit: float,
    marker: str,
    colour: str,
    *,
    fill: str,
    label: str,
) -> None:
    if visits:
        values = [visit[name] / unit for visit in visits]
        style = {"ms": 5.0 if marker == "D" else 6.0, "mec": colour, "mfc": fill, "mew": 1.3}
        axes.plot([*map(_at, visits)], values, marker, label=label, zorder=5, **style)


def _bar(axes: Axes, visit: Visit, low: str, high: str, unit: float, colour: str) -> None:
    if visit[low] is not None and visit[high] is not None:
        ends = [visit[low] / unit, visit[high] / unit]
        axes.plot(
            [_at(visit)] * 2,
            ends,
            color=colour,
            lw=3.2,
            alpha=0.35,
            zorder=4,
            solid_capstyle="round",
        )


def is_shown(column: Mapping[str, Any]) -> bool:
    """Whether a column of the table is likely enough; without an interval it has no probability, and is near."""
    return column["probability"] is None or column["probability"] >= MIN_PROBABILITY


def _other_columns(axes: Axes, visit: Visit) -> None:
    """Heights by the columns of the table that the bone age's interval reaches besides."""
    for column in visit["adult_height_columns"]:
        is_other = column["column"] != visit["adult_height_column"]
        if is_other and column["cm"] is not None and is_shown(column):
            axes.plot(
                _at(visit), column["cm"], "D", ms=4, mec=ADULT, mfc="white", mew=1.0, zorder=5
            )


def _ring(
    axes: Axes,
    visits: Sequence[Visit],
    child: Mapping[str, Any],
    name: str,
    unit: float,
    codes: Sequence[str],
) -> None:
    """A red ring with the number of the row around values that contradict others."""
    rows = {row for one in child["contradictions"] if one["code"] in codes for row in one["rows"]}
    for visit in visits:
        if visit["row"] in rows:
            at = (_at(visit), visit[name] / unit)
            axes.plot(*at, "o", ms=12, mec=WARN, mfc="none", mew=1.3, zorder=6)
            place = {"xytext": (8, -8), "textcoords": "offset points", "va": "top", "zorder": 4}
            paper = {"fc": "white", "ec": "none", "pad": 0.6, "alpha": 0.8}
            axes.annotate(f"row {visit['row']}", at, fontsize=7, color=WARN, bbox=paper, **place)
