"""The outline and the bone age over the radiograph, which looks as before."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_checkers import dcmtk, errors_of, written
from dicom_results import dataset_of_phantom, result_of_phantom
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from bone_age_tf.config import RESEARCH_ONLY, DicomOutputConfig
from bone_age_tf.dicom.source import read_source
from bone_age_tf.dicom_output.attributes import encoded
from bone_age_tf.dicom_output.presentation_state import presentation_state_of
from bone_age_tf.dicom_output.result import Result

CONFIG = DicomOutputConfig()


def _state(result: Result) -> Dataset:
    state = presentation_state_of(result, CONFIG)
    assert state is not None
    return state


def _lut(descriptor: list[int], entries: np.ndarray, kind: str = "") -> Dataset:
    lut = Dataset()
    lut.add_new("LUTDescriptor", "US", descriptor)
    lut.add_new("LUTData", "OW", entries.round().astype("<u2").tobytes())
    if kind:
        lut.ModalityLUTType = kind
    return lut


SQUARE_ROOT = np.sqrt(np.linspace(0, 1, 4096))
LOOKS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "narrow window": {"WindowCenter": 1500, "WindowWidth": 1000},
    "two windows": {"WindowCenter": [1500, 2000], "WindowWidth": [1000, 300]},
    "exact window": {"WindowCenter": 1000, "WindowWidth": 900, "VOILUTFunction": "LINEAR_EXACT"},
    "sigmoid": {"WindowCenter": 1500, "WindowWidth": 900, "VOILUTFunction": "SIGMOID"},
    "look-up table": {"VOILUTSequence": [_lut([4096, 0, 12], SQUARE_ROOT * 4095)]},
    "modality table": {
        "ModalityLUTSequence": [_lut([4096, 0, 16], SQUARE_ROOT[::-1] * 65535, "US")],
        **dict.fromkeys(("RescaleSlope", "RescaleIntercept", "RescaleType")),
        **{"WindowCenter": 32768, "WindowWidth": 50000},
    },
    "rescale": {
        **{"RescaleSlope": 2, "RescaleIntercept": -100, "RescaleType": "US"},
        **{"WindowCenter": 3000, "WindowWidth": 4000},
    },
    "inverse": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    "shutter": {
        **{"ShutterShape": "RECTANGULAR", "ShutterPresentationValue": 0},
        **{"ShutterLeftVerticalEdge": 50, "ShutterRightVerticalEdge": 300},
        **{"ShutterUpperHorizontalEdge": 60, "ShutterLowerHorizontalEdge": 400},
    },
}


@pytest.mark.parametrize("look", LOOKS)
def test_the_radiograph_looks_as_before(look: str, tmp_path: Path) -> None:
    """DCMTK renders it with the presentation state as without one."""
    image = _image(look, ExplicitVRLittleEndian, tmp_path)
    state = written(_state_of(image), tmp_path)
    assert errors_of(state) == []
    dcmtk("dcmp2pgm", image, tmp_path / "before.pgm")
    dcmtk("dcmp2pgm", "--pstate", state, image, tmp_path / "after.pgm")
    assert (tmp_path / "after.pgm").read_bytes() == (tmp_path / "before.pgm").read_bytes()


@pytest.mark.parametrize("look", ["look-up table", "modality table", "two windows"])
def test_representations_that_are_not_told_make_no_difference(look: str, tmp_path: Path) -> None:
    """Those of a LUT are ambiguous in implicit VR."""
    states = [
        _state_of(_image(look, syntax, tmp_path))
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    ]
    assert encoded(states[0]) == encoded(states[1])


def _image(look: str, syntax: UID, folder: Path) -> Path:
    dataset = dataset_of_phantom(1)
    for keyword, value in LOOKS[look].items():
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(folder / "image.dcm", implicit_vr=syntax.is_implicit_VR)
    return folder / "image.dcm"


def _state_of(image: Path) -> Dataset:
    source = read_source(image.read_bytes())
    return _state(dataclasses.replace(result_of_phantom(1), source=source))


@pytest.mark.parametrize("number", [2, 4])
def test_a_radiograph_of_computed_radiography_looks_as_before(number: int, tmp_path: Path) -> None:
    """MONOCHROME1, without a window."""
    image = tmp_path / "image.dcm"
    dataset_of_phantom(number).save_as(image)
    state = written(_state(result_of_phantom(number)), tmp_path)
    dcmtk("dcmp2pgm", image, tmp_path / "before.pgm")
    dcmtk("dcmp2pgm", "--pstate", state, image, tmp_path / "after.pgm")
    assert (tmp_path / "after.pgm").read_bytes() == (tmp_path / "before.pgm").read_bytes()


@pytest.mark.parametrize("number", [1, 2, 4])
def test_dcmtks_checker_passes_it(number: int, tmp_path: Path) -> None:
    said = dcmtk("dcmpschk", written(_state(result_of_phantom(number)), tmp_path))
    assert "Test passed" in said


def test_outline_and_bone_age_are_on_a_layer() -> None:
    result = result_of_phantom(1)
    state = _state(result)
    (annotation,) = state.GraphicAnnotationSequence
    assert [layer.GraphicLayer for layer in state.GraphicLayerSequence] == [annotation.GraphicLayer]
    reference = annotation.ReferencedImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == result.source.SOPInstanceUID
    (outline,), (text,) = annotation.GraphicObjectSequence, annotation.TextObjectSequence
    assert (outline.GraphicType, outline.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
    points = np.array(outline.GraphicData).reshape(-1, 2)
    assert (points[0] == points[-1]).all() and result.outline is not None
    np.testing.assert_allclose(points[:-1], result.outline + 0.5, atol=1e-3)
    lines = text.UnformattedTextValue.split("\r\n")
    assert lines[0] == "Bone age 10 years 1 month (121.3 months)"
    assert "105.2 to 137.5" in lines[1] and lines[2] == RESEARCH_ONLY


def test_points_outside_the_radiograph_are_on_its_edge() -> None:
    corners = np.array([[-30.0, -30.0], [9999.0, -30.0], [9999.0, 9999.0]])
    state = _state(dataclasses.replace(result_of_phantom(1), outline=corners))
    points = state.GraphicAnnotationSequence[0].GraphicObjectSequence[0].GraphicData
    assert list(points) == [0, 0, 410, 0, 410, 512, 0, 0]


def test_the_shape_of_the_pixels_is_kept() -> None:
    without = ("ImagerPixelSpacing",)
    areas = [
        _state(result).DisplayedAreaSelectionSequence[0]
        for result in (
            result_of_phantom(1, ImagerPixelSpacing=["0.2", "0.1"]),
            result_of_phantom(1, without=without, PixelAspectRatio=["2", "1"]),
            result_of_phantom(1, without=without),
        )
    ]
    assert list(areas[0].PresentationPixelSpacing) == [0.2, 0.1]
    assert "PresentationPixelAspectRatio" not in areas[0]
    assert list(areas[1].PresentationPixelAspectRatio) == [2, 1]
    assert list(areas[2].PresentationPixelAspectRatio) == [1, 1]


def test_there_is_none_of_a_rejected_radiograph_or_one_in_colour() -> None:
    rejected = result_of_phantom(1, rejected="two_hands: there is more than one hand")
    assert presentation_state_of(rejected, CONFIG) is None
    colour = result_of_phantom(1, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    assert presentation_state_of(colour, CONFIG) is None
