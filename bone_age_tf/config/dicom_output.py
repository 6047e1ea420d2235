"""Settings of DICOM output."""

import re
from typing import Annotated

from pydantic.dataclasses import dataclass

from bone_age_tf.config.choices import DicomObject, SrClass
from bone_age_tf.config.parsing import FROM_LIST, Settings, require


@dataclass(frozen=True)
class DicomOutputConfig(Settings):
    """Which objects are made of a result, and as what."""

    objects: Annotated[tuple[DicomObject, ...], FROM_LIST] = ("report", "picture")
    """Kinds of objects for each radiograph; of one that is rejected, the report alone and a picture where it can be decoded."""
    sr: SrClass = "comprehensive_3d"
    """SOP class of the report: Comprehensive 3D SR, or Comprehensive SR for older viewers."""
    uid_root: str | None = None
    """Root of the site's own UIDs; None: 2.25, by a name-based UUID."""

    def __post_init__(self) -> None:
        is_root = self.uid_root is None or (
            re.fullmatch(r"[0-2](\.(0|[1-9][0-9]*))+", self.uid_root) and len(self.uid_root) <= 24
        )
        require(
            bool(is_root),
            "the UID root",
            "digits and dots, at most 24 characters, as in 1.2.826.0.1",
            self.uid_root,
        )
