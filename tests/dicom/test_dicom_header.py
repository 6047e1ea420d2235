import io
import logging
import math
import struct
import time
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from dicom_files import dataset_of, dicom_of
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from bone_age_tf.dicom.admission import fault_in
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import Header, read_header

PIXELS = np.arange(80, dtype=np.uint16).reshape(10, 8)
PIXEL_TAG = b"\xe0\x7f\x10\0"


def header_of(**attributes: Any) -> Header:
    return _header(dicom_of(PIXELS, **attributes))


def _header(encoded: bytes) -> Header:
    header = read_header(encoded)
    assert isinstance(header, Header), header
    return header


def _raw(tag: tuple[int, int], vr: bytes, value: bytes) -> bytes:
    """An element of explicit VR, little endian, with a length of 16 bits."""
    return struct.pack("<HH2sH", *tag, vr, len(value)) + value


def _with_raw(*elements: bytes, **attributes: Any) -> bytes:
    """A file with elements as they are, in front of its pixels: the last of a tag counts."""
    encoded = dicom_of(PIXELS, **attributes)
    at = encoded.rindex(PIXEL_TAG)
    return encoded[:at] + b"".join(elements) + encoded[at:]


def test_attributes_of_a_radiograph() -> None:
    header = header_of()
    assert (header.rows, header.columns, header.frames) == (10, 8, 1)
    assert (header.bits_allocated, header.bits_stored, header.samples_per_pixel) == (16, 16, 1)
    assert header.transfer_syntax == "1.2.840.10008.1.2.1"
    assert (header.modality, header.body_part, header.pixel_data) == ("DX", "HAND", "there")
    assert (header.laterality, header.view) == ("L", "PA")
    assert (header.sex, header.warnings) == ("F", ())
    assert header.chronological_age_months == pytest.approx(120, abs=0.1)
    assert header.patient_id == "canary-patient"
    assert header.accession_number == "canary-accession"
    assert header.study_date == "20240131"
    assert header.sop_instance_uid.startswith("1.2.826.")


def test_what_identifies_a_patient_is_not_in_what_is_printed_of_a_header() -> None:
    assert "anary" not in repr(header_of())


def test_absent_attributes_are_empty() -> None:
    names = "PatientSex PatientAge PatientBirthDate StudyDate BodyPartExamined ImageLaterality"
    names += " ViewPosition PatientID AccessionNumber Modality PresentationIntentType"
    header = header_of(**dict.fromkeys(names.split()))
    assert (header.sex, header.body_part, header.laterality, header.view) == (None, "", "", "")
    assert (header.patient_id, header.warnings) == ("", ())
    assert math.isnan(header.chronological_age_months)


# === Sex ===


@pytest.mark.parametrize(
    ("value", "sex", "codes"),
    [
        *[("M", "M", ()), ("F", "F", ()), ("m", "M", ())],
        *[("O", None, ("sex_other",)), ("", None, ()), ("U", None, ()), ("male?", None, ())],
    ],
)
@pytest.mark.filterwarnings("ignore")  # pydicom's, as it writes the file
def test_sex(value: str, sex: str | None, codes: tuple[str, ...]) -> None:
    header = header_of(PatientSex=value)
    assert (header.sex, header.warnings) == (sex, codes)


# === Laterality, view, body part ===


@pytest.mark.parametrize(
    ("image", "series", "laterality"),
    [
        *[("L", None, "L"), (None, "R", "R"), ("L", "R", "L"), ("", "L", "L")],
        *[
            ("B", None, ""),
            ("U", "L", ""),
            ("LEFT", None, "L"),
            ("LINKS?", None, ""),
            (None, None, ""),
        ],
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_laterality_is_the_images_or_else_of_the_series(
    image: str | None, series: str | None, laterality: str
) -> None:
    header = header_of(ImageLaterality=image, Laterality=series)
    assert header.laterality == laterality
    assert header.warnings == (("right_hand",) if laterality == "R" else ())


def _region(meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "85562004", "SCT", meaning
    return Sequence([item])


def test_body_part_is_that_of_the_anatomic_region_where_it_is_empty() -> None:
    assert (
        header_of(BodyPartExamined="", AnatomicRegionSequence=_region("Hand")).body_part == "Hand"
    )
    assert header_of(AnatomicRegionSequence=_region("Foot")).body_part == "HAND"
    assert header_of(BodyPartExamined=None, AnatomicRegionSequence=Sequence()).body_part == ""


@pytest.mark.parametrize(
    ("attributes", "codes"),
    [
        ({"BodyPartExamined": "CHEST"}, ("body_part_differs",)),
        ({"BodyPartExamined": "SOMETHING"}, ("body_part_unknown",)),
        ({"BurnedInAnnotation": "YES"}, ("burned_in",)),
        ({"BurnedInAnnotation": "NO", "LossyImageCompression": "00"}, ()),
        ({"LossyImageCompression": "01"}, ("lossy",)),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}, ("for_processing",)),
        (
            {"PatientSex": "O", "Laterality": "R", "ImageLaterality": None},
            ("sex_other", "right_hand"),
        ),
    ],
)
def test_what_may_mislead_is_a_warning(attributes: dict[str, str], codes: tuple[str, ...]) -> None:
    assert header_of(**attributes).warnings == codes


# === Odd values ===


def test_odd_values_are_as_good_as_absent() -> None:
    odd = _with_raw(
        _raw((0x0010, 0x0040), b"CS", b"M\\F "),
        _raw((0x0010, 0x1010), b"IS", b"12"),
        _raw((0x0010, 0x0030), b"DA", b"20143199"),
        _raw((0x0020, 0x0062), b"US", b"\xff\xfe"),
        _raw((0x0018, 0x5101), b"CS", b"P A of <the> hand"),
        _raw((0x0018, 0x0015), b"LO", b"HAND" + bytes(200)),
        _raw((0x0010, 0x0020), b"LO", b"a\\b "),
    )
    header = _header(odd)
    assert (header.sex, header.laterality, header.view) == (None, "", "")
    assert header.body_part == "HAND"
    assert header.patient_id == "a\\b"
    assert math.isnan(header.chronological_age_months)


@pytest.mark.parametrize("rows", [b"", b"\1\0\2\0", b"\1"])
def test_a_number_that_is_none_is_zero(rows: bytes) -> None:
    header = _header(_with_raw(_raw((0x0028, 0x0010), b"US", rows)))
    assert header.rows == 0
    fault = fault_in(header)
    assert fault and fault.reason == "damaged"


def test_numbers_in_words_are_read() -> None:
    encoded = _with_raw(_raw((0x0028, 0x0010), b"IS", b"10"), _raw((0x0028, 0x0008), b"IS", b" 1"))
    header = _header(encoded)
    assert (header.rows, header.frames) == (10, 1)
    assert _header(_with_raw(_raw((0x0028, 0x0008), b"IS", b"ab"))).frames == 0
    assert _header(_with_raw(_raw((0x0028, 0x0008), b"IS", b""))).frames == 1


@pytest.mark.parametrize(
    ("charset", "encoded", "text"),
    [
        (b"ISO_IR 192", "Müller-3".encode(), "Müller-3"),
        (b"ISO_IR 100", "Müller-3".encode("latin-1"), "Müller-3"),
        (b"ISO_IR 144", "Ива".encode("iso8859_5"), "Ива"),
        (b"\\ISO 2022 IR 87", b"A\x1b$B;3\x1b(B", "A山"),
        (b"NOT A CHARSET", b"M\xfcller", "Müller"),
        (b"ISO_IR 192", b"\xff\xfe", "\ufffd\ufffd"),
        (b"", b"plain", "plain"),
    ],
)
def test_text_in_any_encoding(charset: bytes, encoded: bytes, text: str) -> None:
    elements = (_raw((0x0008, 0x0005), b"CS", charset), _raw((0x0010, 0x0020), b"LO", encoded))
    assert _header(_with_raw(*elements)).patient_id == text


# === Encodings of the file ===


def _without_meta(*, implicit: bool = False) -> bytes:
    dataset = dataset_of(PIXELS)
    dataset.preamble = None
    del dataset.file_meta
    stream = io.BytesIO()
    dataset.save_as(stream, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    return stream.getvalue()


def test_a_file_without_preamble_or_meta_header_is_read() -> None:
    assert _without_meta()[:2] == b"\x08\0"
    assert _header(_without_meta()).transfer_syntax == "1.2.840.10008.1.2.1"
    implicit = _header(_without_meta(implicit=True))
    assert implicit.transfer_syntax == "1.2.840.10008.1.2"
    assert (implicit.rows, implicit.sex, implicit.body_part) == (10, "F", "HAND")
    without_preamble = _header(dicom_of(PIXELS)[132:])
    assert (without_preamble.rows, without_preamble.transfer_syntax) == (10, "1.2.840.10008.1.2.1")


def test_without_a_preamble_there_must_be_a_class_and_pixels() -> None:
    whole = _without_meta()
    for encoded in (
        whole[: whole.rindex(PIXEL_TAG)],
        whole[whole.index(b"\x08\0\x18\0") :],
        b"\x08\0\x05\0CS and so on",
        b"\x08\0\x05\0",
    ):
        fault = read_header(encoded)
        assert isinstance(fault, Fault)
        assert fault.reason == "not_a_radiograph"


def test_compressed_pixels_without_a_meta_header_are_of_an_unknown_transfer_syntax() -> None:
    whole = _without_meta()
    at = whole.rindex(PIXEL_TAG)
    compressed = whole[:at] + PIXEL_TAG + b"OB\0\0\xff\xff\xff\xff" + encapsulate([b"1234"])
    assert _header(compressed).transfer_syntax == ""
    fault = fault_in(_header(compressed))
    assert fault and fault.reason == "unsupported_transfer_syntax"


def test_big_endian() -> None:
    dataset = Dataset()
    dataset.update(dataset_of(PIXELS))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.2"
    stream = io.BytesIO()
    dataset.save_as(stream, implicit_vr=False, little_endian=False)
    header = _header(bytes(128) + b"DICM" + stream.getvalue().removeprefix(bytes(128) + b"DICM"))
    assert (header.rows, header.columns, header.bits_stored) == (10, 8, 16)
    assert header.transfer_syntax == "1.2.840.10008.1.2.2"


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (PIXEL_TAG + b"OW\0\0\0\0\0\0", "empty"),
        (PIXEL_TAG + b"OB\0\0\xff\xff\xff\xff" + encapsulate([b"1234"]), "there"),
        (
            PIXEL_TAG
            + b"OB\0\0\xff\xff\xff\xff"
            + b"\xfe\xff\0\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0",
            "empty",
        ),
        (
            PIXEL_TAG + b"OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\0\0\0\0\xfe\xff\0\xe0\0\0\0\0",
            "empty",
        ),
        (PIXEL_TAG + b"OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\x7f", "empty"),
        (PIXEL_TAG + b"OB\0\0\xff\xff\xff\xff", "empty"),
        (b"\xe0\x7f\x08\0OF\0\0\4\0\0\0abcd", "float"),
        (b"\xe0\x7f\x09\0OD\0\0\x08\0\0\0abcdefgh", "float"),
        (b"", "absent"),
        (PIXEL_TAG, "absent"),
    ],
)
def test_pixel_data_are_seen_without_being_read(pixels: bytes, expected: str) -> None:
    encoded = dicom_of(PIXELS)
    header = _header(encoded[: encoded.rindex(PIXEL_TAG)] + pixels)
    assert header.pixel_data == expected


def test_encrypted_attributes_are_encrypted_pixels_only_where_there_are_no_others() -> None:
    item = Dataset()
    item.EncryptedContentTransferSyntaxUID = "1.2.840.10008.1.2.1"
    item.EncryptedContent = b"1234"
    dataset = dataset_of(PIXELS, EncryptedAttributesSequence=Sequence([item]))
    stream = io.BytesIO()
    dataset.save_as(stream)
    assert _header(stream.getvalue()).pixel_data == "there"
    del dataset.PixelData
    stream = io.BytesIO()
    dataset.save_as(stream)
    assert _header(stream.getvalue()).pixel_data == "encrypted"


# === Hostile files ===


def test_every_cut_and_many_mutants_give_a_header_or_a_fault_in_silence(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    encoded = _with_raw(_raw((0x0008, 0x0005), b"CS", b"ISO 2022 IR 999 "))
    header_bytes = encoded[: encoded.rindex(PIXEL_TAG) + 40]
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for length in range(0, len(header_bytes), 3):
            assert isinstance(read_header(header_bytes[:length]), Header | Fault)
        for _ in range(300):
            mutant = bytearray(header_bytes)
            for at in rng.integers(120, len(mutant), rng.integers(1, 12)):
                mutant[at] = rng.integers(256)
            header = read_header(bytes(mutant))
            assert isinstance(header, Fault) or fault_in(header) is None or fault_in(header)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.name == "pydicom"] == []


def test_pydicom_speaks_again_after_a_header_is_read() -> None:
    read_header(b"\x08\0\x05\0CS and so on")
    assert not logging.getLogger("pydicom").disabled


_EMPTY_ITEM = b"\xfe\xff\x00\xe0\0\0\0\0"
_BOMBS = {
    "items": b"\x09\0\x01\x10SQ\0\0\xff\xff\xff\xff" + 1_000_000 * _EMPTY_ITEM,
    "items of a known length": b"\x08\0\x18\x22SQ\0\0\0\x12\x7a\0" + 1_000_000 * _EMPTY_ITEM,
    "elements": 1_000_000 * b"\x09\0\x01\x10SH\0\0",
    "sequences in sequences": 50_000
    * (b"\x09\0\x01\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("name", _BOMBS)
def test_a_file_of_a_million_elements_takes_little_time(name: str) -> None:
    encoded = dicom_of(PIXELS, BodyPartExamined=None)
    at = encoded.rindex(PIXEL_TAG)
    before = time.process_time()
    read_header(encoded[:at] + _BOMBS[name] + encoded[at:])
    assert time.process_time() - before < 5  # at most 1; 20 and much memory without a limit


def test_a_long_text_is_cut() -> None:
    text = struct.pack("<HH2sHL", 0x10, 0x20, b"UT", 0, 10**6) + 10**6 * b"x"
    assert len(_header(_with_raw(text)).patient_id) == 1024


# === Deflated ===


def deflated(encoded: bytes) -> bytes:
    start = encoded.index(b"\x08\0\x16\0UI")
    stream = zlib.compressobj(wbits=-15)
    content = stream.compress(encoded[start:]) + stream.flush()
    meta = b"\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.1.99"
    return bytes(128) + b"DICM" + meta + content


def test_a_deflated_file_has_the_header_of_the_file() -> None:
    assert _header(deflated(dicom_of(PIXELS))) == header_of()


def test_a_damaged_deflated_file_is_damaged() -> None:
    encoded = deflated(dicom_of(PIXELS))
    at = encoded.index(b".1.99") + 5
    fault = read_header(encoded[:at] + b"\xff" * 50)
    assert isinstance(fault, Fault) and fault.reason == "damaged"
