"""`predict --dicom-output`: one row for each file and object, whatever happens to one of them."""

import csv
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from conftest import ROOT, encode
from dicom_files import dicom_of
from dicom_results import PREDICTION, _rejected, phantom_file

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import read_header
from bone_age_tf.dicom_output import objects, results
from bone_age_tf.dicom_output.folder import DicomFolder
from bone_age_tf.dicom_output.outline import mask_of
from bone_age_tf.errors import UsageError
from bone_age_tf.files.images import SourceFile
from bone_age_tf.inference.predict import Predicted

MODEL = str(ROOT / "saved_models/bone_age")
REPORT = DicomOutputConfig(objects=("report",))
GREY = np.full((340, 260), 700, np.uint16)
Rows = list[dict[str, str]]
Write = Callable[..., Rows]


def predicted(tmp_path: Path, content: bytes, *, name: str = "Canary^Jane.dcm", rejected: str = "", **given: Any) -> Predicted:  # fmt: skip
    """A radiograph as `predict` hands it on: a box in the prepared radiograph, of which each pixel is half one of the
    file."""
    path = tmp_path / name
    path.write_bytes(content)
    header = read_header(content)
    prepared = np.zeros((520, 400, 1), np.uint8)
    prepared[100:400, 100:300] = 90
    values = {
        "file": SourceFile(name, str(path)),
        "prediction": _rejected(PREDICTION, rejected) if rejected else PREDICTION,
        "header": None if isinstance(header, Fault) else header,
        "encoded": content,
        "prepared": None if rejected else prepared,
        "prepared_to_original": None
        if rejected
        else np.array([[0.5, 0, 0], [0, 0.5, 0]], np.float32),
        "shown_id": "dicom-0001" if content[128:132] == b"DICM" else Path(name).stem,
    }
    return Predicted(**{**values, **given})


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes radiographs into `tmp_path/objects`; the rows of the table."""

    def write(*radiographs: Predicted, config: DicomOutputConfig = REPORT, **options: Any) -> Rows:
        given = {"output": str(tmp_path / "out"), "overwrite": True, **options}
        folder = DicomFolder(str(tmp_path / "dicom"), MODEL, config, **given)
        for radiograph in radiographs:
            folder(radiograph)
        folder.close()
        with (tmp_path / "dicom/objects.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))

    return write


def test_each_file_has_a_row_and_each_radiograph_its_objects(write: Write, tmp_path: Path) -> None:
    def made(content: bytes, name: str, **given: Any) -> Predicted:
        return predicted(tmp_path, content, name=name, **given)

    chest = "body_part: the header names another body part (chest)"
    damaged = "damaged: the DICOM file is truncated, or its pixels cannot be decoded"
    sr = dicom_of(GREY, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", Rows=None, Columns=None)
    rows = write(
        made(dicom_of(GREY), "one.dcm"),
        made(encode(np.full((99, 99), 90, np.uint8)), "hand.png"),
        made(dicom_of(GREY, BodyPartExamined="CHEST"), "chest.dcm", rejected=chest, encoded=b""),
        made(dicom_of(GREY)[:700], "cut.dcm", header=None, rejected=damaged, encoded=b""),
        made(sr, "report.dcm", rejected="not_a_radiograph: ...", encoded=b""),
        made(dicom_of(GREY, StudyInstanceUID=None), "without.dcm"),
    )
    assert [(row["id"], row["kind"], row["file"]) for row in rows] == [
        ("dicom-0001", "report", "objects/0001-report.dcm"),
        ("hand", "", ""),
        ("dicom-0001", "report", "objects/0003-report.dcm"),
        ("dicom-0001", "", ""),
        ("dicom-0001", "", ""),
        ("dicom-0001", "", ""),
    ]
    assert rows[1]["reason"].startswith("not_dicom: ")
    assert rows[3]["reason"] == damaged
    assert rows[4]["reason"].startswith("no_object: the file is no radiograph")
    assert rows[5]["reason"] == "no_object: the header has no StudyInstanceUID"
    for row in (rows[0], rows[2]):
        written = pydicom.dcmread(tmp_path / "dicom" / row["file"])
        assert (written.SOPInstanceUID, written.SOPClassUID) == (
            row["sop_instance_uid"],
            row["sop_class_uid"],
        )
        assert written.StudyInstanceUID == "1.2.826.0.1.3680043.8.498.1"
        assert written.PatientID == "canary-patient"
    provenance = json.loads((tmp_path / "dicom/provenance.json").read_text())
    assert provenance["objects"] == {"report": 2} and provenance["rows_without_object"] == 4
    assert len(list((tmp_path / "dicom/objects").iterdir())) == 2


def test_the_table_tells_nothing_of_a_patient(write: Write, tmp_path: Path) -> None:
    write(predicted(tmp_path, dicom_of(GREY)))
    seen = (tmp_path / "dicom/objects.csv").read_text()
    seen += (tmp_path / "dicom/provenance.json").read_text()
    seen += " ".join(path.name for path in (tmp_path / "dicom").rglob("*"))
    for canary in ("anary", "Jane", "20240131", "20140131", "1.2.826"):
        assert canary not in seen


def test_an_object_that_cannot_be_made_costs_no_other(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise ValueError("Canary^Jane")

    monkeypatch.setitem(objects.MAKERS, "report", fail)  # type: ignore[arg-type]
    config = DicomOutputConfig(objects=("report", "segmentation"))
    rows = write(predicted(tmp_path, phantom_file(1)), config=config)
    assert [(row["kind"], bool(row["file"])) for row in rows] == [
        ("report", False),
        ("segmentation", True),
    ]
    assert rows[0]["reason"] == "not_made: this object cannot be made of the header (ValueError)"


def test_a_kind_that_a_rejected_radiograph_does_not_give_is_no_row_unless_it_is_all(
    write: Write, tmp_path: Path
) -> None:
    reason = "two_hands: there is more than one hand in the picture"
    one = predicted(tmp_path, dicom_of(GREY), rejected=reason)
    both = DicomOutputConfig(objects=("report", "segmentation"))
    assert [row["kind"] for row in write(one, config=both)] == ["report"]
    rows = write(one, config=DicomOutputConfig(objects=("segmentation",)))
    assert [(row["kind"], row["reason"]) for row in rows] == [("", reason)]


def test_a_picture_of_a_result_gives_no_other_result(write: Write, tmp_path: Path) -> None:
    config = DicomOutputConfig(objects=("picture",))
    [row] = write(predicted(tmp_path, phantom_file(1)), config=config)
    again = predicted(tmp_path, (tmp_path / "dicom" / row["file"]).read_bytes(), name="again.dcm")
    [row] = write(again, config=config)
    assert row["reason"] == "no_object: the file is a picture of an earlier result"


def test_a_file_that_is_gone_is_a_row(write: Write, tmp_path: Path) -> None:
    gone = predicted(tmp_path, dicom_of(GREY), encoded=b"", rejected="no_sex: ...")
    Path(gone.file.path).unlink()
    rows = write(gone, predicted(tmp_path, dicom_of(GREY), name="next.dcm"))
    assert rows[0]["reason"].startswith("unreadable: ") and "Jane" not in rows[0]["reason"]
    assert rows[1]["kind"] == "report"


def test_pixels_are_decoded_again_for_a_picture_alone(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []

    def decode(encoded: bytes) -> bytes:
        decoded.append(encoded)
        return encode(np.full(GREY.shape, 90, np.uint8))

    monkeypatch.setattr(results, "to_png", decode)
    one = predicted(tmp_path, dicom_of(GREY))
    write(one, config=DicomOutputConfig(objects=("report", "segmentation", "key_object")))
    assert decoded == []
    assert [row["kind"] for row in write(one, config=DicomOutputConfig())] == ["report", "picture"]
    assert len(decoded) == 1


def test_the_outline_is_that_of_the_hand_or_of_the_whole_radiograph(tmp_path: Path) -> None:
    model = results.identity_of(MODEL)
    assert model.is_registered
    one = predicted(tmp_path, dicom_of(GREY))
    hand = results.result_of(one, model, with_radiograph=False)
    assert hand is not None and hand.mask is not None
    assert hand.mask.sum() == pytest.approx(150 * 100, rel=0.03)
    assert hand.mask[51:199, 51:149].mean() > 0.99
    whole = results.result_of(
        one, model.__class__(**{**vars(model), "is_registered": False}), with_radiograph=False
    )
    assert whole is not None and whole.outline is not None
    assert mask_of(whole.outline, GREY.shape).all()


def test_a_rerun_writes_the_same_bytes(write: Write, tmp_path: Path) -> None:
    config = DicomOutputConfig(objects=("report", "segmentation", "key_object"))

    def contents() -> dict[str, bytes]:
        write(predicted(tmp_path, phantom_file(1)), config=config)
        return {p.name: p.read_bytes() for p in (tmp_path / "dicom/objects").iterdir()}

    first = contents()
    assert len(first) == 3 and contents() == first


# === The folder ===


def test_results_are_not_overwritten(write: Write, tmp_path: Path) -> None:
    one = predicted(tmp_path, dicom_of(GREY))
    write(one)
    with pytest.raises(UsageError, match="--dicom-output .*--overwrite"):
        write(one, overwrite=False)
    (tmp_path / "dicom/objects/old.dcm").touch()
    (tmp_path / "dicom/notes.txt").touch()
    write(one)
    assert not (tmp_path / "dicom/objects/old.dcm").exists()
    assert (tmp_path / "dicom/notes.txt").exists()


def test_results_of_an_earlier_call_stay_until_there_is_something_to_write(
    write: Write, tmp_path: Path
) -> None:
    write(predicted(tmp_path, dicom_of(GREY)))
    DicomFolder(
        str(tmp_path / "dicom"), MODEL, REPORT, output=str(tmp_path / "out"), overwrite=True
    )
    assert (tmp_path / "dicom/objects/0001-report.dcm").exists()


@pytest.mark.parametrize(
    ("folder", "output"),
    [
        ("out", "out"),
        ("out/reports", "out"),
        ("out/fhir/dicom", "out"),
        ("out/../out", "out"),
        ("dicom", "dicom/objects"),
        ("dicom", "dicom/objects/1"),
    ],
)
def test_neither_folder_lies_among_the_results_of_the_other(
    folder: str, output: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="a folder of its own"):
        DicomFolder(
            str(tmp_path / folder), MODEL, REPORT, output=str(tmp_path / output), overwrite=True
        )


def test_a_folder_inside_the_output_is_fine(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    DicomFolder(str(tmp_path / "out/dicom"), MODEL, REPORT, output=output, overwrite=False)


def test_results_in_the_output_are_seen_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/predictions.csv").touch()
    with pytest.raises(UsageError, match="--output"):
        DicomFolder(
            str(tmp_path / "dicom"), MODEL, REPORT, output=str(tmp_path / "out"), overwrite=False
        )
    assert not (tmp_path / "dicom").exists()


def test_a_path_that_cannot_be_a_folder_is_an_error_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        DicomFolder(
            str(tmp_path / "file/dicom"),
            MODEL,
            REPORT,
            output=str(tmp_path / "out"),
            overwrite=False,
        )


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "highdicom" else find(name)
    )
    with pytest.raises(UsageError, match=r"highdicom.*bone-age-tf\[dicom-output\]"):
        DicomFolder(
            str(tmp_path / "dicom"), MODEL, REPORT, output=str(tmp_path / "out"), overwrite=False
        )
