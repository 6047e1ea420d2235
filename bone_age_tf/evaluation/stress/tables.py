"""How far predictions moved: one summary for each change, over the radiographs accepted both without and with it.

A shift is the months with the change minus those without; its confidence interval is over these pairs. A shift is
clinically significant where the classification by the Brush Foundation's table becomes another one, for example from
average to delayed, with the label (or else the chronological age) as the age to compare with.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bone_age_tf.errors import InputDataError
from bone_age_tf.evaluation.stress.answers import UNCHANGED, Answer, Tested
from bone_age_tf.growth.reference_standards import compare_with_age
from bone_age_tf.metrics import bone_age as metrics
from bone_age_tf.metrics import bootstrap
from bone_age_tf.sex import sex_from_label

MIN_FOR_PERCENTILE = 20
"""Radiographs from which on the 95th percentile is not the largest alone."""


def tables(tested: Sequence[Tested], groups: Mapping[str, str]) -> dict[str, Any]:
    """What `stress.json` has of the predictions; `groups` are the changes in their order, each with its group.

    Raises `InputDataError` where no radiograph is accepted without a change.
    """
    read = [one for one in tested if not isinstance(one.answers[UNCHANGED], str)]
    reasons = _reasons(one.answers[UNCHANGED] for one in tested)
    if not read:
        words = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
        raise InputDataError(
            f"The model rejects all {len(tested)} radiographs as they are ({words}). Expected some that it accepts; "
            "`bone-age-tf localize` shows what it sees in them."
        )
    labelled = [one for one in read if one.sample.bone_age_months is not None]
    errors = np.array([one.answers[UNCHANGED] - one.sample.bone_age_months for one in labelled])  # type: ignore[operator]
    changes = [
        {"change": name, "group": group, **_summary(name, tested)} for name, group in groups.items()
    ]
    shifts = [c["mae_shift_months"]["value"] for c in changes if c["mae_shift_months"]]
    return {
        "radiographs": {
            "n": len(tested),
            "labelled": len(labelled),
            "trained_on": sum(one.is_trained_on for one in tested),
            "rejected_unchanged": sum(reasons.values()),
            "rejection_reasons": reasons,
        },
        "mae_months": metrics.summarize(errors)["mae_months"] if labelled else None,
        "largest_mae_shift_months": max(shifts, default=None),
        "changes": changes,
    }


def _summary(name: str, tested: Sequence[Tested]) -> dict[str, Any]:
    read = [one for one in tested if not isinstance(one.answers[UNCHANGED], str)]
    both = [one for one in read if not isinstance(one.answers[name], str)]
    reasons = _reasons(one.answers[name] for one in read)
    accepted = sum(not isinstance(one.answers[name], str) for one in tested)
    return {
        "n": len(both),
        "rejected": sum(reasons.values()),
        "rejection_reasons": reasons,
        "accepted_only_changed": accepted - len(both),
        **_shifts(name, both),
        "mae_shift_months": _mae_shift(name, both),
        "significant_changes": _significant_changes(name, both),
    }


def _reasons(answers: Iterable[Answer]) -> dict[str, int]:
    """How many are rejected for which reason."""
    return dict(Counter(answer for answer in answers if isinstance(answer, str)))


def _shifts(name: str, both: Sequence[Tested]) -> dict[str, Any]:
    shifts = _months(name, both) - _months(UNCHANGED, both)
    size = np.abs(shifts)
    many = len(both) >= MIN_FOR_PERCENTILE
    return {
        "mean_shift_months": bootstrap.mean(shifts) if both else None,
        "mean_absolute_shift_months": bootstrap.mean(size) if both else None,
        "p95_absolute_shift_months": float(np.percentile(size, 95)) if many else None,
        "largest_absolute_shift_months": float(size.max()) if both else None,
    }


def _mae_shift(name: str, both: Sequence[Tested]) -> bootstrap.Estimate | None:
    """By how much the MAE rises, over those with a label."""
    labelled = [one for one in both if one.sample.bone_age_months is not None]
    if not labelled:
        return None
    true = np.array([one.sample.bone_age_months for one in labelled], float)
    before, after = (np.abs(_months(which, labelled) - true) for which in (UNCHANGED, name))
    return bootstrap.mean(after - before)


def _significant_changes(name: str, both: Sequence[Tested]) -> dict[str, Any] | None:
    turned = np.array([turn for one in both if (turn := _is_turned(one, name)) is not None])
    return {"n": len(turned), **bootstrap.proportion(turned)} if len(turned) else None


def _is_turned(one: Tested, name: str) -> bool | None:
    """Whether the classification is another one; None where there is none."""
    age = one.sample.age_months
    if age is None:
        return None
    sex = sex_from_label(one.sample.sex)
    first, second = (
        compare_with_age(float(one.answers[which]), age, sex).verdict for which in (UNCHANGED, name)
    )
    return None if first is None else first != second


def _months(name: str, tested: Sequence[Tested]) -> np.ndarray:
    return np.array([one.answers[name] for one in tested], float)
