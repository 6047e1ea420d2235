"""Several networks -> months, as one model."""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from bone_age_tf.models.test_time_augmentation import MeanOverViews
from bone_age_tf.models.views import View
from bone_age_tf.postprocessing import apply
from bone_age_tf.postprocessing.bias_correction import NO_CORRECTION, SexSpecificRecalibration


@dataclasses.dataclass(frozen=True)
class Member:
    """A network and its weights in the ensemble."""

    network: keras.Model
    """Inputs `image` and `sex`, output months."""
    shares: tuple[float, float, float]
    """Weight of its answer for F, M and unknown; those of all members add up to 1 for each."""
    fixed_sex: int | None = None
    """The sex that it is always given, of a network trained on one sex; None: that of the radiograph."""


def build_ensemble_model(
    members: Sequence[Member],
    views: Sequence[View],
    correction: SexSpecificRecalibration = NO_CORRECTION,
) -> keras.Model:
    """Inputs `image` uint8 [N, *frame, 1] and `sex` int32 [N]; output months float32 [N].

    The members' means over the views, weighted by sex, then recalibrated by sex, within 0 and 240.
    """
    frame = members[0].network.input["image"].shape[1:3]
    image = layers.Input((*frame, 1), dtype="uint8", name="image")
    sex = layers.Input((), dtype="int32", name="sex")
    answers = [
        MeanOverViews(member.network, views, fixed_sex=member.fixed_sex, name=f"member_{number}")(
            image, sex
        )
        for number, member in enumerate(members, start=1)
    ]
    table = np.array([member.shares for member in members], np.float32).T
    months = _Combined(table, correction, name="bone_age_months")(sex, answers)
    return keras.Model({"image": image, "sex": sex}, months, name="ensemble")


class _Combined(layers.Layer):
    """Answers, a list of float32 [N], weighted by the row of the sex, and corrected."""

    def __init__(
        self, table: np.ndarray, correction: SexSpecificRecalibration, *, name: str
    ) -> None:
        super().__init__(name=name, dtype="float32")
        self._table = table
        self._tables = correction.table.astype(np.float32)
        self.built = True

    def compute_output_spec(self, sex, answers):
        """float32 [N]."""
        return keras.KerasTensor(sex.shape, "float32")

    def call(self, sex, answers):
        """Months, [N]."""
        shares = ops.take(ops.convert_to_tensor(self._table), sex, axis=0)
        tables = ops.take(ops.convert_to_tensor(self._tables), sex, axis=0)
        return apply.corrected(ops.sum(shares * ops.stack(answers, axis=1), axis=1), tables)
