import csv
import dataclasses
import hashlib
import json
import math
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_phantom, encode

from bone_age_tf.cli import main as cli
from bone_age_tf.cli.result_tables import prediction_table
from bone_age_tf.config import LabelOptions
from bone_age_tf.errors import InputDataError, ModelRefusedError, UsageError
from bone_age_tf.evaluation.external import evaluate_tables
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.hashing import FileEntry
from bone_age_tf.growth import GROWTH_COLUMNS, Heights
from bone_age_tf.growth.reference_standards import compare_with_age
from bone_age_tf.inference.predict import (
    PredictReport,
    assessed,
    compared,
    predict,
    prediction_of,
)
from bone_age_tf.inference.prediction import Prediction, growth_of
from bone_age_tf.metrics.predictions import COLUMNS
from bone_age_tf.preprocessing import radiographs
from bone_age_tf.sex import Sex

Rows = dict[str, dict[str, str]]


@pytest.fixture
def hands(tmp_path: Path) -> Path:
    """A folder with `a.png`, `b.jpg` and, one folder deeper, `c.JPEG`; beside them a text file."""
    folder = tmp_path / "hands"
    (folder / "deeper").mkdir(parents=True)
    for number, name in enumerate(["a.png", "b.jpg", "deeper/c.JPEG"]):
        assert cv2.imwrite(str(folder / name), draw_phantom(60 + 50 * number, number))
    (folder / "notes.txt").write_text("no radiograph")
    return folder


@pytest.fixture(scope="module")
def opened(exported: Path) -> ExportedModel:
    return ExportedModel.open(exported)


@pytest.fixture
def predicted(
    opened: ExportedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[PredictReport, Rows]]:
    """`predict` with the exported model; the report, and the rows of the CSV by file."""
    monkeypatch.setattr(ExportedModel, "open", lambda path: opened)  # once, not for every test

    def run(*paths: Path, sex: str | None = "F", **options: object) -> tuple[PredictReport, Rows]:
        output = tmp_path / "output"
        report = predict(
            [str(path) for path in paths],
            model=str(opened.folder),
            output=str(output),
            sex=sex,
            **{"overwrite": True, **options},
        )
        with (output / "predictions.csv").open() as stream:
            return report, {row["file"]: row for row in csv.DictReader(stream)}

    return run


Predicted = Callable[..., tuple[PredictReport, Rows]]


def table(folder: Path, *lines: str) -> str:
    path = folder / "labels.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_a_folder_is_searched_for_images(hands: Path, predicted: Predicted) -> None:
    report, rows = predicted(hands)
    assert list(rows) == ["a.png", "b.jpg", "deeper/c.JPEG"]
    assert [row["id"] for row in rows.values()] == ["a", "b", "c"]
    assert {(row["status"], row["reason"], row["sex"]) for row in rows.values()} == {
        ("ok", "", "F")
    }
    assert all(math.isfinite(float(row["bone_age_months"])) for row in rows.values())
    assert (report.predicted, report.rejected) == (3, 0)


def test_a_sex_that_looks_wrong_is_a_warning(
    hands: Path,
    predicted: Predicted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, plain = predicted(hands)
    assert {row["warning"] for row in plain.values()} == {""}
    answers = ExportedModel.answers_of_prepared
    boys = np.array([0.951, 0.949, 0.049])

    def with_probability(self: ExportedModel, *given: object) -> dict[str, np.ndarray]:
        return answers(self, *given) | {"boy_probability": boys}

    monkeypatch.setattr(ExportedModel, "answers_of_prepared", with_probability)
    expected = {"F": ["sex_looks_wrong", "", ""], "M": ["", "", "sex_looks_wrong"]}
    for sex, warnings in {**expected, "unknown": [""] * 3}.items():
        report, rows = predicted(hands, sex=sex)
        assert [row["warning"] for row in rows.values()] == warnings
        assert {row["status"] for row in rows.values()} == {"ok"}
        assert report.warnings == sum(map(bool, warnings))
        lines = (tmp_path / "output/predictions.jsonl").read_text().splitlines()
        assert [json.loads(line)["warning"] for line in lines] == warnings
        if sex == "F":
            assert [r["bone_age_months"] for r in rows.values()] == [
                r["bone_age_months"] for r in plain.values()
            ]


def test_true_bone_ages_give_an_error_and_training_files_a_warning(
    phantoms: Path, prepared: Path, predicted: Predicted, tmp_path: Path
) -> None:
    """Of a hand that the model was trained on, one that it was not, and one that is rejected."""
    with (prepared / "splits.csv").open() as stream:
        split = {row["split"]: row["id"] for row in csv.DictReader(stream)}
    folder = tmp_path / "chosen"
    folder.mkdir()
    for name in ("train", "test"):
        shutil.copy(
            phantoms / f"boneage-training-dataset/{split[name]}.png", folder / f"{name}.png"
        )
    cv2.imwrite(str(folder / "grey.png"), np.full((300, 200), 90, np.uint8))
    labels = table(tmp_path, "id,sex,boneage", "train,F,100", "test,M,60", "grey,F,90", "lost,F,9")
    report, rows = predicted(folder, labels=labels)
    assert rows["train.png"]["warning"] == "trained_on"
    assert rows["test.png"]["warning"] == rows["grey.png"]["warning"] == ""
    assert report.accuracy is not None
    errors = [
        float(rows[f"{name}.png"]["bone_age_months"]) - true
        for name, true in (("train", 100), ("test", 60))
    ]
    mae = report.accuracy["overall"]["mae_months"]
    assert mae["value"] == pytest.approx(np.abs(errors).mean(), abs=0.01)
    assert mae["low"] is None
    assert "trained on 1 of these 2 radiographs" in report.accuracy["leakage"]
    assert report.accuracy["constant"]["mean_of"] == "training"

    output = tmp_path / "output"
    found = evaluate_tables(
        predictions=str(output / "predictions.csv"), labels=labels, output=str(tmp_path / "e")
    ).results["bone_age_months"]
    assert found["leakage"] == report.accuracy["leakage"]
    assert found["trained_on_split"] is True
    assert found["left_out"]["reasons"] == {"blank": 1, "no_row": 1}
    assert found["constant"]["months"] == pytest.approx(report.accuracy["constant"]["months"])
    assert found["model"]["name"] == "bone_age"
    assert (
        found["fingerprint"]
        == json.loads((output / "provenance.json").read_text())["model"]["fingerprint"]
    )
    with (tmp_path / "e/predictions.csv").open() as stream:
        assert {row["file"] for row in csv.DictReader(stream)} == {"train.png", "test.png"}


def test_earlier_predictions_are_not_overwritten(
    hands: Path, predicted: Predicted, tmp_path: Path
) -> None:
    predicted(hands)
    before = (tmp_path / "output/predictions.csv").read_bytes()
    with pytest.raises(UsageError, match="earlier `predict`.*--overwrite"):
        predicted(hands / "a.png", overwrite=False)
    assert (tmp_path / "output/predictions.csv").read_bytes() == before
    _, rows = predicted(hands / "a.png", overwrite=True)
    assert list(rows) == ["a.png"]


def test_single_files_are_taken_whatever_their_ending(hands: Path, predicted: Predicted) -> None:
    shutil.copy(hands / "a.png", hands / "IM0001")
    _, rows = predicted(hands / "IM0001", hands / "b.jpg")
    assert set(rows) == {"IM0001", "b.jpg"}
    assert {row["status"] for row in rows.values()} == {"ok"}


def test_a_zip_gives_what_its_folder_gives(hands: Path, predicted: Predicted) -> None:
    archive = shutil.make_archive(str(hands.parent / "packed"), "zip", hands)
    _, of_folder = predicted(hands)
    _, of_zip = predicted(Path(archive))
    months = {row["id"]: row["bone_age_months"] for row in of_zip.values()}
    assert months == {row["id"]: row["bone_age_months"] for row in of_folder.values()}
    assert set(of_zip) == {f"packed.zip/{name}" for name in of_folder}


def test_a_zip_member_that_points_out_of_it_is_refused(hands: Path, predicted: Predicted) -> None:
    with zipfile.ZipFile(hands.parent / "evil.zip", "w") as archive:
        archive.write(hands / "a.png", "../evil.png")
        archive.write(hands / "a.png", "good.png")
    report, rows = predicted(hands.parent / "evil.zip")
    assert (report.predicted, report.rejected) == (1, 1)
    assert rows["evil.zip/../evil.png"]["reason"].startswith("unsafe_name: ")
    assert not list(hands.parent.rglob("evil.png"))


def test_bad_files_are_rows_with_a_reason(hands: Path, predicted: Predicted) -> None:
    png = (hands / "a.png").read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (300, 260)).astype(np.uint8)
    bad = {
        "cut.png": (png[: len(png) // 2], "damaged"),
        "empty.png": (b"", "empty"),
        "page.png": (b"<html></html>", "not_png_or_jpeg"),
        "small.png": (encode(draw_phantom(9, 9)[:32, :32]), "too_small"),
        "blank.png": (encode(draw_phantom(9, 9) * 0), "blank"),
        "noise.png": (encode(noise), "not_a_hand"),
        "two.png": (encode(np.hstack([draw_phantom(99, 1), draw_phantom(120, 2)])), "two_hands"),
    }
    for name, (content, _) in bad.items():
        (hands / name).write_bytes(content)
    report, rows = predicted(hands)
    assert (report.predicted, report.rejected) == (3, len(bad))
    for name, (_, reason) in bad.items():
        assert rows[name]["status"] == "rejected"
        assert rows[name]["reason"].startswith(f"{reason}: ")
        assert rows[name]["bone_age_months"] == ""


def of_many_kinds(folder: Path, hand: np.ndarray) -> tuple[set[str], dict[str, str]]:
    """One radiograph in many formats and under many names: those that are read, and reasons of the others."""
    folder.mkdir()
    read = {
        "grey.png": encode(hand),
        "IM000001": encode(hand),
        "1.2.840.5": encode(hand),
        "SCAN.TIF": encode(hand, ".tif"),
        "deep.tiff": encode(hand.astype(np.uint16) * 257, ".tif"),
        "table.bmp": encode(hand, ".bmp"),
        "hand.txt": encode(hand, ".bmp"),
    }
    rejected = {
        "hand.webp": (encode(hand, ".webp"), "not_png_or_jpeg: the file is a WebP: save it as PNG"),
        "export": (b"GIF89a" + bytes(50), "not_png_or_jpeg: the file is a GIF"),
        "IM000002": (bytes(128) + b"DICM" + bytes(99), "not_a_radiograph: "),
        "a.DCM": (b"short", "not_a_radiograph: "),
        "photo.heic": (b"", "empty: "),
        "cut.JFIF": (encode(hand, ".jpg")[:3000], "damaged: "),
        "old.jpe": (b"<html></html>", "not_png_or_jpeg: "),
        "inner.zip": (b"PK\x03\x04", "not_png_or_jpeg: the file is a zip"),
    }
    others = {"labels.csv": b"id,sex\n", "README": b"BMI and more", "empty": b"", "a.pdf": b"%PDF"}
    for name, content in {**read, **others, **{n: c for n, (c, _) in rejected.items()}}.items():
        (folder / name).write_bytes(content)
    return set(read), {name: reason for name, (_, reason) in rejected.items()}


def test_every_image_of_a_zip_is_a_row_and_all_formats_give_the_same_months(
    tmp_path: Path, predicted: Predicted
) -> None:
    read, rejected = of_many_kinds(tmp_path / "kinds", draw_phantom(110, 1))
    packed = Path(shutil.make_archive(str(tmp_path / "kinds"), "zip", tmp_path / "kinds"))
    _, rows = predicted(packed)
    rows = {name.removeprefix("kinds.zip/"): row for name, row in rows.items()}
    assert {name for name, row in rows.items() if row["status"] == "ok"} == read
    assert len({rows[name]["bone_age_months"] for name in read}) == 1
    assert set(rows) - read == set(rejected)
    for name, reason in rejected.items():
        assert rows[name]["reason"].startswith(reason)
    assert [rows[name]["id"] for name in ("1.2.840.5", "SCAN.TIF", "hand.txt")] == [
        *("1.2.840.5", "SCAN", "hand.txt"),
    ]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_zip_member_is_a_row_with_a_reason(
    method: int, hands: Path, predicted: Predicted
) -> None:
    path = hands.parent / f"damaged{method}.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.write(hands / "a.png", "a.png")
        archive.write(hands / "b.jpg", "b.jpg")
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\xff" * 1900
    path.write_bytes(content)
    _, rows = predicted(path)
    assert rows[f"{path.name}/a.png"]["status"] == "rejected"
    assert rows[f"{path.name}/b.jpg"]["status"] == "ok"


def test_more_files_than_a_batch_keep_their_rows(
    hands: Path, predicted: Predicted, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, at_once = predicted(hands)
    monkeypatch.setattr(radiographs, "FILES_IN_PARALLEL", 2)
    _, in_two = predicted(hands)
    for name, row in at_once.items():
        assert float(in_two[name]["bone_age_months"]) == pytest.approx(
            float(row["bone_age_months"]), abs=0.0101
        )


def test_labels_are_joined_by_the_stem(hands: Path, predicted: Predicted) -> None:
    labels = table(hands, "id,boneage,sex", "a,61.5,M", "b.jpg,100,unknown", "c,30,x", "other,9,F")
    report, rows = predicted(hands, sex=None, labels=labels)
    a, b, c = rows["a.png"], rows["b.jpg"], rows["deeper/c.JPEG"]
    assert (a["sex"], a["bone_age_months_true"]) == ("M", "61.5")
    assert (b["sex"], b["bone_age_months_true"]) == ("unknown", "100")
    assert c["reason"].startswith("bad_label: the sex 'x'")
    assert (report.predicted, report.rejected) == (2, 1)


def test_the_table_s_sex_decides_the_months(hands: Path, predicted: Predicted) -> None:
    labels = table(hands, "id,sex", "a,M")
    _, from_table = predicted(hands, labels=labels)
    _, from_option = predicted(hands, sex="M")
    assert from_table["a.png"]["bone_age_months"] == from_option["a.png"]["bone_age_months"]
    assert from_table["b.jpg"]["bone_age_months"] != from_option["b.jpg"]["bone_age_months"]


def test_a_file_without_a_row_takes_the_option_s_sex(hands: Path, predicted: Predicted) -> None:
    labels = table(hands, "id,sex", "a,M")
    _, rows = predicted(hands, sex="unknown", labels=labels)
    assert [row["sex"] for row in rows.values()] == ["M", "unknown", "unknown"]
    assert rows["b.jpg"]["bone_age_months_true"] == ""


def test_a_file_without_a_row_or_an_option_is_refused(hands: Path, predicted: Predicted) -> None:
    _, rows = predicted(hands, sex=None, labels=table(hands, "id,sex", "a,M"))
    assert [row["status"] for row in rows.values()] == ["ok", "rejected", "rejected"]
    assert rows["b.jpg"]["reason"].startswith("no_sex: ")


def test_named_columns_are_used(hands: Path, predicted: Predicted) -> None:
    options = LabelOptions(id_column="film", age_column="months", sex_column="s")
    labels = table(hands, "film;months;s", "a;77;female", "b;;m", "c;200;u")
    _, rows = predicted(hands, sex=None, labels=labels, label_options=options)
    assert [row["sex"] for row in rows.values()] == ["F", "M", "unknown"]
    assert [row["bone_age_months_true"] for row in rows.values()] == ["77", "", "200"]


def test_a_table_without_a_needed_column_is_refused(hands: Path, predicted: Predicted) -> None:
    with pytest.raises(InputDataError, match="no column for the sex"):
        predicted(hands, sex=None, labels=table(hands, "id,boneage", "a,60"))


def test_a_table_of_one_sex_takes_the_option_s_sex(hands: Path, predicted: Predicted) -> None:
    _, rows = predicted(hands, sex="männlich", labels=table(hands, "id,boneage", "a,60"))
    assert [row["sex"] for row in rows.values()] == ["M", "M", "M"]
    assert rows["a.png"]["bone_age_months_true"] == "60"


def test_rows_without_a_file_are_counted_and_listed(hands: Path, predicted: Predicted) -> None:
    labels = table(hands, "id,sex", "a,M", "other,F", "b,F", "c,F")
    report, _ = predicted(hands, sex=None, labels=labels)
    assert [problem.id for problem in report.without_file] == ["other"]
    listed = hands.parent / "output/problems.csv"
    assert "labels.csv,3,other,,no_image," in listed.read_text()
    predicted(hands, sex=None, labels=table(hands, "id,sex", "a,M", "b,F", "c,F"))
    assert not listed.exists()


def test_one_name_in_many_folders_is_told_apart_by_path(
    tmp_path: Path, predicted: Predicted
) -> None:
    hands = tmp_path / "hands"
    for number in (1, 2):
        (hands / f"p{number}").mkdir(parents=True)
        assert cv2.imwrite(str(hands / f"p{number}/image1.png"), draw_phantom(90, number))
    labels = table(hands, "path,sex", "hands/p1/image1.png,F", "hands\\p2\\image1.png,M")
    _, rows = predicted(hands, sex=None, labels=labels)
    assert {name: (row["id"], row["sex"]) for name, row in rows.items()} == {
        "p1/image1.png": ("hands/p1/image1", "F"),
        "p2/image1.png": ("hands/p2/image1", "M"),
    }
    _, rows = predicted(hands)
    assert [row["id"] for row in rows.values()] == ["p1/image1", "p2/image1"]
    _, rows = predicted(hands, labels=table(hands, "id,sex", "image1,M"))
    for row in rows.values():
        assert row["reason"].startswith("bad_label: several images have this name")
        assert "by path" in row["reason"]


def test_leading_zeros_are_joined(tmp_path: Path, predicted: Predicted) -> None:
    hands = tmp_path / "hands"
    hands.mkdir()
    assert cv2.imwrite(str(hands / "00012.png"), draw_phantom(90, 1))
    report, rows = predicted(hands, sex=None, labels=table(hands, "id,sex", "12,M"))
    assert (rows["00012.png"]["id"], rows["00012.png"]["sex"]) == ("12", "M")
    assert report.without_file == ()


def test_chronological_ages_come_from_the_table_or_the_option(
    hands: Path, predicted: Predicted
) -> None:
    labels = table(hands, "id,sex,chronological_age_months", "a,M,100", "b,F,", "c,unknown,20")
    report, rows = predicted(hands, sex=None, labels=labels, chronological_age_months=230)
    shown = prediction_table(report).splitlines()
    assert shown[0].split()[-4:] == ["age", "difference", "verdict", "status"]
    (line,) = (line for line in shown if line.startswith("a.png"))
    assert line.split()[-4:-2] == ["100.0", f"{float(rows['a.png']['difference_months']):+.1f}"]
    a, b, c = rows["a.png"], rows["b.jpg"], rows["deeper/c.JPEG"]
    assert [row["chronological_age_months"] for row in (a, b, c)] == ["100.00", "230.00", "20.00"]
    for row in (a, b, c):
        months = float(row["bone_age_months"]) - float(row["chronological_age_months"])
        assert float(row["difference_months"]) == pytest.approx(months, abs=0.011)
    comparison = compare_with_age(float(a["bone_age_months"]), 100, Sex.M)
    assert float(a["sd_score"]) == pytest.approx(comparison.sd_score, abs=0.006)
    assert a["verdict"] == comparison.verdict
    assert a["verdict_probability"] == ""  # this model has no intervals
    assert (b["sd_score"], b["verdict"]) == ("", "")  # a girl above the table's 192 months
    assert (c["sd_score"], c["verdict"]) == ("", "")  # of unknown sex
    assert [row["warning"] for row in (a, b, c)] == ["", "", "infant"]


@pytest.mark.parametrize(("months", "age"), [(20.0, 18), (20.0, 30), (30.0, 18), (20.0, None)])
def test_a_young_hand_or_child_is_an_infant_once(months: float, age: float | None) -> None:
    row = prediction_of("a.png", "a", "F", {"bone_age_months": months}, None)
    assert compared(row, age, 0.9).warning == "infant"


def test_without_chronological_ages_nothing_is_said_of_them(
    hands: Path, predicted: Predicted
) -> None:
    report, rows = predicted(hands)
    assert "age" not in prediction_table(report).splitlines()[0].split()
    for name in ("chronological_age_months", "difference_months", "sd_score", "verdict"):
        assert {row[name] for row in rows.values()} == {""}


def test_chronological_ages_in_years_are_not_taken_for_months(
    hands: Path, predicted: Predicted
) -> None:
    labels = table(hands, "id,sex,age at exam", "a,M,11.5", "b,F,9", "c,unknown,2.25")
    options = LabelOptions(chronological_age_column="age at exam")
    with pytest.raises(
        InputDataError, match="'age at exam' is evidently in years .* --chronological-age-unit"
    ):
        predicted(hands, sex=None, labels=labels, label_options=options)
    for unit, factor in (("years", 12), ("months", 1)):
        named = dataclasses.replace(options, chronological_age_unit=unit)
        _, rows = predicted(hands, sex=None, labels=labels, label_options=named)
        ages = [
            float(rows[name]["chronological_age_months"])
            for name in ("a.png", "b.jpg", "deeper/c.JPEG")
        ]
        assert ages == [round(age * factor, 2) for age in (11.5, 9, 2.25)]


def test_heights_add_the_adult_height_where_they_are_given(
    hands: Path, predicted: Predicted, opened: ExportedModel
) -> None:
    lines = ("id,sex,chronological_age_months,height_cm", "a,M,120,140", "b,F,120,1.4", "c,F,,120")
    labels = table(hands, *lines)
    report, rows = predicted(hands, labels=labels, heights=Heights(None, 165.0, 180.0))
    assert {row["adult_height_cm"] for row in rows.values()} == {""}
    assert "not_greulich_pyle: the table is for bone ages" in rows["a.png"]["adult_height_reason"]
    assert "looks like metres" in rows["b.jpg"]["adult_height_reason"]
    assert rows["a.png"]["target_height_cm"] == "179.00"
    assert set(GROWTH_COLUMNS) <= set(report.table)
    manifest = {**opened.manifest, "reading_method": "greulich_pyle"}
    row = prediction_of("a", "a", "M", {"bone_age_months": 123.0}, opened.training_ages)
    row = assessed(compared(row, 113.0, None), Heights(140.0), SimpleNamespace(coverage=None, manifest=manifest))  # type: ignore[arg-type]  # fmt: skip
    assert row.growth is not None
    assert row.growth.adult_height_cm == pytest.approx(177.0, abs=0.05)
    assert growth_of(row.flat()) == row.growth


def test_without_heights_there_are_no_columns_of_them(hands: Path, predicted: Predicted) -> None:
    labels = table(hands, "id,sex,height_cm", "a,M,140", "b,F,", "c,F,")
    report, rows = predicted(hands, labels=labels)
    assert rows["b.jpg"]["height_cm"] == rows["b.jpg"]["adult_height_reason"] == ""
    lines = {row.file: row.flat() for row in report.first}
    assert "height_cm" in lines["a.png"]
    assert not set(GROWTH_COLUMNS) & set(lines["b.jpg"])
    _, rows = predicted(hands, labels=table(hands, "id,sex", "a,M", "b,F", "c,F"))
    assert not set(GROWTH_COLUMNS) & set(rows["a.png"])


def test_a_height_in_metres_is_refused_by_the_command(hands: Path, exported: Path) -> None:
    words = ["predict", str(hands), "--model", str(exported), "--sex", "F", "--output", "o"]
    with pytest.raises(UsageError, match="--height-cm: .* looks like metres"):
        cli.commands.main([*words, "--height-cm", "1.38"], standalone_mode=False)


def test_a_table_in_years_is_converted_by_the_command(
    hands: Path, exported: Path, tmp_path: Path
) -> None:
    labels = table(hands, "id,sex,bone age,exam", "a,M,10,9", "b,F,8,9", "c,F,2,3")
    words = ["predict", str(hands), "--model", str(exported), "--labels", str(labels)]
    words += [
        "--age-column",
        "bone age",
        "--age-unit",
        "years",
        "--chronological-age-column",
        "exam",
    ]
    words += ["--chronological-age-unit", "years", "--output", str(tmp_path / "out"), "--quiet"]
    cli.commands.main(words, standalone_mode=False)
    rows = [json.loads(x) for x in (tmp_path / "out/predictions.jsonl").read_text().splitlines()]
    found = {
        row["id"]: (row["bone_age_months_true"], row["chronological_age_months"]) for row in rows
    }
    assert found["a"] == (120, 108)


def test_a_bad_chronological_age_is_a_row_with_a_reason(hands: Path, predicted: Predicted) -> None:
    labels = table(hands, "id,sex,age", "a,M,ten", "b,F,120", "c,F,900")
    options = LabelOptions(chronological_age_column="age")
    report, rows = predicted(hands, labels=labels, label_options=options)
    assert (report.predicted, report.rejected) == (1, 2)
    assert "the chronological age 'ten' is not usable" in rows["a.png"]["reason"]
    assert rows["b.jpg"]["chronological_age_months"] == "120.00"


def test_infants_in_a_table_of_months_are_predicted(hands: Path, predicted: Predicted) -> None:
    labels = table(hands, "id,bone age (months),sex", "a,6,M", "b,9,F", "c,18,F")
    _, rows = predicted(hands, labels=labels)
    assert [row["bone_age_months_true"] for row in rows.values()] == ["6", "9", "18"]


def test_no_image_at_all_is_an_error(tmp_path: Path, predicted: Predicted) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputDataError, match="No radiographs found"):
        predicted(tmp_path / "nothing")


def test_json_lines_say_the_same_as_the_csv(
    hands: Path, predicted: Predicted, tmp_path: Path
) -> None:
    (hands / "page.png").write_text("<html></html>")
    report, rows = predicted(hands)
    lines = (tmp_path / "output/predictions.jsonl").read_text().splitlines()
    assert len(lines) == len(rows) == len(report.table) == 4
    *columns, growth = (field.name for field in dataclasses.fields(Prediction))
    assert growth == "growth"
    assert tuple(columns) == (
        *(name for name in COLUMNS if name in report.table),
        "sop_instance_uid",
    )
    for line, row in zip(map(json.loads, lines), rows.values(), strict=True):
        assert tuple(line) == tuple(row) == tuple(report.table) == tuple(columns[:-1])
        assert line["file"] == row["file"]
        assert line["reason"] == row["reason"]
        months = line["bone_age_months"]
        assert row["bone_age_months"] == ("" if months is None else f"{months:.2f}")
    months = report.table["bone_age_months"]
    assert months.dtype == np.float64
    assert months.isna().tolist() == [row["status"] == "rejected" for row in rows.values()]
    assert months.max() == max(line["bone_age_months"] or 0 for line in map(json.loads, lines))


def test_provenance_names_model_and_counts(
    hands: Path, predicted: Predicted, exported: Path, tmp_path: Path
) -> None:
    predicted(hands)
    description = json.loads((tmp_path / "output/provenance.json").read_text())
    digest = hashlib.sha256((exported / "1/manifest.json").read_bytes()).hexdigest()
    assert description["model"]["manifest_sha256"] == digest
    assert description["counts"] == {"ok": 3, "rejected": 0}
    assert description["versions"]["tensorflow"] == tf.__version__


def test_the_same_files_give_the_same_bytes(
    hands: Path, predicted: Predicted, tmp_path: Path
) -> None:
    predicted(hands)
    first = (tmp_path / "output/predictions.jsonl").read_bytes()
    predicted(hands)
    assert (tmp_path / "output/predictions.jsonl").read_bytes() == first


# === Models that are not loaded ===


@pytest.fixture
def copied(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `exported/1`; loading any SavedModel fails the test."""
    copy = shutil.copytree(exported / "1", tmp_path / "model")

    def loaded(*args: object, **options: object) -> None:
        pytest.fail("the model was loaded")

    monkeypatch.setattr(tf.saved_model, "load", loaded)
    return copy


def test_a_version_folder_can_be_named_itself(exported: Path) -> None:
    assert ExportedModel.open(exported).folder == ExportedModel.open(exported / "1").folder


def test_a_flipped_bit_is_refused(copied: Path) -> None:
    graph = copied / "saved_model.pb"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    with pytest.raises(ModelRefusedError, match=r"saved_model\.pb: content changed"):
        ExportedModel.open(copied)


def test_a_missing_file_is_refused(copied: Path) -> None:
    (copied / "variables/variables.index").unlink()
    with pytest.raises(ModelRefusedError, match=r"variables\.index: missing"):
        ExportedModel.open(copied)


def test_a_file_that_nobody_vouches_for_is_refused(copied: Path) -> None:
    (copied / "assets.extra").mkdir()
    (copied / "assets.extra/run.sh").write_text("echo")
    with pytest.raises(ModelRefusedError, match=r"assets\.extra/run\.sh: not in the manifest"):
        ExportedModel.open(copied)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": "other/1", "files": []}'])
def test_a_manifest_of_another_kind_is_refused(content: str, copied: Path) -> None:
    (copied / "manifest.json").write_text(content)
    with pytest.raises(ModelRefusedError, match="not a manifest of this version"):
        ExportedModel.open(copied)


def test_a_folder_without_a_manifest_is_refused(copied: Path) -> None:
    (copied / "manifest.json").unlink()
    with pytest.raises(ModelRefusedError, match=r"no manifest\.json"):
        ExportedModel.open(copied)


def after(operation: tf.Operation, value: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([operation]):
        return tf.identity(value)


def hostile(operation: str) -> tf.Module:
    """A module whose `serve` holds one operation."""
    module = tf.Module()
    bodies: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
        "ReadFile": tf.io.read_file,
        "WriteFile": lambda text: after(tf.io.write_file("written", text), text),
        "MatchingFiles": tf.io.matching_files,
        "EagerPyFunc": lambda text: tf.py_function(lambda x: x, [text], tf.string),
        "PyFunc": lambda text: tf.numpy_function(lambda x: x, [text], tf.string),
        "PrintV2": lambda text: after(tf.print(text, output_stream="file://written"), text),
        "TextLineDataset": lambda text: tf.data.TextLineDataset(text).reduce(
            "", lambda a, b: a + b
        ),
    }
    module.serve = tf.function(
        bodies[operation], input_signature=[tf.TensorSpec([], tf.string)], autograph=False
    )
    return module


@pytest.mark.parametrize(
    "operation",
    [
        "ReadFile", "WriteFile", "MatchingFiles", "EagerPyFunc", "PyFunc", "PrintV2",
        "TextLineDataset",
    ],
)  # fmt: skip
def test_a_vouched_model_with_a_forbidden_operation_is_refused(
    operation: str, copied: Path
) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    shutil.rmtree(copied)
    tf.saved_model.save(hostile(operation), str(copied))
    names = [str(p.relative_to(copied)) for p in copied.rglob("*") if p.is_file()]
    manifest["files"] = [
        dataclasses.asdict(FileEntry(name, (copied / name).stat().st_size, digest))
        for name in names
        for digest in [hashlib.sha256((copied / name).read_bytes()).hexdigest()]
    ]
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelRefusedError, match=operation):
        ExportedModel.open(copied)
