"""One version of an exported model, which handles concurrent requests.

TensorFlow Serving fails a whole request for one file that is not a radiograph; this one gives that
file a row of its own: `status` is the reason, the months are -1. Only a request in which no file can be
read fails (INVALID_ARGUMENT), as there.
"""

import asyncio
import base64
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format

from bone_age_tf.config import DEFAULT_ENGINE
from bone_age_tf.config.sex_words import EXPECTED, sex_of_word
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.signatures import IMAGE_BYTES, REJECTED_MONTHS, SERVING, STATUS
from bone_age_tf.preprocessing.conversion import to_png
from bone_age_tf.preprocessing.rejections import EXPLANATIONS, OK, Rejection
from bone_age_tf.record import BONE_AGE_HIGH, BONE_AGE_LOW, BONE_AGE_MONTHS, SEX
from bone_age_tf.serving.batches import MicroBatcher
from bone_age_tf.serving.contract import Tensor, invalid
from bone_age_tf.serving.engines import GOLDEN_TOLERANCE, GOLDEN_TOLERANCES, network_of
from bone_age_tf.serving.opening import open_file
from bone_age_tf.serving.pictures import Viewer
from bone_age_tf.tensorflow_c.memory import return_freed_memory
from bone_age_tf.tensorflow_c.saved_model import Signature
from bone_age_tf.tensorflow_c.status import InvalidInputError

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Row:
    """The outputs for one file."""

    outputs: Mapping[str, Any]
    """Of `serving_default`, a number or bytes each."""
    rejection: Rejection | None = None
    """Of a file for which TensorFlow Serving would fail the request."""
    to_original: np.ndarray | None = None
    """Matrix [2, 3] from the prepared radiograph to the file; None where it is rejected."""


class ServedModel:
    """Requests that began with it keep it; its memory and its threads go with the last of them."""

    def __init__(
        self, folder: Path, version: int, pool: Executor, engine: str = DEFAULT_ENGINE
    ) -> None:
        """`pool` prepares the radiographs, `engine` is one of `config.ENGINES`.

        To be called outside of an event loop. Raises `ModelRefusedError` where the model is not what its
        manifest says, or answers otherwise.
        """
        self.version = version
        self.exported = ExportedModel.open(folder)
        self.signature_defs = self.exported.definitions
        self.inputs = {name: _inputs(each) for name, each in self.exported.signatures.items()}
        self.viewer = Viewer(self.exported)
        self.output_names = tuple(self.signature_defs[SERVING].outputs)
        self._pool = pool
        self._network = MicroBatcher(network_of(self.exported, engine))
        self._require_golden(GOLDEN_TOLERANCES.get(engine, GOLDEN_TOLERANCE))
        return_freed_memory()

    async def answer_file(self, encoded: bytes | Rejection, sex: str) -> Row:
        """A file's bytes, or why it is not read, and F, M or unknown -> its row."""
        file = encoded if isinstance(encoded, Rejection) else (await open_file(encoded)).file
        if isinstance(file, Rejection):
            return self._rejected(file)
        made = await self._in_pool(self.exported.prepare_with_matrix, file)
        if isinstance(made, Rejection):
            return self._rejected(made)
        prepared, to_original = made
        outputs = await self._network(prepared, sex)
        return Row({**outputs, STATUS: OK.encode()}, to_original=to_original)

    async def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of another signature than `serving_default`. Raises `ServingError`."""
        given: dict[str, Any] = dict(inputs)
        if IMAGE_BYTES in given:
            given[IMAGE_BYTES] = [(await open_file(file)).file for file in given[IMAGE_BYTES]]
        return await self._in_pool(self._call, signature, given)

    def prepare_to_draw(self) -> None:
        """Draw the golden hand as the page does, once, so that the first user waits less."""
        golden = self.exported.manifest["golden"]
        self.viewer.prepare(base64.b64decode(golden["image_png_base64"]), golden["sex"][0])

    def metadata(self) -> dict[str, Any]:
        """The signatures as TensorFlow Serving's REST page describes them."""
        return {
            name: json_format.MessageToDict(
                each, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            for name, each in self.signature_defs.items()
        }

    async def _in_pool(self, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, function, *arguments)

    def _rejected(self, rejection: Rejection) -> Row:
        numbers = {
            name: np.float32(REJECTED_MONTHS) for name in self.output_names if name != STATUS
        }
        row = Row({**numbers, STATUS: rejection.reason.encode()})
        if rejection.reason in EXPLANATIONS:  # the graph gives these as a status
            return row
        return dataclasses.replace(row, rejection=rejection)

    def _call(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        if IMAGE_BYTES in inputs:
            inputs = {**inputs, IMAGE_BYTES: _pngs(inputs[IMAGE_BYTES])}
        try:
            return self.exported.signatures[signature](**inputs)
        except InvalidInputError as error:
            raise invalid(_first_line(error)) from error

    def _require_golden(self, tolerance: float) -> None:
        """Its months for the golden hand, and where they must be exact the ends of the interval, which differs between
        bands of age, are those in the manifest."""
        golden = self.exported.manifest["golden"]
        encoded = base64.b64decode(golden["image_png_base64"])
        rows = asyncio.run(self._answer_each(encoded, golden["sex"]))
        compared = (BONE_AGE_MONTHS, BONE_AGE_LOW, BONE_AGE_HIGH)
        compared = compared if tolerance <= GOLDEN_TOLERANCE else compared[:1]
        names = [name for name in compared if name in golden]
        for name in names:
            for row, expected in zip(rows, golden[name], strict=True):
                got = float(row.outputs[name])
                if not abs(got - expected) <= tolerance:  # NaN, too
                    raise ModelRefusedError(
                        f"{self.exported.folder}: for the golden hand it returns {name} {got:.2f}; its manifest "
                        f"expects {expected:.2f}. It is not served. Export it again."
                    )

    async def _answer_each(self, encoded: bytes, sexes: Sequence[str]) -> list[Row]:
        return await asyncio.gather(*(self.answer_file(encoded, sex) for sex in sexes))


def _pngs(files: Sequence[bytes | Rejection]) -> np.ndarray:
    """Files as the graph takes them. Raises `ServingError` where one is rejected."""
    pngs = np.empty(len(files), object)
    for number, file in enumerate(files):
        png = file if isinstance(file, Rejection) else to_png(file)
        if isinstance(png, Rejection):
            raise invalid(f"rejected ({png.reason}): {png.explanation}")
        pngs[number] = png
    return pngs


def sexes_of(values: Sequence[bytes]) -> list[str]:
    """Usual words in bytes -> F, M, unknown. Raises `ServingError` where one is something else."""
    texts = [value.decode("utf-8", "replace") for value in values]
    labels = [sex_of_word(text) for text in texts]
    if None in labels:
        bad = texts[labels.index(None)][:40]
        raise invalid(f"Input {SEX!r} must be {EXPECTED}. Received {bad!r}.")
    return list(filter(None, labels))


def _first_line(error: Exception) -> str:
    rejection = str(error).partition("refused (")[2]  # the word in the graph's messages
    text = f"rejected ({rejection}" if rejection else str(error)
    return text.splitlines()[0][:300] if text else "the model rejects these inputs"


def _inputs(signature: Signature) -> dict[str, Tensor]:
    return {name: Tensor(one.dtype, one.shape or ()) for name, one in signature.inputs.items()}
