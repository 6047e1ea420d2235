"""Test-time augmentation: predictions averaged over the views of a prepared radiograph."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from bone_age_tf.models.views import View, transforms_of

MAX_IMAGES_AT_ONCE = 10
"""Images in one forward pass where views are averaged: 5 views of two radiographs, 2 of five."""


def mean_over_views(
    months_of: Callable[[Any, Any], Any], image: Any, sex: Any, transforms: np.ndarray
) -> Any:
    """Mean of the months of the views, float32 [N]: all at once of a few radiographs, else one after the other.

    `months_of` takes uint8 [n, height, width, 1] and the sex of each, `image` and `sex` [N] are
    such, `transforms` come from `transforms_of`.
    """
    count = len(transforms)
    if count == 1:
        return months_of(image, sex)
    table = ops.convert_to_tensor(transforms)
    pixels = ops.cast(image, "float32")
    radiographs = ops.shape(image)[0]
    at_once = ops.where(radiographs * count <= MAX_IMAGES_AT_ONCE, count, 1)

    def is_unfinished(number, total):
        # The condition depends on the sum only so that the loop finishes a view before the next:
        # TensorFlow would compute up to ten at once, each with its own memory.
        waited = ops.isnan(ops.sum(total))
        return ops.cast(number, "float32") < ops.where(waited, count - 0.5, float(count))

    def add(number, total):
        rows = ops.take(table, number + ops.arange(at_once, dtype="int32"), axis=0)
        each = ops.tile(rows[:, np.newaxis], (1, radiographs, 1))
        seen = ops.image.affine_transform(
            ops.tile(pixels, (at_once, 1, 1, 1)),
            ops.reshape(each, (-1, table.shape[1])),
            data_format="channels_last",
        )
        months = months_of(ops.cast(ops.round(seen), "uint8"), ops.tile(sex, (at_once,)))
        return number + at_once, total + ops.sum(
            ops.reshape(months, (at_once, radiographs)), axis=0
        )

    start = (ops.convert_to_tensor(0, "int32"), ops.zeros_like(pixels[:, 0, 0, 0]))
    _, total = ops.while_loop(is_unfinished, add, start)
    return total / count


class MeanOverViews(keras.layers.Layer):
    """A network's months, averaged over views of each radiograph.

    Inputs `image` uint8 [N, height, width, 1] and `sex` int32 [N]; output float32 [N]. `fixed_sex`:
    the sex that the network is given instead of `sex`, if it was trained on a single sex.
    """

    def __init__(
        self, network: keras.Model, views: Sequence[View], *, fixed_sex: int | None, name: str
    ) -> None:
        super().__init__(name=name, dtype="float32", trainable=False)
        self.network = network
        self.fixed_sex = fixed_sex
        frame = network.input["image"].shape[1:3]
        self._transforms = transforms_of(views, frame)
        self.supports_jit = False  # XLA has no projective transform
        self.built = True

    def compute_output_spec(self, image, sex):
        """float32 [N]."""
        return keras.KerasTensor(sex.shape, "float32")

    def call(self, image, sex):
        """Months of each radiograph."""
        if self.fixed_sex is not None:
            sex = ops.full_like(sex, self.fixed_sex)

        def months_of(view, sex):
            return self.network({"image": view, "sex": sex}, training=False)

        return mean_over_views(months_of, image, sex, self._transforms)
