"""An evaluation folder as one HTML report."""

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bone_age_tf.errors import InputDataError
from bone_age_tf.evaluation.evaluate import EVALUATION_SCHEMA
from bone_age_tf.evaluation.notices import named, notices
from bone_age_tf.evaluation.stress.stress import STRESS_FILE, STRESS_SCHEMA
from bone_age_tf.files.provenance import read_provenance
from bone_age_tf.metrics import bone_age as metrics
from bone_age_tf.metrics.predictions import read_predictions
from bone_age_tf.report import figures
from bone_age_tf.report.page import embedded, write_page

SEXES = {"F": "girls", "M": "boys", "unknown": "sex unknown"}


def write_evaluation_report(evaluation: str, output: str, *, stress: str | None = None) -> Path:
    """Write the report `output` from a folder written by `evaluate` and, if given, one written by `stress`.

    Raises `InputDataError` where a folder holds something else, or the evaluation of a sex classifier.
    """
    folder = Path(evaluation)
    result = _read(folder / "evaluation.json", EVALUATION_SCHEMA)
    if result["target"] != "bone_age":
        raise InputDataError(
            f"{folder} evaluates the {result['target']}. Expected the evaluation of a bone age model."
        )
    predictions = read_predictions(folder)
    stressed = None if stress is None else _read(Path(stress) / STRESS_FILE, STRESS_SCHEMA)
    for entry in (*result["worst"], *result["best"]):
        picture = folder / entry.get("picture", "")
        entry["source"] = embedded(picture) if picture.is_file() else None
    other = result["model"].get("manifest_sha256")
    if stressed is not None and other not in (None, stressed["model"]["manifest_sha256"]):
        raise InputDataError(
            f"{stress} and {folder} belong to different exported models. Expected results of the same model."
        )
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_page(
        path,
        "evaluation.html",
        r=result,
        name=_name(folder, result),
        notices=notices(result),
        constant=result.get("constant"),
        named=named,
        sexes=SEXES,
        bands=list(metrics.AGE_BANDS),
        stages=list(metrics.STAGES),
        interval=_interval,
        coverage=_coverage_rows(result),
        stress=stressed,
        figures={
            "scatter": Markup(figures.true_and_predicted(predictions)),
            "bland_altman": Markup(figures.bland_altman(predictions)),
            "error_by_age": Markup(figures.error_by_age(result)),
            "within": Markup(figures.within(predictions)),
        },
    )
    return path


def _read(path: Path, schema: str) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["schema"] != schema:
            raise ValueError(f"schema {values['schema']!r}, expected {schema!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputDataError(
            f"{path}: expected what `bone-age-tf` wrote there ({type(error).__name__}: {error})."
        ) from error
    return values


def _name(folder: Path, result: dict[str, Any]) -> str:
    """Display name of the model: the name of its folder, or of the column of predictions."""
    if "name" in result["model"]:
        return f"{result['model']['name']}, version {result['model']['version']}"
    if "column" in result["model"]:
        return str(result["model"]["column"])
    try:
        return str(read_provenance(folder)["model"])
    except (OSError, ValueError, KeyError):
        return folder.name


def _interval(summary: dict[str, Any], factor: float = 1.0, digits: int = 2) -> str:
    """The confidence interval in brackets; empty where there is none."""
    if summary["low"] is None:
        return ""
    low, high = (f"{summary[name] * factor:.{digits}f}" for name in ("low", "high"))
    return f"[{low}, {high}]".replace("-", "\N{MINUS SIGN}")


def _coverage_rows(result: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    intervals = result["prediction_intervals"]
    if not intervals:
        return []
    names = {**SEXES, **{band: band for band in metrics.AGE_BANDS}}
    groups = intervals["by_sex"] | intervals["by_age_band"]
    rows = [(word, groups[name]) for name, word in names.items() if name in groups]
    return [("all", intervals["overall"]), *rows]
