"""Build an ensemble of folds, regions and seeds, evaluated on the radiographs held out from its members.

Members that differ only in `data.fold` and `train.seed` form a family; members for girls and
members for boys form one family, separate from that of both sexes. A family's held-out prediction of a radiograph
is the mean over the members that it was held out from and that apply to its sex. Weights and
correction are fitted on these predictions, and the reported performance comes from a
ten-fold cross-validation, so that no radiograph is evaluated with a fit that used it. Members
use the weights of their last epoch: the best epoch was selected on the radiographs that they hold out.
"""

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bone_age_tf import config as configuration
from bone_age_tf.config import (
    CORRECTIONS,
    TTA_VIEWS,
    WEIGHTINGS,
)
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.leakage import TRAINING_FILES, TRAINING_MEAN
from bone_age_tf.data.training_ages import TRAINING_AGES, TrainingAges
from bone_age_tf.ensembling.cross_validation import (
    complete,
    cross_validate,
    fit_correction,
    fit_weights,
)
from bone_age_tf.ensembling.ensemble import (
    ENSEMBLE_FILE,
    ENSEMBLE_SCHEMA,
    MEMBERS,
)
from bone_age_tf.ensembling.families import families_of
from bone_age_tf.ensembling.held_out import Notify, collect, held_out_records, predict_held_out
from bone_age_tf.ensembling.requirements import (
    require_both_sexes,
    require_choices,
    require_free,
    require_min_radiographs,
    require_together,
)
from bone_age_tf.files.atomic import write_json
from bone_age_tf.files.versions import versions
from bone_age_tf.metrics import bone_age as metrics
from bone_age_tf.metrics.baseline import constant_baseline
from bone_age_tf.metrics.bootstrap import CONFIDENCE_INTERVAL
from bone_age_tf.metrics.error_tables import bias_by_age
from bone_age_tf.metrics.predictions import LabelledPredictions, write_predictions
from bone_age_tf.models.views import VIEWS
from bone_age_tf.postprocessing.bias_correction import NO_CORRECTION, PARTS
from bone_age_tf.postprocessing.conformal import DEFAULT_COVERAGE, cross_validated_coverage
from bone_age_tf.postprocessing.monotone import COST_MONTHS
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.training.run import RUN_FILE, Run

log = logging.getLogger(__name__)


def ensemble(  # noqa: PLR0913 - one for each option
    runs: Sequence[str],
    *,
    data: str,
    output: str,
    weighting: str = "mean",
    tta: str = "none",
    correction: str = "linear",
    checkpoint: str = "last",
    overwrite: bool = False,
    on_progress: Notify | None = None,
) -> dict[str, Any]:
    """Write the folder `output`, a model of all `runs`; returns `ensemble.json`.

    A `correction` is left out where it does not lower the error in cross-validation; `monotone` may cost `COST_MONTHS`.
    `overwrite` replaces an ensemble. Raises `ModelRefusedError` where the runs are incompatible with each other or with
    the data set, `UsageError` where `output` exists, `InputDataError` where too few radiographs were held out.
    """
    require_choices(
        weighting=(weighting, WEIGHTINGS),
        tta=(tta, TTA_VIEWS),
        correction=(correction, CORRECTIONS),
    )
    target = Path(output)
    require_free(target, overwrite)
    radiographs = PreparedRadiographs.open(data)
    members = [Run.open(folder, checkpoint) for folder in runs]
    require_together(members, radiographs, tta)
    names, families = families_of([member.config for member in members])
    require_both_sexes(members, names, families)

    chosen = [held_out_records(member, radiographs) for member in members]
    blank = [np.zeros(len(records)) for records in chosen]
    require_min_radiographs(
        complete(collect(members, names, families, chosen, blank)), weighting, correction
    )

    notify = on_progress or (lambda stage, done, total: None)
    months = predict_held_out(members, chosen, radiographs, tta, notify)
    held_out = collect(members, names, families, chosen, months)
    evaluated = complete(held_out)
    shares = fit_weights(evaluated, weighting)
    before, after = cross_validate(evaluated, weighting, correction)
    helps = _helps(correction, before, after, evaluated.true_months)
    maps = fit_correction(evaluated, shares, correction) if helps else NO_CORRECTION
    answers = after if helps else before
    description = {
        "schema": ENSEMBLE_SCHEMA,
        "members": [
            _describe_member(str(number), member, family, len(records))
            for number, (member, family, records) in enumerate(
                zip(members, families, chosen, strict=True), start=1
            )
        ],
        "families": [
            {"name": name, "weight": float(share)}
            for name, share in zip(names, shares, strict=True)
        ],
        "weighting": weighting,
        "tta": tta,
        "views": len(VIEWS[tta]),
        "correction": {"method": correction, "kept": helps, **maps.describe()},
        "held_out": {"radiographs": len(evaluated), "of": len(held_out)},
        "result": {
            **_result(evaluated, before, after),
            "coverage_cross_validated": cross_validated_coverage(
                evaluated.sex, answers, evaluated.true_months, DEFAULT_COVERAGE
            ),
            "constant": constant_baseline(answers, evaluated.true_months, _training_mean(members)),
        },
        "data": _describe_data(members),
        "preprocessing": configuration.to_dict(members[0].preprocessing.portable()),
        "fingerprint": members[0].fingerprint,
        "versions": versions(),
    }
    _write(target, members, description, evaluated.with_months(answers))
    return description


def _helps(correction: str, before: np.ndarray, after: np.ndarray, true: np.ndarray) -> bool:
    """Whether a correction lowers the error in cross-validation; a monotone one may cost a little, for the ends."""
    allowed = COST_MONTHS if correction == "monotone" else 0.0
    gain = float(np.abs(before - true).mean() - np.abs(after - true).mean())
    if correction != "none" and gain <= -allowed:
        log.info(
            f"The {correction} correction does not lower the error in cross-validation, so it is left out."
        )
    return correction != "none" and gain > -allowed


def _result(
    evaluated: LabelledPredictions, before: np.ndarray, after: np.ndarray
) -> dict[str, Any]:
    """Errors of the families, and of the ensemble before and after the correction, [n] each."""
    sex, true = evaluated.sex, evaluated.true_months
    return {
        "parts": PARTS,
        "confidence_interval": CONFIDENCE_INTERVAL,
        "families": {
            name: metrics.summarize_by_sex(evaluated.table[name].to_numpy() - true, sex)
            for name in evaluated.family_names
        },
        "before_correction": metrics.summarize_by_sex(before - true, sex),
        "after_correction": metrics.summarize_by_sex(after - true, sex),
        "bias_by_age": {"before": bias_by_age(before, true), "after": bias_by_age(after, true)},
    }


def _describe_data(members: Sequence[Run]) -> dict[str, Any]:
    """As `data` of a run."""
    described = [member.description["data"] for member in members]
    ages = TrainingAges.of_members(data.get(TRAINING_AGES) for data in described)
    folds = ", ".join(filter(None, (member.config.data.fold for member in members)))
    return {
        **{name: described[0][name] for name in ("plan", "splits")},
        TRAINING_MEAN: _training_mean(members),
        **({} if ages is None else {TRAINING_AGES: ages.describe()}),
        "fold": folds or None,
    }


def _training_mean(members: Sequence[Run]) -> float | None:
    """Mean over the members of the mean bone age that they were trained on; None where one has no such record."""
    means = [member.description["data"].get(TRAINING_MEAN) for member in members]
    return None if None in means else float(np.mean(means))


def _describe_member(name: str, member: Run, family: int, held_out: int) -> dict[str, Any]:
    config = member.config
    return {
        "name": name,
        "run": member.folder.name,
        "family": family,
        "checkpoint": member.checkpoint,
        "weights_sha256": member.weights_sha256(),
        "fold": config.data.fold,
        "sex": config.data.sex,
        "seed": config.train.seed,
        "held_out": held_out,
    }


def _write(
    target: Path,
    members: Sequence[Run],
    description: dict[str, Any],
    predictions: LabelledPredictions,
) -> None:
    """Write the whole folder under a temporary name, then rename it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(
        f".writing-{target.name}"
    )  # leftovers of a killed process are replaced
    shutil.rmtree(aside, ignore_errors=True)
    try:
        for number, member in enumerate(members, start=1):
            folder = aside / MEMBERS / str(number)
            folder.mkdir(parents=True)
            shutil.copyfile(member.weights, folder / member.weights.name)
            write_json(folder / RUN_FILE, member.description)
            if (member.folder / TRAINING_FILES).is_file():
                shutil.copyfile(member.folder / TRAINING_FILES, folder / TRAINING_FILES)
        Preprocessor(members[0].preprocessing).save_beside(aside)
        write_predictions(aside, predictions)
        write_json(aside / ENSEMBLE_FILE, description)
        os.sync()
        if target.exists():  # an ensemble that `overwrite` replaces
            shutil.rmtree(target)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
