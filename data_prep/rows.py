"""A row that can be prepared, and the order that a seed gives to rows."""

import dataclasses
import hashlib

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


def shuffle_key(seed: int, text: str) -> str:
    """A key that sorts texts into an order that only the seed decides."""
    return hashlib.sha256(f"{seed}:{text}".encode()).hexdigest()
