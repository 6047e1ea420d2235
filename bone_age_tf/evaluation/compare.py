"""Paired comparison of two sets of predictions for the same radiographs, overall and by group."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bone_age_tf import record
from bone_age_tf.data.leakage import TRAINED_ON_SPLIT, recorded_leakage
from bone_age_tf.errors import InputDataError
from bone_age_tf.evaluation.evaluate import evaluate
from bone_age_tf.files.atomic import write_json
from bone_age_tf.files.outputs import claim_output, require_free
from bone_age_tf.files.provenance import write_provenance
from bone_age_tf.metrics import bone_age as metrics
from bone_age_tf.metrics import bootstrap
from bone_age_tf.metrics.predictions import TRUE_MONTHS, LabelledPredictions, read_predictions

log = logging.getLogger(__name__)

COMPARISON_SCHEMA = "bone-age-tf/comparison/2"
COMPARISON_FILE = "comparison.json"
COMMAND = "compare"
LISTED = 10
"""Number of the most improved and of the most worsened radiographs that are listed."""
MIN_TO_DECIDE = 10
"""With fewer radiographs, the comparison is undecided."""
NOTABLE_MONTHS = 6.0
"""Changes of the error by more than this are counted."""


def compare(
    first: str,
    second: str,
    *,
    output: str,
    data: str | None = None,
    split: str = "test",
    overwrite: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Compare two evaluation folders (or their `predictions.csv`); returns `comparison.json`.

    With `data`, they are models, which are evaluated on its split first, into `output`. `overwrite` replaces an
    earlier comparison. Raises `InputDataError` where they have no radiograph in common, or different labels for one,
    `UsageError` where `output` holds results.
    """
    require_free(Path(output), COMMAND, [COMPARISON_FILE], overwrite=overwrite)
    folders = [first, second]
    names = [Path(first).name, Path(second).name]
    if names[0] == names[1]:
        names = ["first", "second"]
    if data is not None:
        folders = [str(Path(output) / name) for name in ("first", "second")]
        for model, folder in zip((first, second), folders, strict=True):
            evaluate(
                model=model,
                data=data,
                split=split,
                output=folder,
                overwrite=overwrite,
                on_progress=on_progress,
            )
    result = {
        "schema": COMPARISON_SCHEMA,
        "first": names[0],
        "second": names[1],
        TRAINED_ON_SPLIT: [recorded_leakage(_evaluation_of(folder)) for folder in folders],
        **compare_predictions(*map(read_predictions, folders)),
    }
    folder = claim_output(output, COMMAND, [COMPARISON_FILE], overwrite=overwrite)
    write_json(folder / COMPARISON_FILE, result)
    settings = {"first": Path(first).name, "second": Path(second).name, "split": split}
    write_provenance(folder, COMMAND, **settings)
    return result


def compare_predictions(first: LabelledPredictions, second: LabelledPredictions) -> dict[str, Any]:
    """The comparison of the radiographs that both have; differences are second minus first.

    Confidence intervals come from resamples of radiographs, each with both of its errors.
    """
    mine, theirs = _in_common(first, second)
    before, after = np.abs(mine.errors), np.abs(theirs.errors)
    sexes = mine.table[record.SEX].to_numpy(str)
    bands = np.array([metrics.age_band(age) for age in mine.true_months])
    change = after - before
    overall = bootstrap.mean(change)
    order = np.argsort(change, kind="stable")
    return {
        "n": len(mine),
        "left_out": {"first": len(first) - len(mine), "second": len(second) - len(mine)},
        "confidence_interval": f"{bootstrap.CONFIDENCE_INTERVAL}, paired",
        "mae_months": {
            name: metrics.summarize(predictions.errors)["mae_months"]
            for name, predictions in (("first", mine), ("second", theirs))
        },
        "difference_months": overall,
        "verdict": _verdict(overall, len(mine)),
        "by_sex": _by_group(change, sexes, ("F", "M", "unknown")),
        "by_age_band": _by_group(change, bands, tuple(metrics.AGE_BANDS)),
        "notable_months": NOTABLE_MONTHS,
        "notably_better": int(np.sum(change < -NOTABLE_MONTHS)),
        "notably_worse": int(np.sum(change > NOTABLE_MONTHS)),
        "most_improved": _listed(mine, theirs, [r for r in order[:LISTED] if change[r] < 0]),
        "most_worsened": _listed(mine, theirs, [r for r in order[::-1][:LISTED] if change[r] > 0]),
    }


def _evaluation_of(folder: str) -> Path:
    """The `evaluation.json` of a folder, or next to its `predictions.csv`."""
    path = Path(folder)
    return (path if path.is_dir() else path.parent) / "evaluation.json"


def _in_common(
    first: LabelledPredictions, second: LabelledPredictions
) -> tuple[LabelledPredictions, LabelledPredictions]:
    row_of = {identifier: row for row, identifier in enumerate(second.ids)}
    pairs = [(row, row_of[i]) for row, i in enumerate(first.ids) if i in row_of]
    if not pairs:
        raise InputDataError(
            f"The predictions have no radiograph in common ({len(first)} and {len(second)}). Expected two "
            "evaluations of the same split, joined by the identifier."
        )
    rows = np.array(pairs)
    mine, theirs = first.select(rows[:, 0]), second.select(rows[:, 1])
    other = np.flatnonzero(np.abs(mine.true_months - theirs.true_months) > 0.01)
    if len(other):
        raise InputDataError(
            f"{len(other)} radiographs have different labels in the two evaluations, first {mine.ids[other[0]]} "
            f"({mine.true_months[other[0]]:g} and {theirs.true_months[other[0]]:g} months). Expected the same labels."
        )
    return mine, theirs


def _verdict(difference: dict[str, float | None], n: int) -> str:
    """`first`, `second` (the better one), or `undecided` where the confidence interval contains 0 or n is small."""
    low, high = difference["low"], difference["high"]
    if n < MIN_TO_DECIDE or low is None or high is None or low <= 0 <= high:
        return "undecided"
    return "first" if low > 0 else "second"


def _by_group(
    change: np.ndarray, groups: np.ndarray, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    there = [(name, groups == name) for name in names if (groups == name).any()]
    return {name: {"n": int(rows.sum()), **bootstrap.mean(change[rows])} for name, rows in there}


def _listed(
    mine: LabelledPredictions, theirs: LabelledPredictions, rows: Sequence[int]
) -> list[dict[str, Any]]:
    return [
        {
            record.ID: mine.ids[row],
            record.SEX: str(mine.table[record.SEX][row]),
            TRUE_MONTHS: float(mine.true_months[row]),
            "first_months": float(mine.predicted[row]),
            "second_months": float(theirs.predicted[row]),
        }
        for row in rows
    ]
