"""A run folder: checked before training writes to it, opened by the stages after training."""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from bone_age_tf import config as configuration
from bone_age_tf.config import CHECKPOINTS, ExperimentConfig, PreprocessingConfig
from bone_age_tf.config.config_file import CONFIG_FILE, to_toml
from bone_age_tf.config.parsing import require
from bone_age_tf.data.leakage import read_training_files
from bone_age_tf.errors import ModelRefusedError, UsageError
from bone_age_tf.files.atomic import write_text
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.models.bone_age_model import build_bone_age_model

RUN_FILE = "run.json"
RUN_SCHEMA = "bone-age-tf/run/2"
LOCALIZER_RUN_SCHEMA = "bone-age-tf/localizer-run/2"
LOCK = ".lock"


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished or unfinished training run."""

    folder: Path
    config: ExperimentConfig
    preprocessing: PreprocessingConfig
    fingerprint: str
    description: dict[str, Any]
    """All of `run.json`."""
    checkpoint: str = "best"
    """The weights that are used, one of `CHECKPOINTS`."""

    @classmethod
    def open(cls, folder: str | Path, checkpoint: str = "best") -> "Run":
        """Raises `ModelRefusedError` where the folder is not a run of this version."""
        require(
            checkpoint in CHECKPOINTS,
            "--checkpoint",
            f"one of {', '.join(CHECKPOINTS)}",
            checkpoint,
        )
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
            raise ModelRefusedError(
                f"{path}: not a run of this version ({error}). Train it again."
            ) from error
        preprocessing = preprocessing.resolved(Path(folder))
        return cls(Path(folder), config, preprocessing, fingerprint, values, checkpoint)

    @property
    def target(self) -> str:
        """What it predicts: `bone_age` or `sex`."""
        return self.config.model.target

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration as plain JSON types, for the manifest of an exported model."""
        return configuration.to_dict(self.config)

    @property
    def training_files(self) -> frozenset[str] | None:
        """sha256 of the raw files that it was trained on; None: not recorded."""
        return read_training_files(self.folder)

    @property
    def weights(self) -> Path:
        """The file of the weights."""
        return self.folder / f"{self.checkpoint}.weights.h5"

    def require_weights(self) -> None:
        """Raises `ModelRefusedError` where no epoch is finished yet."""
        if not self.weights.is_file():
            raise ModelRefusedError(
                f"{self.folder}: there are no {self.checkpoint} weights yet. Train until an epoch is finished."
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


# === Before training writes to the folder ===


def require_run_folder(folder: Path) -> None:
    """Raise `UsageError` for a folder of anything else: --fresh would delete it."""
    paths = list(folder.iterdir()) if folder.exists() else []
    ours = [path for path in paths if path.name == LOCK or path.name.endswith(".writing")]
    if len(paths) > len(ours) and not _schema_of(folder / RUN_FILE):
        raise UsageError(
            f"--run {folder}: expected a new folder, or one that `train` began. "
            f"Received a folder with other files and no {RUN_FILE}. Choose another --run."
        )


def _schema_of(path: Path) -> str:
    """The schema of a training run's description, of whatever version; empty for other files."""
    try:
        schema = json.loads(path.read_text(encoding="utf-8")).get("schema", "")
    except (OSError, ValueError, AttributeError):
        return ""
    families = tuple(known.rpartition("/")[0] for known in (RUN_SCHEMA, LOCALIZER_RUN_SCHEMA))
    return schema if str(schema).rpartition("/")[0] in families else ""


def write_config(folder: Path, config: Any) -> None:
    """Write `run.toml`: the resolved settings, for `train --config`."""
    write_text(folder / CONFIG_FILE, to_toml(config))


def clear(folder: Path) -> None:
    """Delete everything that a run has written, except for the lock."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == RUN_FILE):  # that last
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def require_same_run(folder: Path, description: dict[str, Any]) -> None:
    """Check that a run to be resumed was begun with the same settings, data and version.

    Raises `UsageError` with a line for every difference.
    """
    path = folder / RUN_FILE
    if not path.exists():
        return
    schema = _schema_of(path)
    if schema != description["schema"]:
        raise UsageError(
            f"{folder} was begun by another version, or is a run of something else: expected the schema "
            f"{description['schema']}, received {schema}. Choose another --run, or pass --fresh to start over."
        )
    changes = _differences(json.loads(path.read_text(encoding="utf-8")), description)
    if changes:
        raise UsageError(
            f"{folder} was begun with other settings or data:\n  "
            + "\n  ".join(changes)
            + "\nGive the same ones to resume, choose another --run, or pass --fresh to start over."
        )


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    """A line for every setting that is not the same; versions, results and logs may differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [key for key in new if key not in ("versions", "result", "logging")]
        return [
            line
            for key in keys
            for line in _differences(old.get(key), new[key], f"{name}.{key}".lstrip("."))
        ]
    return [] if old == new else [f"{name}: was {old!r}, now {new!r}"]
