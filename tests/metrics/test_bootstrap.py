import numpy as np
import pytest

from bone_age_tf.metrics import bootstrap

MEANS = {"first": lambda a, b: a.mean(-1), "second": lambda a, b: b.mean(-1)}


def test_an_interval_is_the_percentiles_of_resampled_radiographs() -> None:
    values = np.random.default_rng(1).normal(5, 3, 40)
    rows = np.random.default_rng(0).integers(0, 40, (bootstrap.RESAMPLES, 40))
    expected = np.percentile(values[rows].mean(-1), [2.5, 97.5])
    found = bootstrap.mean(values)
    assert found["value"] == pytest.approx(values.mean())
    assert [found["low"], found["high"]] == pytest.approx(expected)


def test_samples_are_resampled_as_pairs() -> None:
    first = np.random.default_rng(2).normal(0, 1, 30)
    difference = {"difference": lambda a, b: (a - b).mean(-1)}
    found = bootstrap.estimates(difference, first, first - 2)["difference"]
    assert [found["low"], found["high"]] == pytest.approx([2, 2])


def test_metrics_do_not_move_each_other() -> None:
    first, second = np.random.default_rng(3).normal(0, 1, (2, 20))
    both = bootstrap.estimates(MEANS, first, second)
    alone = bootstrap.estimates({"second": MEANS["second"]}, first, second)
    assert both["second"] == alone["second"] == pytest.approx(bootstrap.mean(second))


def test_resamples_without_the_metric_do_not_count() -> None:
    """The mean of the positive numbers, of which some resamples have none."""

    def of_positive(values: np.ndarray) -> np.ndarray:
        count = (values > 0).sum(-1)
        total = np.where(values > 0, values, 0).sum(-1)
        return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)

    few = np.array([-1.0] * 10 + [3.0, 5.0])
    found = bootstrap.estimates({"mean": of_positive}, few)["mean"]
    assert found == {"value": 4.0, "low": 3.0, "high": 5.0}
    none = bootstrap.estimates({"mean": of_positive}, np.full(12, -1.0))["mean"]
    assert none == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], np.arange(9.0), np.zeros(40)])
def test_few_radiographs_and_zeros_have_no_interval(values: list[float]) -> None:
    found = bootstrap.mean(np.array(values))
    assert found["value"] == pytest.approx(np.mean(values))
    assert found["low"] is found["high"] is None


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(20, 20, 0.8389, 1.0), (0, 10, 0.0, 0.2775), (1, 10, 0.0179, 0.4042)],
)
def test_a_proportion_has_wilsons_interval(count: int, of: int, low: float, high: float) -> None:
    found = bootstrap.proportion(np.arange(of) < count)
    assert found["value"] == count / of
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-4)


def test_a_proportion_of_few_has_no_interval() -> None:
    found = bootstrap.proportion(np.array([True] * 9))
    assert found == {"value": 1.0, "low": None, "high": None}
