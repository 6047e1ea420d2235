"""Deflated Explicit VR Little Endian (PS3.5, A.5) -> the same file, not deflated.

pydicom inflates whatever a file holds, and a thousandfold: here it stops at a limit.
"""

import io
import zlib

from bone_age_tf.dicom import packages
from bone_age_tf.dicom.fault import DAMAGED, Fault
from bone_age_tf.files.limits import MAX_PIXELS

MAX_BYTES = 3 * MAX_PIXELS + 2**23
"""Of colours of 8 bit, or grey of 16, and of a header."""

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_EXPLICIT_LITTLE_ENDIAN = b"1.2.840.10008.1.2.1\0"
_TRANSFER_SYNTAX = b"\x02\0\x10\0UI\x14\0" + _EXPLICIT_LITTLE_ENDIAN


def inflated(encoded: bytes, *, first: int | None = None) -> bytes | Fault:
    """The bytes of a file that is not deflated; those of a deflated one, inflated and said so.

    `first` cuts the data set after so many bytes, for its header; else `too_large` beyond `MAX_BYTES`.
    pydicom must be installed.
    """
    start = _start_of_deflated(encoded)
    if start is None:
        return encoded
    try:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        content = stream.decompress(encoded[start:], first or MAX_BYTES + 1)
    except zlib.error:
        return DAMAGED
    if first is None and len(content) > MAX_BYTES:
        return Fault("too_large", f"the deflated data have more than {MAX_BYTES} bytes")
    if first is None and not stream.eof:
        return DAMAGED
    return bytes(128) + b"DICM" + _TRANSFER_SYNTAX + content


def _start_of_deflated(encoded: bytes) -> int | None:
    """Where the deflated data set begins, None if it is not deflated. The transfer syntax is in the meta header."""
    if _DEFLATED not in encoded[:8192]:
        return None
    pydicom = packages.pydicom()
    assert pydicom is not None
    file = io.BytesIO(encoded)
    try:
        pydicom.filereader.read_preamble(file, force=True)
        meta = pydicom.filereader.read_dataset(
            file, is_implicit_VR=False, is_little_endian=True, stop_when=_is_after_meta
        )
        is_deflated = meta.get("TransferSyntaxUID") == _DEFLATED.decode()
    except Exception:  # not a meta header
        return None
    return file.tell() if is_deflated else None


def _is_after_meta(tag: int, vr: str | None, length: int) -> bool:
    return tag >> 16 != 2
