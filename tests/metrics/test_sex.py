import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from bone_age_tf.metrics.sex import accuracy, auroc, cross_entropy, summarize_sex


def brute_force_auroc(probability: np.ndarray, is_boy: np.ndarray) -> float:
    boys, girls = probability[is_boy][:, None], probability[~is_boy]
    return float(((boys > girls) + 0.5 * (boys == girls)).mean())


@pytest.mark.parametrize("levels", [3, 1000])
def test_auroc_counts_pairs_and_ties_half(levels: int) -> None:
    random = np.random.default_rng(levels)
    is_boy = random.random(60) < 0.4
    probability = random.integers(0, levels, 60) / levels + 0.1 * is_boy
    expected = brute_force_auroc(probability, is_boy)
    assert auroc(probability, is_boy) == pytest.approx(expected)
    assert auroc(-probability, is_boy) == pytest.approx(1 - expected)


def test_auroc_of_one_sex_is_not_a_number() -> None:
    assert np.isnan(auroc(np.array([0.1, 0.9]), np.array([True, True])))


def test_accuracy_and_cross_entropy_by_hand() -> None:
    probability, is_boy = np.array([0.5, 0.9, 0.2, 0.4]), np.array([True, True, False, True])
    assert accuracy(probability, is_boy) == 0.75
    expected = -np.log([0.5, 0.9, 0.8, 0.4]).mean()
    assert cross_entropy(probability, is_boy) == pytest.approx(expected)


def test_summary_of_the_sex_has_intervals_around_its_values() -> None:
    random = np.random.default_rng(0)
    is_boy = random.random(80) < 0.5
    probability = np.clip(0.5 + 0.2 * (is_boy - 0.5) + random.normal(0, 0.2, 80), 0, 1)
    summary = summarize_sex(probability, is_boy)
    assert summary.pop("n") == 80
    assert set(summary) == {"accuracy", "auroc"}
    for statistic in summary.values():
        assert statistic["low"] < statistic["value"] < statistic["high"]


def test_summary_of_boys_alone_has_no_auroc() -> None:
    summary = summarize_sex(np.array([0.2, 0.8, 0.9]), np.array([True] * 3))
    assert summary["auroc"] == {"value": None, "low": None, "high": None}
    assert summary["accuracy"]["value"] == pytest.approx(2 / 3)


def test_summary_of_a_single_boy_among_girls_is_finite() -> None:
    """A third of the resamples lack the boy."""
    probability, is_boy = np.linspace(0.8, 0.1, 12), np.arange(12) == 1
    summary = summarize_sex(probability, is_boy)
    assert summary["auroc"]["value"] == pytest.approx(10 / 11)
    assert 0.6 < summary["auroc"]["low"] < summary["auroc"]["high"] == 1.0


def test_summary_of_none_has_only_a_count() -> None:
    assert summarize_sex(np.array([]), np.array([], bool)) == {"n": 0}


def test_auroc_is_mann_and_whitneys_u_of_every_resample() -> None:
    random = np.random.default_rng(4)
    is_boy = random.random((5, 40)) < 0.5
    probability = random.integers(0, 20, (5, 40)) / 20
    found = auroc(probability, is_boy)
    for row in range(5):
        boys, girls = probability[row][is_boy[row]], probability[row][~is_boy[row]]
        expected = mannwhitneyu(boys, girls).statistic / (len(boys) * len(girls))
        assert found[row] == pytest.approx(expected)
