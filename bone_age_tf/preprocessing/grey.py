"""Grey levels of a file outside of the graph: for display, and for perturbed inputs."""

import cv2
import numpy as np

from bone_age_tf.errors import InputDataError
from bone_age_tf.preprocessing.conversion import to_png
from bone_age_tf.preprocessing.rejections import Rejection


def grey_values(encoded: bytes) -> np.ndarray | None:
    """A file of any format that is read, as float32 [height, width] from 0 to 1.

    As the file stores it: an orientation in a JPEG's metadata is ignored, as by `decoding.decode`. None
    where OpenCV cannot read it.
    """
    png = to_png(encoded)
    if isinstance(png, Rejection) or not png:
        return None
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), flags)
    if picture is None:
        return None
    return picture.astype(np.float32) / np.float32(np.iinfo(picture.dtype).max)


def grey_levels(encoded: bytes) -> np.ndarray:
    """A file as uint8 [height, width] for display: percentiles 0.5 and 99.7 as black and white."""
    picture = grey_values(encoded)
    if picture is None:
        raise InputDataError("OpenCV cannot read the file, though TensorFlow can.")
    low, high = np.percentile(picture, (0.5, 99.7))
    return np.clip((picture - low) * (255 / max(high - low, 1e-3)), 0, 255).astype(np.uint8)
