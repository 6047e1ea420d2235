"""All that the objects of one radiograph are made of."""

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

from bone_age_tf.inference.prediction import Prediction

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class ModelIdentity:
    """Which model made the result."""

    name: str
    version: str
    """Of the export: the name of its folder."""
    fingerprint: str
    """Of the preprocessing, sha256."""
    manifest_sha256: str
    """Names the model with all its files."""
    coverage: float | None
    """Of its prediction intervals; None: it has none."""
    statement: str
    """Its training data and measured error, in one line: `export.model_card.performance_summary`."""
    reading_method: str | None = None
    """How the labels that it was trained on were read: of `config.READING_METHODS`; None: unknown."""


@dataclasses.dataclass(frozen=True)
class Result:
    """A prediction, or a rejection, with the radiograph that it is about."""

    source: "Dataset"
    """The header of the file as received, with its meta header, without pixels."""
    prediction: Prediction
    model: ModelIdentity
    outline: np.ndarray | None = None
    """float [N, 2], x and y of the outline of the hand (or of what the model received) in pixels of the file, whose
    centres are whole numbers; not closed: the last point is not the first. None of a rejected radiograph."""
    png: bytes | None = dataclasses.field(default=None, repr=False)
    """The radiograph as a PNG of its displayed grey levels, bone bright; None where it cannot be decoded."""

    @functools.cached_property
    def mask(self) -> np.ndarray | None:
        """bool [Rows, Columns], True inside the outline; None without one."""
        from bone_age_tf.dicom_output.outline import mask_of

        if self.outline is None:
            return None
        return mask_of(self.outline, (int(self.source.Rows), int(self.source.Columns)))
