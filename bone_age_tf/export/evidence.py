"""Collect and check everything that an export needs before it is written: networks, errors, intervals."""

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bone_age_tf.config.choices import FOLD_SPLIT, VALIDATION_SPLIT
from bone_age_tf.data.leakage import TRAINED_ON_SPLIT
from bone_age_tf.ensembling.ensemble import Ensemble, open_trained
from bone_age_tf.ensembling.families import families_of
from bone_age_tf.errors import InputDataError, ModelRefusedError, UsageError
from bone_age_tf.export.model_card import no_better_than_constant
from bone_age_tf.metrics.predictions import PREDICTIONS, read_predictions
from bone_age_tf.models.views import VIEWS, View
from bone_age_tf.postprocessing.bias_correction import NO_CORRECTION, SexSpecificRecalibration
from bone_age_tf.postprocessing.conformal import (
    DEFAULT_COVERAGE,
    Intervals,
    fit_intervals,
    min_radiographs_for,
)
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.training.run import Run

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Inputs of one export."""

    trained: Run | Ensemble
    """The networks."""
    preprocessor: Preprocessor
    """That of the radiographs that they were trained on."""
    classifier: Run | None
    """The sex classifier."""
    folds: Ensemble | None
    """Runs of the same settings on folds of the same data, for a run that was trained on all data."""
    metrics: Mapping[str, Any]
    """`training`, and where there are such `evaluation` and `cross_validation`."""
    intervals: Intervals | None
    fitted_to: Sequence[Mapping[str, str]]
    """The splits that the intervals come from: `plan` of the data set and `split`."""

    @property
    def correction(self) -> SexSpecificRecalibration:
        """Applied to the output of the network; an ensemble contains its own."""
        return NO_CORRECTION if self.folds is None else self.folds.correction

    @property
    def views(self) -> Sequence[View]:
        """Views for test-time augmentation; an ensemble contains its own."""
        return VIEWS["none" if self.folds is None else self.folds.tta]


def gather_evidence(
    run: str,
    *,
    checkpoint: str | None = None,
    evaluation: str | None = None,
    sex_classifier: str | None = None,
    cross_validation: str | None = None,
) -> Evidence:
    """Open and check the arguments of `export_saved_model`.

    Raises `ModelRefusedError` where the runs have another target or other preprocessing,
    `UsageError` where the arguments contradict each other, `InputDataError` where `evaluation` is not an `evaluation.json`.
    """
    trained = open_trained(run, checkpoint)
    _require_target(trained, "bone_age")
    preprocessor = Preprocessor(trained.preprocessing)
    _require_preprocessing(trained, preprocessor.fingerprint)
    _require_both_sexes(trained)
    classifier = None if sex_classifier is None else _open_classifier(sex_classifier, trained)
    if cross_validation is not None and evaluation is not None:
        raise UsageError(
            "--evaluation measures the network without the recalibration and views that --cross-validation adds. Give one of them."
        )
    folds = None if cross_validation is None else _open_folds(cross_validation, trained)
    evaluated = None if evaluation is None else _Evaluation.read(Path(evaluation), trained)
    metrics = {"training": trained.description.get("result")}
    if evaluated is not None:
        metrics["evaluation"] = evaluated.summary
    if folds is not None:
        metrics["cross_validation"] = _cross_validation(folds)
    if no_better_than_constant(metrics):
        log.warning(
            f"{run} is no better than a constant prediction, so its export is of no use; its model card says so. "
            "Train longer, or on more data."
        )
    intervals = _intervals(folds or trained, evaluated)
    is_fitted = intervals is not None and evaluated is not None and isinstance(trained, Run)
    return Evidence(
        trained=trained,
        preprocessor=preprocessor,
        classifier=classifier,
        folds=folds,
        metrics=metrics,
        intervals=intervals,
        fitted_to=[evaluated.fitted_to] if is_fitted and evaluated else [],
    )


@dataclasses.dataclass(frozen=True)
class _Evaluation:
    """An `evaluation.json` that is of this model."""

    folder: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, trained: Run | Ensemble) -> "_Evaluation":
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            values["constant"], values[TRAINED_ON_SPLIT]
            weights = values["model"]["weights_sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputDataError(
                f"{path}: expected an evaluation.json of `bone-age-tf evaluate` "
                f"({type(error).__name__}: {error})."
            ) from error
        if weights != trained.weights_sha256():
            raise ModelRefusedError(
                f"{path} evaluates other weights than those of {trained.folder} that are exported. "
                "Evaluate this run with the same --checkpoint, and give its evaluation.json."
            )
        return cls(path.parent, values)

    @property
    def summary(self) -> dict[str, Any]:
        """The part that goes into the manifest."""
        names = ("data", "confidence_interval", "overall", "constant", TRAINED_ON_SPLIT)
        return {name: self.values[name] for name in names}

    @property
    def fitted_to(self) -> dict[str, str]:
        return {name: self.values["data"][name] for name in ("plan", "split")}


def _intervals(trained: Run | Ensemble, evaluated: _Evaluation | None) -> Intervals | None:
    """Fitted on predictions for radiographs that the model was not trained on; None where there are too few."""
    if isinstance(trained, Ensemble):
        held_out = read_predictions(trained.folder)
    elif evaluated is None or not (evaluated.folder / PREDICTIONS).is_file():
        return _without_intervals("there is no evaluation with its predictions.csv")
    else:
        split = evaluated.values["data"]["split"]
        if evaluated.values[TRAINED_ON_SPLIT]:
            return _without_intervals(f"the model was trained on the split {split!r}")
        if trained.checkpoint == "best" and split in (VALIDATION_SPLIT, FOLD_SPLIT):
            return _without_intervals(
                f"the best epoch was chosen on the split {split!r} (use --checkpoint last for evaluate and export)"
            )
        held_out = read_predictions(evaluated.folder)
    if len(held_out) < min_radiographs_for(DEFAULT_COVERAGE):
        return _without_intervals(f"{len(held_out)} radiographs are too few")
    return fit_intervals(held_out.sex, held_out.predicted, held_out.true_months)


def _without_intervals(why: str) -> None:
    log.info(f"Exported without prediction intervals: {why}. `bone-age-tf calibrate` adds them.")


def _require_target(trained: Run | Ensemble, target: str) -> None:
    if trained.target != target:
        advice = (
            "Give it as --sex-classifier to the export of a model of the bone age."
            if trained.target == "sex"
            else "Train one: bone-age-tf train --recipe sex_classifier."
        )
        raise ModelRefusedError(
            f"{trained.folder}: expected a model of the target {target}. "
            f"Received one of the target {trained.target}. {advice}"
        )


def _require_preprocessing(trained: Run | Ensemble, made: str) -> None:
    if made != trained.fingerprint:
        raise ModelRefusedError(
            f"{trained.folder} was trained with preprocessing {trained.fingerprint[:12]}; this version "
            f"makes {made[:12]}. Export it with the version of bone-age-tf that trained it "
            f"({trained.description['versions']['bone_age_tf']})."
        )


def _require_both_sexes(trained: Run | Ensemble) -> None:
    """Raise `ModelRefusedError` for a run of one sex, which would predict for the other sex as well."""
    if isinstance(trained, Run) and trained.config.data.sex != "both":
        sex = trained.config.data.sex
        raise ModelRefusedError(
            f"{trained.folder} was trained with data.sex={sex}: it was not trained on the other sex. Combine it with a run "
            "for the other sex: bone-age-tf ensemble RUN RUN."
        )


def _open_classifier(folder: str, trained: Run | Ensemble) -> Run:
    classifier = Run.open(folder)
    _require_target(classifier, "sex")
    if classifier.fingerprint != trained.fingerprint:
        raise ModelRefusedError(
            f"{folder} was trained with preprocessing {classifier.fingerprint[:12]}, "
            f"{trained.folder} with {trained.fingerprint[:12]}. Train both on the same data set."
        )
    return classifier


def _open_folds(folder: str, trained: Run | Ensemble) -> Ensemble:
    """The ensemble whose held-out predictions estimate the performance of `trained`: same settings, folds of the same data."""
    folds = Ensemble.open(folder)
    if not isinstance(trained, Run):
        raise UsageError(
            f"--cross-validation {folder}: {trained.folder} is an ensemble, which has its own held-out predictions. "
            "Leave --cross-validation out."
        )
    if trained.config.data.fold is not None:
        raise ModelRefusedError(
            f"--cross-validation {folder}: {trained.folder} is a fold itself. Expected a run trained without data.fold."
        )
    _, families = families_of([trained.config, *(member.config for member in folds.members)])
    if set(families) != {0} or not all(member.config.data.fold for member in folds.members):
        raise ModelRefusedError(
            f"--cross-validation {folder}: expected runs of `train --set data.fold=I/K` with the settings of {trained.folder}. "
            "Received runs with other settings, or without folds."
        )
    numbers = [member.config.data.fold for member in folds.members]
    if len(set(numbers)) < len(numbers) or any(
        m.checkpoint != trained.checkpoint for m in folds.members
    ):
        raise ModelRefusedError(
            f"--cross-validation {folder}: expected each fold once, all with the weights of the epoch that is exported "
            f"({trained.checkpoint}). Received the folds {', '.join(map(str, numbers))} with the epoch {folds.members[0].checkpoint}: "
            "two networks on a radiograph answer better than the one that is exported. Use --checkpoint."
        )
    if folds.description["data"]["plan"] != trained.description["data"]["plan"]:
        raise ModelRefusedError(
            f"--cross-validation {folder}: its members were trained on another data set than {trained.folder}."
        )
    return folds


def _cross_validation(folds: Ensemble) -> dict[str, Any]:
    """Performance of a network with these settings, from the held-out predictions of the folds."""
    description = folds.description
    names = ("members", "tta", "correction", "held_out", "result")
    return {"ensemble_sha256": folds.weights_sha256(), **{n: description[n] for n in names}}
