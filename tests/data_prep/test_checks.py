import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import draw_phantom, write_kaggle_layout

from bone_age_tf.config import LabelOptions, PrepareConfig
from bone_age_tf.data.problems import Problem
from bone_age_tf.data.stratification import shuffle_key
from bone_age_tf.data_prep.checks import CheckedRow, check
from bone_age_tf.data_prep.sources import find_source
from bone_age_tf.errors import InputDataError

TABLE = "boneage-training-dataset.csv"
IMAGES = "boneage-training-dataset"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Ids 1000 to 1005 in rows 2 to 7; a test may damage them."""
    return write_kaggle_layout(tmp_path / "raw", 6)


def _check(
    folder: Path, options: LabelOptions | None = None, *, limit: int | None = None
) -> tuple[list[CheckedRow], list[Problem]]:
    options = options or LabelOptions()
    config = PrepareConfig(source=str(folder), output="unused", label_options=options)
    return check(find_source(config), options, limit=limit, seed=0, jobs=2)


def _found(problems: list[Problem]) -> list[tuple[int, str, str]]:
    return [(problem.row, problem.id, problem.code) for problem in problems]


def _add_row(folder: Path, row: str) -> None:
    with (folder / TABLE).open("a") as stream:
        stream.write(f"{row}\n")


def _age_and_sex(folder: Path, number: int) -> str:
    return (folder / TABLE).read_text().splitlines()[number + 1].split(",", 1)[1]


def test_good_rows_have_the_sha256_of_their_files(raw: Path) -> None:
    rows, problems = _check(raw)
    assert problems == []
    assert len({row.sha256 for row in rows}) == 6


def test_row_without_an_image_is_reported(raw: Path) -> None:
    (raw / IMAGES / "1002.png").unlink()
    rows, problems = _check(raw)
    assert _found(problems) == [(4, "1002", "no_image")]
    assert len(rows) == 5


def test_image_without_a_row_is_reported(raw: Path) -> None:
    assert cv2.imwrite(str(raw / IMAGES / "7.png"), draw_phantom(90, 1))
    rows, problems = _check(raw)
    assert [(p.id, p.code, p.file) for p in problems] == [("7", "no_row", f"{IMAGES}/7.png")]
    assert len(rows) == 6


def test_two_images_for_one_row_are_reported_and_neither_is_taken(raw: Path) -> None:
    (raw / IMAGES / "b").mkdir()
    assert cv2.imwrite(str(raw / IMAGES / "b/1001.jpg"), draw_phantom(90, 1))
    rows, problems = _check(raw)
    assert [(p.id, p.code) for p in problems] == [("1001", "two_images")]
    assert "1001" not in {row.id for row in rows}


# === Names, paths and numbers ===


def _hands_in(folder: Path, *names: str) -> Path:
    """Different radiographs with these paths; the table is `labels.csv`."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / name), draw_phantom(90 + number, number))
    return folder


@pytest.mark.parametrize("ending", [".png", ""])
def test_the_same_file_name_in_many_folders_is_told_apart_by_path(
    tmp_path: Path, ending: str
) -> None:
    names = [f"patient{number}/study1/image1" for number in (18, 25)]
    _hands_in(tmp_path, *(f"hands/{name}.png" for name in names))
    lines = [f"{name}{ending},F,{120 + n}" for n, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["image_path,sex,boneage", *lines]))
    rows, problems = _check(tmp_path)
    assert problems == []
    found = {row.id: (row.file.name, row.label.bone_age_months) for row in rows}
    assert found == {name: (f"hands/{name}.png", 120 + n) for n, name in enumerate(names)}


def test_the_same_file_name_without_a_path_is_reported_with_the_way_out(tmp_path: Path) -> None:
    _hands_in(tmp_path, "p1/image1.png", "p2/image1.png")
    (tmp_path / "labels.csv").write_text("id,sex,boneage\nimage1.png,F,120\n")
    rows, problems = _check(tmp_path)
    assert rows == []
    assert [(p.file, p.code) for p in problems] == [("p2/image1.png", "two_images")]
    assert "by path in the table" in problems[0].message


def test_a_path_without_its_file_is_reported_with_the_others(tmp_path: Path) -> None:
    _hands_in(tmp_path, "p1/image1.png", "p2/image1.png")
    table = "path,sex,boneage\np1/image1.png,F,120\np3/image1.png,F,121\n"
    (tmp_path / "labels.csv").write_text(table)
    rows, problems = _check(tmp_path)
    assert [row.file.name for row in rows] == ["p1/image1.png"]
    assert sorted((p.row, p.file, p.code) for p in problems) == [
        (0, "p2/image1.png", "no_row"),
        (3, "", "no_image"),
    ]
    assert "in other folders (p1/image1.png, p2/image1.png)" in problems[-1].message


def test_leading_zeros_are_joined_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _hands_in(tmp_path, "00012.png", "00107.png")
    (tmp_path / "labels.csv").write_text("ID,Male,Boneage\n12,False,120\n107,True,130\n")
    rows, problems = _check(tmp_path)
    assert problems == []
    assert {row.id: row.file.name for row in rows} == {"12": "00012.png", "107": "00107.png"}
    (message,) = [one for one in caplog.messages if "leading zeros" in one]
    assert "2 identifiers" in message
    assert "12 and 00012.png" in message


def test_numbers_that_fit_twice_but_for_zeros_are_reported(tmp_path: Path) -> None:
    _hands_in(tmp_path, "012.png", "0012.png")
    (tmp_path / "labels.csv").write_text("id,sex,boneage\n12,F,120\n")
    rows, problems = _check(tmp_path)
    assert rows == []
    assert ("12", "ambiguous_id") in {(p.id, p.code) for p in problems}
    (message,) = [p.message for p in problems if p.code == "ambiguous_id"]
    assert "0012.png, 012.png" in message


def test_radiographs_without_a_table_are_named_by_path_where_needed(tmp_path: Path) -> None:
    _hands_in(tmp_path, "p1/image1.png", "p2/image1.png")
    rows, problems = _check(tmp_path, LabelOptions(unlabelled=True, sex="M"))
    assert problems == []
    assert [(row.id, row.label.sex.label) for row in sorted(rows, key=lambda row: row.id)] == [
        ("p1/image1", "M"),
        ("p2/image1", "M"),
    ]


def test_a_row_of_the_other_sex_is_reported(tmp_path: Path) -> None:
    _hands_in(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "labels.csv").write_text("id,boneage,sex\n1,120,M\n2,121,\n3,122,F\n")
    rows, problems = _check(tmp_path, LabelOptions(sex="M"))
    assert sorted(row.id for row in rows) == ["1", "2"]
    assert _found(problems) == [(4, "3", "other_sex")]


# === Files ===


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def _flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_text("<html>not a radiograph</html>"), "not_png_or_jpeg"),
        (lambda path: path.write_bytes(b"GIF89a" + bytes(200)), "not_png_or_jpeg"),
        (lambda path: path.write_bytes(path.read_bytes()[:20]), "too_small"),
        (_cut_short, "damaged"),
        (_flip_one_bit, "damaged"),
        (lambda path: cv2.imwrite(str(path), np.zeros((40, 300), np.uint8)), "too_small"),
    ],
    ids=["empty", "html", "gif", "header-cut", "truncated", "bit-flipped", "tiny"],
)
def test_file_that_is_no_radiograph_is_reported(
    raw: Path, damage: Callable[[Path], object], code: str
) -> None:
    damage(raw / IMAGES / "1003.png")
    rows, problems = _check(raw)
    assert [(p.row, p.id, p.code, p.file) for p in problems] == [
        (5, "1003", code, f"{IMAGES}/1003.png")
    ]
    assert len(rows) == 5


def test_truncated_jpeg_is_reported(raw: Path) -> None:
    (raw / IMAGES / "1003.png").unlink()
    path = raw / IMAGES / "1003.jpg"
    assert cv2.imwrite(str(path), draw_phantom(90, 1))
    _cut_short(path)
    assert _found(_check(raw)[1]) == [(5, "1003", "damaged")]


def test_same_picture_with_the_same_label_spares_the_first(raw: Path) -> None:
    shutil.copyfile(raw / IMAGES / "1001.png", raw / IMAGES / "2000.png")
    _add_row(raw, f"2000,{_age_and_sex(raw, 1)}")
    rows, problems = _check(raw)
    assert _found(problems) == [(8, "2000", "same_picture")]
    assert "1001.png" in problems[0].message
    assert "same label" in problems[0].message
    assert "1001" in {row.id for row in rows}


def test_same_picture_with_other_labels_spares_neither(raw: Path) -> None:
    shutil.copyfile(raw / IMAGES / "1001.png", raw / IMAGES / "2000.png")
    _add_row(raw, "2000,239,True")
    rows, problems = _check(raw)
    assert _found(problems) == [(3, "1001", "same_picture"), (8, "2000", "same_picture")]
    assert all("other label" in problem.message for problem in problems)
    assert not {"1001", "2000"} & {row.id for row in rows}


def test_identifier_in_two_tables_is_reported(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "test")):
        (tmp_path / split).mkdir()
        for name in (f"{split}only", "both"):
            picture = draw_phantom(90, 10 * number + len(name))
            assert cv2.imwrite(str(tmp_path / split / f"{name}.png"), picture)
        text = f"id,boneage,male\n{split}only,90,True\nboth,90,True\n"
        (tmp_path / f"{split}.csv").write_text(text)
    _, problems = _check(tmp_path)
    assert [(p.table, p.row, p.id, p.code) for p in problems] == [
        ("test.csv", 3, "both", "duplicate_id")
    ]


def test_patient_whom_the_split_column_puts_into_two_splits_is_reported(raw: Path) -> None:
    lines = (raw / TABLE).read_text().splitlines()
    extra = ["patient,set", "A,train", "B,train", "C,test", "B,test", "D,test", "E,train"]
    table = "\n".join(",".join(pair) for pair in zip(lines, extra, strict=True))
    (raw / TABLE).write_text(table + "\n")
    _, problems = _check(raw, LabelOptions(group_column="patient", split_column="set"))
    assert {"1001", "1003"} & {problem.id for problem in problems}
    assert not {"1000", "1002", "1004", "1005"} & {problem.id for problem in problems}


def test_all_problems_are_found_in_one_run(raw: Path) -> None:
    (raw / IMAGES / "1000.png").unlink()
    (raw / IMAGES / "1001.png").write_bytes(b"")
    (raw / IMAGES / "1002.png").write_text("no picture")
    _cut_short(raw / IMAGES / "1003.png")
    shutil.copyfile(raw / IMAGES / "1004.png", raw / IMAGES / "2000.png")
    shutil.copyfile(raw / IMAGES / "1004.png", raw / IMAGES / "3000.png")
    (raw / IMAGES / "b").mkdir()
    shutil.copyfile(raw / IMAGES / "1005.png", raw / IMAGES / "b/1005.png")
    _add_row(raw, f"2000,{_age_and_sex(raw, 4)}")
    _add_row(raw, "4000,-3,maybe")
    rows, problems = _check(raw)
    assert sorted(_found(problems)) == [
        (0, "1005", "two_images"),
        (0, "3000", "no_row"),
        (2, "1000", "no_image"),
        (3, "1001", "empty"),
        (4, "1002", "not_png_or_jpeg"),
        (5, "1003", "damaged"),
        (8, "2000", "same_picture"),
        (9, "4000", "bad_age"),
        (9, "4000", "bad_sex"),
        (9, "4000", "no_image"),
    ]
    assert [row.id for row in rows] == ["1004"]


def test_limit_reads_only_the_selected_files_but_the_whole_table(raw: Path) -> None:
    (raw / IMAGES / "1005.png").write_bytes(b"")
    _add_row(raw, "9000,999,True")
    (raw / IMAGES / "7.png").write_bytes(b"")
    rows, problems = _check(raw, limit=2)
    sampled = sorted(
        (f"100{number}" for number in range(6)), key=lambda name: shuffle_key(0, name)
    )[:2]
    assert {row.id for row in rows} == set(sampled) - {"1005"}
    found = {("7", "no_row"), ("9000", "bad_age"), ("9000", "no_image")}
    unread = {("1005", "empty")} if "1005" in sampled else set()
    assert {(problem.id, problem.code) for problem in problems} == found | unread


def test_patient_in_the_training_and_test_tables_of_a_layout_is_reported(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "test")):
        (tmp_path / split).mkdir()
        assert cv2.imwrite(str(tmp_path / split / f"{split}1.png"), draw_phantom(90, number))
        table = f"id,boneage,male,patient\n{split}1,90,True,P\n"
        (tmp_path / f"{split}.csv").write_text(table)
    _, problems = _check(tmp_path, LabelOptions(group_column="patient"))
    assert [problem.code for problem in problems] == ["group_in_two_splits"] * 2


def test_why_a_broken_table_was_not_taken_is_said(raw: Path) -> None:
    (raw / TABLE).write_text("id,sex,sex\n1000,F,F\n")
    with pytest.raises(InputDataError, match="Not used: .*two columns are named sex"):
        _check(raw)


def test_image_of_another_format_is_read_or_a_problem(raw: Path) -> None:
    images = raw / IMAGES
    for number, ending in enumerate((".tif", ".bmp", ".webp")):
        path = images / f"100{number}.png"
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        path.unlink()
        assert cv2.imwrite(str(path.with_suffix(ending)), picture)
    (images / "1003.png").rename(images / "1003")
    (images / "1004.png").write_bytes(bytes(128) + b"DICM" + bytes(99))
    (images / "notes.txt").write_text("no radiograph")
    rows, problems = _check(raw)
    assert sorted(row.file.name for row in rows) == [
        f"{IMAGES}/{name}" for name in ("1000.tif", "1001.bmp", "1003", "1005.png")
    ]
    assert _found(problems) == [(4, "1002", "not_png_or_jpeg"), (6, "1004", "not_a_radiograph")]
    assert ["a WebP" in problems[0].message, "DICOM" in problems[1].message] == [True, True]


def test_damaged_tiff_is_reported(raw: Path) -> None:
    path = raw / IMAGES / "1003.png"
    content = cv2.imencode(".tif", cv2.imread(str(path), cv2.IMREAD_UNCHANGED))[1].tobytes()
    path.write_bytes(content[:-500])
    assert _found(_check(raw)[1]) == [(5, "1003", "damaged")]
