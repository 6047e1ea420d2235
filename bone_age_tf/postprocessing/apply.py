"""Network output -> bone age: sex-specific linear recalibration, clipping to 0 to 240 months, prediction interval.

The only implementation of this arithmetic: the graph of an exported model, the model of an ensemble, the engines
of a server and the fits use it. `keras.ops`, so that it runs inside a graph and on NumPy arrays,
where the results are tensors, too. The caller looks up line and half-width, since
their tables are variables of a SavedModel here and arrays there.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops

from bone_age_tf.metrics.bone_age import AGE_BANDS
from bone_age_tf.record import MAX_BONE_AGE_MONTHS

LIMITS_MONTHS = np.array([low for low, _ in AGE_BANDS.values()][1:])
"""Between the age bands, months [bands - 1]."""


def corrected(months: Any, lines: Any) -> Any:
    """The answer, float [N], within 0 and 240 months.

    `months` [N] are the network's, `lines` [N, 2] intercept in months and slope for the sex of each.
    """
    return in_range(lines[:, 0] + lines[:, 1] * months)


def band_of(months: Any) -> Any:
    """The age band of each answer [N], int32: the row of `metrics.AGE_BANDS`."""
    above = months[:, None] >= ops.convert_to_tensor(LIMITS_MONTHS, months.dtype)
    return ops.sum(ops.cast(above, "int32"), axis=1)


def interval(months: Any, half_widths: Any) -> Iterator[Any]:
    """Lower, then upper end of the interval, float [N] each, within 0 and 240 months.

    `months` [N] are answers, `half_widths` [N] in months. A half-width below 0 stands for no interval: the
    caller replaces these ends.
    """
    return map(in_range, (months - half_widths, months + half_widths))


def in_range(months: Any) -> Any:
    """Months of any shape, within 0 and 240."""
    return ops.clip(months, 0.0, MAX_BONE_AGE_MONTHS)
