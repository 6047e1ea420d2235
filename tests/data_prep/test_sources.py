import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl
import pytest
import tensorflow as tf
from conftest import draw_phantom, encode, write_kaggle_layout

from bone_age_tf import record
from bone_age_tf.config import LabelOptions, PrepareConfig, PreprocessingConfig
from bone_age_tf.data_prep.checks import CheckedRow, check
from bone_age_tf.data_prep.prepare import prepare
from bone_age_tf.data_prep.sources import find_source
from bone_age_tf.data_prep.sources.source import Source
from bone_age_tf.data_prep.splits import assign_splits
from bone_age_tf.errors import InputDataError
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.sex import Sex

TEST_TRUTH = [
    ["Case ID", "Sex", "Ground truth bone age (months)"],
    [4360, "M", 168.9],
    [4361, "F", 151],
]
VALIDATION = [["Image ID", "male", "Bone Age (months)"], [1386, "TRUE", 30], [1392, "FALSE", 162]]


def _hands(folder: Path, names: Sequence[object], *, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        picture = draw_phantom(100, 100 * seed + number)
        assert cv2.imwrite(str(folder / f"{name}.png"), picture)


def _table(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(list(row))
        book.save(path)
    else:
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows(rows)
    return path


def _find(source: Path, **settings: Any) -> tuple[Source, list[CheckedRow]]:
    """The source, and its rows, all of which must be good."""
    config = PrepareConfig(source=str(source), output="unused", **settings)
    found = find_source(config)
    rows, problems = check(found, config.label_options, limit=None, seed=0, jobs=2)
    assert problems == []
    return found, rows


# === The challenge ===


def test_kaggle_folder_is_recognised(tmp_path: Path) -> None:
    source, rows = _find(write_kaggle_layout(tmp_path / "kaggle", 4))
    assert (source.layout, source.is_registered) == ("rsna", False)
    assert sorted(row.id for row in rows) == ["1000", "1001", "1002", "1003"]
    assert {row.split for row in rows} == {None}


def test_kaggle_doubled_folder_is_recognised(tmp_path: Path) -> None:
    folder = write_kaggle_layout(tmp_path / "kaggle", 4)
    images = folder / "boneage-training-dataset"
    images.rename(folder / "aside")
    images.mkdir()
    (folder / "aside").rename(images / "boneage-training-dataset")
    source, rows = _find(folder)
    assert (source.layout, len(rows)) == ("rsna", 4)


def test_kaggle_zip_of_the_images_is_read_unopened(tmp_path: Path) -> None:
    folder = write_kaggle_layout(tmp_path / "kaggle", 4)
    images = folder / "boneage-training-dataset"
    shutil.make_archive(str(images), "zip", folder, images.name)
    shutil.rmtree(images)
    source, rows = _find(folder)
    assert (source.layout, len(rows)) == ("rsna", 4)


def test_kaggle_zip_of_everything_is_read_unopened(tmp_path: Path) -> None:
    folder = write_kaggle_layout(tmp_path / "kaggle", 4)
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", folder)
    source, rows = _find(Path(archive))
    assert (source.layout, len(rows)) == ("rsna", 4)


def test_kaggle_test_table_without_ages_is_no_obstacle(tmp_path: Path) -> None:
    folder = write_kaggle_layout(tmp_path / "kaggle", 4)
    _table(folder / "boneage-test-dataset.csv", [["Case ID", "Sex"], [4360, "M"]])
    _hands(folder / "boneage-test-dataset", [4360], seed=9)
    _, rows = _find(folder)
    assert len(rows) == 4


def test_rsna_validation_csv_is_recognised(tmp_path: Path) -> None:
    _table(tmp_path / "Validation Dataset.csv", VALIDATION)
    _hands(tmp_path / "boneage-validation-dataset-1", [1386])
    _hands(tmp_path / "boneage-validation-dataset-2", [1392], seed=1)
    source, rows = _find(tmp_path)
    assert source.layout == "rsna"
    assert sorted((row.id, row.label.sex, row.label.bone_age_months) for row in rows) == [
        ("1386", Sex.M, 30.0),
        ("1392", Sex.F, 162.0),
    ]


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("Bone age ground truth.xlsx", "Test Set Images"),
        ("test truth.csv", "Test Set Images"),
        ("Bone Age Ground Truth.xlsx", "Bone Age Test Set/Test_Images"),  # as published
    ],
)
def test_rsna_test_truth_is_recognised(tmp_path: Path, name: str, images: str) -> None:
    _table(tmp_path / name, TEST_TRUTH)
    _hands(tmp_path / images, [4360, 4361])
    source, rows = _find(tmp_path)
    assert source.layout == "rsna"
    assert sorted((row.id, row.label.sex, row.label.bone_age_months) for row in rows) == [
        ("4360", Sex.M, 168.9),
        ("4361", Sex.F, 151.0),
    ]


def test_rsna_sets_together_keep_their_splits(tmp_path: Path) -> None:
    write_kaggle_layout(tmp_path / "Training", 6)
    _table(tmp_path / "Validation Dataset.csv", VALIDATION)
    _hands(tmp_path / "boneage-validation-dataset", [1386, 1392], seed=1)
    _table(tmp_path / "Bone age ground truth.xlsx", TEST_TRUTH)
    _hands(tmp_path / "Test Set Images", [4360, 4361], seed=2)
    _, rows = _find(tmp_path)
    splits = assign_splits(rows, {"train": 0.8, "validation": 0.1, "test": 0.1}, seed=0)
    assert splits == {
        **{str(1000 + number): "train" for number in range(6)},
        **{"1386": "validation", "1392": "validation", "4360": "test", "4361": "test"},
    }


# === The recipe's layout ===


def _write_recipe(folder: Path, split: str, ids: Sequence[str], size: tuple[int, int]) -> None:
    (folder / split).mkdir(parents=True)
    for number, name in enumerate(ids):
        picture = np.full(size, 20 + number, np.uint8)
        picture[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 200
        assert cv2.imwrite(str(folder / split / f"{name}.png"), picture)
    _table(folder / f"{split}.csv", [["id", "boneage", "male"], *([i, 90, True] for i in ids)])


def test_registered_recipe_is_only_scaled(tmp_path: Path) -> None:
    """Darkened by half, and so left; a hand that is registered here gets all of the contrast."""
    config = PreprocessingConfig()
    expected = {}
    for number in ("1", "2"):
        hand = draw_phantom(60 * int(number), int(number), height=450, width=360)
        prepared = Preprocessor(config).graph(encode(hand)).image.numpy()[..., 0] // 2
        expected[number] = prepared
        (tmp_path / "raw/train").mkdir(parents=True, exist_ok=True)
        picture = np.repeat(np.repeat(prepared, 4, axis=0), 4, axis=1)
        assert cv2.imwrite(str(tmp_path / f"raw/train/{number}.png"), picture)
    _table(tmp_path / "raw/train.csv", [["id", "boneage", "male"], ["1", 90, True], ["2", 9, True]])
    source, _ = _find(tmp_path / "raw")
    assert (source.layout, source.is_registered) == ("recipe", True)
    settings = {"source": str(tmp_path / "raw"), "output": str(tmp_path / "out")}
    report = prepare(PrepareConfig(**settings, preprocessing=config, split={"train": 1.0}))
    assert report.problems == ()
    paths = [str(path) for path in (tmp_path / "out").glob("*.tfrecord-*")]
    serialized = list(tf.data.TFRecordDataset(paths).as_numpy_iterator())
    stored = record.parse_batch(tf.constant(serialized))
    images = record.decode_images(stored["image"], config.frame, "png")[..., 0]
    for identifier, image in zip(stored["id"].numpy(), images, strict=True):
        np.testing.assert_array_equal(image, expected[identifier.decode()])


def test_recipe_test_table_keeps_its_split(tmp_path: Path) -> None:
    _write_recipe(tmp_path, "train", ["1", "2", "3"], (200, 150))
    (tmp_path / "more").mkdir()
    _write_recipe(tmp_path / "more", "test", ["7", "8"], (210, 150))
    shutil.move(tmp_path / "more/test", tmp_path / "test")
    shutil.move(tmp_path / "more/test.csv", tmp_path / "test.csv")
    source, rows = _find(tmp_path)
    assert (source.layout, source.is_registered) == ("recipe", False)
    splits = assign_splits(rows, {"train": 0.5, "validation": 0.25, "test": 0.25}, seed=0)
    assert {name for name, split in splits.items() if split == "test"} == {"7", "8"}


def test_registered_recipe_stays_so_where_the_first_file_is_damaged(tmp_path: Path) -> None:
    _write_recipe(tmp_path, "train", ["1", "2", "3"], (2080, 1600))
    (tmp_path / "train/1.png").write_bytes(b"")
    source = find_source(PrepareConfig(source=str(tmp_path), output="unused"))
    assert source.is_registered


def test_registered_recipe_reports_a_radiograph_of_another_size(tmp_path: Path) -> None:
    _write_recipe(tmp_path, "train", ["1", "2"], (2080, 1600))
    assert cv2.imwrite(str(tmp_path / "train/2.png"), draw_phantom(90, 0))
    source = find_source(PrepareConfig(source=str(tmp_path), output="unused"))
    _, problems = check(source, LabelOptions(), limit=None, seed=0, jobs=1)
    assert [(problem.id, problem.code) for problem in problems] == [("2", "not_registered")]


# === Any folder with a table ===


def test_own_folder_with_named_table_and_columns(tmp_path: Path) -> None:
    _hands(tmp_path / "radiographs/a", ["x1"])
    _hands(tmp_path / "radiographs/b", ["x2"], seed=1)
    table = _table(
        tmp_path / "readings.csv",
        [["file", "reading", "boy or girl"], ["x1.png", 90, "boy"], ["x2.png", 30, "girl"]],
    )
    options = LabelOptions(id_column="file", age_column="reading", sex_column="boy or girl")
    source, rows = _find(tmp_path / "radiographs", labels=str(table), label_options=options)
    assert source.layout == "table"
    assert sorted((row.id, row.label.sex, row.label.bone_age_months) for row in rows) == [
        ("x1", Sex.M, 90.0),
        ("x2", Sex.F, 30.0),
    ]


def test_only_table_in_a_folder_is_found(tmp_path: Path) -> None:
    _hands(tmp_path, ["x1"])
    _table(tmp_path / "ages.csv", [["id", "bone_age_months", "sex"], ["x1", 90, "M"]])
    source, rows = _find(tmp_path)
    assert (source.layout, len(rows)) == ("table", 1)


def test_images_may_lie_in_another_folder(tmp_path: Path) -> None:
    _table(tmp_path / "tables/ages.csv", [["id", "bone_age_months", "sex"], ["x1", 90, "M"]])
    _hands(tmp_path / "images", ["x1"])
    _, rows = _find(tmp_path / "tables", image_dir=str(tmp_path / "images"))
    assert [row.file.name for row in rows] == ["x1.png"]


def test_two_tables_are_rejected_with_their_names_and_the_flag(tmp_path: Path) -> None:
    _hands(tmp_path, ["x1"])
    for name in ("a.csv", "b.csv"):
        _table(tmp_path / name, [["id", "bone_age_months", "sex"], ["x1", 90, "M"]])
    with pytest.raises(InputDataError, match=r"a\.csv, b\.csv.*--labels"):
        _find(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b""),
        ("notes.txt", b'He said "bring, them\n back" and "left\n'),
        ("~$ages.xlsx", b"\x04User of Excel"),
        ("columns.csv", b"a,a\n1,2\n"),
    ],
)
def test_other_files_beside_the_table_are_no_obstacle(
    tmp_path: Path, name: str, content: bytes
) -> None:
    _hands(tmp_path, ["x1"])
    _table(tmp_path / "ages.csv", [["id", "bone_age_months", "sex"], ["x1", 90, "M"]])
    (tmp_path / name).write_bytes(content)
    _, rows = _find(tmp_path)
    assert len(rows) == 1


def test_radiographs_without_a_table_are_rejected_with_the_flags_that_help(tmp_path: Path) -> None:
    _hands(tmp_path, ["x1"])
    with pytest.raises(InputDataError, match=r"no label table.*--labels.*--unlabelled"):
        _find(tmp_path)


def test_radiographs_without_a_table_are_taken_for_prediction(tmp_path: Path) -> None:
    _hands(tmp_path, ["x1", "x2"])
    _, rows = _find(tmp_path, label_options=LabelOptions(unlabelled=True))
    assert [(row.id, row.label.sex) for row in rows] == [("x1", Sex.UNKNOWN), ("x2", Sex.UNKNOWN)]
    assert all(np.isnan(row.label.bone_age_months) for row in rows)


def test_folder_without_radiographs_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "hand.pdf").write_bytes(b"%PDF-1.7")
    with pytest.raises(InputDataError, match=r"no radiographs found.*1 \.pdf.*--image-dir"):
        _find(tmp_path)
