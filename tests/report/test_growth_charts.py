"""`growth` as a whole: a table to charts, CSV, JSON and pages; the model is a stand-in but for the last test."""

import csv
import io
import json
import sys
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
from conftest import ROOT, draw_phantom, encode
from page_reader import Page

from bone_age_tf.cli import main as cli
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.growth import predict_adult_height, predict_adult_height_interval
from bone_age_tf.report.growth_charts import chart_growth
from bone_age_tf.report.growth_report import write_growth_reports
from bone_age_tf.report.growth_tables import problems_of
from bone_age_tf.report.page import signed

TABLE = """child,sex,birth_date,date,height_cm,bone_age_months,father_cm,mother_cm,file
early,F,2014-03-01,2021-03-10,128.5,102,178,164,
early,,,2022-03-05,136.0,120,,,
early,,,2022-09-05,140.0,130,,,
late,M,2010-01-10,2020-01-12,131,96,180,,
late,,,2021-01-12,130,90,,,
once,F,2012-01-01,2021-01-01,130,,,,a.png
born,F,2022-01-01,2021-01-01,120,100,,,
two,F,2012-01-01,2021-01-01,120,100,,,
two,M,2012-01-01,2022-01-01,125,110,,,
metres,F,2012-01-01,2021-01-01,1.3,106,,,
,F,2012-01-01,2021-01-01,130,106,,,
"""
Used = namedtuple("Used", "name version manifest_sha256 fingerprint coverage reading_method")


def predicted(visits: Sequence[Any], *args: Any, model: str, **settings: Any) -> Any:
    """Every radiograph has a bone age of 110 months, 95 to 125."""
    ends = {"bone_age_low_months": 95.0, "bone_age_high_months": 125.0}
    found = {
        visit.row: replace(visit, bone_age_months=110.0, bone_age_from="model", **ends)
        for visit in visits
    }
    return found, Used(Path(model).name, "1", "a" * 64, "b" * 64, 0.9, "greulich_pyle")


@pytest.fixture(scope="module")
def charted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("growth")
    (folder / "visits.csv").write_text(TABLE)
    (folder / "a.png").write_bytes(b"a radiograph")
    stand_in = SimpleNamespace(predict_visits=predicted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "bone_age_tf.inference.visit_bone_ages", stand_in)
        chart_growth(str(folder / "visits.csv"), output=str(folder / "out"), model="stand-in")
    return folder / "out"


def rows_of(folder: Path) -> dict[int, dict[str, str]]:
    rows = csv.DictReader(io.StringIO((folder / "growth.csv").read_text(encoding="utf-8")))
    return {int(row["row"]): row for row in rows}


def page(folder: Path, name: str) -> Page:
    return Page((folder / "reports" / name).read_text(encoding="utf-8"))


def words(page: Page) -> str:
    return " ".join(page.text.split())


def test_every_row_comes_back_with_numbers_or_a_reason(charted: Path) -> None:
    rows = rows_of(charted)
    assert list(rows) == list(range(2, 13))
    for row in rows.values():
        assert (row["status"] == "ok") == (row["reason"] == "")
    assert {n for n, row in rows.items() if row["status"] != "ok"} == {8, 9, 10, 11, 12}
    assert rows[8]["reason"].startswith("birth_after_visit: the birth date 2022-01-01")
    assert (rows[9]["sex"], rows[10]["sex"]) == ("F", "M")
    assert rows[11]["reason"].startswith("bad_height: ")
    assert rows[11]["difference_months"] == "-2.02"  # what can be used is used
    assert rows[12]["id"] == ""


def test_numbers_are_those_of_the_functions(charted: Path) -> None:
    row = rows_of(charted)[4]
    age = float(row["chronological_age_months"])
    adult = predict_adult_height(130, age, 140.0, "F")
    assert row["adult_height_cm"] == f"{adult.centimetres:.2f}"
    assert (row["adult_height_column"], row["warning"]) == ("accelerated", "far_accelerated")
    assert (row["target_height_cm"], row["bone_age_from"]) == ("164.50", "reading")
    row = rows_of(charted)[7]
    age = float(row["chronological_age_months"])
    found = predict_adult_height_interval(110, age, 130.0, "F", low_months=95, high_months=125)
    assert float(row["adult_height_low_cm"]) == pytest.approx(found.low_cm, abs=0.02)
    assert float(row["adult_height_high_cm"]) == pytest.approx(found.high_cm, abs=0.02)
    shares = {one.column: one.probability for one in found.columns}
    assert float(row["adult_height_average_probability"]) == pytest.approx(
        shares["average"], abs=1e-3
    )
    assert row["bone_age_from"] == "model"


def test_the_json_is_of_its_schema(charted: Path) -> None:
    result = json.loads((charted / "growth.json").read_text(encoding="utf-8"))
    schema = json.loads((ROOT / "bone_age_tf/schemas/growth-1.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(result, schema)
    assert result["counts"] == {
        **{"children": 6, "rows": 11, "ok": 6, "incomplete": 1, "rejected": 4},
        "contradictions": 3,
    }
    for wrong in ({"schema": "bone-age-tf/growth/2"}, {"counts": {}}, {"more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(result | wrong, schema)


def test_contradictions_are_named_and_nothing_is_changed(charted: Path) -> None:
    rows = rows_of(charted)
    assert (rows[6]["height_cm"], rows[6]["bone_age_months"]) == ("130.00", "90.00")
    assert rows[6]["warning"].split()[-3:] == ["bone_age_falls", "height_falls", "one_parent"]
    problems = (charted / "problems.csv").read_text(encoding="utf-8")
    assert (
        'visits.csv,6,late,,height_falls,"rows 5 and 6: the height falls from 131 to 130 cm'
        in problems
    )
    text = words(page(charted, "0002-late.html"))
    assert "Rows 5 and 6: the bone age falls from 96.0 to 90.0 months within 12.0 months" in text
    assert "no target height: the height of the mother is missing" in text


def test_a_page_has_two_charts_the_last_numbers_and_all_visits(charted: Path) -> None:
    early = page(charted, "0001-early.html")
    text = words(early)
    labels = [one["aria-label"] for one in early.named("svg")]
    assert labels[0] == "Bone age against chronological age"
    assert labels[1] == "Height and predicted adult height against chronological age"
    for said in ("girl · 3 visits", "10 y 10 m", "164.5", "Tanner 1970", "rows 2 to 4"):
        assert said in text
    assert text.count("Not a medical device") == 1
    assert early.named("script") == early.named("link") == early.named("img") == []
    result = json.loads((charted / "growth.json").read_text(encoding="utf-8"))
    assert signed(result["children"][0]["visits"][2]["sd_score"]) in text
    assert "131.0" not in text  # another child's


def test_an_interval_is_shown_with_the_columns_it_reaches(charted: Path) -> None:
    text = words(page(charted, "0003-once.html"))
    assert "90 % interval: 7 y 11 m to 10 y 5 m" in text
    assert "Bone ages by model stand-in, version 1" in text
    row = rows_of(charted)[7]
    for column in ("average", "accelerated"):
        assert f"{column} {100 * float(row[f'adult_height_{column}_probability']):.0f} %" in text


def test_an_unusable_child_has_a_page_with_the_reason(charted: Path) -> None:
    two = page(charted, "0005-two.html")
    assert "Rows 9 and 10: the child has two sexes" in words(two)
    assert two.named("svg") == []


def test_the_index_leads_to_every_child_and_names_rows_without_one(charted: Path) -> None:
    index = page(charted, "index.html")
    pages = sorted(path.name for path in (charted / "reports").glob("0*.html"))
    assert [link["href"] for link in index.named("a")] == pages
    assert "Row 12: the identifier of the child is empty" in words(index)
    assert "11 rows of visits.csv: 6 used, 1 in part, 4 not; 3 contradictions" in words(index)


def test_many_visits_are_charted_and_the_last_are_listed(charted: Path, tmp_path: Path) -> None:
    result = json.loads((charted / "growth.json").read_text(encoding="utf-8"))
    child = result["children"][0]
    first = child["visits"][0]
    ages = [first["chronological_age_months"] + n for n in range(30)]
    child["visits"] = [
        {**first, "row": n + 2, "chronological_age_months": age} for n, age in enumerate(ages)
    ]
    write_growth_reports({**result, "children": [child]}, tmp_path)
    text = words(page(tmp_path, "0001-early.html"))
    assert "The first 7 visits are in the charts and in growth.csv" in text


def test_without_radiographs_no_model_and_no_tensorflow_is_needed(tmp_path: Path) -> None:
    table = tmp_path / "v.tsv"
    table.write_text("id\tsex\tage_months\tbone_age_months\nJürgen & <b>\tM\t120\t118\n")
    result = chart_growth(str(table), output=str(tmp_path / "out"))
    assert result["model"] is None
    (child,) = result["children"]
    assert child["visits"][0]["adult_height_reason"].startswith("no_height: ")
    (path,) = (tmp_path / "out/reports").glob("0001*")
    assert "Jürgen &amp; &lt;b&gt;" in path.read_text(encoding="utf-8")


def test_what_cannot_be_used_is_said_of_its_row_alone(tmp_path: Path) -> None:
    table = tmp_path / "v.csv"
    rows = [
        "a,F,120,119.99,138,,",
        "b,F,120,118,1e400,,",
        f"c,F,120,,138,,{'x' * 300}.png",
        "d,F,1e400,118,138,,",
        "e,F,120,118,138,180,",
    ]
    header = "id,sex,age_months,bone_age_months,height_cm,father_cm,file"
    table.write_text("\n".join([header, *rows]) + "\n")
    result = chart_growth(str(table), output=str(tmp_path / "out"))
    found = list(csv.DictReader((tmp_path / "out/growth.csv").open(encoding="utf-8")))
    statuses = [row["status"] for row in found]
    assert statuses == ["ok", "incomplete", "incomplete", "rejected", "ok"]
    assert found[0]["sd_score"] == "0.00"
    assert found[1]["adult_height_reason"].startswith("bad_height: ")
    assert found[2]["reason"].startswith("no_image: ")
    (one_parent,) = (one for one in problems_of(result) if one.code == "one_parent")
    assert one_parent.message == "no target height: the height of the mother is missing"


def test_near_one_year_the_other_column_is_in_csv_page_and_text(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "v.csv").write_text(
        "id,sex,age_months,height_cm,bone_age_months\na,M,113,140,123\n"
    )
    output = tmp_path / "out"
    assert cli.run(["growth", str(tmp_path / "v.csv"), "--output", str(output)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "or 185.1 (accelerated)" in lines[1]
    row = rows_of(output)[2]
    assert row["warning"] == "near_one_year"
    assert row["adult_height_accelerated_probability"] == ""
    sentence = "With a bone age 2.0 months higher the column would be accelerated"
    assert sentence in words(page(output, "0001-a.html"))
    result = json.loads((output / "growth.json").read_text(encoding="utf-8"))
    schema = json.loads((ROOT / "bone_age_tf/schemas/growth-1.json").read_text())
    jsonschema.validate(result, schema)


def test_without_an_adult_height_the_reason_is_in_the_text(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "v.csv").write_text("id,sex,age_months,bone_age_months\na,M,113,123\n")
    cli.run(["growth", str(tmp_path / "v.csv"), "--output", str(tmp_path / "out")])
    assert "no_height" in capfd.readouterr().out.splitlines()[1]


def test_a_child_of_rejected_rows_keeps_its_sex_and_counts_agree(charted: Path) -> None:
    result = json.loads((charted / "growth.json").read_text(encoding="utf-8"))
    sexes = {child["id"]: child["sex"] for child in result["children"]}
    assert (sexes["born"], sexes["two"]) == ("F", "")
    html = (charted / "reports/index.html").read_text(encoding="utf-8")
    assert "<td>girl</td><td>0 of 1</td>" in html
    assert "<td>boy</td><td>2 of 2</td>" in html
    assert "0 of 1 visits used" in words(page(charted, "0004-born.html"))


def test_why_there_is_no_target_height_is_told(charted: Path) -> None:
    rows = rows_of(charted)
    assert (rows[4]["target_height_reason"], rows[4]["target_height_convention"][:6]) == (
        "",
        "Tanner",
    )
    assert rows[5]["target_height_reason"] == "one_parent: the heights of both parents are needed"
    assert rows[11]["target_height_reason"] == ""  # no height of a parent was given
    assert not any(".;" in row["reason"] or row["reason"].endswith(".") for row in rows.values())
    assert ".;" not in words(page(charted, "index.html"))


def test_results_are_not_overwritten(charted: Path) -> None:
    table = str(charted.parent / "visits.csv")
    with pytest.raises(UsageError, match="--overwrite"):
        chart_growth(table, output=str(charted))
    (charted.parent / "bad.csv").write_text("id,sex\n1,F\n")
    with pytest.raises(InputDataError, match="columns are missing"):
        chart_growth(str(charted.parent / "bad.csv"), output=str(charted), overwrite=True)
    assert (charted / "growth.csv").exists()  # a table that cannot be used replaces nothing


def test_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table, output = tmp_path / "v.csv", tmp_path / "out"
    header = "id,sex,age_months,height_cm,bone_age_months\n"
    table.write_text(f"{header}a,F,120,138,118\n")
    assert cli.run(["growth", str(table), "--output", str(output), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["counts"]["ok"] == 1
    table.write_text(f"{header}a,F,120,138,118\na,F,126,1.4,124\n")
    assert cli.run(["growth", str(table), "--output", str(output), "--overwrite"]) == 4
    out, err = capfd.readouterr()
    assert out.splitlines()[1].split()[:4] == ["a", "2", "of", "2"]
    assert "row 3, id a" in err
    assert "metres" in err
    assert cli.run(["growth", str(table), "--output", str(output)]) == 2
    table.write_text("id,sex,age,height_cm\na,F,10,138\n")
    assert cli.run(["growth", str(table), "--output", str(output), "--overwrite"]) == 3
    assert "--chronological-age-unit years" in capfd.readouterr().err


@pytest.mark.large
def test_radiographs_are_read_by_a_model(exported: Path, tmp_path: Path) -> None:
    pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")
    from dicom_files import dicom_of

    hand, told = draw_phantom(120, 1), {"PatientSex": "M", "PatientAge": "010Y"}
    (tmp_path / "a").write_bytes(dicom_of(hand, **told))
    (tmp_path / "b.png").write_bytes(encode(draw_phantom(130, 2)))
    (tmp_path / "c.png").write_bytes(encode(np.full((300, 200), 90, np.uint8)))
    rows = ["x,,,138,a", "y,F,130,139,b.png", "y,F,140,142,c.png", "y,F,150,146,b.png"]
    (tmp_path / "v.csv").write_text("\n".join(["id,sex,age_months,height_cm,file", *rows]))
    chart_growth(str(tmp_path / "v.csv"), output=str(tmp_path / "out"), model=str(exported))
    found = rows_of(tmp_path / "out")
    assert (found[2]["sex"], found[2]["status"]) == ("M", "ok")
    assert float(found[2]["chronological_age_months"]) == pytest.approx(120, abs=0.1)
    assert 0 <= float(found[2]["bone_age_months"]) <= 240
    assert found[4]["reason"].startswith("blank: radiograph rejected")
    assert [found[row]["reason"].split(":")[0] for row in (3, 5)] == ["same_picture"] * 2
