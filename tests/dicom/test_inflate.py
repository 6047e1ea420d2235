import io
import zlib

import numpy as np
import pydicom
import pytest
from dicom_files import dicom_of

from bone_age_tf.dicom import inflate
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.inflate import inflated

META = bytes(128) + b"DICM\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.1.99"


def _deflated(content: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return META + stream.compress(content) + stream.flush()


def test_other_files_are_themselves() -> None:
    encoded = dicom_of(np.zeros((3, 4), np.uint8))
    assert inflated(encoded) is encoded
    mentioned = dicom_of(np.zeros((3, 4), np.uint8), PatientID="1.2.840.10008.1.2.1.99")
    assert inflated(mentioned) is mentioned


def test_a_deflated_file_becomes_one_that_is_not() -> None:
    plain = dicom_of(np.arange(12, dtype=np.uint8).reshape(3, 4))
    start = plain.index(b"\x08\0\x16\0UI")
    file = inflated(_deflated(plain[start:]))
    assert isinstance(file, bytes)
    dataset = pydicom.dcmread(io.BytesIO(file))
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert (dataset.pixel_array == np.arange(12).reshape(3, 4)).all()


def test_inflation_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflate, "MAX_BYTES", 1000)
    assert isinstance(inflated(_deflated(bytes(1000))), bytes)
    fault = inflated(_deflated(bytes(10_000_000)))
    assert isinstance(fault, Fault)
    assert fault.reason == "too_large"
    first = inflated(_deflated(bytes(10_000_000)), first=100)
    assert isinstance(first, bytes) and len(first) < 300


@pytest.mark.parametrize("encoded", [META + b"\xff" * 20, _deflated(bytes(range(256)))[:-20]])
def test_what_cannot_be_inflated_is_damaged(encoded: bytes) -> None:
    fault = inflated(encoded)
    assert isinstance(fault, Fault) and fault.reason == "damaged"
