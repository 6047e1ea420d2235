import datetime
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bone_age_tf.config import VisitOptions
from bone_age_tf.data.visit_table import read_visits
from bone_age_tf.errors import InputDataError
from bone_age_tf.growth.visits import Visit
from bone_age_tf.sex import Sex


def read(tmp_path: Path, text: str, **options: Any) -> list[Visit]:
    path = tmp_path / "visits.csv"
    path.write_text(text, encoding="utf-8")
    return read_visits(str(path), VisitOptions(**options))


def codes(visit: Visit) -> list[str]:
    return [fault.code for fault in visit.faults]


def test_all_columns_of_a_row(tmp_path: Path) -> None:
    header = "Child;Date of birth;Visit date;Sex;Height (cm);Bone age (months);Father (cm);mother_height_cm;File"
    row = "a;01.03.2015;2024-04-02;Mädchen;133,5;100;180;165,5;hand.png"
    (visit,) = read(tmp_path, f"{header}\n{row}\n")
    assert visit == Visit(
        2,
        "a",
        date=datetime.date(2024, 4, 2),
        birth_date=datetime.date(2015, 3, 1),
        sex=Sex.F,
        height_cm=133.5,
        bone_age_months=100.0,
        bone_age_from="reading",
        file="hand.png",
        father_cm=180.0,
        mother_cm=165.5,
    )


@pytest.mark.parametrize("ending", ["tsv", "xlsx"])
def test_other_kinds_of_tables(ending: str, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "id": ["a", "a"],
            "sex": ["F", None],
            "birth date": [datetime.datetime(2015, 3, 1), None],
            "date": [datetime.datetime(2024, 4, 2), datetime.datetime(2024, 10, 2)],
            "height_cm": [133.5, 136.0],
        }
    )
    path = tmp_path / f"visits.{ending}"
    if ending == "xlsx":
        table.to_excel(path, index=False)
    else:
        table.to_csv(path, sep="\t", index=False)
    first, second = read_visits(str(path), VisitOptions())
    assert (first.date, first.height_cm) == (datetime.date(2024, 4, 2), 133.5)
    assert (second.row, second.sex, second.birth_date) == (3, None, None)
    assert codes(first) == codes(second) == []


def test_own_names_of_columns(tmp_path: Path) -> None:
    named = {
        "id_column": "nr",
        "height_column": "h",
        "age_column": "ba",
        "chronological_age_column": "ca",
        "sex_column": "s",
        "sex_map": {"1": "M"},
    }
    (visit,) = read(tmp_path, "nr,s,ca,h,ba\n7,1,120,140,118\n", **named)
    assert (visit.id, visit.sex, visit.chronological_age_months) == ("7", Sex.M, 120.0)
    assert (visit.height_cm, visit.bone_age_months) == (140.0, 118.0)
    with pytest.raises(InputDataError, match="--height-column: no column is named 'hh'"):
        read(tmp_path, "nr,s,ca,h,ba\n7,1,120,140,118\n", **{**named, "height_column": "hh"})


def test_units_that_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "id,sex,{},{}\na,F,{},{}\n"
    months = text.format("age_months", "bone_age_months", 9, 10)
    (visit,) = read(tmp_path, months)
    assert (visit.chronological_age_months, visit.bone_age_months) == (9.0, 10.0)
    with caplog.at_level(logging.INFO):
        (visit,) = read(tmp_path, text.format("age (years)", "bone_age_years", 9.5, 10))
    assert (visit.chronological_age_months, visit.bone_age_months) == (114.0, 120.0)
    assert "'age (years)' is in years by its name, and is converted" in caplog.text
    units = {"chronological_age_unit": "years", "age_unit": "months"}
    (visit,) = read(tmp_path, text.format("age", "bone age", 9.5, 10), **units)
    assert (visit.chronological_age_months, visit.bone_age_months) == (114.0, 10.0)


def test_a_unit_that_is_not_told_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="--chronological-age-unit years or"):
        read(tmp_path, "id,sex,age,bone_age_months\na,F,9.5,118\n")
    with pytest.raises(InputDataError, match="--age-unit years or --age-unit months"):
        read(tmp_path, "id,sex,age,bone age\na,F,114,9.5\n")
    (visit,) = read(tmp_path, "id,sex,age,bone age\na,F,114,118\n")
    assert (visit.chronological_age_months, visit.bone_age_months) == (114.0, 118.0)


@pytest.mark.parametrize("header", ["height_m", "Height (in)", "father_height_ft", "mother (m)"])
def test_heights_that_are_not_in_centimetres_by_their_header(header: str, tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="not in centimetres by its name"):
        read(tmp_path, f"id,sex,age_months,bone_age_months,{header}\na,F,114,118,1.4\n")


def test_missing_columns_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(InputDataError) as caught:
        read(tmp_path, "id,date,remark\na,2024-01-01,x\n")
    for words in ("the sex (as male)", "birth date", "one of the bone age", "id, date, remark"):
        assert words in str(caught.value)


def test_a_table_without_rows(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="a header alone"):
        read(tmp_path, "id,sex,age_months,bone_age_months\n")


@pytest.mark.parametrize(
    ("row", "code", "is_rejected"),
    [
        (",F,2015-01-01,2024-01-01,140,118,,", "no_id", True),
        ("a,Q,2015-01-01,2024-01-01,140,118,,", "bad_sex", True),
        ("a,F,01/02/2015,2024-01-01,140,118,,", "bad_birth_date", True),
        ("a,F,2015-01-01,2024-02-31,140,118,,", "bad_visit_date", True),
        ("a,F,2015-01-01,2024-01-01,,,,", "no_measurement", True),
        ("a,F,2015-01-01,2024-01-01,tall,118,,", "bad_height", False),
        ("a,F,2015-01-01,2024-01-01,140,old,,", "bad_age", False),
        ("a,F,2015-01-01,2024-01-01,140,300,,", "bad_age", False),
        ("a,F,2015-01-01,2024-01-01,140,118,1.8,165", "bad_parent_height", False),
        ("a,F,2015-01-01,2024-01-01,140,118,tall,165", "bad_parent_height", False),
    ],
)
def test_faults_of_a_row(row: str, code: str, is_rejected: bool, tmp_path: Path) -> None:
    header = "id,sex,birth_date,date,height_cm,bone_age_months,father_cm,mother_cm"
    first, second = read(tmp_path, f"{header}\n{row}\nb,F,2015-01-01,2024-01-01,140,118,,\n")
    assert codes(first) == [code]
    assert (first.status == "rejected") == is_rejected
    assert second.status == "ok"


def test_columns_that_are_not_used_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        read(tmp_path, "id,sex,age_months,bone_age_months,weight\na,F,114,118,30\n")
    assert "columns that are not used: weight" in caplog.text


def test_numbers_that_are_too_large_are_faults_of_their_row(tmp_path: Path) -> None:
    header = "id,sex,age_years,bone_age_years,height_cm,father_cm"
    rows = ["a,F,1e400,9,130,", "b,F,9.5,1e308,130,", "c,F,9.5,9,1e400,1e400", "d,F,1e308,9,130,"]
    found = read(tmp_path, "\n".join([header, *rows, "e,F,9.5,9,130,180"]) + "\n")
    assert [codes(one) for one in found] == [
        ["bad_chronological_age"],
        ["bad_age"],
        ["bad_height", "bad_parent_height"],
        ["bad_chronological_age"],
        [],
    ]
    numbers = [(one.chronological_age_months, one.bone_age_months, one.height_cm) for one in found]
    assert [None in three for three in numbers] == [True, True, True, True, False]
