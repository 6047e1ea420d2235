"""Where the shipped model is, and which model is used where none is named."""

from collections.abc import Iterator
from pathlib import Path

from bone_age_tf.errors import UsageError

SHIPPED = "shipped"
"""As `--model`: the folder that `shipped_model` finds."""
FOLDER = Path("saved_models/bone_age")
VERSION = "1"
"""Of the shipped model; the versions above it are own ones."""
GROUP = "bone_age_tf.models"
"""Entry points of installed models: the name is that of the folder in the package that is the value."""
_CLONE = Path(__file__).parents[2]


def default_model() -> Path:
    """The model folder to use where none is named.

    `saved_models/bone_age` of the current folder, else the shipped model. Raises `UsageError` where there is neither.
    """
    has_versions = FOLDER.is_dir() and any(child.name.isdigit() for child in FOLDER.iterdir())
    return FOLDER if has_versions else shipped_model()


def shipped_model() -> Path:
    """The folder of the shipped model, never of an own one.

    Version 1 of `saved_models/bone_age` of the clone that this package runs from; else the installed package
    `bone-age-tf-model`. Raises `UsageError` where there is neither.
    """
    for folder in (_CLONE / FOLDER / VERSION, *_installed()):
        if folder.is_dir():
            return folder
    raise UsageError(
        f"There is no model: no {FOLDER} in this folder, and the package bone-age-tf-model is not installed. "
        "Expected one of them, or --model with the folder of an exported model. In a clone of the "
        "repository, `make wheel` writes that package: pip install dist/bone_age_tf_model-*.whl"
    )


def _installed() -> Iterator[Path]:
    from importlib.metadata import entry_points  # slow, and seldom needed

    for entry in entry_points(group=GROUP, name=FOLDER.name):
        yield Path(entry.load().__path__[0], entry.name)
