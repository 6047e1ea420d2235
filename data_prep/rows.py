"""A row that can be prepared."""

import dataclasses

from bone_age_tf.data.labels import LabelRow
from bone_age_tf.files.images import SourceFile


@dataclasses.dataclass(frozen=True)
class CheckedRow:
    """A row that can be prepared: its label, its file, and the split that its source gives it."""

    label: LabelRow
    file: SourceFile
    split: str | None
    sha256: str = ""
    warnings: tuple[str, ...] = ()
    """Codes of `dicom.warnings`."""
    difference_hash: bytes = b""
    """Of the picture, by `near_duplicates`; empty where there is none."""

    @property
    def id(self) -> str:
        """The identifier of the label table; of a DICOM file its salted id."""
        return self.label.id
