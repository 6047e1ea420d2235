import json

import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf.metrics.bone_age import AGE_BANDS
from bone_age_tf.postprocessing.apply import band_of, corrected, in_range, interval
from bone_age_tf.postprocessing.bias_correction import (
    Curve,
    Line,
    SexSpecificRecalibration,
    composed,
    tables_of,
)

MONTHS = np.array([-3.0, 0.0, 47.9, 48.0, 120.0, 239.0, 300.0], np.float32)
BENT = Curve((0, 48, 192, 240), (-9.0, 40.0, 200.0, 250.0))
MAPS = SexSpecificRecalibration((Line(5.0, 0.9), BENT))
TABLES = MAPS.table[[0, 0, 0, 1, 1, 1, 1]].astype(np.float32)
ENDS = np.array([[3, 5], [0, 12.5], [8, 6], [0, 0], [1, 2], [9, 9], [np.nan] * 2], np.float32)
OFFSETS = ENDS * np.array([-1, 1], np.float32)


def test_months_go_through_their_map_and_stay_in_range() -> None:
    inside = np.clip(MONTHS, 0, 240)
    expected = np.where(np.arange(7) < 3, 5 + 0.9 * inside, BENT(inside))
    np.testing.assert_allclose(corrected(MONTHS, TABLES), np.clip(expected, 0, 240), rtol=1e-5)
    assert in_range(MONTHS).tolist()[-1] == 240


def test_arrays_tensors_and_graphs_give_the_same_bits() -> None:
    def answer(months: tf.Tensor, tables: tf.Tensor, offsets: tf.Tensor) -> tuple[tf.Tensor, ...]:
        fitted = corrected(months, tables)
        return fitted, band_of(fitted), *interval(fitted, offsets)

    tensors = [tf.constant(values) for values in (MONTHS, TABLES, OFFSETS)]
    of_arrays = answer(MONTHS, TABLES, OFFSETS)
    of_tensors = answer(*tensors)
    of_graph = tf.function(answer)(*tensors)
    for array, tensor, graph in zip(of_arrays, of_tensors, of_graph, strict=True):
        np.testing.assert_array_equal(array, tensor)
        np.testing.assert_array_equal(array, graph)


def test_ends_stay_in_range() -> None:
    low, high = (np.asarray(end) for end in interval(MONTHS[1:6], OFFSETS[1:6]))
    np.testing.assert_array_equal(low, np.maximum(MONTHS[1:6] - ENDS[1:6, 0], 0))
    np.testing.assert_array_equal(high, np.minimum(MONTHS[1:6] + ENDS[1:6, 1], 240))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_limit_belongs_to_the_older_band(dtype: type) -> None:
    limits = np.array([low for low, _ in AGE_BANDS.values()], dtype)
    assert np.asarray(band_of(limits)).tolist() == list(range(len(AGE_BANDS)))
    below = np.nextafter(limits[1:], 0, dtype=dtype)
    assert np.asarray(band_of(below)).tolist() == list(range(len(AGE_BANDS) - 1))


def test_lines_by_sex_use_it_in_double_precision() -> None:
    lines = SexSpecificRecalibration((Line(1.1, 0.97), Line(-2.3, 1.02), Line()))
    months = np.array([100.1, 200.2, 239.9])
    fitted = lines(months, np.array([0, 1, 2]))
    assert fitted.dtype == np.float64
    expected = [1.1 + 0.97 * 100.1, -2.3 + 1.02 * 200.2, 239.9]
    np.testing.assert_allclose(fitted, expected, rtol=1e-12)


def test_two_recalibrations_follow_each_other() -> None:
    first = SexSpecificRecalibration((Line(3, 0.9), BENT, Line()))
    second = SexSpecificRecalibration((BENT, Line(-4, 1.05), BENT))
    months, sex = np.linspace(0, 240, 97), np.arange(97) % 3
    together = corrected(months, composed(second.table, first.table)[sex])
    np.testing.assert_allclose(together, second(first(months, sex), sex), atol=0.1)


def test_lines_that_a_graph_holds_are_read_as_tables() -> None:
    stored = np.array([[1.5, 0.97], [6.8, 0.96], [0, 1]], np.float32)
    lines = SexSpecificRecalibration(tuple(Line(*row) for row in stored.tolist()))
    np.testing.assert_allclose(tables_of(stored), lines.table, rtol=1e-6)
    np.testing.assert_array_equal(tables_of(lines.table), lines.table)


@pytest.mark.parametrize("each", [Line(1.5, 0.97), BENT])
def test_a_recalibration_is_described_and_read_again(each: Line | Curve) -> None:
    maps = SexSpecificRecalibration((each, each, Line()))
    assert SexSpecificRecalibration.of(json.loads(json.dumps(maps.describe()))) == maps
