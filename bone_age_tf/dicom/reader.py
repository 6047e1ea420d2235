"""A DICOM file's bytes -> its header, or its pixels as the graph takes them."""

import numpy as np

from bone_age_tf.dicom import process
from bone_age_tf.dicom.admission import fault_in
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import Header, read_header

__all__ = ["Header", "read_header", "read_pixels"]


def read_pixels(encoded: bytes) -> np.ndarray | Fault:
    """uint16 [height, width], bone bright; or why the file is not read."""
    header = read_header(encoded)
    fault = header if isinstance(header, Fault) else fault_in(header)
    return process.decode(encoded) if fault is None else fault
