"""Settings of `mercure`, as they stand in mercure's rules and modules."""

from typing import Annotated

from pydantic.dataclasses import dataclass

from bone_age_tf.config.choices import DicomReason
from bone_age_tf.config.dicom_output import DicomOutputConfig
from bone_age_tf.config.parsing import FROM_LIST


@dataclass(frozen=True)
class MercureConfig(DicomOutputConfig):
    """`process.settings` of `task.json`: the objects, and what is read."""

    accept_dicom: Annotated[tuple[DicomReason, ...], FROM_LIST] = ()
    """Reasons for which an object is not left out by its header."""
    model: str | None = None
    """Folder of an exported model in the container; None: that of the command."""
