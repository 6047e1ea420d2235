"""Render a template into one self-contained HTML file."""

import base64
import functools
from pathlib import Path
from typing import Any

import jinja2

from bone_age_tf import __version__
from bone_age_tf.config import RESEARCH_ONLY
from bone_age_tf.files.atomic import written_whole
from bone_age_tf.inference.sentences import years

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """Render a template of `report/templates` to HTML."""
    page = _environment().get_template(template)
    return page.render(version=__version__, research_only=RESEARCH_ONLY, **values)


def write_page(path: Path, template: str, **values: Any) -> None:
    """Render a template into a file, atomically."""
    text = render(template, **values)
    with written_whole(path) as stream:
        stream.write(text)


def embedded(path: Path) -> str:
    """A PNG file as a data URL for an `<img>`."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["years"] = years
    environment.filters["estimate"] = estimate
    environment.filters["signed"] = signed
    return environment


def signed(number: float, digits: int = 1) -> str:
    """A number with its sign: `+1.2`, `−0.4`."""
    return f"{round(number, digits) + 0.0:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def estimate(summary: dict[str, Any] | None, digits: int = 2, factor: float = 1.0) -> str:
    """A value with its confidence interval: `8.76 [7.72, 9.84]`; a dash where there is no value."""
    if summary is None or summary["value"] is None:
        return "\N{EN DASH}"
    value, low, high = (
        None if summary[name] is None else round(summary[name] * factor, digits) + 0.0  # not -0.0
        for name in ("value", "low", "high")
    )
    shown = f"{value:.{digits}f}"
    text = shown if low is None else f"{shown} [{low:.{digits}f}, {high:.{digits}f}]"
    return text.replace("-", "\N{MINUS SIGN}")
