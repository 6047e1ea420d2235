"""A stand-in for the model of the DICOM node: the same answer for every radiograph, without TensorFlow."""

from pathlib import Path

import numpy as np
from dicom_results import MODEL, PREDICTION

from bone_age_tf.dicom.source import read_source
from bone_age_tf.dicom_output.result import ModelIdentity, Result

OUTLINE = np.array([[10.0, 10.0], [90.0, 10.0], [90.0, 90.0], [10.0, 90.0]])


class StubPredictor:
    """What `node.predictor.Predictor` is; the outline is a square."""

    def __init__(self, model: str = "", accept_dicom: object = ()) -> None:
        self.identity: ModelIdentity = MODEL

    def __call__(self, path: Path, *, with_radiograph: bool) -> Result | str:
        """Reads the header, no pixels."""
        source = read_source(path.read_bytes())
        return Result(source=source, prediction=PREDICTION, model=MODEL, outline=OUTLINE)
