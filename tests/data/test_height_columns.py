"""Heights of the child and its parents in a label table."""

import logging
from pathlib import Path

import pytest

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.file_labels import read_file_labels
from bone_age_tf.data.label_table import read_table
from bone_age_tf.data.labels import LabelRow, parse_table
from bone_age_tf.data.problems import Problem
from bone_age_tf.files.images import SourceFile


def parsed(folder: Path, *lines: str, **options: str) -> tuple[list[LabelRow], list[Problem]]:
    path = folder / "labels.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    chosen = LabelOptions(unlabelled=True, **options)
    return parse_table(read_table(SourceFile(path.name, str(path)), chosen), chosen)


@pytest.mark.parametrize(
    "header",
    [
        "height_cm,mother_height_cm,father_height_cm",
        "Height (cm),Mother's height (cm),Father's height (cm)",
        "Größe_cm,Größe_Mutter_cm,Größe_Vater_cm",
    ],
)
def test_a_column_is_known_by_its_name_with_the_unit(tmp_path: Path, header: str) -> None:
    rows, problems = parsed(
        tmp_path, f"id;sex;{header.replace(',', ';')}", "a;M;138,5;165;4'7", "b;F;;;"
    )
    assert problems == []
    assert [row.heights for row in rows] == [(138.5, 165.0, "4'7"), ("", "", "")]


def test_a_unit_is_converted_where_it_is_told(tmp_path: Path) -> None:
    lines = ("id,sex,stature", "a,M,1.385", "b,F,1.2")
    rows, problems = parsed(tmp_path, *lines, height_column="stature", height_unit="m")
    assert [row.heights[0] for row in rows] == pytest.approx([138.5, 120.0])
    assert problems == []
    rows, problems = parsed(tmp_path, *lines, height_column="stature")
    assert rows == []
    assert [problem.code for problem in problems] == ["height_unit"]
    assert "evidently in metres (largest value 1.385)" in problems[0].message
    assert "--height-unit m" in problems[0].message
    rows, _ = parsed(tmp_path, "id,sex,h", "a,M,55", height_column="h", height_unit="in")
    assert rows[0].heights[0] == pytest.approx(139.7)


METRES = ("id;sex;height_m;mother_height_m;Father height (m)", "a;M;1,4;1,65;1,8")


def test_a_name_with_another_unit_is_refused_until_it_is_told(tmp_path: Path) -> None:
    rows, problems = parsed(tmp_path, *METRES)
    assert rows == []
    assert [problem.code for problem in problems] == ["height_unit"] * 3
    assert all("in metres by its name" in problem.message for problem in problems)
    assert all("--height-unit m" in problem.message for problem in problems)
    rows, problems = parsed(tmp_path, *METRES, height_unit="m")
    assert problems == []
    assert rows[0].heights == pytest.approx((140.0, 165.0, 180.0))
    (row,), _ = parsed(tmp_path, "id,sex,height_in,height_cm", "a,M,55,", height_unit="in")
    assert row.heights[0] == pytest.approx(139.7)


def test_a_name_that_contradicts_the_unit_is_refused(tmp_path: Path) -> None:
    rows, problems = parsed(tmp_path, "id,sex,height_cm", "a,M,140", height_unit="m")
    assert rows == []
    assert "in centimetres by its name; --height-unit m says metres" in problems[0].message
    _, problems = parsed(tmp_path, "id,sex,height_cm", "a,M,1.4")
    assert "evidently in metres" in problems[0].message
    assert "--height-unit" not in problems[0].message


def test_a_named_column_that_is_missing_is_a_problem(tmp_path: Path) -> None:
    _, problems = parsed(tmp_path, "id,sex", "a,M", father_height_column="papa")
    assert "--father-height-column" in problems[0].message


@pytest.mark.parametrize(
    ("header", "cell", "is_said"),
    [
        ("height", "138", True),
        ("Mother's height (ft)", "5.4", True),
        ("height", "2044", False),
        ("height_cm", "138", False),
    ],
)
def test_a_column_without_a_unit_is_not_read_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, header: str, cell: str, is_said: bool
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"id,sex,{header}\na,M,{cell}\n")
    with caplog.at_level(logging.ERROR):  # --quiet does not hide it
        read_file_labels(str(path), LabelOptions(unlabelled=True), [])
    assert ("--height-column" in caplog.text) == is_said
    assert (repr(header) in caplog.text) == is_said


def test_prepare_reads_no_heights(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("id,sex,boneage,height_cm\na,M,120,1.4\n")
    options = LabelOptions(height_column="nowhere")
    table = read_table(SourceFile(path.name, str(path)), options)
    assert table.height_column is None
    assert parse_table(table, options)[1] == []
