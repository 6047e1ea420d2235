"""Writes DICOM files of a drawn hand for the tests, with every transfer syntax that is read."""

import base64
import io
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from conftest import draw_phantom
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

HEIGHT, WIDTH = 200, 150
OW_WORDS = {8: "u1", 16: "<u2", 32: "<u4"}


def drawn_levels(bits: int) -> np.ndarray:
    """int64 [200, 150] from 0 to 2^bits - 1: a drawn hand with a slight slope, so that all bits are used."""
    hand = draw_phantom(120, 1, height=HEIGHT, width=WIDTH).astype(np.int64) * 230
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    levels = hand + rows * 16 + columns * 24
    levels = (levels - levels.min()) * 65535 // (levels.max() - levels.min())
    return levels >> (16 - bits)


def data_set(words: np.ndarray, bits: int, *, allocated: int = 16, **attributes: Any) -> Dataset:
    """Explicit VR Little Endian, in memory. Only the low bits of the words are kept: those allocated."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.Rows, dataset.Columns = words.shape[:2]
    dataset.SamplesPerPixel = 1 if words.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if words.ndim == 2 else "RGB"
    if words.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits, bits - 1
    dataset.PixelRepresentation = 0
    kept = np.asarray(words).astype(np.int64) % 2**allocated
    dataset.PixelData = kept.astype(OW_WORDS[allocated]).tobytes()
    dataset.PixelData += b"\0" * (len(dataset.PixelData) % 2)
    dataset["PixelData"].VR = "OB" if allocated == 8 else "OW"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def lut(
    first: int, entries: np.ndarray | list[int], bits: int, *, packed: bool = False, vr: str = "US"
) -> Dataset:
    """An item of a LUT sequence; `packed`: 8 bits allocated, two entries in a word."""
    item = Dataset()
    item.add_new("LUTDescriptor", vr, [len(entries) % 65536, first, bits])
    data = np.asarray(entries).astype("u1" if packed else "<u2").tobytes()
    item.add_new("LUTData", "OW", data + b"\0" * (len(data) % 2))
    return item


def as_file(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def opened(encoded: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(encoded))


# === Transfer syntaxes ===

Encode = Callable[[Dataset, Path], bytes]


def _uncompressed(syntax: str) -> Encode:
    def encode(dataset: Dataset, folder: Path) -> bytes:
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == uid.ExplicitVRBigEndian:
            size = dataset.BitsAllocated // 8
            words = np.frombuffer(dataset.PixelData, f"<u{size}").astype(f">u{size}")
            dataset.PixelData = words.tobytes()
        return as_file(dataset)

    return encode


def _compressed(syntax: str, plugin: str, **options: Any) -> Encode:
    def encode(dataset: Dataset, folder: Path) -> bytes:
        dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False, **options)
        return as_file(dataset)

    return encode


def _dcmtk(*command: str) -> Encode:
    def encode(dataset: Dataset, folder: Path) -> bytes:
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} of DCMTK is not installed")
        before, after = folder / "before.dcm", folder / "after.dcm"
        before.write_bytes(as_file(dataset))
        subprocess.run([*command, str(before), str(after)], check=True, capture_output=True)
        return after.read_bytes()

    return encode


def _gdcm(name: str) -> Encode:
    def encode(dataset: Dataset, folder: Path) -> bytes:
        import gdcm

        before, after = folder / "before.dcm", folder / "after.dcm"
        before.write_bytes(as_file(dataset))
        reader = gdcm.ImageReader()
        reader.SetFileName(str(before))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(after))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return after.read_bytes()

    return encode


LOSSLESS: Mapping[str, tuple[str, Encode]] = {
    "implicit": ("1.2.840.10008.1.2", _uncompressed(uid.ImplicitVRLittleEndian)),
    "explicit": ("1.2.840.10008.1.2.1", _uncompressed(uid.ExplicitVRLittleEndian)),
    "big endian": ("1.2.840.10008.1.2.2", _uncompressed(uid.ExplicitVRBigEndian)),
    "deflated": ("1.2.840.10008.1.2.1.99", _uncompressed(uid.DeflatedExplicitVRLittleEndian)),
    "RLE, pydicom": ("1.2.840.10008.1.2.5", _compressed(uid.RLELossless, "pydicom")),
    "RLE, DCMTK": ("1.2.840.10008.1.2.5", _dcmtk("dcmcrle")),
    "JPEG Lossless, GDCM": ("1.2.840.10008.1.2.4.70", _gdcm("JPEGLosslessProcess14_1")),
    "JPEG Lossless, DCMTK": ("1.2.840.10008.1.2.4.70", _dcmtk("dcmcjpeg", "+e1")),
    "JPEG Lossless P14, DCMTK": ("1.2.840.10008.1.2.4.57", _dcmtk("dcmcjpeg", "+el", "+sv", "6")),
    "JPEG-LS, pyjpegls": ("1.2.840.10008.1.2.4.80", _compressed(uid.JPEGLSLossless, "pyjpegls")),
    "JPEG-LS, DCMTK": ("1.2.840.10008.1.2.4.80", _dcmtk("dcmcjpls")),
    "JPEG-LS, GDCM": ("1.2.840.10008.1.2.4.80", _gdcm("JPEGLSLossless")),
    "JPEG 2000, pylibjpeg": (
        "1.2.840.10008.1.2.4.90",
        _compressed(uid.JPEG2000Lossless, "pylibjpeg"),
    ),
    "JPEG 2000, GDCM": ("1.2.840.10008.1.2.4.90", _gdcm("JPEG2000Lossless")),
}
"""Name -> UID and writer. A writer changes the data set that it is given."""

NEAR_LOSSLESS = _compressed(uid.JPEGLSNearLossless, "pyjpegls", jls_error=3)
JPEG_2000_LOSSY = _compressed(uid.JPEG2000, "pylibjpeg", j2k_cr=[10])
JPEG_EXTENDED_12 = _dcmtk("dcmcjpeg", "+ee")
JPEG_RGB = _dcmtk("dcmcjpeg", "+eb", "+cr")


def encapsulated(dataset: Dataset, syntax: str, codestream: bytes) -> bytes:
    """A file whose pixels are this codestream."""
    dataset.PixelData = encapsulate([codestream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return as_file(dataset)


HTJ2K_WORDS = (np.mgrid[:24, :20][1] * (190 + np.mgrid[:24, :20][0] * 7)) % 4096
HTJ2K = base64.b64decode(
    "/0//UQApQAAAAAAUAAAAGAAAAAAAAAAAAAAAFAAAABgAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB"
    "/1wAEyCIkJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAYwAAf+TwAAmC/IFB3QA"
    "wAATQAATQAASgGL1A4d0ACD+Agd0AIMDB3QAwAAVEAAE8AAEoGFDDf4Di3QA1WHjAKI0AKkCB3QAwAAVkAAFpQAAVoAH"
    "vIa+AUAFBMygVQARAiEDaRFlKJLgAgLcMQG8WAAjKBBHNMPd/gHMwFUAwAAW/AABb8AAF0DPY01uRmAVnOfiQ+lv4NJz"
    "/z63cq+7QATAAyh0IloAh4O9uREv7XnhE+C3BT+POGgHEPyiZ5kXk4MYtEJbAB8++OsnHvFL3/W9jwAAvAUA/AEAfECE"
    "ugXXQzC0glkAwAAu4gABdvAAC6N6WfYf/rHkX8R/+Md//wf1MBD/eL//LUR8xL/+r3/Qkp3+49//eB+SYP3v6nqcfmVc"
    "2xjoLKJeAP7/Y3/+6T//ffef/37HP/7X33/+U1ty86/If6bwH2Hw+u/IAQ9mGAzVhiZyjgxGhdDcdPSD1gH+/z/+/3//"
    "b/9/97//ff9//3Pv2BClKB/HGHYdKC8fXMPRAf/Z"
)
"""`HTJ2K_WORDS` of 12 bits, lossless, by OpenJPH 0.26.3: no package here writes HTJ2K."""
