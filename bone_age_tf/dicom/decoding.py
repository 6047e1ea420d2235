"""A file's bytes -> its pixels, in this process: `process` calls it in another one."""

import io

import numpy as np

from bone_age_tf.dicom import packages
from bone_age_tf.dicom.fault import DAMAGED, Fault
from bone_age_tf.dicom.inflate import inflated
from bone_age_tf.dicom.pixels import grey


def decode(encoded: bytes) -> np.ndarray | Fault:
    """uint16 [height, width], bone bright; or why they cannot be decoded. Raises `MemoryError`."""
    pydicom = packages.pydicom()
    if pydicom is None:
        return packages.NOT_INSTALLED
    try:
        file = inflated(encoded)
        if isinstance(file, Fault):
            return file
        dataset = pydicom.dcmread(io.BytesIO(file), force=True)
        for keyword, usual in (("SamplesPerPixel", 1), ("PixelRepresentation", 0)):
            if dataset.get(keyword) is None:
                setattr(dataset, keyword, usual)
        return grey(dataset)
    except MemoryError:
        raise
    except Exception:  # whatever a decoder stumbled over in a damaged file
        return DAMAGED
