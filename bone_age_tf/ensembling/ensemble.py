"""An ensemble folder, as read by evaluation and export.

| file                | what                                                                       |
|---------------------|----------------------------------------------------------------------------|
| `ensemble.json`     | members, families, weights, views, correction, errors on held-out radiographs |
| `predictions.csv`   | the held-out predictions: of each family, and of the ensemble              |
| `members/N/`        | `run.json` and the weights of each member                                  |
| `localizer/`        | the localizer, where it is not the shipped one                             |
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bone_age_tf import config as configuration
from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.errors import ModelRefusedError, UsageError
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.models.ensemble_model import Member, build_ensemble_model
from bone_age_tf.models.views import VIEWS
from bone_age_tf.postprocessing.bias_correction import SexSpecificRecalibration
from bone_age_tf.sex import Sex, sex_from_label
from bone_age_tf.training.run import RUN_FILE, Run

ENSEMBLE_FILE = "ensemble.json"
ENSEMBLE_SCHEMA = "bone-age-tf/ensemble/3"
MEMBERS = "members"


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Several runs that predict as one model."""

    folder: Path
    members: tuple[Run, ...]
    families: tuple[int, ...]
    """The family of each member, from 0."""
    weights: tuple[float, ...]
    """Of each family; they add up to 1."""
    tta: str
    """A name in `models/views.py`."""
    correction: SexSpecificRecalibration
    preprocessing: PreprocessingConfig
    fingerprint: str
    description: dict[str, Any]
    """All of `ensemble.json`."""

    @classmethod
    def open(cls, folder: str | Path) -> "Ensemble":
        """Raises `ModelRefusedError` where the folder is no ensemble of this version, or changed."""
        path = Path(folder) / ENSEMBLE_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.get("schema") != ENSEMBLE_SCHEMA:
                raise ValueError(f"schema {values.get('schema')!r}, expected {ENSEMBLE_SCHEMA!r}")
            entries = values["members"]
            preprocessing = configuration.from_dict(PreprocessingConfig, values["preprocessing"])
            ensemble = cls(
                folder=Path(folder),
                members=tuple(
                    Run.open(Path(folder) / MEMBERS / m["name"], m["checkpoint"]) for m in entries
                ),
                families=tuple(member["family"] for member in entries),
                weights=tuple(family["weight"] for family in values["families"]),
                tta=values["tta"],
                correction=SexSpecificRecalibration.of(values["correction"]),
                preprocessing=preprocessing.resolved(Path(folder)),
                fingerprint=values["fingerprint"],
                description=values,
            )
            VIEWS[ensemble.tta]
        except (OSError, ValueError, KeyError, TypeError, UsageError) as error:
            raise ModelRefusedError(
                f"{path}: not an ensemble of this version ({error})."
            ) from error
        for entry, member in zip(entries, ensemble.members, strict=True):
            if not member.weights.is_file() or member.weights_sha256() != entry["weights_sha256"]:
                raise ModelRefusedError(
                    f"{member.weights}: not the weights that the ensemble was built from. Build it again."
                )
        return ensemble

    @property
    def target(self) -> str:
        """The prediction target, as for a run."""
        return "bone_age"

    @property
    def settings(self) -> dict[str, Any]:
        """Its composition, for the manifest of an exported model."""
        names = ("members", "families", "tta", "correction")
        made_of = {name: self.description[name] for name in names}
        return {"ensemble": made_of, "members": [member.settings for member in self.members]}

    @property
    def training_files(self) -> frozenset[str] | None:
        """sha256 of the raw files that its members were trained on; None where one has no such record."""
        noted = [member.training_files for member in self.members]
        known = [files for files in noted if files is not None]
        return frozenset().union(*known) if len(known) == len(noted) else None

    def load_model(self) -> keras.Model:
        """One model in float32: all members, their views, weights and correction."""
        sexes = [member.config.data.sex for member in self.members]
        shares = shares_of(sexes, self.families, self.weights)
        members = [
            Member(run.load_model(), tuple(row), fixed_sex(sex))
            for run, sex, row in zip(self.members, sexes, shares.tolist(), strict=True)
        ]
        return build_ensemble_model(members, VIEWS[self.tta], self.correction)

    def weights_sha256(self) -> str:
        """Identifies the ensemble: of `ensemble.json`, which holds those of the members."""
        return sha256_of(self.folder / ENSEMBLE_FILE)


def is_trained(folder: str | Path) -> bool:
    """Whether a folder is a run or an ensemble, not an exported model."""
    return any((Path(folder) / name).is_file() for name in (RUN_FILE, ENSEMBLE_FILE))


def open_trained(folder: str | Path, checkpoint: str | None = None) -> Run | Ensemble:
    """A run, with the weights of its `best` or `last` epoch (None: best), or an ensemble.

    Raises `ModelRefusedError` where the folder is neither, `UsageError` for an epoch of an ensemble.
    """
    if not (Path(folder) / ENSEMBLE_FILE).is_file():
        return Run.open(folder, checkpoint or "best")
    if checkpoint is not None:
        raise UsageError(
            f"--checkpoint {checkpoint}: {folder} is an ensemble, which holds one set of weights of each member. "
            "Leave --checkpoint out, or give it to `bone-age-tf ensemble`."
        )
    return Ensemble.open(folder)


def load_model(folder: str | Path, *, checkpoint: str | None = None) -> keras.Model:
    """The trained Keras model of a run or an ensemble, in float32.

    Inputs, a dictionary: `image` uint8 [N, *frame, 1], prepared radiographs as `ExportedModel.prepare` and
    `PreparedRadiographs` give them, and `sex` int32 [N], codes of `sex.Sex` (0 F, 1 M, 2 unknown).
    Output: float32 [N], the bone age in months; of a run with the target `sex` the probability of a boy. The
    model of an ensemble averages members and views, and corrects the months, as its evaluation did; that of a
    run is the network alone, whose correction and intervals, if any, are added by the export.

    `checkpoint` names the weights of a run: those of its `best` epoch in validation (None) or of its `last`.
    Raises `ModelRefusedError` where the folder is no run or ensemble of this version, or has no weights yet,
    `UsageError` for another checkpoint, or for one of an ensemble.
    """
    return open_trained(folder, checkpoint).load_model()


def fixed_sex(sex: str) -> int | None:
    """The sex that a network is always told which was trained with `data.sex`."""
    return None if sex == "both" else int(sex_from_label(sex))


def shares_of(
    sexes: Sequence[str], families: Sequence[int], weights: Sequence[float]
) -> np.ndarray:
    """Weight of each member for F, M and unknown, float [members, 3].

    Within a family, the members that apply to a sex have equal weights; for unknown sex, the mean of
    the predictions for girls and boys. `sexes` are the members' `data.sex`.
    """
    shares = np.zeros((len(sexes), 3))
    for family, weight in enumerate(weights):
        belongs = np.array(families) == family
        for code in (Sex.F, Sex.M):
            answers = belongs & np.array([sex in ("both", code.label) for sex in sexes])
            shares[answers, code] = weight / answers.sum()
    shares[:, Sex.UNKNOWN] = shares[:, [Sex.F, Sex.M]].mean(axis=1)
    return shares
