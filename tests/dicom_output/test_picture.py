"""The drawn result, and the Secondary Capture that holds it."""

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from dicom_checkers import dcmtk, written
from dicom_results import result_of_phantom
from pydicom.dataset import Dataset

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom.admission import fault_in
from bone_age_tf.dicom.header import Header, read_header
from bone_age_tf.dicom_output.attributes import encoded
from bone_age_tf.dicom_output.drawing import HEIGHT, MARGIN, RED, WIDTH, draw
from bone_age_tf.dicom_output.instance import GREEN
from bone_age_tf.dicom_output.picture import picture_of
from bone_age_tf.dicom_output.result import Result
from bone_age_tf.inference.sentences import WARNINGS

CONFIG = DicomOutputConfig()
TWO_HANDS = "two_hands: there is more than one hand in the picture"


def _picture(result: Result) -> Dataset:
    picture = picture_of(result, CONFIG)
    assert picture is not None
    return picture


def _drawn(result: Result) -> np.ndarray:
    pixels = draw(result)
    assert pixels is not None
    return pixels


def _with_png(result: Result, pixels: np.ndarray) -> Result:
    png = cv2.imencode(".png", pixels)[1].tobytes()
    return dataclasses.replace(result, png=png)


# === Drawing ===


def test_the_outline_lies_where_the_hand_does() -> None:
    result = result_of_phantom(1)
    pixels = _drawn(result)
    assert (pixels.dtype, pixels.shape[1:]) == (np.uint8, (WIDTH, 3))
    assert result.outline is not None
    scale = HEIGHT / 512
    left = (WIDTH - round(410 * scale)) // 2
    for x, y in result.outline:
        column, row = left + (x + 0.5) * scale, (y + 0.5) * scale
        around = pixels[int(row) - 2 : int(row) + 3, int(column) - 2 : int(column) + 3]
        assert (np.abs(around.astype(int) - GREEN).sum(axis=-1) < 60).any()


def test_the_radiograph_is_as_it_was_received() -> None:
    """Neither mirrored nor inverted, and all of it, in the middle."""
    grey = np.zeros((400, 300), np.uint16)
    grey[:200, :150] = 20000
    grey[200:, 150:] = 65535
    pixels = _drawn(dataclasses.replace(_with_png(result_of_phantom(1), grey), outline=None))
    left = (WIDTH - 810) // 2
    assert pixels[270, left + 200].tolist() == [78] * 3
    assert pixels[810, left + 600].tolist() == [255] * 3
    assert not pixels[:HEIGHT, : left - 1].any() and not pixels[:HEIGHT, left + 811 :].any()


@pytest.mark.parametrize("shape", [(64, 64), (64, 3000), (3000, 64), (300, 400)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_radiograph_of_any_shape_fits(shape: tuple[int, int], dtype: Any) -> None:
    ramp = np.linspace(0, np.iinfo(dtype).max, shape[1], dtype=dtype)
    result = _with_png(result_of_phantom(1), np.tile(ramp, (shape[0], 1)))
    pixels = _drawn(dataclasses.replace(result, outline=None))
    height = round(min(WIDTH / shape[1], HEIGHT / shape[0]) * shape[0])
    assert pixels.shape[1] == WIDTH and 300 < pixels.shape[0] - height < 500
    assert pixels.max() == 255


def test_long_texts_are_wrapped_within_the_margins() -> None:
    """As of the greatest age, with every warning."""
    row = {
        "bone_age_months": 239.0,
        "bone_age_low_months": 226.6,
        "bone_age_high_months": 239.9,
        "sd_score": -12.345,
        "verdict": "advanced",
        "warning": " ".join(WARNINGS),
    }
    pixels = _drawn(result_of_phantom(1, prediction=row))
    for margin in (pixels[HEIGHT + 4 :, : MARGIN - 2], pixels[HEIGHT + 4 :, 2 - MARGIN :]):
        assert not margin.any()
    assert not pixels[-20:].any()
    assert len(pixels) < HEIGHT + 2000  # nothing is cut off
    assert len(pixels) > len(_drawn(result_of_phantom(1))) + 15 * 34


def test_the_pixels_name_nobody() -> None:
    other = {
        **{"PatientName": "Other^Name", "PatientID": "other", "PatientBirthDate": "20010203"},
        **{"StudyDate": "20200101", "AcquisitionDate": "20200101", "AccessionNumber": "other"},
        **{"InstitutionName": "other", "StudyInstanceUID": "1.2.3", "SOPInstanceUID": "1.2.4"},
    }
    assert (_drawn(result_of_phantom(1)) == _drawn(result_of_phantom(1, **other))).all()


def test_a_rejected_radiograph_says_so_in_red() -> None:
    pixels = _drawn(result_of_phantom(1, rejected=TWO_HANDS))
    assert (pixels == RED).all(axis=-1).sum() > 500
    assert not (pixels == GREEN).all(axis=-1).any()
    assert (_drawn(result_of_phantom(1)) == GREEN).all(axis=-1).sum() > 500


# === Secondary Capture ===


def test_the_picture_names_its_source_and_how_it_was_derived() -> None:
    result = result_of_phantom(1)
    picture = _picture(result)
    assert picture.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
    assert list(picture.ImageType) == ["DERIVED", "SECONDARY"]
    assert (picture.ConversionType, picture.Modality) == ("WSD", "OT")
    (source,) = picture.SourceImageSequence
    assert source.ReferencedSOPClassUID == result.source.SOPClassUID
    assert source.ReferencedSOPInstanceUID == result.source.SOPInstanceUID
    assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert "bone_age 1" in picture.DerivationDescription
    assert picture.DerivationCodeSequence[0].CodeValue == "113085"
    assert (picture.Laterality, picture.BodyPartExamined) == ("L", "HAND")
    assert list(picture.PatientOrientation) == ["L", "H"]
    assert picture.PatientAge == result.source.PatientAge


def test_readers_get_the_drawn_pixels(tmp_path: Path) -> None:
    result = result_of_phantom(2)
    path = written(_picture(result), tmp_path)
    drawn = _drawn(result)
    assert (pydicom.dcmread(path).pixel_array == drawn).all()
    dcmtk("dcmj2pnm", "--write-png", path, tmp_path / "picture.png")
    assert (cv2.imread(str(tmp_path / "picture.png"))[..., ::-1] == drawn).all()


def test_text_of_the_radiograph_and_loss_are_passed_on() -> None:
    plain = _picture(result_of_phantom(1, without=("BurnedInAnnotation", "LossyImageCompression")))
    assert "BurnedInAnnotation" not in plain and "LossyImageCompression" not in plain
    odd = _picture(
        result_of_phantom(
            1,
            BurnedInAnnotation="YES",
            LossyImageCompression="01",
            LossyImageCompressionRatio=10,
            LossyImageCompressionMethod="ISO_10918_1",
        )
    )
    assert (odd.BurnedInAnnotation, odd.LossyImageCompression) == ("YES", "01")
    assert odd.LossyImageCompressionRatio == 10


def test_there_is_none_without_a_radiograph_to_draw() -> None:
    assert picture_of(dataclasses.replace(result_of_phantom(1), png=None), CONFIG) is None
    assert picture_of(dataclasses.replace(result_of_phantom(1), png=b"no PNG"), CONFIG) is None


def test_a_picture_is_no_radiograph_to_predict() -> None:
    """Or its prediction would be drawn, and predicted again, without end."""
    header = read_header(encoded(_picture(result_of_phantom(1))))
    assert isinstance(header, Header)
    fault = fault_in(header)
    assert fault is not None and "picture of a result" in fault.explanation
