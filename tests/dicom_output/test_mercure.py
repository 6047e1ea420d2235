"""`mercure`: its contract of processing modules, by hand with the environment that it sets."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("highdicom", reason="the extra [dicom-output] is not installed")

from canaries import canaries_in, canary_dicom
from conftest import draw_phantom
from dicom_files import dicom_of
from dicom_results import phantom_file
from dicomweb_stand_in import read

from bone_age_tf.cli import main as cli
from bone_age_tf.config.mercure import MercureConfig
from bone_age_tf.dicom_output import mercure
from bone_age_tf.errors import InputDataError, UsageError

REPORT, COMPREHENSIVE = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.88.33"


def task(**settings: Any) -> dict[str, Any]:
    """As mercure writes it."""
    process = {
        "module_name": "bone-age",
        "module_config": {"docker_tag": "bone-age-tf:mercure", "settings": {}},
        "settings": settings,
        "retain_input_images": False,
        "output": None,
    }
    return {"id": "8a1d", "info": {"uid": "1.2.3"}, "dispatch": {}, "process": process, "study": {}}


class Module:
    """The folders of one task."""

    def __init__(self, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.input, self.output, self.model = folder / "in", folder / "out", model
        self.input.mkdir()
        self.output.mkdir()
        monkeypatch.setenv("MERCURE_IN_DIR", str(self.input))
        monkeypatch.setenv("MERCURE_OUT_DIR", str(self.output))

    def put(self, *files: bytes, **settings: Any) -> None:
        for number, file in enumerate(files):
            (self.input / f"1.2.3#1.2.3.{number}.dcm").write_bytes(file)
            (self.input / f"1.2.3#1.2.3.{number}.tags").write_text("{}")
        (self.input / "task.json").write_text(json.dumps(task(**settings)))

    def run(self) -> int:
        return cli.run(["mercure", "--model", str(self.model)])

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.output / "result.json").read_text())

    @property
    def objects(self) -> dict[str, Any]:
        """Name -> header."""
        return {path.name: read(path.read_bytes()) for path in self.output.glob("*.dcm")}


@pytest.fixture
def module(tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    return Module(tmp_path, exported, monkeypatch)


def test_objects_and_results_are_where_mercure_looks(module: Module) -> None:
    source = phantom_file(1)
    module.put(
        source, phantom_file(2), sr="comprehensive", objects=["report"], uid_root="1.2.826.9"
    )
    assert module.run() == 0
    assert sorted(path.suffix for path in module.output.iterdir()) == [".dcm", ".dcm", ".json"]
    result, objects = module.result, module.objects
    assert result["status"] == "ok"
    first = result["radiographs"][0]
    assert (first["id"], first["status"]) == ("dicom-0001", "ok")
    assert 0 < first["bone_age_months"] < 240
    report = objects[first["objects"]["report"]]
    assert report.SOPClassUID == COMPREHENSIVE
    assert report.StudyInstanceUID == read(source).StudyInstanceUID
    assert report.SOPInstanceUID.startswith("1.2.826.9.")
    assert first["objects"]["report"] == f"{report.SeriesInstanceUID}#{report.SOPInstanceUID}.dcm"
    assert result["__mercure_notification"]["text"] == (
        "Bone age: 2 radiographs predicted, 0 rejected."
    )
    assert "__mercure_routing" not in result


def test_a_rejected_radiograph_is_a_success_with_a_report(module: Module) -> None:
    module.put(dicom_of(draw_phantom(100, 30)[:60, :60]))
    assert module.run() == 0
    (row,) = module.result["radiographs"]
    assert row["status"] == "rejected"
    assert module.objects[row["objects"]["report"]].SOPClassUID == REPORT


def test_other_objects_of_a_study_are_left_out(module: Module) -> None:
    own = dicom_of(
        draw_phantom(100, 30),
        SOPClassUID="1.2.840.10008.5.1.4.1.1.7",
        Manufacturer="bone-age-tf",
        ImageType=["DERIVED", "SECONDARY"],
    )
    chest = dicom_of(draw_phantom(100, 30), BodyPartExamined="CHEST")
    module.put(own, chest)
    assert module.run() == 0
    assert module.result["left_out"] == {"not_a_radiograph": 1, "body_part": 1}
    assert module.objects == {}
    assert module.result["__mercure_routing"] == {"discard": True}


def test_a_damaged_file_costs_no_other(module: Module) -> None:
    module.put(phantom_file(1), phantom_file(2)[:-1000], b"\0" * 200, objects=["report"])
    assert module.run() == 0
    rows = {row["id"]: row for row in module.result["radiographs"]}
    assert rows["dicom-0001"]["status"] == "ok"
    assert rows["dicom-0002"]["reason"].startswith("damaged")
    assert len(module.objects) == 2


def test_nothing_that_identifies_a_patient_is_in_the_result(
    module: Module, capfd: pytest.CaptureFixture[str]
) -> None:
    module.put(canary_dicom(1), canary_dicom(2, BodyPartExamined="CHEST"), objects=["report"])
    assert module.run() == 0
    said = capfd.readouterr()
    told = (said.out + said.err).encode() + (module.output / "result.json").read_bytes()
    assert canaries_in([("result", told)]) == []
    for file in module.input.glob("*.dcm"):
        for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
            assert str(read(file.read_bytes())[keyword].value).encode() not in told


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objects": ["letter"]}, "task.json, process.settings: objects"),
        ({"sr": "basic"}, "task.json, process.settings: sr must"),
        ({"uid_root": "x"}, "task.json, process.settings: the UID root"),
        ({"treshold": 1}, "has no setting treshold. Expected: accept_dicom, model, objects"),
    ],
)
def test_settings_that_cannot_be_used(
    module: Module, settings: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module.put(phantom_file(1), **settings)
    assert module.run() == 2
    assert message in module.result["error"]
    assert module.result["status"] == "failed"
    assert message in capsys.readouterr().err


def test_faults_are_told(module: Module, capsys: pytest.CaptureFixture[str]) -> None:
    assert module.run() == 3
    assert "Received none" in module.result["error"]
    module.put(phantom_file(1), model="/no/such/model")
    assert module.run() != 0
    assert "/no/such/model" in module.result["error"]
    (module.input / "task.json").write_text("{")
    assert module.run() == 3
    assert "expected JSON" in module.result["error"]
    assert "expected JSON" in capsys.readouterr().err


def test_no_object_at_all_is_a_failure(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(mercure, "MAKERS", dict.fromkeys(mercure.MAKERS, fail))
    module.put(phantom_file(1), objects=["report"])
    assert module.run() == 3
    assert "not_made" in module.result["error"]


@pytest.mark.parametrize("content", ["{}", '{"process": {}}', '{"process": []}', "[]", '"x"'])
def test_a_task_without_settings_has_the_default_ones(tmp_path: Path, content: str) -> None:
    (tmp_path / "task.json").write_text(content)
    assert mercure.settings_of(mercure.read_process(tmp_path)) == MercureConfig()
    (tmp_path / "task.json").unlink()
    assert mercure.settings_of(mercure.read_process(tmp_path)) == MercureConfig()


def test_a_task_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "task.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputDataError, match="expected JSON"):
        mercure.read_process(tmp_path)
    with pytest.raises(UsageError, match="expected an object"):
        mercure.settings_of({"settings": ["report"]})
