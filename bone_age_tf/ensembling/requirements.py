"""What runs must have in common to become an ensemble, checked before the work."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.ensembling.ensemble import ENSEMBLE_FILE
from bone_age_tf.errors import InputDataError, ModelRefusedError, UsageError
from bone_age_tf.metrics.predictions import LabelledPredictions
from bone_age_tf.models.views import is_mirrored
from bone_age_tf.training.run import Run

MIN_TO_FIT = 20
"""Minimum number of held-out radiographs for fitting weights or a correction."""


def require_free(target: Path, overwrite: bool) -> None:
    """Raise `UsageError` for a folder that exists, unless it is an ensemble that is to be replaced."""
    if not target.exists() or (overwrite and (target / ENSEMBLE_FILE).is_file()):
        return
    advice = (
        ", or replace this ensemble with --overwrite" if (target / ENSEMBLE_FILE).is_file() else ""
    )
    raise UsageError(f"--output {target} exists already. Choose another folder{advice}.")


def require_choices(**choices: tuple[str, Any]) -> None:
    """Raise `UsageError` for a value that is none of the known ones."""
    for name, (value, known) in choices.items():
        if value not in known:
            raise UsageError(f"--{name}: expected one of {', '.join(known)}. Received: {value!r}.")


def require_together(members: Sequence[Run], radiographs: PreparedRadiographs, tta: str) -> None:
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


def require_both_sexes(
    members: Sequence[Run], names: Sequence[str], families: Sequence[int]
) -> None:
    """Raise `UsageError` for a family without a member for one of the sexes."""
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


def require_min_radiographs(held_out: LabelledPredictions, weighting: str, correction: str) -> None:
    """Raise `InputDataError` where too few are held out for the fits."""
    fits = weighting == "fitted" or correction != "none"
    required = MIN_TO_FIT if fits else 1
    if len(held_out) < required:
        raise InputDataError(
            f"{len(held_out)} radiographs were held out from a member of every family. Expected at "
            f"least {required}: train more folds, or use --weighting mean --correction none."
        )
