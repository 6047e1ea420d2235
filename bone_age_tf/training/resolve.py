"""Before training: settings that depend on the data and the devices, and checks of what can be trained."""

import dataclasses
import logging
import statistics
from typing import Any

import numpy as np

from bone_age_tf import config as configuration
from bone_age_tf.config import ExperimentConfig
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.leakage import TRAINING_MEAN
from bone_age_tf.data.splits import Selected
from bone_age_tf.data.training_ages import TRAINING_AGES, TrainingAges
from bone_age_tf.errors import UsageError
from bone_age_tf.files.versions import versions
from bone_age_tf.models.backbones import find_backbone
from bone_age_tf.preprocessing.regions import crop_of
from bone_age_tf.sex import SEX_NAMES, Sex
from bone_age_tf.training import strategy
from bone_age_tf.training.initial_weights import InitialWeights
from bone_age_tf.training.run import RUN_SCHEMA
from bone_age_tf.training.strategy import Devices

log = logging.getLogger(__name__)

VARIANTS_SHARE = 0.5
"""Of the radiographs shown as a variant, where the settings do not say."""


def resolve(
    config: ExperimentConfig, selected: Selected, devices: Devices, initial: InitialWeights
) -> ExperimentConfig:
    """Fill in settings that depend on the training radiographs (or on the run of the initial weights,
    whose head was trained with its mean and SD), and on the devices."""
    months = selected.training.bone_age_months.tolist()
    model, augmentation = config.model, config.augmentation
    found = (statistics.fmean(months), max(statistics.pstdev(months), 1.0))
    if initial.run is not None:
        theirs = initial.run.config.model
        found = (theirs.age_mean_months, theirs.age_sd_months)
    if model.age_mean_months is None:
        model = dataclasses.replace(model, age_mean_months=found[0])
    if model.age_sd_months is None:
        model = dataclasses.replace(model, age_sd_months=found[1])
    if model.target == "sex":  # the sex is no input, so there is nothing to drop
        model = dataclasses.replace(model, sex_units=0)
        augmentation = dataclasses.replace(augmentation, sex_dropout=0.0)
    share = _share_of_variants(augmentation.variants, selected.radiographs)
    augmentation = dataclasses.replace(augmentation, variants=share)
    readers, normalization = config.train.readers or devices.workers, config.train.normalization
    if normalization == "auto":
        normalization = "synchronized" if devices.replicas > 1 else "each_device"
    if normalization == "each_device" and devices.replicas > 1:
        raise UsageError(
            f"train.normalization=each_device is for one device; there are {devices.replicas}. Each would "
            "have its own statistics, and the checkpoint those of the first. Use auto."
        )
    settings = dataclasses.replace(config.train, readers=readers, normalization=normalization)
    return dataclasses.replace(config, model=model, augmentation=augmentation, train=settings)


def _share_of_variants(share: float | None, radiographs: PreparedRadiographs) -> float:
    """Raises `UsageError` where variants are asked for and there are none."""
    has_variants = radiographs.manifest.variants > 0
    if share is None:
        return VARIANTS_SHARE if has_variants else 0.0
    if share and not has_variants:
        raise UsageError(
            f"augmentation.variants={share:g} needs variants of the radiographs. {radiographs.folder} has none. "
            "Prepare it with --variants 4, for instance, or leave the setting out."
        )
    return share


def require_backbone(config: ExperimentConfig, radiographs: PreparedRadiographs) -> None:
    """Raise `UsageError` for a region or backbone that does not exist, or a region too small for the backbone."""
    rows, columns = crop_of(config.data.region, radiographs.frame)
    height, width = radiographs.frame
    find_backbone(config.model.backbone, (height - sum(rows), width - sum(columns)))
    if config.data.region != "frame" and radiographs.manifest.preprocessing.method != "registered":
        raise UsageError(
            f"data.region={config.data.region} needs registered radiographs; these are "
            f"{radiographs.manifest.preprocessing.method}. Prepare the data with --preprocess registered."
        )


def require_both_sexes(selected: Selected) -> None:
    """Raise `UsageError` for a sex classifier on radiographs of one sex."""
    counts = np.bincount(selected.training.sex, minlength=len(SEX_NAMES))
    if not (counts[Sex.F] and counts[Sex.M]):
        raise UsageError(
            f"model.target=sex needs radiographs of girls and of boys for training. Received "
            f"{counts[Sex.F]} and {counts[Sex.M]}. Pass --set data.sex=both, or give other data."
        )


def warn_of_missing_sex(config: ExperimentConfig, selected: Selected) -> None:
    """Say which sex the training split lacks, unless only one was asked for."""
    if config.data.sex != "both":
        return
    for sex, name in ((Sex.F, "girls"), (Sex.M, "boys")):
        if not (selected.training.sex == sex).any():
            log.warning(
                f"WARNING: the training split has no radiograph of {name}, so the model does not learn their bone "
                f"ages: do not use its estimates for {name}."
            )


def describe(
    config: ExperimentConfig, selected: Selected, initial: InitialWeights
) -> dict[str, Any]:
    """The content of `run.json` at the start."""
    manifest, validation = selected.radiographs.manifest, selected.validation
    return {
        "schema": RUN_SCHEMA,
        "config": configuration.to_dict(config),
        "precision": strategy.choose_precision(config.train.precision),
        **initial.describe(),
        "data": {
            "plan": manifest.plan,
            "splits": manifest.splits,
            "fold": config.data.fold,
            "training": len(selected.training),
            "validation": len(validation) if validation else 0,
            TRAINING_MEAN: statistics.fmean(selected.training.bone_age_months.tolist()),
            TRAINING_AGES: TrainingAges.of(
                selected.training.sex, selected.training.bone_age_months
            ).describe(),
        },
        "preprocessing": configuration.to_dict(manifest.preprocessing.portable()),
        "fingerprint": manifest.fingerprint,
        "versions": versions(),
    }
