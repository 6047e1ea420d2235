"""Build an ensemble of folds, regions and seeds, evaluated on the radiographs held out from its members.

Members that differ only in `data.fold` and `train.seed` form a family; members for girls and
members for boys form one family, separate from that of both sexes. A family's held-out prediction of a radiograph
is the mean over the members that it was held out from and that apply to its sex. Weights and
correction are fitted on these predictions, and the reported performance comes from a
ten-fold cross-validation, so that no radiograph is evaluated with a fit that used it. Members
use the weights of their last epoch: the best epoch was selected on the radiographs that they hold out.
"""

import dataclasses
import gc
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bone_age_tf import config as configuration
from bone_age_tf import record
from bone_age_tf.config import (
    CORRECTIONS,
    TTA_VIEWS,
    WEIGHTINGS,
    ExperimentConfig,
    LoggingConfig,
    TrainConfig,
)
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.leakage import TRAINING_FILES, TRAINING_MEAN
from bone_age_tf.data.splits import select
from bone_age_tf.data.tfrecords import Records
from bone_age_tf.ensembling.cross_validation import (
    complete,
    cross_validate,
    family_predictions,
    fit_correction,
    fit_weights,
)
from bone_age_tf.ensembling.ensemble import (
    ENSEMBLE_FILE,
    ENSEMBLE_SCHEMA,
    MEMBERS,
    fixed_sex,
)
from bone_age_tf.errors import InputDataError, ModelRefusedError, UsageError
from bone_age_tf.files.atomic import write_json
from bone_age_tf.files.versions import versions
from bone_age_tf.metrics import bone_age as metrics
from bone_age_tf.metrics.baseline import constant_baseline
from bone_age_tf.metrics.bootstrap import CONFIDENCE_INTERVAL
from bone_age_tf.metrics.predictions import LabelledPredictions, write_predictions
from bone_age_tf.models.ensemble_model import Member, build_ensemble_model
from bone_age_tf.models.test_time_augmentation import VIEWS, is_mirrored
from bone_age_tf.postprocessing.bias_correction import NO_CORRECTION, PARTS
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.training.run import RUN_FILE, Run

log = logging.getLogger(__name__)

BATCH_SIZE = 16
MIN_TO_FIT = 20
"""Minimum number of held-out radiographs for fitting weights or a correction."""

HARDWARE_SETTINGS = (
    "gradient_accumulation_steps",
    "cache",
    "checkpoint_minutes",
    "deterministic",
    "normalization",
    "precision",
    "readers",
    "steps_per_execution",
)
"""Training settings that depend on the hardware and do not change the network."""

Notify = Callable[[str, int, int], None]


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

    The `correction` `linear` is left out where it does not lower the error in cross-validation.
    `overwrite` replaces an ensemble. Raises `ModelRefusedError` where the runs are incompatible with each other or with
    the data set, `UsageError` where `output` exists, `InputDataError` where too few radiographs were held out.
    """
    _require_choices(
        weighting=(weighting, WEIGHTINGS),
        tta=(tta, TTA_VIEWS),
        correction=(correction, CORRECTIONS),
    )
    target = Path(output)
    _require_free(target, overwrite)
    radiographs = PreparedRadiographs.open(data)
    members = [Run.open(folder, checkpoint) for folder in runs]
    _require_together(members, radiographs, tta)
    names, families = families_of([member.config for member in members])
    _require_both_sexes(members, names, families)

    chosen = [_held_out_records(member, radiographs) for member in members]
    blank = [np.zeros(len(records)) for records in chosen]
    _require_min_radiographs(
        complete(_collect(members, names, families, chosen, blank)), weighting, correction
    )

    notify = on_progress or (lambda stage, done, total: None)
    months = _predict(members, chosen, radiographs, tta, notify)
    held_out = _collect(members, names, families, chosen, months)
    evaluated = complete(held_out)
    shares = fit_weights(evaluated, weighting)
    lines = fit_correction(evaluated, shares, correction)
    before, after = cross_validate(evaluated, weighting, correction)
    helps = _mae(after, evaluated) < _mae(before, evaluated)
    if correction != "none" and not helps:
        log.info(
            "The linear correction does not lower the error in cross-validation, so it is left out."
        )
        lines = NO_CORRECTION
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
        "correction": {"method": correction, "kept": helps, **lines.describe()},
        "held_out": {"radiographs": len(evaluated), "of": len(held_out)},
        "result": {
            "parts": PARTS,
            "confidence_interval": CONFIDENCE_INTERVAL,
            "families": {
                name: metrics.summarize_by_sex(
                    evaluated.table[name].to_numpy() - evaluated.true_months, evaluated.sex
                )
                for name in names
            },
            "before_correction": metrics.summarize_by_sex(
                before - evaluated.true_months, evaluated.sex
            ),
            "after_correction": metrics.summarize_by_sex(
                after - evaluated.true_months, evaluated.sex
            ),
            "constant": constant_baseline(
                after if helps else before, evaluated.true_months, _training_mean(members)
            ),
        },
        "data": {
            **{name: members[0].description["data"][name] for name in ("plan", "splits")},
            TRAINING_MEAN: _training_mean(members),
            "fold": ", ".join(filter(None, (member.config.data.fold for member in members)))
            or None,
        },
        "preprocessing": configuration.to_dict(members[0].preprocessing.portable()),
        "fingerprint": members[0].fingerprint,
        "versions": versions(),
    }
    _write(target, members, description, evaluated.with_months(after if helps else before))
    return description


def _require_free(target: Path, overwrite: bool) -> None:
    """Raise `UsageError` for a folder that exists, unless it is an ensemble that is to be replaced."""
    if not target.exists() or (overwrite and (target / ENSEMBLE_FILE).is_file()):
        return
    advice = (
        ", or replace this ensemble with --overwrite" if (target / ENSEMBLE_FILE).is_file() else ""
    )
    raise UsageError(f"--output {target} exists already. Choose another folder{advice}.")


def _mae(months: np.ndarray, held_out: LabelledPredictions) -> float:
    return float(np.abs(months - held_out.true_months).mean())


def _training_mean(members: Sequence[Run]) -> float | None:
    """Mean over the members of the mean bone age that they were trained on; None where one has no such record."""
    means = [member.description["data"].get(TRAINING_MEAN) for member in members]
    return None if None in means else float(np.mean(means))


def families_of(configs: Sequence[ExperimentConfig]) -> tuple[list[str], list[int]]:
    """Names of the families, and the index of the family of each configuration."""
    kinds: list[ExperimentConfig] = []
    names: list[str] = []
    families = []
    for config in configs:
        kind = _kind(config)
        if kind not in kinds:
            kinds.append(kind)
            names.append(_family_name(config, names))
        families.append(kinds.index(kind))
    return names, families


def _kind(config: ExperimentConfig) -> ExperimentConfig:
    """The configuration without what members of a family may differ in."""
    sex = "both" if config.data.sex == "both" else "F"  # girls' and boys' together
    return dataclasses.replace(
        config,
        recipe="",
        data=dataclasses.replace(config.data, fold=None, sex=sex),
        model=dataclasses.replace(config.model, age_mean_months=None, age_sd_months=None),
        train=dataclasses.replace(
            config.train,
            seed=0,
            **{name: getattr(TrainConfig(), name) for name in HARDWARE_SETTINGS},
        ),
        logging=LoggingConfig(),
    )


def _family_name(config: ExperimentConfig, taken: Sequence[str]) -> str:
    name = f"{config.model.backbone} {config.data.region} {config.model.head}"
    if config.data.sex != "both":
        name += " by sex"
    number = 1 + sum(other == name or other.startswith(f"{name} ") for other in taken)
    return name if number == 1 else f"{name} {number}"


def _collect(
    members: Sequence[Run],
    names: Sequence[str],
    families: Sequence[int],
    chosen: Sequence[Records],
    months: Sequence[np.ndarray],
) -> LabelledPredictions:
    """The families' predictions from those of each member for its own records, [n] each."""
    places: dict[str, int] = {}
    for records in chosen:
        for identifier in records.ids:
            places.setdefault(identifier, len(places))
    sex, true = np.zeros(len(places), int), np.zeros(len(places))
    predicted = np.full((len(members), len(places)), np.nan)
    for row, (records, answers) in enumerate(zip(chosen, months, strict=True)):
        columns = [places[identifier] for identifier in records.ids]
        sex[columns], true[columns] = records.sex, records.bone_age_months
        predicted[row, columns] = answers
    sexes = [member.config.data.sex for member in members]
    by_family = family_predictions(predicted, sexes, families, sex)
    columns_of = dict(zip(names, by_family.T, strict=True))
    return LabelledPredictions.of(list(places), sex, true, families=columns_of)


def _predict(
    members: Sequence[Run],
    chosen: Sequence[Records],
    radiographs: PreparedRadiographs,
    tta: str,
    notify: Notify,
) -> list[np.ndarray]:
    """Each member's months for its own records."""
    done, total = 0, sum(map(len, chosen))
    notify("ensemble", 0, total)
    months = []
    for member, records in zip(members, chosen, strict=True):
        network = _answering(member, tta)
        answers = []
        for batch in radiographs.examples_of(records).batch(BATCH_SIZE).as_numpy_iterator():
            inputs = {name: batch[name] for name in (record.IMAGE, record.SEX)}
            answers.append(network.predict_on_batch(inputs))
            done += len(batch[record.SEX])
            notify("ensemble", done, total)
        months.append(np.concatenate(answers))
        del network
        gc.collect()  # a Keras model refers to itself: without this, all members stay in memory
    return months


def _answering(member: Run, tta: str) -> keras.Model:
    """A member as it answers in the ensemble: all views, and the sex that it knows."""
    alone = Member(member.load_model(), (1.0, 1.0, 1.0), fixed_sex(member.config.data.sex))
    return build_ensemble_model([alone], VIEWS[tta])


def _held_out_records(member: Run, radiographs: PreparedRadiographs) -> Records:
    records = select(radiographs, member.config.data).validation
    if records is None or not len(records):
        raise InputDataError(
            f"{member.folder} was trained on all data: {radiographs.folder} has no split "
            "validation. Train with --set data.fold=I/K, or prepare the data with a validation split."
        )
    return records


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


def _require_choices(**choices: tuple[str, Any]) -> None:
    for name, (value, known) in choices.items():
        if value not in known:
            raise UsageError(f"--{name}: expected one of {', '.join(known)}. Received: {value!r}.")


def _require_together(members: Sequence[Run], radiographs: PreparedRadiographs, tta: str) -> None:
    """All members predict the bone age, for this data set, with the same preprocessing."""
    manifest = radiographs.manifest
    for member in members:
        if member.target != "bone_age":
            raise ModelRefusedError(
                f"{member.folder} predicts the {member.target}. An ensemble is made of runs "
                "that predict the bone age."
            )
        radiographs.require_prepared_for(
            member.folder, member.fingerprint, member.description["preprocessing"]
        )
        if member.description["data"]["plan"] != manifest.plan:
            raise ModelRefusedError(
                f"{member.folder} was trained on another data set than {radiographs.folder}, so "
                "it is unknown which radiographs were held out from it. Give the data set that all "
                "members were trained on."
            )
        if is_mirrored(tta) and not member.config.augmentation.mirror:
            raise UsageError(
                f"--tta {tta}: {member.folder} was not trained on mirrored hands "
                "(augmentation.mirror=false). Choose none or warps."
            )
    if len({member.folder.resolve() for member in members}) < len(members):
        raise UsageError("A run was given twice. Give each run once.")


def _require_both_sexes(
    members: Sequence[Run], names: Sequence[str], families: Sequence[int]
) -> None:
    for number, name in enumerate(names):
        sexes = {
            member.config.data.sex
            for member, family in zip(members, families, strict=True)
            if family == number
        }
        for sex, word in (("F", "girls"), ("M", "boys")):
            if not sexes & {"both", sex}:
                raise UsageError(
                    f"The family {name!r} has no member for {word}. Add the runs with "
                    f"data.sex={sex} and otherwise the same settings."
                )


def _require_min_radiographs(
    held_out: LabelledPredictions, weighting: str, correction: str
) -> None:
    fits = weighting == "fitted" or correction == "linear"
    required = MIN_TO_FIT if fits else 1
    if len(held_out) < required:
        raise InputDataError(
            f"{len(held_out)} radiographs were held out from a member of every family. Expected at "
            f"least {required}: train more folds, or use --weighting mean --correction none."
        )


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
