"""Named experiments, one file each, whose docstring gives command, hardware, time and metrics."""

import importlib
import pkgutil

from bone_age_tf.config import ExperimentConfig
from bone_age_tf.errors import UsageError


def recipe_names() -> list[str]:
    """The recipes of this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_recipe(name: str) -> ExperimentConfig:
    """The configuration of a recipe. Raises `UsageError` for an unknown name."""
    if name not in recipe_names():
        raise UsageError(
            f"--recipe: there is no recipe {name!r}. Expected one of: {', '.join(recipe_names())}."
        )
    return importlib.import_module(f"{__name__}.{name}").CONFIG
