"""A run in TensorBoard: scalars, pictures of the validation, hyper-parameters, configuration.

The event files are written as ordinary files, because `tf.summary` does not report a full disk: errors
of the file system are raised as `OSError`. An epoch takes about 0.4 MB with radiographs of
520 x 400.
"""

import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.hparams import api_pb2 as hparams_status
from tensorboard.plugins.hparams.summary import session_end_pb
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

from bone_age_tf.training.logging.run_log import INPUTS, EpochLog, RunLog

FOLDER = "tensorboard"
JPEG = [
    cv2.IMWRITE_JPEG_QUALITY,
    92,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]
"""A fifth of the bytes of PNG, with colours as sharp as the rest."""


class TensorBoardLog(EpochLog):
    """Event files in `tensorboard/` of the run; a resumed run adds one."""

    def open(self, run: RunLog) -> None:
        """Open a file; the first one holds what does not change: settings, augmented inputs."""
        folder = run.folder / FOLDER
        is_first = not any(folder.glob("events.*"))
        self._file = EventFile(folder)
        if is_first:
            for summary in _settings(run):
                self._file.add(summary, step=0)
            self._file.add(image_pb(INPUTS, run.inputs()), step=0)
            self._file.flush()

    def write(self, epoch: int, scalars: dict[str, float], figures: dict[str, np.ndarray]) -> None:
        """Write an epoch, so that it is in the file when this returns."""
        for name, value in scalars.items():
            self._file.add(scalar_pb(name, value), step=epoch)
        for name, picture in figures.items():
            self._file.add(image_pb(name, picture), step=epoch)
        self._file.flush()

    def close(self) -> None:
        """Mark the run as finished in the table of hyper-parameters."""
        self._file.add(session_end_pb(hparams_status.STATUS_SUCCESS), step=0)
        self._file.close()


class EventFile:
    """A new event file in a folder. Every method raises `OSError` where the file system does."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        path = folder / f"events.out.tfevents.{now:017.6f}"  # read in the order of their names
        self._writer = RecordWriter(path.open("xb"))
        self._write(Event(wall_time=now, file_version="brain.Event:2"))

    def add(self, summary: Any, *, step: int) -> None:
        """Append a summary, TensorBoard's or TensorFlow's message."""
        own = Summary.FromString(summary.SerializeToString())
        self._write(Event(wall_time=time.time(), step=step, summary=own))

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())

    def flush(self) -> None:
        """Hand over to the file system what was appended."""
        self._writer.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()


def image_pb(tag: str, picture: np.ndarray) -> Any:
    """Summary of one picture, uint8 [height, width, 3], red first."""
    _, encoded = cv2.imencode(".jpg", picture[..., ::-1], JPEG)
    height, width = picture.shape[:2]
    parts = [str(width).encode(), str(height).encode(), encoded.tobytes()]
    tensor = make_tensor_proto(np.array(parts, dtype=object))
    metadata = image_metadata.create_summary_metadata(None, None)
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])


def _settings(run: RunLog) -> list[Any]:
    """A row in TensorBoard's table of runs, with the lowest validation as its result; `run.json`."""
    values = run.hyper_parameters
    title = f"lowest validation {run.metric.title} ({run.metric.unit})"
    best = hparams.Metric(run.best, display_name=title)
    return [
        hparams.hparams_config_pb([hparams.HParam(name) for name in values], [best]),
        hparams.hparams_pb(values, trial_id=run.folder.resolve().name),
        text_pb("run", f"```json\n{json.dumps(run.description, indent=2)}\n```"),
    ]
