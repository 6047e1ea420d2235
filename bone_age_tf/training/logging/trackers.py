"""Experiment trackers: Weights & Biases, MLflow; and the logs that a configuration selects.

`trackers.json` in the run folder keeps the server's name of the run, under which a resumed training
continues. A server that is unavailable at the start is an error, later a warning.
"""

import contextlib
import importlib
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np

from bone_age_tf import config as configuration
from bone_age_tf.config import ExperimentConfig
from bone_age_tf.errors import UsageError
from bone_age_tf.files.atomic import write_json
from bone_age_tf.training.callbacks import SpeedCsv, ValidationResult
from bone_age_tf.training.logging.run_log import INPUTS, EpochLog, RunLog
from bone_age_tf.training.logging.tensorboard_log import TensorBoardLog

RUN_IDS = "trackers.json"
FINISH_TIMEOUT_SECONDS = 600.0
"""How long the end of a training waits for Weights & Biases to receive the remaining data."""
MLFLOW_DEFAULTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""Where the environment does not set them: MLflow's own defaults would delay an epoch for many minutes."""

log = logging.getLogger(__name__)


def log_callbacks(
    config: ExperimentConfig,
    folder: Path,
    *,
    description: Mapping[str, Any],
    sample: Callable[[], np.ndarray],
    validated: Callable[[], ValidationResult | None],
    pictures: Callable[[Sequence[int]], np.ndarray],
) -> list[keras.callbacks.Callback]:
    """`speed.csv` and the logs that `config.logging` selects; see `RunLog` for the arguments.

    Raises `UsageError` where a package is missing, or Weights & Biases does not take the login.
    """
    run = RunLog(config, folder, description, sample, validated, pictures)
    logs = {
        TensorBoardLog: config.logging.tensorboard,
        WandbLog: config.logging.wandb,
        MlflowLog: config.logging.mlflow,
    }
    return [SpeedCsv(folder / "speed.csv"), *(kind(run) for kind, chosen in logs.items() if chosen)]


class WandbLog(EpochLog):
    """A run of Weights & Biases; its files are in `wandb/` of the run folder."""

    def __init__(self, run: RunLog) -> None:
        super().__init__(run)
        self._wandb = _package("wandb", extra="wandb")
        self._warn = _WarnOnce("Weights & Biases")
        if self._wandb.setup().settings.mode in ("online", "shared"):
            with _explained(self._wandb.Error, _WANDB_HELP):
                self._require_login()

    def _require_login(self) -> None:
        if not self._wandb.login(prompt=False, verify=True):
            raise UsageError(f"Weights & Biases has no login. {_WANDB_HELP}")

    def open(self, run: RunLog) -> None:
        """Begin the run, or resume the one that the run folder names."""
        known = _known_run(run.folder, "wandb")
        name = known or uuid.uuid4().hex[:12]
        about = {key: value for key, value in run.description.items() if key != "config"}
        with _explained(self._wandb.Error, _WANDB_HELP):
            self._run = self._wandb.init(
                project=run.config.logging.project,
                id=name,
                name=run.folder.resolve().name,
                dir=run.folder,
                resume="allow",
                config={**configuration.to_dict(run.config), "run": about},
                settings=self._wandb.Settings(
                    console="off", silent=True, finish_timeout=FINISH_TIMEOUT_SECONDS
                ),
            )
        _remember_run(run.folder, "wandb", name)
        log.info("Weights & Biases: %s", self._run.dir if self._run.offline else self._run.url)
        if not known:
            self._log({INPUTS: run.inputs()}, step=0)

    def write(self, epoch: int, scalars: dict[str, float], figures: dict[str, np.ndarray]) -> None:
        """Hand the epoch to Weights & Biases, which sends it in the background."""
        self._log({**scalars, **figures}, step=epoch)

    def _log(self, values: Mapping[str, float | np.ndarray], step: int) -> None:
        with self._warn:
            self._run.log(
                {
                    name: self._wandb.Image(value) if isinstance(value, np.ndarray) else value
                    for name, value in values.items()
                },
                step=step,
            )

    def close(self) -> None:
        """Wait for pending data, up to a timeout; `wandb sync` sends the rest."""
        with self._warn:
            self._run.finish()


class MlflowLog(EpochLog):
    """A run of MLflow, on the server of `MLFLOW_TRACKING_URI`."""

    def __init__(self, run: RunLog) -> None:
        super().__init__(run)
        self._mlflow = _package("mlflow", extra="mlflow")
        self._warn = _WarnOnce("MLflow")
        self._unsent: list[list[Any]] = []

    def open(self, run: RunLog) -> None:
        """Begin the run, or resume the one that the run folder names."""
        for name, value in MLFLOW_DEFAULTS.items():
            os.environ.setdefault(name, value)
        inputs = run.inputs()
        with _explained((self._mlflow.MlflowException, OSError), _MLFLOW_HELP):
            self._client = self._mlflow.MlflowClient()
            known = _known_run(run.folder, "mlflow")
            if known:
                self._client.update_run(known, status="RUNNING")
            self._run_id = known or self._begin(run, inputs)
        _remember_run(run.folder, "mlflow", self._run_id)

    def _begin(self, run: RunLog, inputs: np.ndarray) -> str:
        project = run.config.logging.project
        experiment = self._client.get_experiment_by_name(project)
        experiment_id = (
            experiment.experiment_id if experiment else self._client.create_experiment(project)
        )
        begun = self._client.create_run(experiment_id, run_name=run.folder.resolve().name)
        run_id = begun.info.run_id
        param = self._mlflow.entities.Param
        settings = [param(name, str(value)) for name, value in run.hyper_parameters.items()]
        self._client.log_batch(run_id, params=settings)
        self._client.log_dict(run_id, dict(run.description), "run.json")
        self._client.log_image(run_id, inputs, key=INPUTS, step=0)
        return run_id

    def write(self, epoch: int, scalars: dict[str, float], figures: dict[str, np.ndarray]) -> None:
        """Send the epoch, and the numbers of earlier ones that the server did not take."""
        now = int(time.time() * 1000)
        metric = self._mlflow.entities.Metric
        self._unsent.append([metric(name, value, now, epoch) for name, value in scalars.items()])
        with self._warn:
            self._send()
            for name, picture in figures.items():
                self._client.log_image(self._run_id, picture, key=name, step=epoch)

    def _send(self) -> None:
        while self._unsent:
            self._client.log_batch(self._run_id, metrics=self._unsent[0])
            self._unsent.pop(0)

    def close(self) -> None:
        """Send what was not taken, and mark the run as finished."""
        with self._warn:
            self._send()
            self._client.set_terminated(self._run_id)
        if self._unsent:
            log.warning("MLflow lacks the numbers of the last %d epochs", len(self._unsent))


class _WarnOnce(contextlib.AbstractContextManager["_WarnOnce"]):
    """Logs a warning for the first exception of a tracker during training, and suppresses all."""

    def __init__(self, tracker: str) -> None:
        self._tracker = tracker
        self._is_said = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: Any
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        if not self._is_said:
            log.warning("%s does not answer; the training continues. (%s)", self._tracker, error)
            self._is_said = True
        return True


_WANDB_HELP = (
    "Run `wandb login`, or set WANDB_API_KEY; WANDB_MODE=offline keeps everything in the run folder, "
    "and `wandb sync` sends it later; --set logging.wandb=false does without."
)
_MLFLOW_HELP = (
    "Expected a server, or sqlite:///FILE, in MLFLOW_TRACKING_URI, and for a server with a login "
    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN. A run that the "
    f"server no longer has begins anew without {RUN_IDS}; --set logging.mlflow=false does without."
)


@contextlib.contextmanager
def _explained(
    kind: type[Exception] | tuple[type[Exception], ...], help_text: str
) -> Iterator[None]:
    """Turns exceptions of a tracker at the start into a `UsageError` with advice."""
    try:
        yield
    except kind as error:
        raise UsageError(f"The tracker rejected the run: {error}. {help_text}") from error


def _package(name: str, *, extra: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"logging.{name} needs the package {name}, which cannot be imported ({error}). "
            f"Install it: pip install 'bone-age-tf[{extra}]'"
        ) from error


def _run_ids(folder: Path) -> dict[str, str]:
    path = folder / RUN_IDS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _known_run(folder: Path, tracker: str) -> str | None:
    return _run_ids(folder).get(tracker)


def _remember_run(folder: Path, tracker: str, name: str) -> None:
    write_json(folder / RUN_IDS, {**_run_ids(folder), tracker: name})
