import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_files import dicom_of

from bone_age_tf.dicom.admission import accept, fault_in
from bone_age_tf.dicom.decoders import SYNTAXES
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import Header, read_header

DX = "1.2.840.10008.5.1.4.1.1.1.1"
FOR_PROCESSING = f"{DX}.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def header(**changes: Any) -> Header:
    found = read_header(dicom_of(np.zeros((10, 8), np.uint16)))
    assert isinstance(found, Header)
    return dataclasses.replace(found, **changes)


@pytest.fixture(autouse=True)
def nothing_accepted() -> Iterator[None]:
    accept()
    yield
    accept()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        *(
            {"sop_class": uid}
            for uid in (DX, "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.7")
        ),
        *({"sop_class": f"1.2.840.10008.5.1.4.1.1.7.{i}"} for i in (2, 3, 4)),
        {"rows": 5000, "columns": 8000},
        {"photometric_interpretation": "MONOCHROME1"},
        {
            "photometric_interpretation": "RGB",
            "samples_per_pixel": 3,
            "bits_allocated": 8,
            "bits_stored": 8,
        },
        *({"bits_stored": bits} for bits in (8, 10, 12, 14, 16)),
        {"bits_allocated": 32, "bits_stored": 16},
        {"body_part": ""},
        {"body_part": "SKELETON"},
        *({"modality": modality} for modality in ("CR", "DX", "RG", "OT", "SC", "HC", "")),
        *({"transfer_syntax": uid} for uid in SYNTAXES if not uid.endswith(".51")),
        {"transfer_syntax": "1.2.840.10008.1.2.4.51", "bits_allocated": 8, "bits_stored": 8},
    ],
)
def test_what_may_be_a_radiograph_of_a_hand_is_decoded(changes: dict[str, Any]) -> None:
    assert fault_in(header(**changes)) is None


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"sop_class": CT}, "not_a_radiograph", "CT Image"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.4"}, "not_a_radiograph", "MR Image"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.6.1"}, "not_a_radiograph", "Ultrasound Image"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.1.2"}, "not_a_radiograph", "Mammography"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.104.1"}, "not_a_radiograph", "Encapsulated PDF"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.88.11"}, "not_a_radiograph", "Basic Text SR"),
        ({"sop_class": "1.2.840.10008.1.3.10"}, "not_a_radiograph", "give its folder"),
        ({"sop_class": "1.2.276.0.99999.1"}, "not_a_radiograph", "no class of the standard"),
        ({"sop_class": ""}, "not_a_radiograph", "no class of the standard"),
        ({"sop_class": FOR_PROCESSING}, "for_processing", "For Presentation"),
        ({"body_part": "CHEST"}, "body_part", "chest"),
        ({"pixel_data": "absent"}, "no_pixel_data", "absent"),
        ({"pixel_data": "empty"}, "no_pixel_data", "empty"),
        ({"pixel_data": "encrypted"}, "encrypted", "decrypt"),
        ({"pixel_data": "float"}, "unsupported_pixels", "floating point"),
        ({"rows": 0}, "damaged", "size"),
        ({"frames": 0}, "damaged", "size"),
        ({"frames": 12}, "multi_frame", "12 frames"),
        ({"rows": 5001, "columns": 8000}, "too_large", "5001 x 8000"),
        ({"rows": 12_001, "columns": 1}, "too_large", "12001 x 1"),
        ({"bits_allocated": 32, "bits_stored": 32}, "unsupported_pixels", "32 bits stored in 32"),
        ({"bits_allocated": 1, "bits_stored": 1}, "unsupported_pixels", "1 bits stored in 1"),
        ({"bits_allocated": 8, "bits_stored": 12}, "unsupported_pixels", "12 bits stored in 8"),
        ({"photometric_interpretation": "PALETTE COLOR"}, "unsupported_pixels", "PALETTE COLOR"),
        (
            {"photometric_interpretation": "HSV", "samples_per_pixel": 3},
            "unsupported_pixels",
            "HSV",
        ),
        (
            {"photometric_interpretation": "RGB", "samples_per_pixel": 3},
            "unsupported_pixels",
            "colour of 16",
        ),
        ({"samples_per_pixel": 2}, "unsupported_pixels", "2 samples"),
        (
            {"transfer_syntax": "1.2.840.10008.1.2.4.51", "bits_stored": 12},
            "unsupported_transfer_syntax",
            "JPEG Extended of 12 bit is not read: convert it .* dcmdjpeg",
        ),
        ({"transfer_syntax": "1.2.840.10008.1.2.4.100"}, "unsupported_transfer_syntax", "MPEG2"),
        (
            {"transfer_syntax": "1.2.840.10008.1.2.4.100"},
            "unsupported_transfer_syntax",
            "still image",
        ),
        (
            {"transfer_syntax": "1.2.840.10008.1.2.999"},
            "unsupported_transfer_syntax",
            "1.2.840.10008.1.2.999 is not read",
        ),
        ({"transfer_syntax": "1.2.276.0.99999.1"}, "unsupported_transfer_syntax", "of a vendor"),
        ({"transfer_syntax": ""}, "unsupported_transfer_syntax", "of a vendor"),
        ({"modality": "CT"}, "not_a_radiograph", "modality is CT .computed tomography"),
        ({"sop_class": SECONDARY_CAPTURE, "modality": "US"}, "not_a_radiograph", "ultrasound"),
        ({"bits_stored": 0}, "damaged", "bits of a pixel"),
    ],
)
def test_what_is_refused_has_a_reason(changes: dict[str, Any], reason: str, words: str) -> None:
    fault = fault_in(header(**changes))
    assert fault is not None
    assert fault.reason == reason
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(fault.explanation)
    assert "\n" not in fault.explanation and len(fault.explanation) < 200


def test_free_text_of_a_header_is_in_no_explanation() -> None:
    canary = "1.2.276.0.4711"
    for changes in (
        {"sop_class": canary},
        {"transfer_syntax": canary},
        {"body_part": "CHEST 4711"},
        {"patient_id": "4711", "frames": 3},
        {"photometric_interpretation": "", "modality": "4711"},
    ):
        fault = fault_in(header(**changes))
        assert fault is not None and "4711" not in fault.explanation


def test_the_class_is_told_before_the_size() -> None:
    fault = fault_in(header(sop_class=CT, rows=50_000, body_part="CHEST", frames=100))
    assert fault and fault.reason == "not_a_radiograph"


def test_two_reasons_can_be_accepted() -> None:
    chest, processing = header(body_part="CHEST"), header(sop_class=FOR_PROCESSING)
    accept("body_part")
    assert fault_in(chest) is None
    assert fault_in(processing) is not None
    accept("body_part", "for_processing")
    assert fault_in(chest) is fault_in(processing) is None
    accept()
    assert fault_in(chest) is not None


def test_no_other_reason_can_be_accepted() -> None:
    with pytest.raises(ValueError, match="too_large"):
        accept("too_large")


def test_an_accepted_reason_does_not_hide_another() -> None:
    accept("body_part")
    fault = fault_in(header(body_part="CHEST", frames=2))
    assert fault and fault.reason == "multi_frame"


# === Files of pydicom's own tests ===

OWN_FILES = Path(pydicom.__file__).parent / "data/test_files"
EXPECTED = {
    "CT_small.dcm": "CT Image",
    "MR_small_bigendian.dcm": "MR Image",
    "MR_truncated.dcm": "MR Image",
    "examples_palette.dcm": "Ultrasound Image",
    "liver_1frame.dcm": "Segmentation",
    "rtplan_truncated.dcm": "RT Plan",
    "waveform_ecg.dcm": "12-lead ECG",
    "test-SR.dcm": "Comprehensive SR",
    "dicomdirtests/DICOMDIR": "give its folder",
    "JPGExtended.dcm": "nuclear medicine",
    "SC_rgb_rle_2frame.dcm": "2 frames",
    "SC_rgb_rle_32bit.dcm": "32 bits stored",
    "no_meta.dcm": "no DICOM preamble",
    "ExplVR_BigEndNoMeta.dcm": "no DICOM preamble",
    "zipMR.gz": "no DICOM preamble",
    "SC_rgb_small_odd_big_endian.dcm": "",
    "image_dfl.dcm": "",
    "SC_rgb_jpeg_gdcm.dcm": "",
}


def test_every_file_of_pydicom_is_a_radiograph_or_has_a_reason() -> None:
    said = {}
    for path in sorted(OWN_FILES.rglob("*")):
        if path.is_file() and path.suffix != ".py":
            found = read_header(path.read_bytes())
            fault = found if isinstance(found, Fault) else fault_in(found)
            said[path.relative_to(OWN_FILES).as_posix()] = fault.explanation if fault else ""
    assert len(said) > 150
    for name, words in EXPECTED.items():
        assert words in said[name], said[name]
        assert bool(words) == bool(said[name])
