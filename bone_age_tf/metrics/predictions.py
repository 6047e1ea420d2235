"""Predictions beside labels, whoever made them, and the tables of their errors.

`predictions.csv` has the columns `id`, `sex`, `bone_age_months_true` and `bone_age_months` (of a sex
classifier: `boy_probability`); of a model with intervals `bone_age_low_months` and
`bone_age_high_months` as well.
"""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bone_age_tf import record
from bone_age_tf.data.manifest import written_whole
from bone_age_tf.errors import InputDataError
from bone_age_tf.metrics import bone_age as metrics
from bone_age_tf.record import BONE_AGE_HIGH, BONE_AGE_LOW, BOY_PROBABILITY, Sex, sex_from_label

PREDICTIONS = "predictions.csv"
TRUE_MONTHS = "bone_age_months_true"

AGE_LIMIT_MONTHS = 120
"""Below this bone age, the sexes are harder to tell apart."""
INTERVAL = f"{metrics.COVERAGE:.0%} bootstrap, {metrics.RESAMPLES} resamples of radiographs"


@dataclasses.dataclass(frozen=True)
class Judged:
    """Answers beside labels, n at least 1 of each."""

    ids: Sequence[str]
    sex: np.ndarray
    """int [n], codes of `record.Sex`."""
    true_months: np.ndarray
    answers: np.ndarray
    """Months, or the probability of a boy."""
    low_months: np.ndarray | None = None
    """Ends of the intervals; None: there are none."""
    high_months: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def errors(self) -> np.ndarray:
        """Predicted minus true, months."""
        return self.answers - self.true_months

    @property
    def is_boy(self) -> np.ndarray:
        """bool [n], where every sex is known."""
        return self.sex == Sex.M

    def chosen(self, rows: np.ndarray) -> "Judged":
        """Those of these rows (a mask, or numbers)."""
        rows = np.arange(len(self))[rows]
        ids = [self.ids[int(row)] for row in rows]
        ends = (None if end is None else end[rows] for end in (self.low_months, self.high_months))
        return Judged(ids, self.sex[rows], self.true_months[rows], self.answers[rows], *ends)

    @property
    def is_held(self) -> np.ndarray | None:
        """Whether the interval holds the label, bool [n]."""
        if self.low_months is None or self.high_months is None:
            return None
        return (self.low_months <= self.true_months) & (self.true_months <= self.high_months)


def tables(judged: Judged) -> dict[str, Any]:
    """Every statistic overall, by sex, age band, both and stage; agreement; the worst.

    Each number has its bootstrap interval.
    """
    order = np.argsort(judged.true_months, kind="stable")
    sorted_by_age = judged.chosen(order)
    errors, true = sorted_by_age.errors, sorted_by_age.true_months
    sexes = np.array([Sex(code).label for code in sorted_by_age.sex])
    bands = np.array([metrics.age_band(age) for age in true])
    both = np.array([f"{sex}, {band}" for sex, band in zip(sexes, bands, strict=True)])
    stages = np.array(
        [metrics.stage(age, sex) or "" for age, sex in zip(true, sorted_by_age.sex, strict=True)]
    )
    known = stages != ""
    return {
        "overall": metrics.summarize(errors),
        "by_sex": metrics.by_group(errors, sexes),
        "by_age_band": metrics.by_group(errors, bands),
        "by_sex_and_age_band": metrics.by_group(errors, both),
        "by_stage": metrics.by_group(errors[known], stages[known]),
        "agreement": metrics.agreement(judged.answers, judged.true_months),
        "intervals": _coverage(sorted_by_age, sexes, bands),
        "worst": [_listed(judged, row) for row in worst(judged)],
        "best": [_listed(judged, row) for row in best(judged)],
    }


def _coverage(judged: Judged, sexes: np.ndarray, bands: np.ndarray) -> dict[str, Any] | None:
    """How often the intervals hold the label, overall, by sex and by age band; None: there are none."""
    if judged.is_held is None or judged.low_months is None or judged.high_months is None:
        return None
    held, width = judged.is_held, judged.high_months - judged.low_months

    def summary(rows: np.ndarray) -> dict[str, Any]:
        return {
            "n": int(rows.sum()),
            "held": metrics.share(held[rows]),
            "mean_width_months": float(width[rows].mean()),
        }

    return {
        "overall": summary(np.full(len(judged), True)),
        "by_sex": {str(name): summary(sexes == name) for name in dict.fromkeys(sexes.tolist())},
        "by_age_band": {
            str(name): summary(bands == name) for name in dict.fromkeys(bands.tolist())
        },
    }


def _listed(judged: Judged, row: int) -> dict[str, Any]:
    return {
        "id": judged.ids[row],
        "sex": Sex(judged.sex[row]).label,
        TRUE_MONTHS: float(judged.true_months[row]),
        record.BONE_AGE_MONTHS: float(judged.answers[row]),
    }


def worst(judged: Judged, count: int = 20) -> list[int]:
    """Rows with the largest errors, the largest first."""
    return np.argsort(-np.abs(judged.errors), kind="stable")[:count].tolist()


def best(judged: Judged, count: int = 8) -> list[int]:
    """Rows with the smallest errors, the smallest first; none that is among the worst."""
    others = np.argsort(np.abs(judged.errors), kind="stable")[: max(0, len(judged) - 20)]
    return others[:count].tolist()


def sex_tables(judged: Judged) -> dict[str, Any]:
    """Accuracy and AUROC overall, below and from ten years, and by age band."""
    bands = np.array([metrics.age_band(age) for age in judged.true_months])
    is_young = judged.true_months < AGE_LIMIT_MONTHS

    def summaries(groups: dict[str, np.ndarray]) -> dict[str, Any]:
        return {
            name: metrics.summarize_sex(judged.answers[rows], judged.is_boy[rows])
            for name, rows in groups.items()
            if rows.any()
        }

    return {
        **summaries({"overall": np.full(len(bands), True)}),
        "by_age": summaries({"below 10 years": is_young, "10 years and above": ~is_young}),
        "by_age_band": summaries({name: bands == name for name in metrics.AGE_BANDS}),
    }


def write_predictions(folder: Path, judged: Judged, target: str) -> None:
    """`predictions.csv`."""
    answer, digits = (BOY_PROBABILITY, 6) if target == "sex" else (record.BONE_AGE_MONTHS, 2)
    with written_whole(folder / PREDICTIONS) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        has_ends = judged.low_months is not None and judged.high_months is not None
        ends = [judged.low_months, judged.high_months] if has_ends else []
        names = [BONE_AGE_LOW, BONE_AGE_HIGH] if has_ends else []
        writer.writerow([record.ID, record.SEX, TRUE_MONTHS, answer, *names])
        for identifier, sex, true, *values in zip(
            judged.ids, judged.sex, judged.true_months, judged.answers, *ends, strict=True
        ):
            numbers = [f"{value:.{digits}f}" for value in values]
            writer.writerow([identifier, Sex(sex).label, f"{true:g}", *numbers])


def read_predictions(folder: str | Path) -> Judged:
    """What `write_predictions` wrote of bone ages, from the folder or the file itself.

    Raises `InputDataError` where it is something else.
    """
    path = Path(folder)
    path = path / PREDICTIONS if path.is_dir() else path
    columns = []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                names = [TRUE_MONTHS, record.BONE_AGE_MONTHS]
                names += [name for name in (BONE_AGE_LOW, BONE_AGE_HIGH) if name in row]
                numbers = [float(row[name]) for name in names]
                if not all(0 <= number <= record.MAX_BONE_AGE_MONTHS for number in numbers[:1]):
                    raise ValueError(f"a label of {numbers[0]} months")
                if not np.isfinite(numbers).all():
                    raise ValueError("a number that is not finite")
                columns.append((row[record.ID], sex_from_label(row[record.SEX]), *numbers))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputDataError(
            f"{path}: expected the predictions.csv of `bone-age-tf evaluate` for bone ages "
            f"({type(error).__name__}: {error})."
        ) from error
    if not columns:
        raise InputDataError(f"{path}: there is no prediction in it.")
    ids, *numbers = zip(*columns, strict=True)
    return Judged(ids, *(np.array(column) for column in numbers))
