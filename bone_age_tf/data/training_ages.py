"""How many radiographs of each age and sex a model was trained on, and where its scale of ages ends."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bone_age_tf.record import MAX_BONE_AGE_MONTHS
from bone_age_tf.sex import SEX_NAMES, Sex

TRAINING_AGES = "training_ages"
"""Key of a run's and an exported model's `data`."""
BIN_MONTHS = 6
BINS = int(MAX_BONE_AGE_MONTHS) // BIN_MONTHS + 1
FEW = 30
"""Fewer radiographs than these at an age and beyond: near the end of the scale."""
FEW_SHARE = 0.06
"""The same, as a share of the radiographs of the sex: of a small training set, not everything is an end."""


@dataclasses.dataclass(frozen=True)
class TrainingAges:
    """Radiographs of the training set by sex and bone age."""

    counts: np.ndarray
    """int [3, BINS]: by the codes of `sex.Sex` and `BIN_MONTHS` of bone age, from 0."""

    @classmethod
    def of(cls, sex: np.ndarray, months: np.ndarray) -> "TrainingAges":
        """From the sexes (codes) and bone ages of the training set, [n] each.

        Only bone ages from 0 to 240 months are counted: a radiograph without a label, NaN, is not.
        """
        known = (months >= 0) & (months <= MAX_BONE_AGE_MONTHS)
        counts = np.zeros((len(SEX_NAMES), BINS), int)
        np.add.at(counts, (sex[known], (months[known] // BIN_MONTHS).astype(int)), 1)
        return cls(counts)

    @classmethod
    def of_members(cls, descriptions: Iterable[Mapping[str, Any] | None]) -> "TrainingAges | None":
        """Of an ensemble: the most that a member was trained on; None where one has no such record."""
        found = [None if d is None else cls.from_description(d).counts for d in descriptions]
        known = [counts for counts in found if counts is not None]
        return cls(np.max(known, axis=0)) if known and len(known) == len(found) else None

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> "TrainingAges":
        """The inverse of `describe`. Raises `KeyError` or `ValueError` for other content."""
        counts = np.array([description["counts"][name] for name in SEX_NAMES], int)
        if description["bin_months"] != BIN_MONTHS or counts.shape != (len(SEX_NAMES), BINS):
            raise ValueError(f"expected {BINS} counts for each {BIN_MONTHS} months and sex")
        return cls(counts)

    def describe(self) -> dict[str, Any]:
        """As plain JSON types."""
        named = zip(SEX_NAMES, self.counts.tolist(), strict=True)
        return {"bin_months": BIN_MONTHS, "counts": dict(named)}

    def ends(self, sex: Sex) -> tuple[float, float]:
        """Months below which, and from which on, a bone age is near an end of the scale; of unknown sex, that of either."""
        if sex == Sex.UNKNOWN:
            young, old = zip(self.ends(Sex.F), self.ends(Sex.M), strict=True)
            return max(young), min(old)
        counts = self.counts[sex] + self.counts[Sex.UNKNOWN]
        few = min(FEW, FEW_SHARE * counts.sum())
        below = np.cumsum(counts) < few
        above = np.cumsum(counts[::-1])[::-1] < few
        return float(BIN_MONTHS * below.sum()), float(BIN_MONTHS * (BINS - above.sum()))

    def is_near_end(self, months: float, sex: Sex) -> bool:
        """Whether few or no radiographs of the training set lie at this bone age and beyond it."""
        young, old = self.ends(sex)
        return months < young or months >= old
