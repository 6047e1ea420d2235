"""A row that can be prepared."""

import dataclasses

from bone_age_tf.image_files import SourceFile
from bone_age_tf.labels import LabelRow


@dataclasses.dataclass(frozen=True)
class CheckedRow:
    """A row that can be prepared: its label, its file, and the split that its source gives it."""

    label: LabelRow
    file: SourceFile
    split: str | None
    sha256: str = ""

    @property
    def id(self) -> str:
        """The identifier of the label table."""
        return self.label.id
