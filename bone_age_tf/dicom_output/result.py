"""All that the objects of one radiograph are made of."""

import dataclasses
import functools
import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from bone_age_tf.dicom.admission import RADIOGRAPHS
from bone_age_tf.dicom.header import is_own_picture
from bone_age_tf.inference.prediction import Prediction

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


_NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
FAULTS_OF_THE_MACHINE = ("no_decoder", "dicom_not_installed", "unreadable")
"""Reasons that say nothing of the radiograph: no object, the file is to be predicted again."""


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
    is_registered: bool = True
    """Whether it receives the hand alone; else the whole radiograph."""


def _rounded(row: Any) -> Any:
    """A dataclass with its numbers as they are shown."""
    digits = {n: 2 if n.endswith(("_score", "_probability")) else 1 for n in vars(row)}
    numbers_in = {n: value for n, value in vars(row).items() if isinstance(value, numbers.Real)}
    shown = {n: float(round(value, digits[n])) + 0.0 for n, value in numbers_in.items()}  # no -0.0
    return dataclasses.replace(row, **shown)


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

    def __post_init__(self) -> None:
        """Numbers as precise as they are shown: another machine, which computes them a little differently, makes the same
        objects."""
        row = _rounded(self.prediction)
        if row.growth is not None:
            row = dataclasses.replace(row, growth=_rounded(row.growth))
        object.__setattr__(self, "prediction", row)
        if self.outline is not None:
            object.__setattr__(self, "outline", np.round(np.asarray(self.outline, float), 1))

    @property
    def is_rejected(self) -> bool:
        """Whether there is no bone age."""
        return self.prediction.bone_age_months is None

    @functools.cached_property
    def obstacle(self) -> str:
        """Why no object can be made of it; empty where one can."""
        needed = _NEEDED if self.is_rejected else (*_NEEDED, "Rows", "Columns")
        missing = [keyword for keyword in needed if not self.source.get(keyword)]
        if missing:
            return f"the header has no {', no '.join(missing)}"
        if str(self.source.SOPClassUID) not in RADIOGRAPHS:
            return "the file is no radiograph (DX, CR or Secondary Capture)"
        if self._is_own_picture:
            return "the file is a picture of an earlier result"
        if self.prediction.reason.partition(":")[0] in FAULTS_OF_THE_MACHINE:
            return f"it was not examined ({self.prediction.reason}): predict it again"
        return ""

    @property
    def _is_own_picture(self) -> bool:
        image_type = self.source.get("ImageType") or [""]
        first = image_type if isinstance(image_type, str) else image_type[0]
        manufacturer = str(self.source.get("Manufacturer") or "")
        return is_own_picture(str(self.source.SOPClassUID), manufacturer, first)

    @functools.cached_property
    def mask(self) -> np.ndarray | None:
        """bool [Rows, Columns], True inside the outline; None without one."""
        from bone_age_tf.dicom_output.outline import mask_of

        if self.outline is None:
            return None
        return mask_of(self.outline, (int(self.source.Rows), int(self.source.Columns)))
