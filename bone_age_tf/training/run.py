"""A run folder, as the stages after training read it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras

from bone_age_tf import config as configuration
from bone_age_tf.config import EPOCHS, ExperimentConfig, PreprocessingConfig
from bone_age_tf.data.leakage import read_learnt
from bone_age_tf.data.manifest import sha256_of
from bone_age_tf.errors import ModelRefusedError, UsageError
from bone_age_tf.models.bone_age_model import build_bone_age_model

RUN_FILE = "run.json"
RUN_SCHEMA = "bone-age-tf/run/1"


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished or unfinished training run."""

    folder: Path
    config: ExperimentConfig
    preprocessing: PreprocessingConfig
    fingerprint: str
    description: dict[str, Any]
    """All of `run.json`."""
    epoch: str = "best"
    """Whose weights are used: of the `best` epoch in validation, or of the `last`."""

    @classmethod
    def open(cls, folder: str | Path, epoch: str = "best") -> "Run":
        """Raises `ModelRefusedError` where the folder is not a run of this program."""
        if epoch not in EPOCHS:
            raise UsageError(f"--epoch: expected one of {', '.join(EPOCHS)}. Received: {epoch!r}.")
        path = Path(folder) / RUN_FILE
        if not path.is_file():
            raise ModelRefusedError(
                f"{folder}: expected a run folder of `bone-age-tf train`. There is no {RUN_FILE} in it."
            )
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.get("schema") != RUN_SCHEMA:
                raise ValueError(f"schema {values.get('schema')!r}, expected {RUN_SCHEMA!r}")
            config = configuration.from_dict(ExperimentConfig, values["config"])
            preprocessing = configuration.from_dict(PreprocessingConfig, values["preprocessing"])
            fingerprint = values["fingerprint"]
        except (ValueError, KeyError, TypeError, UsageError) as error:
            raise ModelRefusedError(f"{path}: not a run of this version ({error}).") from error
        preprocessing = preprocessing.resolved(Path(folder))
        return cls(Path(folder), config, preprocessing, fingerprint, values, epoch)

    @property
    def target(self) -> str:
        """What it tells: `bone_age` or `sex`."""
        return self.config.model.target

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration as plain JSON types, for the manifest of an exported model."""
        return configuration.to_dict(self.config)

    @property
    def learnt(self) -> frozenset[str] | None:
        """sha256 of the raw files that it has learnt from; None: it was not noted."""
        return read_learnt(self.folder)

    @property
    def weights(self) -> Path:
        """The file of the weights."""
        return self.folder / f"{self.epoch}.weights.h5"

    def require_weights(self) -> None:
        """Raises `ModelRefusedError` where no epoch is finished yet."""
        if not self.weights.is_file():
            raise ModelRefusedError(
                f"{self.folder}: there are no {self.epoch} weights yet. Train until an epoch is finished."
            )

    def load_model(self) -> keras.Model:
        """The model in float32 with its weights.

        Inputs `image` uint8 [N, *frame, 1] and `sex` int32 [N]; output float32 [N]: months, for the
        target `sex` the probability of a boy.
        """
        self.require_weights()
        model = build_bone_age_model(
            self.config.model, self.preprocessing.frame, region=self.config.data.region
        )
        try:
            model.load_weights(self.weights)
        except (ValueError, OSError, KeyError) as error:
            raise ModelRefusedError(
                f"{self.weights}: not the weights of this run ({error})."
            ) from error
        return model

    def weights_sha256(self) -> str:
        """Identifies the weights, in an evaluation and in an exported model."""
        return sha256_of(self.weights)
