"""Named experiments, one file each, whose docstring gives command, hardware, time and metrics."""

import ast
import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

from bone_age_tf.errors import UsageError

if TYPE_CHECKING:  # `train --help` lists the recipes and waits for no Pydantic
    from bone_age_tf.config import ExperimentConfig


def recipe_names() -> list[str]:
    """The recipes of this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def recipe_summaries() -> dict[str, str]:
    """Name of each recipe -> the first line of its docstring. Imports none of them."""
    sources = {name: Path(__file__).with_name(f"{name}.py") for name in recipe_names()}
    modules = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in sources.items()}
    return {
        name: (ast.get_docstring(module) or "").partition("\n")[0]
        for name, module in modules.items()
    }


def load_recipe(name: str) -> "ExperimentConfig":
    """The configuration of a recipe. Raises `UsageError` for an unknown name."""
    if name not in recipe_names():
        raise UsageError(
            f"--recipe: there is no recipe {name!r}. Expected one of: {', '.join(recipe_names())}."
        )
    return importlib.import_module(f"{__name__}.{name}").CONFIG
