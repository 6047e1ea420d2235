"""One version of an exported model, ready to answer several requests at a time.

Where TensorFlow Serving fails a whole request for one file that is no radiograph, this one gives that
file a row of its own: `status` is the reason, the months are -1. Only a request in which no file can be
used fails (INVALID_ARGUMENT), as there.
"""

import base64
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from bone_age_tf.config import DEFAULT_ENGINE
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.export.exported_model import REFUSED_MONTHS, SERVING, STATUS, ExportedModel
from bone_age_tf.preprocessing.decoding import Refusal
from bone_age_tf.preprocessing.rejections import EXPLANATIONS, OK
from bone_age_tf.record import BONE_AGE_HIGH, BONE_AGE_LOW, BONE_AGE_MONTHS, SEX, SEX_NAMES
from bone_age_tf.serving.batches import Batches
from bone_age_tf.serving.contract import Tensor, hint, invalid
from bone_age_tf.serving.engines import network_of
from bone_age_tf.serving.pictures import Viewer

log = logging.getLogger(__name__)

LARGEST_DIFFERENCE_MONTHS = 0.05
"""Between the answer for the golden hand and what the manifest says of it."""
NOT_A_FILE = "not_png_or_jpeg"
_RESERVED = ("__saved_model_init_op",)


@dataclasses.dataclass(frozen=True)
class Row:
    """The answer for one file."""

    outputs: Mapping[str, Any]
    """Of `serving_default`, a number or bytes each."""
    refusal: Refusal | None = None
    """Of a file that TensorFlow Serving would fail the request for."""


class ServedModel:
    """Thread-safe."""

    def __init__(
        self, folder: Path, version: int, pool: Executor, engine: str = DEFAULT_ENGINE
    ) -> None:
        """`engine` is one of `config.ENGINES`. Raises `ModelRefusedError` where the model is not what its manifest says, or answers otherwise."""
        self.version = version
        self.exported = ExportedModel.open(folder)
        self.signature_defs = _signature_defs(folder)
        self.inputs = {name: _inputs(each) for name, each in self.signature_defs.items()}
        self.viewer = Viewer(self.exported)
        self.output_names = tuple(self.signature_defs[SERVING].outputs)
        self._pool = pool
        self._batches = Batches(network_of(self.exported, engine))
        try:
            self._require_golden()
            self._warm_up()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Answer what is waiting, then end."""
        self._batches.stop()

    def answer_file(self, encoded: bytes, sex: str) -> "Future[Row]":
        """A file's bytes and F, M or unknown -> its row, when it is there."""
        answer: Future[Row] = Future()
        self._pool.submit(self._prepare, encoded, sex, answer)
        return answer

    def call(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> "Future[dict[str, np.ndarray]]":
        """Another signature than `serving_default`, as it is."""
        return self._pool.submit(self._call, signature, inputs)

    def metadata(self) -> dict[str, Any]:
        """The signatures as TensorFlow Serving's REST page describes them."""
        return {
            name: json_format.MessageToDict(
                each, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            for name, each in self.signature_defs.items()
        }

    def _prepare(self, encoded: bytes, sex: str, answer: "Future[Row]") -> None:
        try:
            made = self.exported.prepare(encoded)
            if isinstance(made, Refusal):
                answer.set_result(self._refused(made, encoded))
                return
            outputs: Future[dict[str, Any]] = Future()
            outputs.add_done_callback(lambda done: self._finish(done, answer))
            self._batches.put(made, sex, outputs)
        except Exception as error:  # a bug of ours is this file's error, not the server's end
            answer.set_exception(error)

    @staticmethod
    def _finish(outputs: "Future[dict[str, Any]]", answer: "Future[Row]") -> None:
        error = outputs.exception()
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(Row({**outputs.result(), STATUS: OK.encode()}))

    def _refused(self, refusal: Refusal, encoded: bytes) -> Row:
        numbers = {name: np.float32(REFUSED_MONTHS) for name in self.output_names if name != STATUS}
        row = Row({**numbers, STATUS: refusal.reason.encode()})
        if refusal.reason in EXPLANATIONS:  # the graph gives these as a status
            return row
        meant = hint(encoded) if refusal.reason == NOT_A_FILE else ""
        explained = Refusal(refusal.reason, "; ".join(filter(None, [refusal.explanation, meant])))
        return dataclasses.replace(row, refusal=explained)

    def _call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {
            name: tf.constant(values.tolist() if values.dtype == object else values)
            for name, values in inputs.items()
        }
        try:
            answer = self.exported.signatures[signature](**tensors)
        except tf.errors.InvalidArgumentError as error:
            raise invalid(_first_line(error)) from error
        return {name: value.numpy() for name, value in answer.items()}

    def _require_golden(self) -> None:
        golden = self.exported.manifest["golden"]
        encoded = base64.b64decode(golden["image_png_base64"])
        rows = [self.answer_file(encoded, sex) for sex in golden["sex"]]
        names = [n for n in (BONE_AGE_MONTHS, BONE_AGE_LOW, BONE_AGE_HIGH) if n in golden]
        for name in names:
            for row, expected in zip(rows, golden[name], strict=True):
                got = float(row.result().outputs[name])
                if not abs(got - expected) <= LARGEST_DIFFERENCE_MONTHS:  # NaN, too
                    raise ModelRefusedError(
                        f"{self.exported.folder}: for the golden hand it answers {name} {got:.2f}, its manifest "
                        f"says {expected:.2f}. It is not served. Export it again."
                    )

    def _warm_up(self) -> None:
        """Draw the golden hand as the page would, so that its first user does not wait for TensorFlow."""
        golden = self.exported.manifest["golden"]
        self.viewer.view(base64.b64decode(golden["image_png_base64"]), golden["sex"][0])


def sexes_of(values: Sequence[bytes]) -> list[str]:
    """Raises `ServingError` where a text is not F, M or unknown."""
    texts = [value.decode("utf-8", "replace") for value in values]
    bad = next((text for text in texts if text not in SEX_NAMES), None)
    if bad is not None:
        raise invalid(f"Input {SEX!r} must be F, M or unknown. Received {bad[:40]!r}.")
    return texts


def _first_line(error: Exception) -> str:
    refusal = str(error).partition("refused (")[2]
    text = f"refused ({refusal}" if refusal else str(error)
    return text.splitlines()[0][:300] if text else "the model refuses these inputs"


def _signature_defs(folder: Path) -> dict[str, meta_graph_pb2.SignatureDef]:
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    found = saved.meta_graphs[0].signature_def
    return {name: found[name] for name in sorted(found) if name not in _RESERVED}


def _inputs(signature: meta_graph_pb2.SignatureDef) -> dict[str, Tensor]:
    return {name: _tensor(info) for name, info in sorted(signature.inputs.items())}


def _tensor(info: meta_graph_pb2.TensorInfo) -> Tensor:
    dtype = tf.dtypes.as_dtype(info.dtype)
    shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
    return Tensor(np.dtype(object) if dtype == tf.string else np.dtype(dtype.as_numpy_dtype), shape)
