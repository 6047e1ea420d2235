"""Versions of the software that made a file."""

import importlib.metadata
import platform

from bone_age_tf import __version__


def versions() -> dict[str, str]:
    """Versions of everything that could change a result."""
    names = ("tensorflow", "keras", "numpy")
    return {
        "bone_age_tf": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in names},
    }
