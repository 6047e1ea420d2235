"""`bone-age-tf predict --dicom-output --fhir` from the files to the objects, by the shipped model."""

import csv
import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pydicom
import pytest
from conftest import ROOT
from dicom_files import dicom_of
from dicom_results import PREDICTION, dataset_of_phantom, phantom_file

from bone_age_tf.cli import main as cli
from bone_age_tf.dicom.header import read_header
from bone_age_tf.dicom_output import objects
from bone_age_tf.files.images import SourceFile
from bone_age_tf.inference import predict
from bone_age_tf.inference.predict import Predicted, PredictReport

MODEL = ["--model", str(ROOT / "saved_models/bone_age")]
KINDS = ["report", "picture", "key_object", "presentation_state", "segmentation"]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two phantoms and what is none, in the current folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "study"
    folder.mkdir()
    for number in (2, 3):
        (folder / f"Canary^Jane{number}").write_bytes(phantom_file(number))
    chest = dataset_of_phantom(1).pixel_array
    (folder / "chest").write_bytes(dicom_of(chest, BodyPartExamined="CHEST"))
    golden = ROOT / "bone_age_tf/assets/golden_hand.png"
    (folder / "golden.png").write_bytes(golden.read_bytes())
    return folder


def run(*words: str) -> int:
    """The exit code of `predict`."""
    return cli.run(["predict", "study", "--sex", "F", "--quiet", *MODEL, *words])


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files, but for the records of when they were made."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p): p.read_bytes() for p in files if p.name != "provenance.json"}


@pytest.mark.large
def test_results_lie_in_the_study_and_a_rerun_gives_the_same(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = [word for kind in KINDS for word in ("--dicom-object", kind)]
    words = ["--output", "out", "--dicom-output", "out/dicom", "--fhir", *kinds]
    assert run(*words) == 4
    first = contents(Path("out"))
    with Path("out/dicom/objects.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    made = {(row["id"], row["kind"]) for row in rows if row["file"]}
    assert made >= {(id, kind) for id in ("dicom-0001", "dicom-0002") for kind in KINDS}
    assert ("dicom-0003", "report") in made and ("dicom-0003", "segmentation") not in made
    assert [row["reason"][:9] for row in rows if row["id"] == "golden"] == ["not_dicom"]
    assert "Canary" not in Path("out/dicom/objects.csv").read_text()
    results = [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()]
    for row in rows:
        if row["kind"] == "segmentation":
            segmentation = pydicom.dcmread(Path("out/dicom", row["file"]))
            source = dataset_of_phantom({"dicom-0001": 2, "dicom-0002": 3}[row["id"]])
            assert segmentation.pixel_array.shape == source.pixel_array.shape
            assert segmentation.StudyInstanceUID == source.StudyInstanceUID
            mask = segmentation.pixel_array > 0
            grey = source.pixel_array.astype(float)
            if source.PhotometricInterpretation == "MONOCHROME1":
                grey = -grey
            assert grey[mask].mean() > grey[~mask].mean() + 200
    for number, row in enumerate(results, start=1):
        observation = json.loads(Path(f"out/fhir/{number:04d}.json").read_text())
        value = observation.get("valueQuantity", {}).get("value")
        assert value == (row["bone_age_months"] and round(row["bone_age_months"], 1))
    assert run(*words, "--overwrite") == 4
    assert contents(Path("out")) == first
    assert run("--output", "plain") == 4
    for name in ("predictions.csv", "predictions.jsonl"):
        assert Path("plain", name).read_bytes() == Path("out", name).read_bytes()
    assert not Path("plain/fhir").exists()


def test_a_fault_in_an_object_is_told_by_the_exit_code(
    study: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def one_radiograph(paths: Any, *, on_predicted: Any, output: str, **settings: Any) -> Any:
        content = (study / "Canary^Jane2").read_bytes()
        file = SourceFile("Canary^Jane2", str(study / "Canary^Jane2"))
        header = read_header(content)
        on_predicted(Predicted(file, PREDICTION, header, content, None, None, "dicom-0001"))
        return PredictReport(1, 0, (PREDICTION,), pd.DataFrame())

    def fail(*given: Any) -> None:
        raise ValueError("Canary^Jane")

    monkeypatch.setattr(predict, "predict", one_radiograph)
    monkeypatch.setitem(objects.MAKERS, "key_object", fail)  # type: ignore[arg-type]
    words = ["--output", "out", "--dicom-output", "dicom", "--dicom-object"]
    monkeypatch.setattr("bone_age_tf.cli.console.set_up_logging", lambda **given: None)
    with caplog.at_level(logging.INFO, "bone_age_tf"):
        assert run(*words, "key_object") == 4
    assert (
        "DICOM objects in dicom: none; without an object: 1. objects.csv lists them." in caplog.text
    )
    assert "Canary" not in caplog.text


def test_options_without_a_folder_are_an_error(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--output", "out", "--sr", "comprehensive") == 2
    assert "--sr needs --dicom-output" in capsys.readouterr().err
    assert run("--output", "out", "--dicom-output", "dicom", "--uid-root", "hospital") == 2
    assert "UID root" in capsys.readouterr().err
    assert not Path("out").exists() and not Path("dicom").exists()
