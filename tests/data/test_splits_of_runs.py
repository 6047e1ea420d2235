import csv
import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bone_age_tf import record
from bone_age_tf.config import DataConfig
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.splits import Selected, select
from bone_age_tf.data.stratification import stratum
from bone_age_tf.data.tfrecords import RecordFiles, Records
from bone_age_tf.errors import InputDataError
from bone_age_tf.sex import Sex

Rows = list[dict[str, str]]


@pytest.fixture
def data(prepared: Path) -> PreparedRadiographs:
    return PreparedRadiographs.open(prepared)


@pytest.fixture
def changed(prepared: Path, tmp_path: Path) -> Callable[[Callable[[Rows], Rows]], Path]:
    """A copy of `prepared` with the rows of its `splits.csv` changed."""

    def make(change: Callable[[Rows], Rows]) -> Path:
        folder = shutil.copytree(prepared, tmp_path / "data")
        with (folder / "splits.csv").open(newline="") as stream:
            rows = change(list(csv.DictReader(stream)))
        with (folder / "splits.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return folder

    return make


def with_patients(rows: Rows) -> Rows:
    """Four radiographs to a patient, whatever their split."""
    return [row | {"group": f"p{number // 4}"} for number, row in enumerate(rows)]


def ids_of(data: PreparedRadiographs, *splits: str) -> list[str]:
    rows = [row for split in splits for row in data.examples(split).as_numpy_iterator()]
    return [row[record.ID].decode() for row in rows]


def both(selected: Selected) -> tuple[Records, Records]:
    assert selected.validation is not None
    return selected.training, selected.validation


# === Records ===


def test_records_are_those_of_the_splits_in_order(data: PreparedRadiographs) -> None:
    records = data.records("validation", "train")
    rows = [
        row for split in ("validation", "train") for row in data.examples(split).as_numpy_iterator()
    ]
    assert list(records.ids) == [row[record.ID].decode() for row in rows]
    assert records.sex.tolist() == [row[record.SEX] for row in rows]
    assert records.bone_age_months.tolist() == [row[record.BONE_AGE_MONTHS] for row in rows]
    assert records.bone_age_months.dtype == np.float64
    assert len(records) == sum(records.sizes) == 32


def test_numbers_and_places_lead_to_the_records(data: PreparedRadiographs) -> None:
    records = data.records("train", "validation")
    records = records.chosen(np.arange(len(records)) % 3 == 1)
    read = RecordFiles(records.paths).read(records.numbers)
    found = record.parse_labels(read.tolist())
    assert [id.decode() for id in found[record.ID].numpy()] == list(records.ids)
    for (file, row), id in zip(records.positions, records.ids, strict=True):
        (alone,) = RecordFiles([records.paths[file]]).read(np.array([row]))
        assert record.parse_labels([alone])[record.ID].numpy()[0].decode() == id


def test_examples_of_records_are_whole_and_in_order(data: PreparedRadiographs) -> None:
    records = data.records("train", "validation")
    rows = [
        row for split in ("train", "validation") for row in data.examples(split).as_numpy_iterator()
    ]
    mask = np.random.default_rng(0).random(len(records)) < 0.4
    found = list(data.examples_of(records.chosen(mask)).as_numpy_iterator())
    expected = [row for row, keep in zip(rows, mask, strict=True) if keep]
    assert len(found) == mask.sum() > 0
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])


# === Splits ===


def test_without_a_fold_the_parts_are_the_splits(data: PreparedRadiographs) -> None:
    training, validation = both(select(data, DataConfig()))
    assert list(training.ids) == ids_of(data, "train")
    assert list(validation.ids) == ids_of(data, "validation")


def test_without_a_validation_split_there_is_none(data: PreparedRadiographs) -> None:
    shards = tuple(shard for shard in data.manifest.shards if shard.split != "validation")
    manifest = dataclasses.replace(data.manifest, shards=shards)
    without = dataclasses.replace(data, manifest=manifest)
    assert select(without, DataConfig()).validation is None


@pytest.mark.parametrize("split", ["train", "validation"])
def test_missing_labels_are_rejected(data: PreparedRadiographs, split: str) -> None:
    labels = {**data.manifest.labels, split: {"count": 7}}
    manifest = dataclasses.replace(data.manifest, labels=labels)
    with pytest.raises(InputDataError, match=f"{split!r}.*only 7 bone ages"):
        select(dataclasses.replace(data, manifest=manifest), DataConfig())


# === Folds ===


@pytest.mark.parametrize("folds", [2, 5, 32])
def test_every_radiograph_validates_once(data: PreparedRadiographs, folds: int) -> None:
    everything = ids_of(data, "train", "validation")
    held_out = []
    for number in range(1, folds + 1):
        training, validation = both(select(data, DataConfig(fold=f"{number}/{folds}")))
        assert not set(training.ids) & set(validation.ids)
        assert sorted([*training.ids, *validation.ids]) == sorted(everything)
        held_out += validation.ids
    assert sorted(held_out) == sorted(everything)


def test_the_test_split_is_never_touched(data: PreparedRadiographs) -> None:
    test = set(ids_of(data, "test"))
    for number in range(1, 6):
        training, validation = both(select(data, DataConfig(fold=f"{number}/5")))
        assert not test & {*training.ids, *validation.ids}


def test_folds_are_stratified(data: PreparedRadiographs) -> None:
    sexes = [
        np.bincount(both(select(data, DataConfig(fold=f"{n}/4")))[1].sex, minlength=3).tolist()
        for n in range(1, 5)
    ]
    assert sexes == [[4, 4, 0]] * 4
    every = data.records("train", "validation")
    pairs = list(map(stratum, every.sex.tolist(), every.bone_age_months.tolist()))
    for n in (1, 2):
        _, validation = both(select(data, DataConfig(fold=f"{n}/2")))
        mine = list(map(stratum, validation.sex.tolist(), validation.bone_age_months.tolist()))
        assert all(abs(2 * mine.count(pair) - pairs.count(pair)) <= 2 for pair in set(pairs))


def test_a_patient_validates_in_one_fold(changed: Callable[..., Path]) -> None:
    data = PreparedRadiographs.open(changed(with_patients))
    with (data.folder / "splits.csv").open(newline="") as stream:
        patient = {row["id"]: row["group"] for row in csv.DictReader(stream)}
    for number in range(1, 4):
        training, validation = both(select(data, DataConfig(fold=f"{number}/3")))
        assert not {patient[id] for id in training.ids} & {patient[id] for id in validation.ids}


def test_too_many_folds_are_rejected(
    data: PreparedRadiographs, changed: Callable[..., Path]
) -> None:
    with pytest.raises(InputDataError, match="32 radiographs of 32 patients.*33 folds"):
        select(data, DataConfig(fold="1/33"))
    grouped = PreparedRadiographs.open(changed(with_patients))
    with pytest.raises(InputDataError, match="32 radiographs of 10 patients.*11 folds"):
        select(grouped, DataConfig(fold="1/11"))


def swapped_sex(rows: Rows) -> Rows:
    return [row | {"sex": "M" if row["sex"] == "F" else "F"} for row in rows]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[5:], "does not fit.*in one of them only"),
        (lambda rows: [rows[0] | {"id": "x9", "split": "train"}, *rows], "does not fit.*x9"),
        (swapped_sex, "does not fit.* 32 radiographs"),
        (lambda rows: [row | {"bone_age_months": "500"} for row in rows], "another sex or bone age"),
        (lambda rows: [row | {"bone_age_months": ""} for row in rows], "another sex or bone age"),
        (lambda rows: [row | {"split": "test"} for row in rows], "does not fit"),
        (
            lambda rows: [{k: v for k, v in row.items() if k != "group"} for row in rows],
            "no column group",
        ),
    ],
    ids=["fewer", "more", "sex", "age", "no age", "split", "no group"],
)  # fmt: skip
def test_a_table_of_other_radiographs_is_rejected_for_folds_only(
    change: Callable[[Rows], Rows], message: str, changed: Callable[..., Path]
) -> None:
    data = PreparedRadiographs.open(changed(change))
    with pytest.raises(InputDataError, match=message):
        select(data, DataConfig(fold="1/4"))
    assert len(select(data, DataConfig()).training) == 24


@pytest.mark.parametrize("content", [None, ""])
def test_a_missing_table_is_rejected(prepared: Path, tmp_path: Path, content: str | None) -> None:
    folder = shutil.copytree(prepared, tmp_path / "data")
    (folder / "splits.csv").unlink()
    if content is not None:
        (folder / "splits.csv").write_text(content)
    with pytest.raises(InputDataError, match=r"splits\.csv"):
        select(PreparedRadiographs.open(folder), DataConfig(fold="1/4"))


# === Sex ===


@pytest.mark.parametrize("sex", [Sex.F, Sex.M])
@pytest.mark.parametrize("fold", [None, "2/4"])
def test_one_sex_alone_in_the_same_folds(
    data: PreparedRadiographs, sex: Sex, fold: str | None
) -> None:
    mixed = both(select(data, DataConfig(fold=fold)))
    alone = both(select(data, DataConfig(fold=fold, sex=sex.label)))
    for every, some in zip(mixed, alone, strict=True):
        assert list(some.ids) == [
            id for id, s in zip(every.ids, every.sex, strict=True) if s == sex
        ]
        assert set(some.sex.tolist()) == {sex}


def without_sex(data: PreparedRadiographs, ids: set[str] | None = None) -> PreparedRadiographs:
    """Their sex is unknown, or that of some."""

    class Unknown(PreparedRadiographs):
        def records(self, *splits: str) -> Records:
            found = super().records(*splits)
            hidden = np.array([ids is None or id in ids for id in found.ids])
            return dataclasses.replace(found, sex=np.where(hidden, Sex.UNKNOWN, found.sex))

    return Unknown(data.folder, data.manifest)


def test_unknown_sex_is_left_out_where_that_is_asked_for(data: PreparedRadiographs) -> None:
    hidden = set(ids_of(data, "train")[:5])
    some = without_sex(data, hidden)
    assert len(select(some, DataConfig()).training) == 24
    known, validation = both(select(some, DataConfig(), known_sex_only=True))
    assert set(known.ids) == set(ids_of(data, "train")) - hidden
    assert len(validation) == 8


@pytest.mark.parametrize(
    ("config", "known_sex_only"), [(DataConfig(sex="F"), False), (DataConfig(), True)]
)
def test_no_radiograph_of_that_sex_is_rejected(
    data: PreparedRadiographs, config: DataConfig, known_sex_only: bool
) -> None:
    with pytest.raises(InputDataError, match="no radiograph is left for training.*unknown 24"):
        select(without_sex(data), config, known_sex_only=known_sex_only)
