import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf.metrics.bone_age import AGE_BANDS
from bone_age_tf.postprocessing.apply import band_of, corrected, in_range, interval
from bone_age_tf.postprocessing.bias_correction import Line, SexSpecificRecalibration

MONTHS = np.array([-3.0, 0.0, 47.9, 48.0, 120.0, 239.0, 300.0], np.float32)
LINES = np.array([[5.0, 0.9]] * 3 + [[-2.0, 1.1]] * 4, np.float32)
WIDTHS = np.array([3.0, 5.0, 0.0, 12.5, 8.0, 6.0, -1.0], np.float32)


def test_months_go_through_their_line_and_stay_in_range() -> None:
    expected = np.clip(LINES[:, 0] + LINES[:, 1] * MONTHS, 0, 240)
    np.testing.assert_array_equal(corrected(MONTHS, LINES), expected)
    assert in_range(MONTHS).numpy().tolist()[-1] == 240


def test_arrays_tensors_and_graphs_give_the_same_bits() -> None:
    def answer(months: tf.Tensor, lines: tf.Tensor, widths: tf.Tensor) -> tuple[tf.Tensor, ...]:
        fitted = corrected(months, lines)
        return fitted, band_of(fitted), *interval(fitted, widths)

    tensors = [tf.constant(values) for values in (MONTHS, LINES, WIDTHS)]
    of_arrays = answer(MONTHS, LINES, WIDTHS)
    of_tensors = answer(*tensors)
    of_graph = tf.function(answer)(*tensors)
    for array, tensor, graph in zip(of_arrays, of_tensors, of_graph, strict=True):
        np.testing.assert_array_equal(array, tensor)
        np.testing.assert_array_equal(array, graph)


def test_ends_stay_in_range() -> None:
    low, high = (np.asarray(end) for end in interval(MONTHS[1:6], WIDTHS[1:6]))
    np.testing.assert_array_equal(low, np.maximum(MONTHS[1:6] - WIDTHS[1:6], 0))
    np.testing.assert_array_equal(high, np.minimum(MONTHS[1:6] + WIDTHS[1:6], 240))


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
    assert fitted.tolist() == [1.1 + 0.97 * 100.1, -2.3 + 1.02 * 200.2, 239.9]
