"""Network output -> bone age: recalibration by sex, clipping to 0 to 240 months, prediction interval.

The only implementation of this arithmetic: the graph of an exported model, the model of an ensemble, the engines
of a server and the fits use it. It runs on tensors, inside a graph, by `keras.ops`, and on NumPy arrays by NumPy, without
an import of Keras. The caller looks up the row of the recalibration and the offsets of the
interval, since their tables are variables of a SavedModel here and arrays there.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bone_age_tf.metrics.bone_age import AGE_BANDS
from bone_age_tf.record import MAX_BONE_AGE_MONTHS

LIMITS_MONTHS = np.array([low for low, _ in AGE_BANDS.values()][1:])
"""Between the age bands, months [bands - 1]."""
GRID_MONTHS = np.arange(MAX_BONE_AGE_MONTHS + 1)
"""Months of a network at which a recalibration is tabulated, [241]; it is linear between them."""


def corrected(months: Any, tables: Any) -> Any:
    """The answer, float [N], within 0 and 240 months.

    `months` [N] are the network's, `tables` [N, 241] the answers at `GRID_MONTHS` for the sex of each.
    """
    ops, grid = _operations(tables), _constant(GRID_MONTHS, tables)
    nearness = ops.maximum(
        1.0 - ops.abs(in_range(months)[:, None] - grid), 0.0
    )  # of both neighbours
    return in_range(ops.sum(nearness * tables, axis=1))


def band_of(months: Any) -> Any:
    """The age band of each answer [N], a whole number: the row of `metrics.AGE_BANDS`."""
    ops = _operations(months)
    above = months[:, None] >= _constant(LIMITS_MONTHS, months)
    return ops.sum(ops.where(above, 1, 0), axis=1)


def interval(months: Any, offsets: Any) -> Iterator[Any]:
    """Lower, then upper end of the interval, float [N] each, within 0 and 240 months.

    `months` [N] are answers, `offsets` [N, 2] what is added to them, in months. NaN stands for no interval: the
    caller replaces these ends.
    """
    return map(in_range, (months + offsets[:, 0], months + offsets[:, 1]))


def in_range(months: Any) -> Any:
    """Months of any shape, within 0 and 240."""
    return _operations(months).clip(months, 0.0, MAX_BONE_AGE_MONTHS)


def _operations(values: Any) -> Any:
    """`numpy` or `keras.ops`: their functions of one name do the same."""
    if isinstance(values, np.ndarray):
        return np
    from keras import ops

    return ops


def _constant(values: np.ndarray, like: Any) -> Any:
    """Values in the dtype of an array or tensor."""
    if isinstance(like, np.ndarray):
        return values.astype(like.dtype)
    return _operations(like).convert_to_tensor(values, like.dtype)
