"""The graph of an exported model: from the bytes of a file to months, as `signatures.py` describes it.

Stock TensorFlow operations only.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow.types.experimental import GenericFunction

from bone_age_tf import record
from bone_age_tf.config import AGE_BANDS
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.export.signatures import (
    EXPLAIN,
    FEATURES,
    HEAT,
    IMAGE_BYTES,
    MONTHS,
    NETWORK,
    PREDICT_PREPARED,
    PREPARE,
    PREPARED_TO_ORIGINAL,
    REJECTED_MONTHS,
    SERVING,
    SEX_CODE,
    STATUS,
)
from bone_age_tf.models.parts import split
from bone_age_tf.models.test_time_augmentation import mean_over_views
from bone_age_tf.models.views import VIEWS, View, transforms_of
from bone_age_tf.postprocessing import apply
from bone_age_tf.postprocessing.bias_correction import NO_CORRECTION, SexSpecificRecalibration
from bone_age_tf.postprocessing.conformal import Intervals
from bone_age_tf.preprocessing.decoding import require
from bone_age_tf.preprocessing.pipeline import Prepared
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.preprocessing.rejections import OK
from bone_age_tf.record import BONE_AGE_HIGH, BONE_AGE_LOW, BOY_PROBABILITY
from bone_age_tf.sex import SEX_NAMES, Sex

NO_INTERVALS = np.full((len(SEX_NAMES), len(AGE_BANDS), 2), np.nan)


def write_saved_model(  # noqa: PLR0913 - what the graph is made of
    model: keras.Model,
    classifier: keras.Model | None,
    preprocessor: Preprocessor,
    folder: Path,
    *,
    weights_dtype: str,
    intervals: Intervals | None = None,
    correction: SexSpecificRecalibration = NO_CORRECTION,
    views: Sequence[View] = VIEWS["none"],
    explained: bool = False,
) -> None:
    """Write the SavedModel of a network for the bone age and, where there is one, of a sex classifier.

    `weights_dtype` is `float32` or `float16`, `preprocessor` that of the radiographs that they were
    trained on, `views` those of each radiograph over which the months are averaged.
    With `explained`, `model` is one network, and the signature `explain` is written.
    """
    frame = preprocessor.config.frame
    module = _Answers(correction, intervals)
    networks = {"model": model}
    if classifier is not None:
        networks["classifier"] = classifier
    if preprocessor.localizer is not None:
        networks["localizer"] = preprocessor.localizer.network
    stored = {name: _Stored(network, weights_dtype) for name, network in networks.items()}
    for name, kept in stored.items():
        setattr(module, f"{name}_variables", kept.variables)
    inputs = _Inputs.of(frame)
    parts = _Parts(model, stored["model"], inputs.images) if explained else None
    prepare = _prepare(preprocessor, stored.get("localizer"), inputs)
    predict = _predict(
        parts or stored["model"],
        stored.get("classifier"),
        module,
        transforms_of(views, frame),
        inputs,
    )
    signatures = {
        SERVING: _serve(prepare, predict, inputs),
        PREDICT_PREPARED: predict,
        PREPARE: prepare,
    }
    if parts is not None:
        signatures[EXPLAIN] = _explain(parts, module, inputs)
        signatures[NETWORK] = _look(parts, inputs)
    tf.saved_model.save(module, str(folder), signatures)


class _Answers(tf.Module):
    """What is saved: the variables, and the postprocessing of the network's months.

    Not keras.export.ExportArchive: it writes every variable twice, 178 MB instead of 90 for InceptionV3
    (Keras 3.15).
    """

    def __init__(self, correction: SexSpecificRecalibration, intervals: Intervals | None) -> None:
        super().__init__()
        self.correction = tf.Variable(correction.table, trainable=False, dtype=tf.float32)
        offsets = NO_INTERVALS if intervals is None else intervals.offsets
        self.intervals = tf.Variable(offsets, trainable=False, dtype=tf.float32)

    def corrected(self, months: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
        """Recalibrated months [N] for sexes (codes) [N]."""
        return apply.corrected(months, tf.gather(tf.convert_to_tensor(self.correction), codes))

    def interval(self, months: tf.Tensor, codes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ends of the intervals, [N] each; -1 where there is none."""
        table = tf.convert_to_tensor(self.intervals)
        band = apply.band_of(months)
        offsets = tf.gather(tf.gather(table, codes), band, batch_dims=1)
        is_known = ~tf.math.is_nan(offsets[:, 0])
        low, high = (
            tf.where(is_known, end, REJECTED_MONTHS) for end in apply.interval(months, offsets)
        )
        return low, high


class _Inputs(NamedTuple):
    """Of the signatures."""

    files: tf.TensorSpec
    sexes: tf.TensorSpec
    images: tf.TensorSpec
    codes: tf.TensorSpec

    @classmethod
    def of(cls, frame: tuple[int, int]) -> "_Inputs":
        return cls(
            tf.TensorSpec([None], tf.string, name=IMAGE_BYTES),
            tf.TensorSpec([None], tf.string, name=record.SEX),
            tf.TensorSpec([None, *frame, 1], tf.uint8, name=record.IMAGE),
            tf.TensorSpec([None], tf.int32, name=SEX_CODE),
        )


# === Signatures ===
# The names of the inner functions stand in the SavedModel.


def _prepare(
    preprocessor: Preprocessor, localizer: "_Stored | None", inputs: _Inputs
) -> GenericFunction:
    outputs = Prepared(
        tf.TensorSpec((*preprocessor.config.frame, 1), tf.uint8),
        tf.TensorSpec((), tf.string),
        tf.TensorSpec((2, 3), tf.float32),
    )

    def prepared(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        with contextlib.nullcontext() if localizer is None else localizer.scope():
            done = tf.map_fn(preprocessor, image_bytes, fn_output_signature=outputs)
        return {
            record.IMAGE: done.image,
            STATUS: done.status,
            PREPARED_TO_ORIGINAL: done.prepared_to_original,
        }

    return tf.function(prepared, [inputs.files], autograph=False)


def _predict(
    network: "_Parts | _Stored",
    classifier: "_Stored | None",
    module: _Answers,
    transforms: np.ndarray,
    inputs: _Inputs,
) -> GenericFunction:
    def months_of(view: tf.Tensor, told: tf.Tensor) -> tf.Tensor:
        return network({record.IMAGE: view, record.SEX: told})

    def predicted(image: tf.Tensor, sex: tf.Tensor) -> dict[str, tf.Tensor]:
        codes = sex_codes(sex)
        months = module.corrected(mean_over_views(months_of, image, codes, transforms), codes)
        low, high = module.interval(months, codes)
        answer = {record.BONE_AGE_MONTHS: months, BONE_AGE_LOW: low, BONE_AGE_HIGH: high}
        if classifier is not None:
            untold = tf.fill(tf.shape(sex), int(Sex.UNKNOWN))
            answer[BOY_PROBABILITY] = classifier({record.IMAGE: image, record.SEX: untold})
        return answer

    return tf.function(predicted, [inputs.images, inputs.sexes], autograph=False)


def _serve(prepare: GenericFunction, predict: GenericFunction, inputs: _Inputs) -> GenericFunction:
    def serve(image_bytes: tf.Tensor, sex: tf.Tensor) -> dict[str, tf.Tensor]:
        made = prepare(image_bytes)
        usable = made[STATUS] == OK
        answer = {
            name: tf.where(usable, number, REJECTED_MONTHS)
            for name, number in predict(made[record.IMAGE], sex).items()
        }
        return answer | {STATUS: made[STATUS]}

    return tf.function(serve, [inputs.files, inputs.sexes], autograph=False)


def _explain(parts: "_Parts", module: _Answers, inputs: _Inputs) -> GenericFunction:
    def explain(image: tf.Tensor, sex: tf.Tensor) -> dict[str, tf.Tensor]:
        codes = sex_codes(sex)
        months, heat, features = parts.explain(image, codes)
        answer = module.corrected(months, codes)
        return {record.BONE_AGE_MONTHS: answer, HEAT: heat, FEATURES: features}

    return tf.function(explain, [inputs.images, inputs.sexes], autograph=False)


def _look(parts: "_Parts", inputs: _Inputs) -> GenericFunction:
    def look(image: tf.Tensor, sex_code: tf.Tensor) -> dict[str, tf.Tensor]:
        return {MONTHS: parts({record.IMAGE: image, record.SEX: sex_code})}

    return tf.function(look, [inputs.images, inputs.codes], autograph=False)


# === Networks ===


class _Stored:
    """A network that computes in float32 from variables as they are to be stored.

    Vectors (biases, batch statistics), most of a network's variables, lie in one, for each costs a
    kilobyte in the graph and time at the start. With `float16`, kernels and embeddings are stored as that;
    the vectors, which are small and have wide ranges, stay float32.
    """

    def __init__(self, network: keras.Model, weights_dtype: str) -> None:
        self._network = network
        numbered = [(n, v) for n, v in enumerate(network.variables) if v.dtype == "float32"]
        self._halves = {
            number: _half(variable)
            for number, variable in numbered
            if weights_dtype == "float16" and len(variable.shape) > 1
        }
        vectors = {n: variable for n, variable in numbered if len(variable.shape) == 1}
        lengths = [variable.shape[0] for variable in vectors.values()]
        starts = np.cumsum([0, *lengths])[:-1]
        self._places = dict(zip(vectors, zip(starts, lengths, strict=True), strict=True))
        values = [keras.ops.convert_to_numpy(variable) for variable in vectors.values()]
        self._joined = tf.Variable(
            np.concatenate([np.zeros(0, np.float32), *values]), trainable=False
        )
        rest = [
            self._halves.get(number, variable.value)
            for number, variable in enumerate(network.variables)
            if number not in self._places
        ]
        self.variables = [*rest, self._joined]

    def scope(self, part: keras.Model | None = None) -> keras.StatelessScope:
        """Within it, variables of the network, or of a part of it, have the values of the stored ones."""
        within = {id(variable) for variable in (part or self._network).variables}
        joined = tf.convert_to_tensor(self._joined)
        pairs = []
        for number, variable in enumerate(self._network.variables):
            if id(variable) not in within:
                continue
            if number in self._halves:
                pairs.append((variable, tf.cast(self._halves[number], tf.float32)))
            elif number in self._places:
                start, length = self._places[number]
                pairs.append((variable, tf.slice(joined, [start], [length])))
        return keras.StatelessScope(state_mapping=pairs)

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """One number for each radiograph, [N]."""
        with self.scope():
            return self._network(inputs, training=False)


class _Parts:
    """A network as backbone and head. One graph of the backbone, most of what is written, serves both uses."""

    def __init__(self, network: keras.Model, stored: _Stored, images: tf.TensorSpec) -> None:
        self._stored = stored
        self._backbone, self._head = split(network)
        codes = tf.TensorSpec([None], tf.int32)
        self._maps = tf.function(self._look, [images, codes], autograph=False)

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Months, [N]."""
        maps = self._maps(inputs[record.IMAGE], inputs[record.SEX])
        with self._stored.scope(self._head):
            return self._head([maps, inputs[record.SEX]], training=False)

    def explain(self, image: tf.Tensor, codes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Months [N], heat [N, h, w] and features [N, c]."""
        maps = self._maps(image, codes)
        with (
            self._stored.scope(self._head),
            tf.GradientTape(watch_accessed_variables=False) as tape,
        ):
            tape.watch(maps)
            months = self._head([maps, codes], training=False)
        slopes = tf.reduce_mean(tape.gradient(months, maps), axis=(1, 2), keepdims=True)
        heat = tf.reduce_sum(slopes * maps, axis=-1)
        return months, heat, tf.reduce_mean(maps, axis=(1, 2))

    def _look(self, image: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
        with self._stored.scope(self._backbone):
            return self._backbone({record.IMAGE: image, record.SEX: codes}, training=False)


def _half(variable: keras.Variable) -> tf.Variable:
    values = np.asarray(keras.ops.convert_to_numpy(variable))
    if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
        raise ModelRefusedError(
            f"The weights of {variable.path} are too large for float16. Use --weights-dtype float32."
        )
    return tf.Variable(values.astype(np.float16), trainable=False)


def sex_codes(sex: tf.Tensor) -> tf.Tensor:
    """string [N] of F, M, unknown -> int32 [N]; any other text fails the request."""
    matches = sex[:, tf.newaxis] == tf.constant(SEX_NAMES)
    known = require(
        tf.reduce_all(tf.reduce_any(matches, axis=1)), "bad_sex", "sex must be F, M or unknown"
    )
    with tf.control_dependencies([known]):
        return tf.argmax(matches, axis=1, output_type=tf.int32)
