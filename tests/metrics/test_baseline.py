import numpy as np
import pytest

from bone_age_tf.metrics.baseline import constant_baseline, is_no_better

TRUE = np.linspace(20, 220, 21)


def test_a_constant_is_the_mean_of_the_training_set() -> None:
    found = constant_baseline(TRUE + 5, TRUE, 100.0)
    assert found is not None
    assert (found["months"], found["mean_of"]) == (100.0, "training")
    assert found["mae_months"]["value"] == pytest.approx(np.abs(TRUE - 100).mean())
    expected = 5 - np.abs(TRUE - 100).mean()
    assert found["difference_months"]["value"] == pytest.approx(expected)
    assert found["difference_months"]["high"] < 0
    assert found["model_is_better"] is True


def test_without_a_training_set_it_is_the_mean_of_the_labels() -> None:
    found = constant_baseline(TRUE, TRUE, None)
    assert found is not None
    assert (found["months"], found["mean_of"]) == (pytest.approx(120), "labels")
    assert constant_baseline(TRUE[:1], TRUE[:1], None) is None
    assert constant_baseline(TRUE[:1], TRUE[:1], 100.0) is not None


def test_a_model_is_better_only_where_the_interval_says_so() -> None:
    noise = np.where(np.arange(21) % 2, 1.0, -1.0)
    slightly = constant_baseline(120 + 3 * noise, TRUE, None)
    assert slightly is not None
    low, high = (slightly["difference_months"][end] for end in ("low", "high"))
    assert low < 0 < high
    assert is_no_better(slightly)
    assert is_no_better(constant_baseline(np.full(21, 120.0), TRUE, None))


def test_few_radiographs_are_compared_without_an_interval() -> None:
    few = TRUE[:5]
    better, worse = constant_baseline(few + 1, few, 100.0), constant_baseline(few - 90, few, 100.0)
    assert better is not None
    assert better["mae_months"]["low"] is better["difference_months"]["low"] is None
    assert not is_no_better(better)
    assert is_no_better(worse)
    assert not is_no_better(None)
