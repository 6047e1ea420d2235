"""Recalibrate an exported model for the radiographs of a new site, with prediction intervals.

Other devices, populations and readers shift a model's predictions in a nearly linear way. A sex-specific
linear recalibration (`postprocessing/bias_correction.py`) is fitted on labelled radiographs of that site, about 100 in all;
with several hundred, a monotone curve (`postprocessing/monotone.py`) can be.

The recalibration is left out where it does not help in cross-validation: leave-one-out, of a curve ten parts.
Prediction intervals of the requested coverage are fitted on the same radiographs (`postprocessing/conformal.py`), from their
predictions in this cross-validation. Both are stored in the model's variables `correction` and `intervals`, so that every signature
uses them.
"""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bone_age_tf import record
from bone_age_tf.config import CalibrationConfig
from bone_age_tf.config.choices import TRAINED_ON
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.leakage import find_leakage, known_among
from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.errors import InputDataError, ModelRefusedError, UsageError
from bone_age_tf.export.export import (
    GOLDEN_HAND,
    files_of,
    golden,
    reading,
    require_reading_method,
)
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.model_card import CARD, card
from bone_age_tf.export.stored_calibration import require_graph_for, store
from bone_age_tf.export.versions import new_version
from bone_age_tf.export.warmup import protos_version, write_warm_up
from bone_age_tf.files.atomic import write_json
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.files.provenance import PROVENANCE, read_provenance
from bone_age_tf.files.versions import versions
from bone_age_tf.metrics import bone_age as metrics
from bone_age_tf.metrics import bootstrap
from bone_age_tf.metrics.error_tables import bias_by_age
from bone_age_tf.metrics.predictions import LabelledPredictions, read_predictions
from bone_age_tf.postprocessing.bias_correction import (
    NO_CORRECTION,
    PRIOR_RADIOGRAPHS,
    SexSpecificRecalibration,
    cross_validated,
    fit_lines,
    parts_of,
)
from bone_age_tf.postprocessing.conformal import (
    Intervals,
    cross_validated_coverage,
    fit_intervals,
)
from bone_age_tf.postprocessing.monotone import COST_MONTHS, fit_curves
from bone_age_tf.sex import SEX_NAMES

log = logging.getLogger(__name__)

MIN_RADIOGRAPHS = 20
RECOMMENDED_RADIOGRAPHS = 100
"""Fewer radiographs give a warning."""
LIKELY_SLOPES = (0.75, 1.33)
"""Plausible slopes for another site, device or reader; other slopes give a warning."""
BATCH_SIZE = 16

Notify = Callable[[str, int, int], None]


def calibrate(  # noqa: PLR0913 - one for each option
    *,
    model: str,
    output: str,
    data: str | None = None,
    split: str | None = None,
    predictions: str | None = None,
    config: CalibrationConfig = CalibrationConfig(),  # noqa: B008 - frozen
    version: int | None = None,
    reading_method: str | None = None,
    warm_up: bool = False,
    on_progress: Notify | None = None,
) -> dict[str, Any]:
    """Write the next version of an exported model; returns the section `calibration` of its manifest.

    The labelled radiographs are a split of a data set, or the `predictions.csv` of `predict` with
    this model and true bone ages, which `reading_method` is about. It and `warm_up` are as in `export_saved_model`.
    Raises `InputDataError` where there are fewer than `MIN_RADIOGRAPHS`, or too few for the coverage,
    `ModelRefusedError` where the model was trained on the radiographs, or fitted to the split.
    """
    if (data is None) == (predictions is None) or (data is None) != (split is None):
        raise UsageError("calibrate needs either --data with --split, or --predictions.")
    if warm_up:
        protos_version()  # before the work
    require_reading_method(reading_method)
    exported = ExportedModel.open(model)
    if data is not None and split is not None:
        labelled, source = _predict_split(exported, data, split, on_progress)
    else:
        labelled, source = _read_predictions(exported, Path(str(predictions)))
    if len(labelled) < MIN_RADIOGRAPHS:
        raise InputDataError(
            f"A calibration needs at least {MIN_RADIOGRAPHS} radiographs with a bone age, better {RECOMMENDED_RADIOGRAPHS}. "
            f"Received {len(labelled)}."
        )
    require_graph_for(exported, config.correction)
    section, lines, intervals = _fit(exported, labelled, source, config)
    for doubt in doubts(section["correction"], len(labelled)):
        log.warning(doubt)
    with new_version(output, version) as (aside, target):
        shutil.copytree(exported.folder, aside)
        store(aside, lines, intervals)
        manifest = json.loads((aside / MANIFEST).read_text(encoding="utf-8"))
        manifest |= {"calibration": section, "intervals": section["intervals"]}
        manifest.pop("reading_method", None)  # that of other bone ages
        manifest |= reading(reading_method)
        (aside / CARD).write_text(card(manifest), encoding="utf-8")
        if warm_up:
            write_warm_up(aside, GOLDEN_HAND.read_bytes())
        manifest |= {"files": files_of(aside), "golden": golden(aside)}
        if data is not None:
            fitted = {"plan": source["plan"], "split": split}
            manifest["fitted_to"] = [*manifest.get("fitted_to", []), fitted]
        write_json(aside / MANIFEST, manifest)
    return section | {"folder": str(target)}


def doubts(correction: Mapping[str, Any], count: int) -> list[str]:
    """Warnings about the section `correction`, fitted on `count` radiographs; a sentence each."""
    found = []
    if count < RECOMMENDED_RADIOGRAPHS:
        found.append(
            f"{count} radiographs are few, so the recalibration and the prediction intervals are imprecise. {RECOMMENDED_RADIOGRAPHS} or more are recommended."
        )
    low, high = LIKELY_SLOPES
    for name in SEX_NAMES:
        slope = correction[name].get("slope", 1.0)  # a curve's are bounded
        if correction["kept"] and not low <= slope <= high:
            found.append(
                f"The recalibration for {name} has a slope of {slope:.2f}; expected: {low} to {high}. Before using this version, check that the "
                "true ages are bone ages in months, and that each radiograph has the right one."
            )
    return found


def _fit(
    exported: ExportedModel,
    labelled: LabelledPredictions,
    source: dict[str, str],
    config: CalibrationConfig,
) -> tuple[dict[str, Any], SexSpecificRecalibration, Intervals]:
    """The section of the manifest, and what it describes: the recalibration and the prediction intervals."""
    sex, true, before = labelled.sex, labelled.true_months, labelled.predicted
    is_monotone = config.correction == "monotone"
    fit = fit_curves if is_monotone else fit_lines
    parts = parts_of(len(sex)) if is_monotone else np.arange(len(sex))
    after = cross_validated(fit, parts, sex, before, true)
    gains = np.abs(before - true) - np.abs(after - true)
    kept = config.correction != "none" and bool(gains.mean() > (-COST_MONTHS if is_monotone else 0))
    lines = fit(sex, before, true) if kept else NO_CORRECTION
    answers = after if kept else before
    symmetric = exported.is_of_lines
    intervals = fit_intervals(sex, answers, true, config.coverage, symmetric=symmetric)
    correction = {
        "method": "none" if config.correction == "none" else f"{config.correction} by sex",
        "kept": kept,
        "parts": int(parts.max()) + 1,
        "prior_radiographs": PRIOR_RADIOGRAPHS,
        **lines.describe(),
    }
    section = {
        "calibrated": {
            "version": exported.folder.name,
            "manifest_sha256": sha256_of(exported.folder / MANIFEST),
        },
        "radiographs": source
        | {"n": {name: int(np.sum(sex == code)) for code, name in enumerate(SEX_NAMES)}},
        "correction": correction,
        "intervals": intervals.describe(),
        "result": {
            "confidence_interval": bootstrap.CONFIDENCE_INTERVAL,
            "before": metrics.summarize_by_sex(before - true, sex),
            "after_cross_validated": metrics.summarize_by_sex(after - true, sex),
            "bias_by_age": {
                "before": bias_by_age(before, true),
                "after": bias_by_age(after, true),
            },
            "gain_months": bootstrap.mean(gains),
            "coverage_cross_validated": cross_validated_coverage(
                sex, answers, true, config.coverage, symmetric=symmetric
            ),
        },
        "made_with": versions(),
    }
    return section, lines, intervals


def _predict_split(
    exported: ExportedModel, data: str, split: str, on_progress: Notify | None
) -> tuple[LabelledPredictions, dict[str, str]]:
    """Predictions for a split that the model was not trained on, and where they come from."""
    notify = on_progress or (lambda stage, done, total: None)
    radiographs = PreparedRadiographs.open(data)
    radiographs.require_labels(split)
    manifest = radiographs.manifest
    radiographs.require_prepared_for(
        exported.folder, exported.fingerprint, exported.manifest["preprocessing"]
    )
    records = radiographs.records(split)
    leakage = find_leakage(exported.folder, exported.training_data, radiographs, records, split)
    if leakage is not None:
        raise ModelRefusedError(
            f"{leakage} Expected radiographs of {data} that the model was not trained on or fitted to, or the model that this one was "
            "recalibrated from."
        )
    ids: list[str] = []
    columns: list[tuple[np.ndarray, ...]] = []
    total = len(records)
    notify("calibrate", 0, total)
    for batch in radiographs.examples(split).batch(BATCH_SIZE).as_numpy_iterator():
        names = [SEX_NAMES[code] for code in batch[record.SEX]]
        predicted = exported.months_of_prepared(batch[record.IMAGE], names)
        columns.append((batch[record.SEX], batch[record.BONE_AGE_MONTHS], predicted))
        ids += [identifier.decode() for identifier in batch[record.ID]]
        notify("calibrate", len(ids), total)
    labelled = LabelledPredictions.of(
        ids, *(np.concatenate(column) for column in zip(*columns, strict=True))
    )
    return labelled, {"plan": manifest.plan, "split": split}


def _read_predictions(
    exported: ExportedModel, path: Path
) -> tuple[LabelledPredictions, dict[str, str]]:
    """The rows that `predict` gave a bone age and that have a true one."""
    _require_predictions_of(exported, path)
    labelled = read_predictions(path)
    warnings = labelled.table.get("warning", pd.Series(dtype=str))
    count = sum(TRAINED_ON in codes for codes in warnings.str.split())
    if count:
        raise ModelRefusedError(
            f"{path}: {known_among(count, len(labelled))} Expected radiographs that it was not trained on: leave out the rows "
            f"with the warning {TRAINED_ON}."
        )
    return labelled, {"predictions_sha256": sha256_of(path)}


def _require_predictions_of(exported: ExportedModel, path: Path) -> None:
    """Raise `ModelRefusedError` for predictions of another model, by the `provenance.json` next to them."""
    try:
        made_by = read_provenance(path.parent)["model"]["manifest_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputDataError(
            f"{path.with_name(PROVENANCE)}: expected the file that `bone-age-tf predict` writes next to {path.name}, to identify the model that "
            f"it is of ({type(error).__name__}: {error}). Give the file in its folder."
        ) from error
    if made_by != sha256_of(exported.folder / MANIFEST):
        raise ModelRefusedError(
            f"{path} holds predictions of another model than {exported.folder}. Predict with this one."
        )
