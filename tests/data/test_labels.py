"""Every spelling in a label table is read, or reported as a problem with its row number."""

import math
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.label_table import LabelTable, read_table
from bone_age_tf.data.labels import LabelRow, parse_table
from bone_age_tf.data.problems import Problem
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile
from bone_age_tf.sex import Sex


def _table(path: Path, content: str | bytes, options: LabelOptions) -> LabelTable:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(SourceFile(path.name, str(path)), options)


def _parse(
    folder: Path, content: str | bytes, **options: str | bool
) -> tuple[list[LabelRow], list[Problem]]:
    chosen = LabelOptions(**options)
    return parse_table(_table(folder / "labels.csv", content, chosen), chosen)


def _found(problems: Sequence[Problem]) -> list[tuple[int, str]]:
    return [(problem.row, problem.code) for problem in problems]


def _write_excel(path: Path, rows: Sequence[Sequence[object]]) -> None:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    book.save(path)


# === Spellings of a table ===


@pytest.mark.parametrize(
    "content",
    [
        b"id,boneage,male\n1,94.5,True\n2,120,False\n",
        b"\xef\xbb\xbfid,boneage,male\n1,94.5,True\n2,120,False\n",
        b"\xef\xbb\xbfid;boneage;male\r\n1;94,5;True\r\n2;120;False\r\n",
        b"id\tboneage\tmale\n1\t94.5\tTRUE\n2\t120\tFALSE\n",
        b"id,boneage,male\r1,94.5,1\r2,120,0\r",
        b'"id","boneage","male"\r\n"1","94,5","TRUE"\r\n"2","120","FALSE"',
        b"ID, BoneAge, Male\n 1 , 94.5 , true \n 2 , 120 , false \n",
        b"Image ID,male,Bone Age (months)\n1.png,True,94.5\nimages/2.PNG,FALSE,120\n",
        b"Case ID,Sex,Ground truth bone age (months)\n1,M,94.5\n2,F,120\n",
        b"id,boneage,sex,name\n1,94.5,male,J\xfcrg\n2,120,girl,Zo\xe9\n",
        b"id,boneage,male\n1,94.5,True,surplus\n\n2,120,False\n",
    ],
    ids=[
        "plain", "bom", "semicolon-crlf-comma-decimals", "tab", "cr", "quoted", "spaces-and-case",
        "rsna-validation", "rsna-test", "cp1252", "surplus-cell-and-empty-line",
    ],
)  # fmt: skip
def test_every_spelling_of_a_table_gives_the_same_rows(tmp_path: Path, content: bytes) -> None:
    rows, problems = _parse(tmp_path, content)
    assert problems == []
    assert [(row.id, row.bone_age_months, row.sex) for row in rows] == [
        ("1", 94.5, Sex.M),
        ("2", 120.0, Sex.F),
    ]


def test_rows_are_numbered_as_a_spreadsheet_does(tmp_path: Path) -> None:
    rows, _ = _parse(tmp_path, "id,boneage,male\n1,90,True\n\n2,91,True\n")
    assert [row.row for row in rows] == [2, 4]


def test_excel_gives_the_same_rows_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "truth.xlsx"
    header = ["Case ID", "Sex", "Ground truth bone age (months)"]
    _write_excel(path, [header, [4360, "M", 168.9], [None, None, None], [4361.0, "F", 151]])
    table = read_table(SourceFile(path.name, str(path)), LabelOptions())
    rows, problems = parse_table(table, LabelOptions())
    assert problems == []
    assert [(row.id, row.sex, row.bone_age_months, row.row) for row in rows] == [
        ("4360", Sex.M, 168.9, 2),
        ("4361", Sex.F, 151.0, 4),
    ]


def test_excel_booleans_are_read_below_male(tmp_path: Path) -> None:
    path = tmp_path / "labels.xlsx"
    _write_excel(path, [["id", "boneage", "male"], [1, 90, True], [2, 91, False]])
    rows, problems = parse_table(
        read_table(SourceFile(path.name, str(path)), LabelOptions()), LabelOptions()
    )
    assert problems == []
    assert [row.sex for row in rows] == [Sex.M, Sex.F]


def test_excel_formula_without_stored_result_is_a_problem_of_its_row(tmp_path: Path) -> None:
    path = tmp_path / "labels.xlsx"
    _write_excel(path, [["id", "boneage", "male"], [1, "=7.5*12", True], [2, 91, False]])
    rows, problems = parse_table(
        read_table(SourceFile(path.name, str(path)), LabelOptions()), LabelOptions()
    )
    assert _found(problems) == [(2, "bad_age")]
    assert "formula" in problems[0].message
    assert [row.id for row in rows] == ["2"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.xlsx", b"PK\x03\x04 no workbook"),
        ("labels.csv", b""),
        ("labels.csv", b'id,boneage,male\n1,"90,True\n'),
        ("labels.csv", b"id,boneage,male,male\n1,90,True,False\n"),
    ],
    ids=["damaged-xlsx", "empty", "open-quote", "header-twice"],
)
def test_file_that_is_no_table_is_rejected_by_name(
    tmp_path: Path, name: str, content: bytes
) -> None:
    with pytest.raises(InputDataError, match=name):
        _table(tmp_path / name, content, LabelOptions())


def test_table_without_rows_gives_no_rows_and_no_problems(tmp_path: Path) -> None:
    assert _parse(tmp_path, "id,boneage,male\n") == ([], [])


# === Sex ===


def test_missing_sex_and_unknown_spelling_are_told_apart(tmp_path: Path) -> None:
    content = "id,boneage,sex\n1,90,\n2,91,x\n3,92,1\n4,93,unknown\n"
    rows, problems = _parse(tmp_path, content)
    assert _found(problems) == [(2, "missing_sex"), (3, "bad_sex"), (4, "bad_sex")]
    assert "'x'" in problems[1].message
    assert [row.sex for row in rows] == [Sex.UNKNOWN]


# === Bone age ===


@pytest.mark.parametrize(
    "cell", ["-3", "NaN", "999", "240.01", "inf", "", "=7*12", "eight", "12 months", "1_20"]
)
def test_age_that_is_no_number_of_months_is_a_problem_of_its_row(tmp_path: Path, cell: str) -> None:
    rows, problems = _parse(tmp_path, f"id,boneage,male\n1,90,True\n2,{cell},True\n3,100,True\n")
    assert [(problem.row, problem.id, problem.code) for problem in problems] == [
        (3, "2", "bad_age")
    ]
    assert [row.id for row in rows] == ["1", "3"]


@pytest.mark.parametrize(("cell", "months"), [("0", 0.0), ("240", 240.0), ("94.5", 94.5)])
def test_ages_up_to_the_ends_of_the_range_are_taken(
    tmp_path: Path, cell: str, months: float
) -> None:
    rows, problems = _parse(tmp_path, f"id,boneage,male\n1,{cell},True\n")
    assert (rows[0].bone_age_months, problems) == (months, [])


@pytest.mark.parametrize(
    "content",
    [
        "id,boneage,male\n1,7.5,True\n2,12,True\n3,17.9,False\n",
        "id;boneage;male\n1;7,5;True\n2;12,25;True\n3;17,9;False\n",
    ],
)
def test_table_evidently_in_years_is_rejected_with_the_flag_that_decides(
    tmp_path: Path, content: str
) -> None:
    rows, problems = _parse(tmp_path, content)
    assert rows == []
    assert _found(problems) == [(1, "age_in_years")]
    assert "--age-unit" in problems[0].message


def test_column_named_in_years_is_rejected_even_with_one_row(tmp_path: Path) -> None:
    _, problems = _parse(tmp_path, "id,age (years),male\n1,8,True\n", age_column="age (years)")
    assert _found(problems) == [(1, "age_in_years")]


@pytest.mark.parametrize(
    ("unit", "months"), [("years", [90, 144, 210]), ("months", [7.5, 12, 17.5])]
)
def test_age_unit_decides(tmp_path: Path, unit: str, months: list[float]) -> None:
    content = "id,boneage,male\n1,7.5,True\n2,12,True\n3,17.5,False\n"
    rows, problems = _parse(tmp_path, content, age_unit=unit)
    assert problems == []
    assert [row.bone_age_months for row in rows] == months


def test_years_beyond_the_range_are_a_problem(tmp_path: Path) -> None:
    content = "id,boneage,male\n1,7.5,True\n2,94,True\n"
    assert _found(_parse(tmp_path, content, age_unit="years")[1]) == [(3, "bad_age")]


def test_empty_age_is_allowed_where_the_data_are_for_prediction(tmp_path: Path) -> None:
    rows, problems = _parse(tmp_path, "id,boneage,sex\n1,,F\n2,90,M\n3,eight,M\n", unlabelled=True)
    assert math.isnan(rows[0].bone_age_months)
    assert [row.id for row in rows] == ["1", "2"]
    assert _found(problems) == [(4, "bad_age")]


def test_table_without_ages_is_allowed_where_the_data_are_for_prediction(tmp_path: Path) -> None:
    rows, problems = _parse(tmp_path, "id,sex\n1,F\n", unlabelled=True)
    assert problems == []
    assert math.isnan(rows[0].bone_age_months)


# === Columns and identifiers ===


def test_every_missing_column_is_named_with_its_flag(tmp_path: Path) -> None:
    rows, problems = _parse(tmp_path, "picture,months\n1,90\n", group_column="patient")
    assert rows == []
    assert {problem.code for problem in problems} == {"missing_column"}
    text = "\n".join(problem.message for problem in problems)
    for flag in ("--id-column", "--age-column", "--sex-column", "--group-column"):
        assert flag in text
    assert "picture, months" in text


def test_other_columns_are_checked_although_one_is_missing(tmp_path: Path) -> None:
    _, problems = _parse(tmp_path, "id,boneage\n1,90\n1,91\n3,eight\n")
    assert {(1, "missing_column"), (3, "duplicate_id"), (4, "bad_age")} <= set(_found(problems))


def test_named_columns_are_used_instead_of_known_ones(tmp_path: Path) -> None:
    content = "id,boneage,sex,radiograph,reading,gender at birth\nx,1,F,7.png,90,M\n"
    rows, problems = _parse(
        tmp_path,
        content,
        id_column="radiograph",
        age_column="reading",
        sex_column="gender at birth",
    )
    assert problems == []
    assert (rows[0].id, rows[0].bone_age_months, rows[0].sex) == ("7", 90.0, Sex.M)


def test_a_column_without_a_name_is_neither_sex_nor_age(tmp_path: Path) -> None:
    """Such as the index that pandas writes."""
    rows, problems = _parse(tmp_path, ",id,sex\n0,a,F\n1,b,M\n", unlabelled=True)
    assert problems == []
    assert all(math.isnan(row.chronological_age_months) for row in rows)
    _, problems = _parse(tmp_path, "id,boneage,\n1,90,M\n2,91,F\n")
    assert _found(problems) == [(1, "missing_column")]


@pytest.mark.parametrize("index", ["", "Unnamed: 0"])
def test_the_index_of_pandas_is_no_column(tmp_path: Path, index: str) -> None:
    content = f"{index},id,boneage\n60,a,120\n120,b,130\n180,c,140\n"
    _, problems = _parse(tmp_path, content)
    assert _found(problems) == [(1, "missing_column")]
    assert "A column without a name is not read" in problems[0].message
    rows, problems = _parse(tmp_path, f"{index},id,sex\n60,a,F\n120,b,M\n", unlabelled=True)
    assert problems == []
    assert all(math.isnan(row.chronological_age_months) for row in rows)


def test_named_columns_are_found_whatever_their_case(tmp_path: Path) -> None:
    content = "Film,Age,Gender at Birth,Child,Set\n7,90,M,P,train\n"
    rows, problems = _parse(
        tmp_path,
        content,
        id_column="film",
        age_column="AGE",
        sex_column="gender at birth",
        group_column="child",
        split_column="set",
    )
    assert problems == []
    row = rows[0]
    assert (row.id, row.bone_age_months, row.sex) == ("7", 90.0, Sex.M)
    assert (row.group, row.split) == ("P", "train")


def test_a_named_column_is_not_guessed_among_two(tmp_path: Path) -> None:
    content = "id,boneage,SEX,Sex\n1,90,M,F\n"
    _, problems = _parse(tmp_path, content, sex_column="sex")
    assert _found(problems) == [(1, "missing_column")]
    rows, _ = _parse(tmp_path, content, sex_column="Sex")
    assert rows[0].sex == Sex.F


def test_a_table_of_one_sex_needs_no_column_for_it(tmp_path: Path) -> None:
    _, problems = _parse(tmp_path, "id,boneage\n1,90\n")
    assert "--sex for a table of one sex" in problems[0].message
    rows, problems = _parse(tmp_path, "id,boneage\n1,90\n", sex="M")
    assert (rows[0].sex, problems) == (Sex.M, [])
    rows, problems = _parse(tmp_path, "id,boneage,sex\n1,90,\n2,90,F\n", sex="M")
    assert ([row.sex for row in rows], problems) == ([Sex.M, Sex.F], [])


def test_words_of_the_sex_are_read_by_the_map(tmp_path: Path) -> None:
    content = "id,boneage,sex\n1,90,0\n2,91,1\n"
    _, problems = _parse(tmp_path, content)
    assert _found(problems) == [(2, "bad_sex"), (3, "bad_sex")]
    assert "--sex-map 0=F,1=M" in problems[0].message
    rows, problems = _parse(tmp_path, content, sex_map={"0": "F", "1": "M"})
    assert ([row.sex for row in rows], problems) == ([Sex.F, Sex.M], [])


def test_paths_are_identifiers_where_names_repeat(tmp_path: Path) -> None:
    content = "image_path,boneage,sex\np1/image1.png,90,M\np2\\image1.png,91,F\n"
    rows, problems = _parse(tmp_path, content)
    assert ([row.id for row in rows], problems) == (["p1/image1", "p2/image1"], [])


def test_repeated_row_with_the_same_content_spares_the_first(tmp_path: Path) -> None:
    rows, problems = _parse(tmp_path, "id,boneage,male\n1,90,True\n2,91,True\n1,90,True\n")
    assert _found(problems) == [(4, "duplicate_id")]
    assert [row.row for row in rows] == [2, 3]


def test_repeated_id_with_other_content_spares_neither(tmp_path: Path) -> None:
    rows, problems = _parse(tmp_path, "id,boneage,male\n1,90,True\n2,91,True\n1.png,95,True\n")
    assert _found(problems) == [(2, "duplicate_id"), (4, "duplicate_id")]
    assert [row.id for row in rows] == ["2"]


def test_empty_identifier_is_a_problem(tmp_path: Path) -> None:
    rows, problems = _parse(tmp_path, "id,boneage,male\n,90,True\n2,91,True\n")
    assert _found(problems) == [(2, "no_id")]
    assert [row.id for row in rows] == ["2"]


def test_group_and_split_are_read_and_a_bad_split_is_reported(tmp_path: Path) -> None:
    rows, problems = _parse(
        tmp_path,
        "id,boneage,male,patient,set\n1,90,True,P,train\n2,91,True,P,\n",
        group_column="patient",
        split_column="set",
    )
    assert _found(problems) == [(3, "bad_split")]
    assert (rows[0].group, rows[0].split) == ("P", "train")


# === All at once ===


def test_all_problems_are_reported_at_once_with_their_rows(tmp_path: Path) -> None:
    content = (
        "id;boneage;sex\r\n1;90;M\r\n2;-3;F\r\n3;NaN;F\r\n4;999;M\r\n5;;M\r\n6;=6*12;M\r\n"
        "7;90;\r\n8;90;x\r\n1;95;M\r\n9;94,5;F\r\n;90;F\r\n10;oops;1\r\n"
    )
    rows, problems = _parse(tmp_path, content)
    assert _found(problems) == [
        (2, "duplicate_id"),
        (3, "bad_age"),
        (4, "bad_age"),
        (5, "bad_age"),
        (6, "bad_age"),
        (7, "bad_age"),
        (8, "missing_sex"),
        (9, "bad_sex"),
        (10, "duplicate_id"),
        (12, "no_id"),
        (13, "bad_age"),
        (13, "bad_sex"),
    ]
    assert [(row.id, row.bone_age_months) for row in rows] == [("9", 94.5)]
