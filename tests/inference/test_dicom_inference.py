"""DICOM files through predict, explain, localize and stress: what their header tells, and what of it is seen afterwards."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, draw_phantom, encode
from dicom_files import dataset_of, dicom_of

from bone_age_tf.cli import main as cli
from bone_age_tf.dicom.admission import accept
from bone_age_tf.errors import ArgumentTypeError, UsageError
from bone_age_tf.evaluation.stress.stress import stress
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.inference.explain import explain
from bone_age_tf.inference.known import Known
from bone_age_tf.inference.localize import localize
from bone_age_tf.inference.predict import PredictReport, predict

HAND = draw_phantom(120, 1)
GREY = HAND.astype(np.uint16) * 257
NAME = "canary^Jane"
CANARIES = ("canary", "CANARY", "Jane", "20240131", "20140131", "1.2.826")
Rows = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def opened(exported: Path) -> ExportedModel:
    return ExportedModel.open(exported)


@pytest.fixture(autouse=True)
def _model_is_opened_once(opened: ExportedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExportedModel, "open", lambda path: opened)


@pytest.fixture
def predicted(opened: ExportedModel, tmp_path: Path) -> Callable[..., tuple[PredictReport, Rows]]:
    """`predict`; the report, and the rows of the CSV by file."""

    def run(*paths: Path, **options: Any) -> tuple[PredictReport, Rows]:
        words = {"model": str(opened.folder), "output": str(tmp_path / "out"), "overwrite": True}
        report = predict([str(path) for path in paths], **words, **options)
        with (tmp_path / "out/predictions.csv").open() as stream:
            return report, {row["file"]: row for row in csv.DictReader(stream)}

    return run


Predicted = Callable[..., tuple[PredictReport, Rows]]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder of all kinds, as it comes from an archive."""
    folder = tmp_path / "study"
    (folder / "deep").mkdir(parents=True)
    files = {
        "a.png": encode(HAND),
        "b.jpg": encode(HAND, ".jpg"),
        "IM0001": dicom_of(GREY),
        f"deep/{NAME}.dcm": dicom_of(HAND, PatientSex="M"),
        "chest.dcm": dicom_of(GREY, BodyPartExamined="CHEST"),
        "ct": dicom_of(GREY, SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT"),
        "cut.dcm": dicom_of(GREY)[:90_000],
        "other.dcm": dicom_of(GREY, PatientSex="O"),
        "notes.txt": b"no radiograph",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    directory = dataset_of(GREY, SOPClassUID="1.2.840.10008.1.3.10")
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed/IM0001").write_bytes(files["IM0001"])
    shutil.make_archive(str(folder / "sent"), "zip", tmp_path / "packed")
    return folder


def warned(rows: Rows, name: str) -> list[str]:
    return rows[name]["warning"].split()


def test_a_mixed_folder_is_predicted_by_what_is_told_of_each_file(
    study: Path, predicted: Predicted, tmp_path: Path
) -> None:
    report, rows = predicted(study, sex="F")
    jane = f"deep/{NAME}.dcm"
    assert {n: r["status"] for n, r in rows.items() if r["status"] == "ok"} == dict.fromkeys(
        ("a.png", "b.jpg", "IM0001", jane, "other.dcm", "sent.zip/IM0001"), "ok"
    )
    reasons = {n: r["reason"].partition(":")[0] for n, r in rows.items() if r["reason"]}
    assert reasons == {"chest.dcm": "body_part", "ct": "not_a_radiograph", "cut.dcm": "damaged"}
    assert rows["a.png"]["bone_age_months"] == rows["IM0001"]["bone_age_months"]
    assert rows["IM0001"]["bone_age_months"] == rows["sent.zip/IM0001"]["bone_age_months"]
    assert [rows[n]["sex"] for n in ("a.png", "IM0001", jane, "other.dcm")] == ["F", "F", "M", "F"]
    ages = [rows[n]["chronological_age_months"] for n in ("a.png", "IM0001", jane)]
    assert ages == ["", "119.98", "119.98"]
    assert warned(rows, jane) == ["sex_differs"]
    assert warned(rows, "other.dcm") == ["sex_other"]
    assert warned(rows, "IM0001") == []
    assert {n: row["id"] for n, row in rows.items() if not n.startswith(("a.", "b."))} == {
        "IM0001": "dicom-0001",
        "chest.dcm": "dicom-0002",
        "ct": "dicom-0003",
        "cut.dcm": "dicom-0004",
        jane: "dicom-0005",
        "other.dcm": "dicom-0006",
        "sent.zip/IM0001": "dicom-0007",
    }
    assert [row.file for row in report.first][:3] == ["dicom-0001", "a.png", "b.jpg"]
    assert report.warnings == 2
    assert "sop_instance_uid" not in rows["IM0001"]
    for line in (tmp_path / "out/predictions.jsonl").read_text().splitlines():
        jsonschema.validate(json.loads(line), SCHEMA)


SCHEMA = json.loads((ROOT / "bone_age_tf/schemas/prediction-5.json").read_text())


def test_without_a_sex_a_header_that_does_not_tell_it_means_unknown(
    study: Path, predicted: Predicted, tmp_path: Path
) -> None:
    _, rows = predicted(study)
    no_sex = {name for name, row in rows.items() if row["reason"].startswith("no_sex: ")}
    assert no_sex == {"a.png", "b.jpg"}
    assert (rows["other.dcm"]["sex"], warned(rows, "other.dcm")) == ("unknown", ["sex_other"])
    assert rows["IM0001"]["status"] == "ok"
    assert rows["chest.dcm"]["reason"].startswith("body_part: ")
    with pytest.raises(UsageError, match="predict needs the sex"):
        predicted(study / "a.png")


def test_a_header_that_is_refused_costs_no_decoding(
    study: Path, predicted: Predicted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.jpg", "IM0001", f"deep/{NAME}.dcm", "cut.dcm", "other.dcm"):
        (study / name).unlink()
    (study / "sent.zip").unlink()
    monkeypatch.setattr(ExportedModel, "prepare_with_matrix", None)
    _, rows = predicted(study)
    assert {row["status"] for row in rows.values()} == {"rejected"}


def test_what_is_accepted_is_read_with_a_warning(study: Path, predicted: Predicted) -> None:
    try:
        _, rows = predicted(study / "chest.dcm", accept_dicom=["body_part"])
    finally:
        accept()
    assert rows["chest.dcm"]["status"] == "ok"
    assert warned(rows, "chest.dcm") == ["body_part_differs"]


def test_the_side_of_the_thumb_is_compared_with_the_laterality(
    tmp_path: Path, predicted: Predicted
) -> None:
    folder = tmp_path / "sides"
    folder.mkdir()
    mirrored = np.ascontiguousarray(GREY[:, ::-1])
    for name, pixels, more in (
        ("left", GREY, {}),
        ("left_mirrored", mirrored, {}),
        ("right", mirrored, {"ImageLaterality": "R"}),
        ("right_as_left", GREY, {"ImageLaterality": "R", "ViewPosition": None}),
        ("unknown", mirrored, {"ImageLaterality": None}),
        ("palm", mirrored, {"ViewPosition": "AP"}),
        ("turned", np.ascontiguousarray(np.rot90(GREY)), {}),
    ):
        (folder / name).write_bytes(dicom_of(pixels, **more))
    _, rows = predicted(folder)
    assert {name: row["warning"] for name, row in rows.items()} == {
        "left": "",
        "left_mirrored": "laterality_differs",
        "right": "right_hand",
        "right_as_left": "right_hand laterality_differs",
        "unknown": "",
        "palm": "",
        "turned": "",
    }


def labels(folder: Path, *lines: str) -> str:
    path = folder / "labels.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_the_table_goes_before_the_header_and_the_header_before_the_command(
    tmp_path: Path, predicted: Predicted
) -> None:
    folder = tmp_path / "hands"
    folder.mkdir()
    for number in range(4):
        sex = "O" if number == 3 else "F"
        content = dicom_of(GREY, AccessionNumber=f"A{number}", PatientSex=sex)
        (folder / f"IM{number}").write_bytes(content)
    table = labels(
        tmp_path,
        "Accession Number,sex,boneage,chronological_age_months",
        "A0,M,100,150",
        "A1,,110,",
        "A3,,120,",
        "A9,F,9,",
    )
    report, rows = predicted(folder, labels=table)
    got = {name: (row["id"], row["sex"], row["status"]) for name, row in rows.items()}
    assert got == {
        "IM0": ("A0", "M", "ok"),
        "IM1": ("A1", "F", "ok"),
        "IM2": ("dicom-0003", "F", "ok"),
        "IM3": ("A3", "unknown", "ok"),
    }
    assert warned(rows, "IM3") == ["sex_other"]
    assert warned(rows, "IM0") == ["sex_differs", "chronological_age_differs"]
    assert [rows[f"IM{n}"]["chronological_age_months"] for n in (0, 1)] == ["150.00", "119.98"]
    assert [problem.id for problem in report.without_file] == ["A9"]
    assert "A9" in (tmp_path / "out/problems.csv").read_text()
    known = {"sex": "M", "chronological_age_months": 140.0}
    _, rows = predicted(folder, labels=table, **known)
    assert [rows[f"IM{n}"]["sex"] for n in range(4)] == ["M", "F", "F", "M"]
    contradicted = ["sex_differs", "chronological_age_differs"]
    assert [warned(rows, f"IM{n}") for n in (1, 2)] == [contradicted] * 2
    assert warned(rows, "IM3") == ["sex_other", "chronological_age_differs"]
    assert rows["IM2"]["chronological_age_months"] == "119.98"


def test_several_radiographs_of_one_accession_are_predicted_by_their_headers(
    tmp_path: Path, predicted: Predicted
) -> None:
    for name in ("IM1", "IM2"):
        (tmp_path / name).write_bytes(dicom_of(GREY, AccessionNumber="A1", InstanceNumber=name[2:]))
    table = labels(tmp_path, "Accession Number,boneage", "A1,100")
    report, rows = predicted(tmp_path / "IM1", tmp_path / "IM2", labels=table)
    got = [(row["sex"], row["status"], row["bone_age_months_true"]) for row in rows.values()]
    assert got == [("F", "ok", "")] * 2
    (problem,) = report.without_file
    assert problem.message.startswith("2 radiographs have this Accession Number")


def test_without_a_sex_in_a_header_a_row_that_may_be_another_is_the_reason(
    tmp_path: Path, predicted: Predicted
) -> None:
    for name in ("IM1", "IM2"):
        content = dicom_of(GREY, AccessionNumber="A1", InstanceNumber=name[2:], PatientSex=None)
        (tmp_path / name).write_bytes(content)
    table = labels(tmp_path, "Accession Number,sex", "A1,F")
    _, rows = predicted(tmp_path / "IM1", tmp_path / "IM2", labels=table)
    (reason,) = {row["reason"] for row in rows.values()}
    assert reason.startswith("bad_label: 2 radiographs have this Accession Number")


def test_uids_are_kept_where_they_are_asked_for(
    study: Path, predicted: Predicted, tmp_path: Path
) -> None:
    uid = "1.2.826.0.1.3680043.8.498.77"
    (study / "IM0001").write_bytes(dicom_of(GREY, SOPInstanceUID=uid))
    _, rows = predicted(study / "IM0001", study / "a.png", sex="F", keep_uids=True)
    assert [rows[name]["sop_instance_uid"] for name in ("IM0001", "a.png")] == [uid, ""]
    for line in (tmp_path / "out/predictions.jsonl").read_text().splitlines():
        jsonschema.validate(json.loads(line), SCHEMA)


# === Python ===


def test_python_takes_paths_bytes_and_folders(opened: ExportedModel, study: Path) -> None:
    table = opened.predict(study, sex="M").set_index("file")
    assert table.loc["IM0001", "warning"] == "sex_differs"
    assert (table.loc["IM0001", "sex"], table.loc["other.dcm", "sex"]) == ("M", "M")
    of_bytes = opened.predict(
        [dicom_of(GREY), study / "IM0001", dicom_of(GREY, PatientSex=None), HAND],
        sex=[None, None, None, "F"],
    )
    assert of_bytes["status"].tolist() == ["ok"] * 4
    assert of_bytes["sex"].tolist() == ["F", "F", "unknown", "F"]
    assert of_bytes["warning"][2] == "sex_unknown"
    months = of_bytes["bone_age_months"]
    assert months[0] == months[1] == pytest.approx(months[3])
    pd.testing.assert_frame_equal(
        opened.predict(study / "IM0001"), opened.predict(study / "IM0001", sex="F")
    )
    with pytest.raises(ArgumentTypeError, match="not DICOM files.*Received None for 2 .* a.png"):
        opened.predict(study)


# === What is seen of a header ===


def everything_in(folder: Path) -> str:
    """The names of the files in a folder, and what they hold."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = [str(path.relative_to(folder)) for path in paths]
    return "\n".join([*names, *(path.read_bytes().decode("latin-1") for path in paths)])


def require_no_canary(folder: Path) -> None:
    content = everything_in(folder)
    assert [word for word in CANARIES if word in content] == []


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A folder with the name of a patient in every place."""
    folder = tmp_path / f"{NAME} scans"
    folder.mkdir()
    (folder / f"{NAME}.dcm").write_bytes(dicom_of(GREY, BurnedInAnnotation="YES"))
    (folder / f"{NAME}-chest").write_bytes(dicom_of(GREY, BodyPartExamined="CANARY CHEST"))
    (folder / f"{NAME}-gone.dcm").symlink_to(folder / "nothing")
    return folder


def test_explanations_show_nothing_that_names_a_patient(
    named: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = labels(tmp_path, "Accession Number,sex", "canary-accession,M")
    for number, options in enumerate(({}, {"labels": table})):
        output = tmp_path / f"explained{number}"
        counts = explain([str(named)], model="", output=str(output), **options)
        assert counts["explained"] + counts["rejected"] == 3
        problems = output / "problems.csv"
        if problems.exists():  # the user's own words
            problems.unlink()
        require_no_canary(output)
    with (tmp_path / "explained0/explanations.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == ["dicom-0001", "dicom-0002", "dicom-0003"]
    assert {row["picture"] for row in rows} == {"", "pictures/0003-dicom-0003.png"}
    assert {row["reason"].partition(":")[0] for row in rows} == {"", "body_part", "unreadable"}
    assert not any(word in caplog.text for word in CANARIES)


def test_localizations_show_nothing_that_names_a_patient(named: Path, tmp_path: Path) -> None:
    report = localize([str(named)], output=str(tmp_path / "located"))
    assert report.found == 1
    require_no_canary(tmp_path / "located")
    assert (tmp_path / "located/masks/dicom-0003.png").is_file()


def test_stress_has_the_sex_of_the_header_and_no_name(named: Path, tmp_path: Path) -> None:
    table, output = (
        labels(tmp_path, "Accession Number,boneage", "canary-accession,100"),
        tmp_path / "out",
    )
    stress(
        [str(named)],
        model="m",
        labels=table,
        output=str(output),
        changes=["mirrored"],
        pictures=9,
    )
    require_no_canary(output)
    with (output / "stress.csv").open() as stream:
        rows = {(row["id"], row["change"]): row for row in csv.DictReader(stream)}
    assert rows["dicom-0003", "unchanged"]["sex"] == "F"
    assert rows["dicom-0003", "mirrored"]["shift_months"]
    (picture,) = (output / "pictures/unchanged").glob("*-dicom-0003.png")
    assert picture.name[:-15].isdigit()


# === Command line ===


def test_the_command_says_warnings_in_words(
    named: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], exported: Path
) -> None:
    words = ["predict", str(named), "--model", str(exported), "--output", str(tmp_path / "out")]
    assert cli.run([*words, "--keep-uids"]) == 4
    out, err = capfd.readouterr()
    assert "burned_in: The header says that text is burned into the picture" in out
    assert "dicom-0003" in out
    assert not any(word in out + err.replace(str(tmp_path), "") for word in CANARIES)
    rows = (tmp_path / "out/predictions.csv").read_text().splitlines()
    assert rows[0].endswith(",warning,sop_instance_uid")
    assert f"{NAME}.dcm" in rows[3]
    try:
        assert cli.run([*words, "--overwrite", "--accept-dicom", "body_part", "--json"]) == 4
    finally:
        accept()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["status"] for line in lines] == ["ok", "rejected", "ok"]
    assert cli.run([*words, "--accept-dicom", "everything"]) == 2


def test_nothing_of_a_header_is_in_what_is_known_in_words(named: Path) -> None:
    from bone_age_tf.config import LabelOptions
    from bone_age_tf.preprocessing.radiographs import find_radiographs

    files = find_radiographs([named])
    known = Known.read("predict", files, sex=None, labels=None, label_options=LabelOptions())
    assert "canary-patient" not in repr(known.labels.headers)
    assert "canary-accession" not in repr(known.labels.headers)
