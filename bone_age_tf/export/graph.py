"""The graph of an exported model: from the bytes of a file to months.

| signature          | inputs                                            | outputs                              |
|--------------------|---------------------------------------------------|--------------------------------------|
| `serving_default`  | `image_bytes` string [N], `sex` string [N]        | `bone_age_months` float [N],         |
|                    |                                                   | `bone_age_low_months`,               |
|                    |                                                   | `bone_age_high_months`, `status`     |
| `predict_prepared` | `image` uint8 [N, height, width, 1], `sex`        | the same without `status`            |
| `prepare`          | `image_bytes` string [N]                          | `image` uint8 [N, ...], `status`,    |
|                    |                                                   | `prepared_to_original` float [N, 2, 3]|
| `explain`          | as `predict_prepared`                             | `heat` float [N, h, w], `features`   |
|                    |                                                   | float [N, c], `bone_age_months`      |
| `network`          | `image`, `sex_code` int32 [N]: 0 F, 1 M, 2 unknown | `months` float [N]                   |

`image_bytes` are PNG or JPEG files, `sex` is `F`, `M` or `unknown`. `status` is `ok` or the reason
why a picture is refused (`preprocessing/rejections.py`), and all its months are then -1; so are the ends
of the interval of a model without intervals. A file
that is no usable PNG or JPEG fails the request with INVALID_ARGUMENT and a text
`refused (REASON): ...`. Stock TensorFlow operations only.

`explain`, of a run alone, not of an ensemble: `heat` is Grad-CAM for a regression (Selvaraju et al.
2017), in months: the trunk's feature maps, each times the mean gradient of the months to it, summed;
a cell is so many of h x w equal parts of the region that the network sees. `features` are the feature
maps' means, `bone_age_months` those of the radiograph as it stands: where the answer is a mean over
several views of it, explanations are about the first, which is that radiograph.

`network`, of a run alone as well, is what other engines run: the network on one view, before the views'
mean, the line and the interval.

With a sex classifier, `serving_default` and `predict_prepared` have one more output,
`boy_probability` float [N]: how likely the hand is a boy's, whatever `sex` says; -1 where refused.

The variable `correction`, float32 [3, 2], holds an intercept in months and a slope for F, M and
unknown that every bone age goes through: those of the folds of a run, otherwise 0 and 1, until `calibrate` writes others. No line leads
out of 0 to 240 months. The variable `intervals` holds the half-widths of the intervals.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.export.exported_model import (
    EXPLAIN,
    FEATURES,
    HEAT,
    IMAGE_BYTES,
    MONTHS,
    NETWORK,
    PREDICT_PREPARED,
    PREPARE,
    PREPARED_TO_ORIGINAL,
    REFUSED_MONTHS,
    SERVING,
    SEX_CODE,
    STATUS,
)
from bone_age_tf.models.parts import split
from bone_age_tf.models.test_time_augmentation import VIEWS, View, mean_over_views, transforms_of
from bone_age_tf.postprocessing.bias_correction import NO_CORRECTION, LinesBySex
from bone_age_tf.postprocessing.conformal import LIMITS_MONTHS, Intervals
from bone_age_tf.preprocessing import pipeline
from bone_age_tf.preprocessing.decoding import require
from bone_age_tf.preprocessing.localizer import weights as localizer
from bone_age_tf.preprocessing.rejections import OK
from bone_age_tf.record import BONE_AGE_HIGH, BONE_AGE_LOW, BOY_PROBABILITY, SEX_NAMES, Sex

NO_INTERVALS = np.full((len(SEX_NAMES), len(LIMITS_MONTHS) + 1), -1.0)


def write_saved_model(  # noqa: PLR0913 - what the graph is made of
    model: keras.Model,
    classifier: keras.Model | None,
    config: PreprocessingConfig,
    folder: Path,
    *,
    variables: str,
    intervals: Intervals | None = None,
    correction: LinesBySex = NO_CORRECTION,
    views: Sequence[View] = VIEWS["none"],
    explained: bool = False,
) -> None:
    """Write the SavedModel of networks that tell the months and, where there is one, the sex.

    `variables` is `float32` or `float16`, `config` the preprocessing of the radiographs that they
    were trained on, `views` those of each radiograph over which the months are averaged.
    With `explained`, `model` is one network, and the signature `explain` is written.
    """
    files = tf.TensorSpec([None], tf.string, name=IMAGE_BYTES)
    sexes = tf.TensorSpec([None], tf.string, name=record.SEX)
    images = tf.TensorSpec([None, *config.frame, 1], tf.uint8, name=record.IMAGE)

    # Not keras.export.ExportArchive: it writes every variable twice, 178 MB instead of 90 for
    # InceptionV3 (Keras 3.15).
    module = tf.Module()
    module.correction = tf.Variable(correction.table, trainable=False, dtype=tf.float32)
    half_widths = NO_INTERVALS if intervals is None else intervals.half_widths
    module.intervals = tf.Variable(half_widths, trainable=False, dtype=tf.float32)
    networks = {"model": model}
    if classifier is not None:
        networks["classifier"] = classifier
    if config.method == "registered":
        networks["localizer"] = localizer.load(config.localizer).network
    stored = {name: _Stored(network, variables) for name, network in networks.items()}
    for name, kept in stored.items():
        setattr(module, f"{name}_variables", kept.variables)

    outputs = pipeline.Prepared(
        tf.TensorSpec((*config.frame, 1), tf.uint8),
        tf.TensorSpec((), tf.string),
        tf.TensorSpec((2, 3), tf.float32),
    )

    def prepared(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        with stored["localizer"].scope() if "localizer" in stored else contextlib.nullcontext():
            done = tf.map_fn(
                lambda encoded: pipeline.prepare_radiograph(encoded, config),
                image_bytes,
                fn_output_signature=outputs,
            )
        return {
            record.IMAGE: done.image,
            STATUS: done.status,
            PREPARED_TO_ORIGINAL: done.prepared_to_original,
        }

    parts = _Parts(model, stored["model"], images) if explained else None
    network = stored["model"] if parts is None else parts
    transforms = transforms_of(views, config.frame)

    def corrected(months: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
        line = tf.gather(tf.convert_to_tensor(module.correction), codes)
        return in_range(line[:, 0] + line[:, 1] * months)

    def predicted(image: tf.Tensor, sex: tf.Tensor) -> dict[str, tf.Tensor]:
        codes = sex_codes(sex)
        seen = mean_over_views(
            lambda view, told: network({record.IMAGE: view, record.SEX: told}),
            image,
            codes,
            transforms,
        )
        months = corrected(seen, codes)
        low, high = interval(months, codes, tf.convert_to_tensor(module.intervals))
        answer = {record.BONE_AGE_MONTHS: months, BONE_AGE_LOW: low, BONE_AGE_HIGH: high}
        if "classifier" in stored:
            untold = tf.fill(tf.shape(sex), int(Sex.UNKNOWN))
            answer[BOY_PROBABILITY] = stored["classifier"](
                {record.IMAGE: image, record.SEX: untold}
            )
        return answer

    prepare = tf.function(prepared, [files], autograph=False)
    predict = tf.function(predicted, [images, sexes], autograph=False)

    def serve(image_bytes: tf.Tensor, sex: tf.Tensor) -> dict[str, tf.Tensor]:
        made = prepare(image_bytes)
        usable = made[STATUS] == OK
        answer = {
            name: tf.where(usable, number, REFUSED_MONTHS)
            for name, number in predict(made[record.IMAGE], sex).items()
        }
        return answer | {STATUS: made[STATUS]}

    signatures = {
        SERVING: tf.function(serve, [files, sexes], autograph=False),
        PREDICT_PREPARED: predict,
        PREPARE: prepare,
    }
    if parts is not None:

        def explain(image: tf.Tensor, sex: tf.Tensor) -> dict[str, tf.Tensor]:
            codes = sex_codes(sex)
            months, heat, features = parts.explain(image, codes)
            return {
                record.BONE_AGE_MONTHS: corrected(months, codes),
                HEAT: heat,
                FEATURES: features,
            }

        def look(image: tf.Tensor, sex_code: tf.Tensor) -> dict[str, tf.Tensor]:
            return {MONTHS: parts({record.IMAGE: image, record.SEX: sex_code})}

        codes = tf.TensorSpec([None], tf.int32, name=SEX_CODE)
        signatures[EXPLAIN] = tf.function(explain, [images, sexes], autograph=False)
        signatures[NETWORK] = tf.function(look, [images, codes], autograph=False)
    tf.saved_model.save(module, str(folder), signatures)


def in_range(months: tf.Tensor) -> tf.Tensor:
    """Months within 0 and 240."""
    return tf.clip_by_value(months, 0.0, record.MAX_BONE_AGE_MONTHS)


def interval(
    months: tf.Tensor, codes: tf.Tensor, half_widths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Ends of the intervals, [N] each, within 0 and 240; -1 where `half_widths` [3, bands] is below 0."""
    above = months[:, tf.newaxis] >= tf.constant(LIMITS_MONTHS, tf.float32)
    band = tf.reduce_sum(tf.cast(above, tf.int32), axis=1)
    width = tf.gather(tf.gather(half_widths, codes), band, batch_dims=1)
    is_known = width >= 0
    low, high = (
        tf.where(is_known, in_range(end), REFUSED_MONTHS)
        for end in (months - width, months + width)
    )
    return low, high


class _Stored:
    """A network that computes in float32 from variables as they are to be stored.

    Vectors (biases, batch statistics), most of a network's variables, lie in one, for each costs a
    kilobyte in the graph and time at the start. With `float16`, kernels and embeddings are stored as that;
    the vectors, which are small and have wide ranges, stay float32.
    """

    def __init__(self, network: keras.Model, variables: str) -> None:
        self._network = network
        numbered = [(n, v) for n, v in enumerate(network.variables) if v.dtype == "float32"]
        self._halves = {
            number: _half(variable)
            for number, variable in numbered
            if variables == "float16" and len(variable.shape) > 1
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
    """A network as trunk and head. One graph of the trunk, most of what is written, serves both uses."""

    def __init__(self, network: keras.Model, stored: _Stored, images: tf.TensorSpec) -> None:
        self._stored = stored
        self._trunk, self._head = split(network)
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
        with self._stored.scope(self._trunk):
            return self._trunk({record.IMAGE: image, record.SEX: codes}, training=False)


def _half(variable: keras.Variable) -> tf.Variable:
    values = np.asarray(keras.ops.convert_to_numpy(variable))
    if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
        raise ModelRefusedError(
            f"The weights of {variable.path} are too large for float16. Say --variables float32."
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
