"""The radiographs of a data set that a run is trained on, and those that it is validated on.

Only the splits `train` and `validation` are used, never another one.
"""

import csv
import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bone_age_tf.config import DataConfig
from bone_age_tf.config.choices import TRAINING_SPLIT, VALIDATION_SPLIT
from bone_age_tf.data.manifest import SPLITS
from bone_age_tf.data.stratification import Sample, stratified_group_split
from bone_age_tf.data.tfrecords import Records
from bone_age_tf.errors import InputDataError
from bone_age_tf.sex import SEX_NAMES, Sex, sex_from_label

if TYPE_CHECKING:  # it imports TensorFlow
    from bone_age_tf.data.dataset import PreparedRadiographs

_COLUMNS = ("id", "sex", "bone_age_months", "split", "group")
_FOLD_SEED = 0
"""The same folds for every run, so that runs with other seeds or settings can be combined."""


@dataclasses.dataclass(frozen=True)
class Selected:
    """Training and validation records of a run; they share no radiograph."""

    radiographs: "PreparedRadiographs"
    """The data set."""
    training: Records
    """What it is trained on."""
    validation: Records | None
    """What it is validated on; None: the data set has no such split, and there are no folds."""


def select(
    radiographs: "PreparedRadiographs", config: DataConfig, *, known_sex_only: bool = False
) -> Selected:
    """The radiographs for training and validation, each with a bone age.

    `known_sex_only` leaves out those of unknown sex. Folds do not depend on it, nor on `data.sex`.
    Raises `InputDataError` where there are too few, labels are missing, or `splits.csv` is of other
    radiographs.
    """
    splits = [TRAINING_SPLIT]
    if VALIDATION_SPLIT in radiographs.manifest.splits:
        splits.append(VALIDATION_SPLIT)
    for split in splits:
        radiographs.require_labels(split)
    if config.fold is not None:
        pooled = radiographs.records(*splits)
        held_out = _held_out(pooled, _groups(radiographs, pooled, splits), config)
        parts = [pooled.chosen(~held_out), pooled.chosen(held_out)]
    else:
        parts = [radiographs.records(split) for split in splits]
    names = ("training", "validation")
    parts = [
        _of_sex(records, config.sex, known_sex_only, name)
        for records, name in zip(parts, names, strict=False)
    ]
    return Selected(radiographs, parts[0], parts[1] if len(parts) > 1 else None)


def raw_files_of(radiographs: "PreparedRadiographs", records: Records) -> frozenset[str]:
    """sha256 of the raw files of these records, which are the same at every scale.

    Empty where `splits.csv` is missing.
    """
    named = files_by_id(radiographs)
    return frozenset(named.get(identifier, "") for identifier in records.ids) - {""}


def files_by_id(radiographs: "PreparedRadiographs") -> dict[str, str]:
    """Identifier -> sha256 of the raw file; empty as above."""
    path = radiographs.folder / SPLITS
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["id"]: row.get("sha256") or "" for row in csv.DictReader(stream)}


def _held_out(records: Records, groups: list[str], config: DataConfig) -> np.ndarray:
    """Whether each record is in the fold that validates, bool [n]."""
    number, folds = config.fold_numbers
    columns = zip(records.ids, groups, records.sex, records.bone_age_months, strict=True)
    samples = [Sample(id, group, int(sex), float(months)) for id, group, sex, months in columns]
    shares = {str(fold): 1.0 for fold in range(1, folds + 1)}
    fold_of = stratified_group_split(samples, shares, _FOLD_SEED)
    if len(set(fold_of.values())) < folds:
        patients = len({sample.group or sample.id for sample in samples})
        raise InputDataError(
            f"data.fold={config.fold}: {len(records)} radiographs of {patients} patients cannot be split "
            f"into {folds} folds, some would be empty. Expected fewer folds, or more data."
        )
    return np.array([fold_of[identifier] == str(number) for identifier in records.ids])


def _of_sex(records: Records, sex: str, known_sex_only: bool, part: str) -> Records:
    """Those of one sex, or of both. Raises `InputDataError` where none is left."""
    mask = np.ones(len(records), bool)
    if sex != "both":
        mask &= records.sex == sex_from_label(sex)
    if known_sex_only:
        mask &= records.sex != Sex.UNKNOWN
    if not mask.any():
        found = Counter(SEX_NAMES[code] for code in records.sex)
        wanted = f"data.sex={sex}" + (", of known sex" if known_sex_only else "")
        raise InputDataError(
            f"{wanted}: no radiograph is left for {part}. The data set has for it: "
            f"{', '.join(f'{name} {found[name]}' for name in SEX_NAMES)}. Expected at least one; choose "
            "another --set data.sex, or another data set."
        )
    return records.chosen(mask)


def _groups(radiographs: "PreparedRadiographs", records: Records, splits: list[str]) -> list[str]:
    """The patient of each record, from `splits.csv`; empty where it names none.

    Raises `InputDataError` where the table is not of these radiographs and labels.
    """
    path = radiographs.folder / SPLITS
    advice = "Copy it again from where the data set was prepared, or prepare the data set again."
    if not path.is_file():
        raise InputDataError(
            f"{path}: missing. Cross-validation folds need it, because it names the patients. {advice}"
        )
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    missing = sorted(set(_COLUMNS) - set(rows[0] if rows else ()))
    if missing:
        raise InputDataError(f"{path}: no column {', '.join(missing)}. {advice}")
    table = {row["id"]: row for row in rows if row["split"] in splits}
    columns = zip(records.ids, records.sex, records.bone_age_months, strict=True)
    faults = [id for id, sex, months in columns if not _is_labelled(table.get(id), sex, months)]
    faults += sorted(set(table) - set(records.ids))
    if faults:
        raise InputDataError(
            f"{path} does not fit the data set's records: {len(faults)} radiographs are in one of them "
            f"only, or have another sex or bone age, such as {', '.join(faults[:3])}. {advice}"
        )
    return [table[identifier]["group"] for identifier in records.ids]


def _is_labelled(row: Mapping[str, str] | None, sex: int, bone_age_months: float) -> bool:
    """Whether a row of `splits.csv` has these labels; it gives six digits of the bone age."""
    if row is None or row["sex"] != SEX_NAMES[sex]:
        return False
    try:
        return math.isclose(float(row["bone_age_months"]), bone_age_months, abs_tol=1e-3)
    except ValueError:
        return False
