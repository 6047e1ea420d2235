"""A DICOM file's bytes -> its header, or its pixels as the graph takes them."""

import io

import numpy as np

from bone_age_tf.dicom import packages
from bone_age_tf.dicom.fault import DAMAGED, Fault
from bone_age_tf.dicom.header import Header, read_header
from bone_age_tf.dicom.pixels import grey

__all__ = ["Header", "read_header", "read_pixels"]


def read_pixels(encoded: bytes) -> np.ndarray | Fault:
    """uint16 [height, width], bone bright; or why the file is not read."""
    header = read_header(encoded)
    if isinstance(header, Fault):
        return header
    return decode(encoded)


def decode(encoded: bytes) -> np.ndarray | Fault:
    """The pixels, in this process."""
    pydicom = packages.pydicom()
    if pydicom is None:
        return packages.NOT_INSTALLED
    try:
        dataset = pydicom.dcmread(io.BytesIO(encoded), force=True)
        return grey(dataset, dataset.pixel_array)
    except Exception:
        return DAMAGED
