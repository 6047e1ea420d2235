"""`--initial-weights`: the weights that a run starts from."""

import dataclasses
from pathlib import Path
from typing import Any

import keras

from bone_age_tf.config import ModelConfig
from bone_age_tf.data.leakage import known_files
from bone_age_tf.errors import UsageError
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.models.backbones import load_backbone_weights
from bone_age_tf.training.run import Run

ARCHITECTURE = (
    "backbone",
    "target",
    "pooling",
    "sex_units",
    "head",
    "head_layers",
    "head_units",
    "activation",
)
"""Settings of the model in which two runs must agree for the weights of one to fit the other."""


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """ImageNet's, a file's (for the backbone), or a run's best (for backbone and head)."""

    text: str
    """As given: `imagenet`, `none`, or a path."""
    run: Run | None = None

    @classmethod
    def find(cls, text: str) -> "InitialWeights":
        """Raises `UsageError` where there is no such file or folder, `ModelRefusedError` where the
        folder is no run, or one without weights yet."""
        if text in ("imagenet", "none"):
            return cls(text)
        if Path(text).is_dir():
            run = Run.open(text)
            run.require_weights()
            return cls(text, run)
        if not Path(text).is_file():
            raise UsageError(
                f"--initial-weights: expected imagenet, none, a run folder or a .weights.h5 file. Received: "
                f"{text!r}, which is not there."
            )
        return cls(text)

    def describe(self) -> dict[str, Any]:
        """Name and sha256, for `run.json`."""
        if self.run is not None:
            return {
                "initial_weights": Path(self.text).name,
                "initial_weights_sha256": self.run.weights_sha256(),
            }
        if self.text in ("imagenet", "none"):
            return {"initial_weights": self.text, "initial_weights_sha256": None}
        return {
            "initial_weights": Path(self.text).name,
            "initial_weights_sha256": sha256_of(Path(self.text)),
        }

    def require_fit(self, config: ModelConfig) -> None:
        """Raises `UsageError` where the run's network is another one than this."""
        if self.run is None:
            return
        theirs = self.run.config.model
        changes = [
            f"model.{name}: {getattr(theirs, name)!r} there, {getattr(config, name)!r} here"
            for name in ARCHITECTURE
            if getattr(theirs, name) != getattr(config, name)
        ]
        if changes:
            raise UsageError(
                f"--initial-weights {self.text}: that run has another network:\n  "
                + "\n  ".join(changes)
                + "\nGive the same --recipe and --set model... as there."
            )

    def require_unseen(self, files: frozenset[str]) -> None:
        """Raises `UsageError` where the run was trained on any of these raw files (sha256), which are to
        validate the new one."""
        if self.run is None or not files:
            return
        trained_on = self.run.training_files
        if trained_on is None:
            raise UsageError(
                f"--initial-weights {self.text}: it is not recorded what that run was trained on, so it may include the "
                "radiographs that are to validate this one. Train it again with this version."
            )
        known = known_files(files, trained_on)
        if known:
            raise UsageError(
                f"--initial-weights {self.text}: that run was trained on {len(known)} of the {len(files)} radiographs "
                "that are to validate this one (data leakage). Expected none: start from a run of the same "
                "data.fold, or of other data."
            )

    def load(self, model: keras.Model, backbone: keras.Model) -> None:
        """Set the weights of the backbone, or of the whole model. Raises `UsageError` or
        `InputDataError` where they do not fit."""
        if self.run is None:
            load_backbone_weights(backbone, self.text)
            return
        try:
            model.set_weights(self.run.load_model().get_weights())
        except ValueError as error:
            raise UsageError(
                f"--initial-weights {self.text}: its radiographs have another size, whose weights do not fit "
                f"a head without global pooling ({error}). Expected the same --scale and data.region, or "
                "runs with model.pooling=average."
            ) from error
