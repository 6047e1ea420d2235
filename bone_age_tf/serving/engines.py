"""Inference engines of a served model: TensorFlow or OpenVINO.

All else of an answer stays as it is: TensorFlow prepares the radiograph and makes its views; mean, recalibration
and interval are those of the SavedModel. OpenVINO computes in float32, since bfloat16 moves some answers by
more than a tenth of a month (`benchmarks/engines.py`).
"""

import importlib
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from bone_age_tf.config import DEFAULT_ENGINE
from bone_age_tf.errors import ModelRefusedError, UsageError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.signatures import (
    CORRECTION,
    INTERVALS,
    NETWORK,
    PREDICT_PREPARED,
    REJECTED_MONTHS,
    SEX_CODE,
)
from bone_age_tf.models.views import transforms_of
from bone_age_tf.postprocessing import apply
from bone_age_tf.postprocessing.bias_correction import tables_of
from bone_age_tf.postprocessing.conformal import offsets_of
from bone_age_tf.record import BONE_AGE_HIGH, BONE_AGE_LOW, BONE_AGE_MONTHS, IMAGE
from bone_age_tf.serving.batches import BATCH_SIZE, Network
from bone_age_tf.serving.views import Views
from bone_age_tf.sex import SEX_NAMES
from bone_age_tf.tensorflow_c.rewriting import read_graph, rewritten

_OUTPUTS = {BONE_AGE_MONTHS, BONE_AGE_LOW, BONE_AGE_HIGH}
_TELEMETRY = "openvino_telemetry"


def require_engine(engine: str) -> None:
    """Raises `UsageError` where the engine's package cannot be used."""
    if engine != DEFAULT_ENGINE:
        load_openvino()


def load_openvino() -> Any:
    """Import the package with its telemetry disabled: by default it reports every import.

    Raises `UsageError` where it is not installed, or broken.
    """
    reporter = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment] - it falls back to a stub
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise UsageError(
            f"--engine openvino needs the package openvino ({error}): pip install 'bone-age-tf[openvino]', then again."
        ) from error
    finally:
        del sys.modules[_TELEMETRY]
        if reporter is not None:
            sys.modules[_TELEMETRY] = reporter


def network_of(exported: ExportedModel, engine: str) -> Network:
    """The network of a model, on one of `config.ENGINES`: prepared radiographs and sexes -> outputs of `predict_prepared`.

    Raises `ModelRefusedError` where the engine cannot run it.
    """
    return exported.answers_of_prepared if engine == DEFAULT_ENGINE else _OpenVino(exported).answers


class _OpenVino:
    """Thread-safe; one call at a time."""

    def __init__(self, exported: ExportedModel) -> None:
        _require_one_network(exported)
        self._compiled = _compile(exported)
        shape = exported.signatures[NETWORK].inputs[IMAGE].shape
        assert shape is not None
        frame = (int(shape[1] or 0), int(shape[2] or 0))
        self._transforms = transforms_of(exported.manifest["views"], frame)
        self._view = Views(frame)
        self._tables = tables_of(exported.variable(CORRECTION))
        self._offsets = offsets_of(exported.variable(INTERVALS))
        self._lock = threading.Lock()

    def answers(self, images: np.ndarray, sexes: Sequence[str]) -> dict[str, np.ndarray]:
        """As `ExportedModel.answers_of_prepared`."""
        codes = np.array([SEX_NAMES.index(sex) for sex in sexes], np.int32)
        seen = self._seen(self._views(images), np.tile(codes, len(self._transforms)))
        mean = seen.reshape(len(self._transforms), len(images)).mean(axis=0)
        months = apply.corrected(mean, self._tables[codes])
        offsets = self._offsets[codes, apply.band_of(months)]
        is_known = ~np.isnan(offsets[:, 0])
        low, high = (
            np.where(is_known, end, REJECTED_MONTHS) for end in apply.interval(months, offsets)
        )
        return {BONE_AGE_MONTHS: months, BONE_AGE_LOW: low, BONE_AGE_HIGH: high}

    def _views(self, images: np.ndarray) -> np.ndarray:
        """All of the first view, then all of the second, and so on."""
        if len(self._transforms) == 1:
            return images
        return np.concatenate([self._view(images, each) for each in self._transforms])

    def _seen(self, images: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Months of pictures [N], a few at a time."""
        starts = range(0, len(images), BATCH_SIZE)
        parts = [slice(start, start + BATCH_SIZE) for start in starts]
        with self._lock:
            return np.concatenate(
                [self._compiled({IMAGE: images[p], SEX_CODE: codes[p]})[0].copy() for p in parts]
            )


def _require_one_network(exported: ExportedModel) -> None:
    if NETWORK not in exported.signatures:
        raise ModelRefusedError(
            f"{exported.folder}: OpenVINO runs models of one network that were exported with the signature "
            f"{NETWORK!r}. This is an ensemble, or an export of an earlier version: export it again, or "
            "serve it with --engine tensorflow."
        )
    others = sorted(set(exported.signatures[PREDICT_PREPARED].outputs) - _OUTPUTS)
    if others:
        raise ModelRefusedError(
            f"{exported.folder}: OpenVINO runs the bone age network only, and this model also predicts "
            f"{', '.join(others)}. Serve it with --engine tensorflow."
        )


def _compile(exported: ExportedModel) -> Any:
    """The signature `network`, ready for any number of radiographs.

    OpenVINO joins all signatures of a SavedModel to one network, so it is given this one alone.
    """
    saved = read_graph(exported.folder)
    signatures = saved.meta_graphs[0].signature_def
    for name in set(signatures) - {NETWORK}:
        del signatures[name]
    core = load_openvino().Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    try:
        # Not openvino.convert_model: it reports converted models by telemetry.
        with rewritten(saved, exported.folder) as folder:
            return core.compile_model(core.read_model(folder), "CPU", settings)
    except RuntimeError as error:
        raise ModelRefusedError(
            f"{exported.folder}: OpenVINO cannot run this network ({str(error).strip().splitlines()[-1]}). "
            "Serve it with --engine tensorflow."
        ) from error
