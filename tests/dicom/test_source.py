"""The header for objects of the same study: whatever is odd in it, there is one, and it can be written again."""

import io
import warnings
import zlib
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_files import dataset_of, dicom_of
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from bone_age_tf.dicom import elements
from bone_age_tf.dicom.header import Header, read_header
from bone_age_tf.dicom.source import MAX_VALUE_BYTES, read_source
from bone_age_tf.files.quiet import without_messages_of

PIXELS = np.arange(80, dtype=np.uint16).reshape(10, 8)


def written(source: Dataset) -> Dataset:
    """The same after it was written and read."""
    stream, copy = io.BytesIO(), Dataset(source)
    with without_messages_of("pydicom"):  # of texts that are too long
        pydicom.dcmwrite(stream, copy, implicit_vr=False, little_endian=True)
        stream.seek(0)
        found = pydicom.dcmread(stream, force=True)
        list(found.iterall())  # converts all
    return found


def raw_file(keyword: str, value: bytes, **attributes: Any) -> bytes:
    """A file whose attribute has these bytes, which pydicom would refuse."""
    dataset = dataset_of(PIXELS, **{keyword: None, **attributes})
    tag, vr = pydicom.tag.Tag(keyword), pydicom.datadict.dictionary_VR(keyword)
    dataset[keyword] = pydicom.dataelem.RawDataElement(tag, vr, len(value), value, 0, False, True)
    stream = io.BytesIO()
    with without_messages_of("pydicom"):
        dataset.save_as(stream, enforce_file_format=False)
    return stream.getvalue()


def test_the_header_is_that_of_the_file_without_pixels() -> None:
    encoded = dicom_of(PIXELS, ImagerPixelSpacing=[0.1, 0.2], PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 100")  # fmt: skip
    source, whole = read_source(encoded), pydicom.dcmread(io.BytesIO(encoded))
    del whole.PixelData
    assert {e.keyword: str(e.value) for e in source} == {e.keyword: str(e.value) for e in whole}
    assert source.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert written(source).PatientName == "Müller^Jörg"


def test_a_clinical_trial_is_whole_or_left() -> None:
    trial = {
        "ClinicalTrialSponsorName": "Sponsor",
        "ClinicalTrialProtocolID": "1",
        "ClinicalTrialSubjectID": "17",
    }
    source = read_source(dicom_of(PIXELS, **trial))
    assert {name: source.get(name) for name in trial} == trial
    assert source.ClinicalTrialSiteID == "" and "ClinicalTrialTimePointID" in source
    for missing in trial:
        source = read_source(dicom_of(PIXELS, **(trial | {missing: None})))
        assert not [e for e in source if e.keyword.startswith("ClinicalTrial")]


def test_private_elements_and_unneeded_ones_are_left() -> None:
    dataset = dataset_of(PIXELS, PatientComments="x" * 1000, OtherPatientNames="A^B")
    dataset.private_block(0x11, "VENDOR", create=True).add_new(1, "LO", "secret")
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "85562004", "SCT", "Hand"
    region.private_block(0x11, "VENDOR", create=True).add_new(1, "LO", "secret")
    dataset.AnatomicRegionSequence = [region]
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=False)
    source = read_source(stream.getvalue())
    assert "PatientComments" not in source and "OtherPatientNames" not in source
    assert [e.tag for e in source.iterall() if e.tag.is_private] == []
    assert source.AnatomicRegionSequence[0].CodeMeaning == "Hand"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyDate", b"20240231"),
        ("StudyDate", b"31.01.24"),
        ("StudyTime", b"noon"),
        ("AcquisitionDateTime", b"yesterday "),
        ("PatientSex", b"W "),
        ("PatientAge", b"ten "),
        ("Laterality", b"LEFT"),
        ("SeriesNumber", b"first "),
        ("ImagerPixelSpacing", b"0.1\\wide"),
        ("ImagerPixelSpacing", b"nan\\nan "),
        ("WindowCenter", b"1e999 "),
        ("Rows", b"\x0a\x00\x0a\x00"),
        ("StudyInstanceUID", b"1.2\\1.3 "),
        ("StudyInstanceUID", b"no uid"),
        ("StudyInstanceUID", b".."),
        ("TimezoneOffsetFromUTC", b"local "),
        ("TimezoneOffsetFromUTC", b"+0100\\-0500 "),
        ("PatientIdentityRemoved", b"1 "),
        ("BodyPartExamined", b"Hand!!"),
    ],
)
def test_a_value_without_meaning_is_as_good_as_absent(keyword: str, value: bytes) -> None:
    source = read_source(raw_file(keyword, value))
    assert keyword not in source
    assert source.PatientID == "canary-patient"
    written(source)


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PatientID", b"7" * 80, "7" * 80),
        ("PatientID", b"A\\B ", ["A", "B"]),
        ("PatientName", b"A^B\\C^D ", "A^B"),
        ("StudyInstanceUID", b"1.2.03.4", "1.2.03.4"),
        ("SeriesNumber", b" 12 ", 12),
        ("ImagerPixelSpacing", b"0.12345678901234567890\\1", [0.12345678901235, 1]),
        ("StudyDate", b"", ""),
    ],
)
def test_what_an_archive_needs_is_kept_as_received(
    keyword: str, value: bytes, expected: Any
) -> None:
    found = written(read_source(raw_file(keyword, value)))[keyword].value
    assert (list(found) if isinstance(expected, list) else found) == expected


def test_texts_of_an_unknown_character_set_are_written_in_a_known_one() -> None:
    encoded = raw_file("SpecificCharacterSet", b"ISO 2022 IR 999 ", PatientName="Muller^J")
    source = read_source(encoded.replace(b"Muller", b"M\xfcller"))
    assert written(source).PatientName == "Müller^J"


def test_uids_of_the_meta_header_stand_in() -> None:
    dataset = dataset_of(PIXELS)
    uid = dataset.SOPInstanceUID
    del dataset.SOPInstanceUID, dataset.SOPClassUID
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=False)
    source = read_source(stream.getvalue())
    assert source.SOPInstanceUID == uid
    assert source.SOPClassUID == "1.2.840.10008.5.1.4.1.1.1.1"


def test_files_without_preamble_and_deflated_ones() -> None:
    plain = dicom_of(PIXELS)
    expected = read_source(plain)
    start = plain.index(b"\x08\0\x16\0UI")
    stream = zlib.compressobj(wbits=-15)
    meta = bytes(128) + b"DICM\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.1.99"
    assert read_source(meta + stream.compress(plain[start:]) + stream.flush()) == expected
    assert read_source(plain[start:]) == expected
    implicit = io.BytesIO()
    dataset = dataset_of(PIXELS)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(implicit, enforce_file_format=False, implicit_vr=True, little_endian=True)
    assert read_source(implicit.getvalue()) == expected


def test_a_huge_value_is_left() -> None:
    encoded = dicom_of(PIXELS, StudyDescription="abab")
    before, after = encoded.split(b"\x08\0\x30\x10LO\x04\0abab")
    size = (2 * MAX_VALUE_BYTES).to_bytes(4, "little")
    encoded = before + b"\x08\0\x30\x10UT\0\0" + size + b"ab" * MAX_VALUE_BYTES + after
    source = read_source(encoded)
    assert "StudyDescription" not in source and source.PatientID == "canary-patient"


def test_a_header_of_as_many_elements_as_are_read_has_a_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded = dicom_of(PIXELS)
    reads = next(n for n in range(10, 1000) if _is_read(encoded, n, monkeypatch))
    monkeypatch.setattr("bone_age_tf.dicom.source.MAX_READS", reads)
    assert read_source(encoded).PatientID == "canary-patient"


def _is_read(encoded: bytes, reads: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(elements.read_elements, "__kwdefaults__", {"max_reads": reads})
    return isinstance(read_header(encoded), Header)


def test_whatever_is_read_as_a_header_has_a_source_that_can_be_written(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    encoded = raw_file("SpecificCharacterSet", b"ISO 2022 IR 999 ", WindowCenter=5, WindowWidth=9)
    header_bytes = encoded[: encoded.rindex(b"\xe0\x7f\x10\0") + 40]
    rng = np.random.default_rng(0)
    read = 0
    for _ in range(200):
        mutant = bytearray(header_bytes)
        for at in rng.integers(120, len(mutant), rng.integers(1, 12)):
            mutant[at] = rng.integers(256)
        if isinstance(read_header(bytes(mutant)), Header):
            read += 1
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                source = read_source(bytes(mutant))
            written(source)
    assert read > 50
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.name == "pydicom"] == []
