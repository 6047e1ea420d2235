"""The result of `stress` as text for the terminal, within 80 columns; `stress.json` holds more."""

import textwrap
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from bone_age_tf.cli import console

WIDTH = 80


def stress_table(result: Mapping[str, Any]) -> str:
    """How far predictions move under each change, by group; why radiographs are rejected."""
    is_labelled = result["mae_months"] is not None
    which = "mae_shift_months" if is_labelled else "mean_shift_months"
    rows = [
        ["months", "n", "rej.", "MAE shift" if is_labelled else "shift", "|shift|", "95 %", "max"]
    ]
    for group, changes in groupby(result["changes"], lambda change: change["group"]):
        rows.append([group, *[""] * (len(rows[0]) - 1)])
        rows += [_row(change, which) for change in changes]
    return "\n".join([console.table(rows), *_notes(result, is_labelled), *_rejections(result)])


def _row(change: Mapping[str, Any], which: str) -> list[str]:
    return [
        f"  {change['change']}",
        str(change["n"]),
        str(change["rejected"]),
        _estimate(change[which], "+.1f"),
        _estimate(change["mean_absolute_shift_months"], ".1f"),
        _number(change["p95_absolute_shift_months"], ".1f"),
        _number(change["largest_absolute_shift_months"], ".1f"),
    ]


def _notes(result: Mapping[str, Any], is_labelled: bool) -> list[str]:
    first = "MAE shift: rise of the MAE" if is_labelled else "shift: mean change of the prediction"
    notes = [
        f"{first}; |shift|: mean absolute change of the prediction, with 95th percentile and largest"
    ]
    radiographs = result["radiographs"]
    counts = (
        f"{radiographs['n']} radiographs, {radiographs['rejected_unchanged']} rejected as they are"
    )
    if is_labelled:
        counts += f"; MAE of {radiographs['labelled']} with a bone age {_estimate(result['mae_months'], '.1f')}"
    notes.append(counts)
    if radiographs["trained_on"]:
        notes.append(
            f"Warning: the model was trained on {radiographs['trained_on']} of them, so shifts may be smaller than those "
            "of other radiographs (data leakage)."
        )
    if result["left_out"]:
        notes.append(f"left out: {_counts(result['left_out'])}")
    notes.append(f"[ ]: {result['confidence_interval']}")
    return [line for note in notes for line in textwrap.wrap(note, WIDTH)]


def _rejections(result: Mapping[str, Any]) -> list[str]:
    """A line for each change that rejections come with, and for those without a change."""
    reasons = {"as they are": result["radiographs"]["rejection_reasons"]}
    reasons |= {change["change"]: change["rejection_reasons"] for change in result["changes"]}
    lines = [f"  {name}: {_counts(counts)}" for name, counts in reasons.items() if counts]
    gained = {c["change"]: c["accepted_only_changed"] for c in result["changes"]}
    gained = {name: count for name, count in gained.items() if count}
    told = ["rejected:", *lines] if lines else []
    told += [f"accepted only when changed: {_counts(gained)}"] if gained else []
    return [line for one in told for line in textwrap.wrap(one, WIDTH, subsequent_indent="    ")]


def _counts(counts: Mapping[str, int]) -> str:
    most_first = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count}" for name, count in most_first)


def _estimate(estimate: Mapping[str, Any] | None, form: str) -> str:
    """A value with its confidence interval, where they exist."""
    if estimate is None or estimate["value"] is None:
        return ""
    value = _number(estimate["value"], form)
    if estimate["low"] is None:
        return value
    return f"{value} [{_number(estimate['low'], '.1f')}, {_number(estimate['high'], '.1f')}]"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(round(value, 1) + 0.0, form)  # not -0.0
