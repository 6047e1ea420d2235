"""The reference agrees with two other implementations wherever these follow the standard.

They do not everywhere [highdicom 0.28.2, DCMTK 3.6.7]:

| | highdicom `Image.get_frame` | DCMTK `dcm2pnm +on2` |
|---|---|---|
| window and a Rescale Slope other than 1 | LINEAR's -0.5 and -1 in stored units, not in output units | the output of the modality is truncated |
| LINEAR_EXACT | right | as LINEAR |
| rounding | none: float | truncated |
| n bits, entries of n bits | as they are | shifted left: 12 bits end at 65520 |
| LUT entries of 9 to 15 bits, 65536 entries, 8 bits in words | refused | right |
| bits above Bits Stored, High Bit | neither masked nor shifted | right |
| Pixel Padding Value | a value like any other | a value like any other |
"""

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from encoded_files import as_file, opened
from grey_cases import CASES
from pydicom import Dataset
from standard_grey import standard_grey

IN_HIGHDICOM = (
    "16 bits, MONOCHROME1",
    "16 bits, MONOCHROME2",
    "window, no function",
    "window LINEAR",
    "window LINEAR of width 1",
    "window LINEAR_EXACT",
    "window LINEAR_EXACT below 1",
    "window SIGMOID",
    "window SIGMOID, narrow",
    "window, 8 bits",
    "window, 16 bits",
    "window, first of three",
    "window, MONOCHROME1",
    "window, INVERSE",
    "window, MONOCHROME1, INVERSE",
    "VOI LUT, 16-bit entries",
    "VOI LUT, 8-bit entries, two a word",
    "VOI LUT, 8-bit entries, two a word, odd",
    "VOI LUT, falling",
    "VOI LUT before window",
    "VOI LUT, first of two",
    "Modality LUT",
    "Modality LUT, window",
)
WINDOWS_IN_DCMTK = (
    "window, no function",
    "window LINEAR",
    "window LINEAR of width 1",
    "window SIGMOID",
    "window SIGMOID, narrow",
    "window, 8 bits",
    "window, 16 bits",
    "window, first of three",
    "window, MONOCHROME1",
    "window, MONOCHROME1, INVERSE",
    "signed, rescale, window",
    "Modality LUT, window",
)
N_BITS_IN_DCMTK = {
    "6 bits": 6,
    "8 bits in 8": 8,
    "10 bits, MONOCHROME2": 10,
    "12 bits, MONOCHROME2": 12,
    "12 bits in 32": 12,
    "14 bits, MONOCHROME2": 14,
    "16 bits, MONOCHROME2": 16,
    "signed": 12,
    "signed, 16 bits": 16,
    "IDENTITY": 12,
    "bits above those stored": 12,
    "bits above those stored, signed": 12,
    "High Bit 15": 12,
    "High Bit 14, signed": 12,
    "VOI LUT, 16-bit entries": 16,
    "VOI LUT, 12-bit entries": 12,
    "VOI LUT, 8-bit entries": 8,
    "VOI LUT, 8-bit entries, two a word": 8,
    "VOI LUT, 8-bit entries, two a word, odd": 8,
    "VOI LUT, 65536 entries": 16,
    "VOI LUT, part of the range": 14,
    "VOI LUT, signed first value": 10,
    "VOI LUT, falling": 16,
    "VOI LUT before window": 16,
    "VOI LUT, first of two": 16,
    "Modality LUT, falling": 10,
    "Modality LUT, VOI LUT": 8,
}
"""Name of a case of `grey_cases` -> bits of what is shown."""
INVERTED_IN_DCMTK = {
    "8 bits, MONOCHROME1": 8,
    "12 bits, MONOCHROME1": 12,
    "signed, MONOCHROME1": 12,
    "INVERSE": 12,
    "MONOCHROME1, INVERSE": 12,
    "VOI LUT, MONOCHROME1": 8,
}


@pytest.mark.parametrize("name", IN_HIGHDICOM)
def test_highdicom_agrees(name: str) -> None:
    highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed")
    words, dataset = CASES[name]()
    image = opened(as_file(dataset))
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyTime"):
        setattr(image, keyword, "")
    image.AccessionNumber = image.StudyID = image.StudyDate = ""
    image.Modality, image.StudyInstanceUID, image.SeriesInstanceUID = "DX", "1.2", "1.3"
    image.InstanceNumber = 1
    has_voi = "WindowCenter" in image or "VOILUTSequence" in image
    with np.errstate(all="ignore"):
        shown = highdicom.Image.from_dataset(image).get_frame(
            1, apply_voi_transform=has_voi, voi_output_range=(0, 65535), dtype=np.float64
        )
    assert np.abs(shown - standard_grey(dataset, words)).max() <= 0.5


@pytest.mark.parametrize("name", WINDOWS_IN_DCMTK)
def test_dcmtk_agrees_on_windows_but_for_its_rounding(name: str, tmp_path: Path) -> None:
    words, dataset = CASES[name]()
    shown = by_dcmtk(dataset, tmp_path)
    assert np.abs(shown - standard_grey(dataset, words)).max() <= 1


@pytest.mark.parametrize("name", N_BITS_IN_DCMTK)
def test_dcmtk_agrees_on_n_bits_but_shifts_them(name: str, tmp_path: Path) -> None:
    words, dataset = CASES[name]()
    bits = N_BITS_IN_DCMTK[name]
    levels = by_dcmtk(dataset, tmp_path) >> (16 - bits)
    scaled = np.rint(levels * (65535 / (2**bits - 1)))
    np.testing.assert_array_equal(scaled, standard_grey(dataset, words))


@pytest.mark.parametrize("name", INVERTED_IN_DCMTK)
def test_dcmtk_agrees_on_the_one_inversion(name: str, tmp_path: Path) -> None:
    words, dataset = CASES[name]()
    bits = INVERTED_IN_DCMTK[name]
    levels = np.rint((65535 - by_dcmtk(dataset, tmp_path)) / 2 ** (16 - bits))  # it truncates
    scaled = np.rint(levels * (65535 / (2**bits - 1)))
    np.testing.assert_array_equal(65535 - scaled, standard_grey(dataset, words))


def by_dcmtk(dataset: Dataset, folder: Path) -> np.ndarray:
    if shutil.which("dcm2pnm") is None:
        pytest.skip("dcm2pnm of DCMTK is not installed")
    source, picture = folder / "source.dcm", folder / "picture.png"
    source.write_bytes(as_file(dataset))
    voi = ["+Wi", "1"] if "WindowCenter" in dataset else []
    voi = ["+Wl", "1"] if "VOILUTSequence" in dataset else voi
    command = ["dcm2pnm", "--quiet", "-O", "+on2", *voi, str(source), str(picture)]
    subprocess.run(command, check=True)
    return cv2.imread(str(picture), cv2.IMREAD_UNCHANGED).astype(np.int64)
