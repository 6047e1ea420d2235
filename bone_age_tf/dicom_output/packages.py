"""The packages of the extra `[dicom-output]`, checked before the work."""

import importlib.util

from bone_age_tf.dicom import packages
from bone_age_tf.errors import UsageError

PACKAGES = ("highdicom", "pynetdicom", "dicomweb_client")


def require_packages() -> None:
    """Raises `UsageError` where one is not installed."""
    packages.pydicom()  # tells pydicom's decoders that there is no module `dl`
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"DICOM output needs more packages: {', '.join(missing)} cannot be imported. Install them with: "
            "pip install 'bone-age-tf[dicom-output]'"
        )
