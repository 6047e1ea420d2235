"""Inference engines of a served model: TensorFlow or OpenVINO.

All else of an answer stays as it is: TensorFlow prepares the radiograph and makes its views; mean, recalibration
and interval are those of the SavedModel. OpenVINO computes in float32, or in bfloat16 behind the first layers, which are
sensitive to it: 0.07 months off on average instead of 0.15 (`benchmarks/engines.py`).
"""

import functools
import importlib
import sys
import threading
from collections.abc import Callable, Sequence
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
_SETTINGS = {"PERFORMANCE_HINT": "LATENCY"}
_MAPS = "maps"
"""Between two parts of a network."""

BFLOAT16 = "openvino-bfloat16"
GOLDEN_TOLERANCES = {BFLOAT16: 3.0}
"""Engine -> months that its answer for the golden hand, which is synthetic, may be from the manifest's. That of
other engines: `GOLDEN_TOLERANCE`."""
GOLDEN_TOLERANCE = 0.05


def require_engine(engine: str) -> None:
    """Raises `UsageError` where the engine's package, or this machine's processor, cannot be used."""
    if engine == DEFAULT_ENGINE:
        return
    core = load_openvino().Core()
    if engine == BFLOAT16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UsageError(
            f"--engine {engine} needs a processor with bfloat16 (AVX512-BF16 or AMX), and this one has none. Use --engine "
            "openvino."
        )


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
    if engine == DEFAULT_ENGINE:
        return exported.answers_of_prepared
    return _OpenVino(exported, engine).answers


class _OpenVino:
    """Thread-safe; one call at a time."""

    def __init__(self, exported: ExportedModel, engine: str) -> None:
        _require_one_network(exported)
        self._network = _compile(exported, engine)
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
                [self._network({IMAGE: images[p], SEX_CODE: codes[p]}) for p in parts]
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


def _compile(exported: ExportedModel, engine: str) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """The signature `network`, ready for any number of radiographs: its inputs by name -> months [N].

    OpenVINO joins all signatures of a SavedModel to one network, so it is given this one alone.
    """
    saved = read_graph(exported.folder)
    signatures = saved.meta_graphs[0].signature_def
    for name in set(signatures) - {NETWORK}:
        del signatures[name]
    core = load_openvino().Core()
    try:
        # Not openvino.convert_model: it reports converted models by telemetry.
        with rewritten(saved, exported.folder) as folder:
            network = core.read_model(folder)
            parts = _at_first_pooling(network) if engine == BFLOAT16 else {"f32": network}
            compiled = [
                core.compile_model(part, "CPU", _SETTINGS | {"INFERENCE_PRECISION_HINT": precision})
                for precision, part in parts.items()
            ]
    except RuntimeError as error:
        raise ModelRefusedError(
            f"{exported.folder}: OpenVINO cannot run this network ({str(error).strip().splitlines()[-1]}). "
            "Serve it with --engine tensorflow."
        ) from error
    return functools.partial(_run, compiled)


def _run(compiled: Sequence[Any], inputs: dict[str, np.ndarray]) -> np.ndarray:
    """What the last of the networks returns; each also takes what the one before it returns."""
    known, found = dict(inputs), np.zeros(0)
    for each in compiled:
        names = [one.any_name for one in each.inputs]
        found = each({name: known[name] for name in names}, share_inputs=True)[0]
        known[_MAPS] = found
    return found.copy()


def _at_first_pooling(network: Any) -> dict[str, Any]:
    """The network as two, by their precision: up to its first max pooling, and what follows. Raises `RuntimeError` where it has no such place."""
    openvino = load_openvino()
    poolings = [one for one in network.get_ordered_ops() if one.get_type_name() == "MaxPool"]
    if not poolings:
        raise RuntimeError(
            "without a max pooling, nobody measured which of its layers need float32"
        )
    maps = poolings[0].output(0)
    users = maps.get_target_inputs()
    inputs = {one.output(0).any_name: one for one in network.get_parameters()}
    first = openvino.Model([openvino.opset13.result(maps)], [inputs[IMAGE]])
    given = openvino.opset13.parameter(maps.partial_shape, maps.element_type)
    given.output(0).tensor.set_names({_MAPS})
    for user in users:
        user.replace_source_output(given.output(0))
    rest = openvino.Model(network.get_results(), [given, inputs[SEX_CODE]])
    return {"f32": first, "bf16": rest}
