"""Predictions with labels, of this package or external: one container, and one layout of `predictions.csv`.

`predict`, `evaluate` and `ensemble` write these columns in this order, and omit those that do not
apply. Cells without a value are empty.

| column                           | what                                                                     |
|----------------------------------|--------------------------------------------------------------------------|
| `id`                             | identifier of the radiograph, unique                                     |
| `file`                           | its file, by `predict`                                                   |
| `sex`                            | `F`, `M` or `unknown`, as given to the model                             |
| `bone_age_months`                | the prediction, 0 to 240 months                                          |
| `bone_age_low_months`, `bone_age_high_months` | ends of the prediction interval, of a model that has these  |
| `boy_probability`                | instead of the bone age, by a sex classifier                             |
| `bone_age_months_true`           | the label, 0 to 240 months                                               |
| `chronological_age_months`       | this and the next four by `predict`, where the age is given              |
| `difference_months`, `sd_score`, `verdict`, `verdict_probability` | as in `growth/reference_standards.py`   |
| `status`, `reason`, `warning`    | by `predict`: `ok`, or why there is no bone age; warnings                |
| `sop_instance_uid`               | of a DICOM file, by `predict --keep-uids`                                |
| `height_cm` to `target_height_reason` | by `predict` where heights are given: fields of `growth.GrowthAssessment` |
| any other                        | of an ensemble: months of a family, by its name                          |
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bone_age_tf.errors import InputDataError
from bone_age_tf.files.atomic import write_text
from bone_age_tf.files.images import SourceFile
from bone_age_tf.files.tables import read_text_table
from bone_age_tf.growth.assessment import GROWTH_COLUMNS, GROWTH_TEXT
from bone_age_tf.record import (
    BONE_AGE_HIGH,
    BONE_AGE_LOW,
    BONE_AGE_MONTHS,
    BOY_PROBABILITY,
    ID,
    MAX_BONE_AGE_MONTHS,
    SEX,
)
from bone_age_tf.sex import SEX_NAMES, Sex, sex_from_label

PREDICTIONS = "predictions.csv"
TRUE_MONTHS = "bone_age_months_true"
STATUS, OK = "status", "ok"
COLUMNS = (
    ID,
    "file",
    SEX,
    BONE_AGE_MONTHS,
    BONE_AGE_LOW,
    BONE_AGE_HIGH,
    BOY_PROBABILITY,
    TRUE_MONTHS,
    "chronological_age_months",
    "difference_months",
    "sd_score",
    "verdict",
    "verdict_probability",
    STATUS,
    "reason",
    "warning",
    "sop_instance_uid",
    *GROWTH_COLUMNS,
)
"""Of `predictions.csv`, in this order."""
_TEXT = GROWTH_TEXT.union(
    (ID, "file", SEX, "verdict", STATUS, "reason", "warning", "sop_instance_uid")
)
_FORMATS = {TRUE_MONTHS: "g", BOY_PROBABILITY: ".6f"}
"""Of numbers; all others have two digits after the point."""


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledPredictions:
    """Predictions of radiographs with a label."""

    table: pd.DataFrame
    """A row for each radiograph, numbered from 0, in the columns of `predictions.csv`. `id`, `sex`,
    `bone_age_months_true` and one of `bone_age_months` and `boy_probability` are there (of the families of
    an ensemble, before they are put together, neither); numbers are float64, months."""

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        sex: np.ndarray,
        true_months: np.ndarray,
        predicted: np.ndarray | None = None,
        low_months: np.ndarray | None = None,
        high_months: np.ndarray | None = None,
        *,
        target: str = "bone_age",
        families: Mapping[str, np.ndarray] | None = None,
    ) -> "LabelledPredictions":
        """From columns [n]; `sex` is codes of `sex.Sex`; `predicted` is months, or the probability of a
        boy for the `target` sex; `families`: months by the name of each family."""
        name = BOY_PROBABILITY if target == "sex" else BONE_AGE_MONTHS
        numbers = {
            name: predicted,
            BONE_AGE_LOW: low_months,
            BONE_AGE_HIGH: high_months,
            TRUE_MONTHS: true_months,
            **(families or {}),
        }
        columns: dict[str, Any] = {
            ID: list(ids),
            SEX: [SEX_NAMES[code] for code in sex],
            **{n: np.asarray(c, np.float64) for n, c in numbers.items() if c is not None},
        }
        return cls(pd.DataFrame(columns))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def ids(self) -> list[str]:
        """Identifiers, [n]."""
        return self.table[ID].tolist()

    @property
    def sex(self) -> np.ndarray:
        """int [n], codes of `sex.Sex`."""
        return np.array([int(sex_from_label(name)) for name in self.table[SEX]], int)

    @property
    def true_months(self) -> np.ndarray:
        """float64 [n], the labels."""
        return self.table[TRUE_MONTHS].to_numpy()

    @property
    def predicted(self) -> np.ndarray:
        """float64 [n]: months, or the probability of a boy."""
        name = BOY_PROBABILITY if BOY_PROBABILITY in self.table else BONE_AGE_MONTHS
        return self.table[name].to_numpy()

    @property
    def family_names(self) -> list[str]:
        """Of an ensemble: the columns with the families' months."""
        return [name for name in self.table if name not in COLUMNS]

    @property
    def family_months(self) -> np.ndarray:
        """float64 [n, families]; NaN where a family holds no prediction for a radiograph."""
        return np.ascontiguousarray(self.table[self.family_names].to_numpy(np.float64))

    @property
    def errors(self) -> np.ndarray:
        """Predicted minus true, months [n]."""
        return self.predicted - self.true_months

    @property
    def is_boy(self) -> np.ndarray:
        """bool [n], where every sex is known."""
        return self.sex == Sex.M

    @property
    def interval_months(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Ends of the prediction intervals, [n] each; None: the model has none."""
        if BONE_AGE_LOW not in self.table:
            return None
        return self.table[BONE_AGE_LOW].to_numpy(), self.table[BONE_AGE_HIGH].to_numpy()

    def select(self, rows: np.ndarray) -> "LabelledPredictions":
        """Those of these rows: a mask, or numbers, in their order."""
        return LabelledPredictions(self.table.iloc[rows].reset_index(drop=True))

    def with_months(self, months: np.ndarray) -> "LabelledPredictions":
        """The same radiographs with these predicted months, [n]."""
        return LabelledPredictions(self.table.assign(**{BONE_AGE_MONTHS: months}))


# === predictions.csv ===


def table_of(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Rows of predictions, by column, as a table: text or float64, empty or NaN where there is none."""
    table = pd.DataFrame(rows)
    table = table.fillna({name: "" for name in table if name in _TEXT})
    return table.astype({name: float for name in table if name not in _TEXT})


def csv_text(table: pd.DataFrame) -> str:
    """Rows of predictions as CSV, those columns that are there, in the order of `COLUMNS`, then any others."""
    names = [name for name in COLUMNS if name in table]
    names += [name for name in table if name not in COLUMNS]
    cells = {
        name: [_cell(value, _FORMATS.get(name, ".2f")) for value in table[name]] for name in names
    }
    return pd.DataFrame(cells, columns=names).to_csv(index=False, lineterminator="\n")


def _cell(value: object, number: str) -> str:
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else format(value, number)


def write_predictions(folder: Path, predictions: LabelledPredictions) -> None:
    """`predictions.csv`."""
    write_text(folder / PREDICTIONS, csv_text(predictions.table))


def read_predictions(path: str | Path) -> LabelledPredictions:
    """Bone ages with a label from a `predictions.csv`, or the one in a folder.

    Rows without a bone age (`status`) or without a label are left out. Raises `InputDataError` where the file has
    another format, or no row is left.
    """
    path = Path(path)
    path = path / PREDICTIONS if path.is_dir() else path
    expected = "expected the predictions.csv of `bone-age-tf predict`, `evaluate` or `ensemble`"
    try:
        table = read_text_table(SourceFile(path.name, str(path))).rows
    except OSError as error:
        raise InputDataError(f"{path}: {expected} ({error}).") from error
    missing = [name for name in (ID, SEX, BONE_AGE_MONTHS, TRUE_MONTHS) if name not in table]
    if missing:
        raise InputDataError(
            f"{path}: {expected} for bone ages with labels; there is no column {', '.join(missing)}."
        )
    if STATUS in table:
        table = table[table[STATUS] == OK]
    table = table[table[TRUE_MONTHS] != ""].copy()
    if table.empty:
        raise InputDataError(
            f"{path}: no row has a {TRUE_MONTHS}. Predict with a table that has the bone ages: --labels, "
            "--age-column."
        )
    for name in (BONE_AGE_MONTHS, BONE_AGE_LOW, BONE_AGE_HIGH, TRUE_MONTHS):
        if name in table:
            table[name] = _numbers(table[name], path)
    _require_valid(table, path)
    return LabelledPredictions(table.reset_index(drop=True))


def _numbers(column: pd.Series, path: Path) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
    bad = column[~np.isfinite(numbers)]
    if len(bad):
        raise InputDataError(
            f"{path}, row {bad.index[0]}: expected a number of months in {column.name}. Received: "
            f"{bad.iloc[0]!r}."
        )
    return numbers


def _require_valid(table: pd.DataFrame, path: Path) -> None:
    """Labels within the range and known sexes; the index is the row number."""
    for name, is_valid, expected in (
        (
            TRUE_MONTHS,
            table[TRUE_MONTHS].between(0, MAX_BONE_AGE_MONTHS),
            f"a number between 0 and {MAX_BONE_AGE_MONTHS:g} months",
        ),
        (SEX, table[SEX].isin(SEX_NAMES), f"one of {', '.join(SEX_NAMES)}"),
    ):
        if not is_valid.all():
            bad = table[name][~is_valid]
            raise InputDataError(
                f"{path}, row {bad.index[0]}: expected {expected} in {name}. Received: {bad.iloc[0]!r}."
            )
