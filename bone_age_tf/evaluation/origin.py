"""What `predict` knows about its predictions, for the evaluation of a `predictions.csv`: the model and its training files."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from bone_age_tf.config.choices import TRAINED_ON
from bone_age_tf.data.leakage import TRAINING_MEAN, known_among
from bone_age_tf.files.provenance import read_provenance
from bone_age_tf.inference.predict import COMMAND
from bone_age_tf.metrics.predictions import PREDICTIONS
from bone_age_tf.record import BONE_AGE_MONTHS

NO_ROW, NO_NUMBER = "no_row", "no_number"
"""Why a label has no prediction, beside the reasons of `predict`: the table has no row for it, or an empty cell."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a table of predictions comes from; of external predictions, nothing is known."""

    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    """`name`, `version`, `manifest_sha256` of the exported model."""
    fingerprint: str | None = None
    training_mean_months: float | None = None
    has_training_files: bool = False
    """Whether the model told which files it was trained on."""

    @classmethod
    def of(cls, table: Path) -> "Origin":
        """From the `provenance.json` that `predict` wrote next to its `predictions.csv`."""
        try:
            found = read_provenance(table.parent)
            model = found["model"]
            if found["command"] != COMMAND or table.name != PREDICTIONS:
                return cls()
            return cls(
                {name: model[name] for name in ("name", "version", "manifest_sha256")},
                model["fingerprint"],
                model[TRAINING_MEAN],
                model["has_training_files"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def leakage(self, cells: pd.DataFrame, ids: Iterable[str]) -> tuple[bool | None, str | None]:
        """Whether the model was trained on some of these radiographs (None: unknown), and a sentence where it was.

        `cells` is the table by identifier, `ids` those that are evaluated.
        """
        ids = list(ids)
        warnings = cells["warning"] if "warning" in cells else pd.Series("", cells.index)
        count = sum(TRAINED_ON in codes for codes in warnings.reindex(ids).str.split())
        is_known = count > 0 or self.has_training_files
        return (count > 0 if is_known else None), known_among(count, len(ids))


def no_prediction(cells: pd.DataFrame, ids: Iterable[str]) -> dict[str, int]:
    """Reason -> number of these labels, for which the table by identifier has no bone age; the most frequent first."""
    is_told = {"status", "reason"} <= set(cells)
    reasons = cells["reason"] if is_told else pd.Series("", cells.index)
    codes = (
        reasons[one].partition(":")[0] or NO_NUMBER if one in reasons.index else NO_ROW
        for one in ids
    )
    return dict(Counter(codes).most_common())


def is_ours(column: str, cells: pd.DataFrame) -> bool:
    """Whether a column is the bone age in the layout of `predictions.csv`."""
    return column == BONE_AGE_MONTHS and {"file", "status"} <= set(cells)
