"""Headers of the DICOM files of a folder, whatever else is in it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import encode
from dicom_files import dicom_of

from bone_age_tf.data.dicom_headers import read_headers
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import Header
from bone_age_tf.files.images import SourceFile, list_files

PIXELS = np.arange(64 * 80, dtype=np.uint16).reshape(80, 64)


def _files(folder: Path) -> dict[str, SourceFile]:
    return {file.name: file for file in list_files(folder)}


def test_dicom_is_found_by_its_content_in_folders_and_zips(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study/IM0001").write_bytes(dicom_of(PIXELS, PatientID="one"))
    (tmp_path / "study/two.dcm").write_bytes(dicom_of(PIXELS, PatientID="two"))
    shutil.make_archive(str(tmp_path / "sent"), "zip", tmp_path / "study")
    (tmp_path / "hand.png").write_bytes(encode(np.zeros((80, 64), np.uint8)))
    (tmp_path / "no.dcm").write_bytes(encode(np.zeros((80, 64), np.uint8)))
    files = _files(tmp_path)
    headers = read_headers(files.values())
    found = {file.name: h.patient_id for file, h in headers.items() if isinstance(h, Header)}
    assert len(found) == len(headers)
    assert found == {
        "study/IM0001": "one",
        "study/two.dcm": "two",
        "sent.zip/IM0001": "one",
        "sent.zip/two.dcm": "two",
    }


def test_a_header_that_cannot_be_read_is_told_apart_from_no_dicom(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(b"\x08\0\x05\0CS\x0a\0ISO_IR 100")
    (tmp_path / "whole").write_bytes(dicom_of(PIXELS))
    (tmp_path / "broken.dcm").symlink_to(tmp_path / "nothing")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nothing")
    files = _files(tmp_path)
    found = {file.name: one for file, one in read_headers(files.values()).items()}
    assert set(found) == {"cut", "whole", "broken.dcm"}
    cut, broken = found["cut"], found["broken.dcm"]
    assert isinstance(cut, Fault)
    assert cut.reason == "not_a_radiograph"
    assert isinstance(broken, Fault)
    assert broken.reason == "unreadable"
    assert "broken" not in broken.explanation
    assert isinstance(found["whole"], Header)


def test_of_other_files_only_the_first_bytes_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hand.png").write_bytes(encode(np.zeros((80, 64), np.uint8)))
    monkeypatch.delattr(SourceFile, "read")
    assert read_headers(list_files(tmp_path)) == {}
