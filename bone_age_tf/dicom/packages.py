"""The packages of the extra `[dicom]`, imported on first use."""

import functools
import sys
from types import ModuleType

from bone_age_tf.dicom.fault import Fault

NOT_INSTALLED = Fault(
    "dicom_not_installed",
    "the file is DICOM: reading it needs more packages: pip install 'bone-age-tf[dicom]'",
)


@functools.cache
def pydicom() -> ModuleType | None:
    """pydicom, None where it is not installed.

    GDCM, which pydicom imports, wants a module `dl` of Python 2 and would take a folder of that name in
    the working directory for it: it is told that there is none.
    """
    sys.modules.setdefault("dl", None)  # type: ignore[arg-type]
    try:
        import pydicom
    except ImportError:
        return None
    return pydicom
