import numpy as np
import pytest

from bone_age_tf.metrics import bone_age as metrics

ERRORS = np.array([3.0, -4.0, 12.0, -24.5, 6.0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mae_months", (3 + 4 + 12 + 24.5 + 6) / 5),
        ("rmse_months", ((9 + 16 + 144 + 600.25 + 36) / 5) ** 0.5),
        ("bias_months", (3 - 4 + 12 - 24.5 + 6) / 5),
        ("within_6_months", 3 / 5),
        ("within_12_months", 4 / 5),
        ("within_24_months", 4 / 5),
    ],
)
def test_values_by_hand(name: str, value: float) -> None:
    assert metrics.summarize(ERRORS)[name]["value"] == pytest.approx(value)


@pytest.mark.parametrize("count", [10, 25, 200])
def test_interval_contains_the_value(count: int) -> None:
    summary = metrics.summarize(np.random.default_rng(count).normal(1, 9, count))
    assert summary.pop("n") == count
    for statistic in summary.values():
        assert statistic["low"] <= statistic["value"] <= statistic["high"]


def test_interval_of_a_mean_has_the_textbook_width() -> None:
    errors = np.random.default_rng(1).normal(0, 10, 400)
    bias = metrics.summarize(errors)["bias_months"]
    expected = 2 * 1.96 * errors.std() / 20
    assert bias["high"] - bias["low"] == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("count", [1, 9])
def test_few_radiographs_have_no_interval(count: int) -> None:
    summary = metrics.summarize(np.linspace(-3.0, 20, count))
    assert summary.pop("n") == count
    assert summary["mae_months"]["value"] > 0
    for statistic in summary.values():
        assert statistic["low"] is statistic["high"] is None


def test_a_share_of_none_has_an_interval_with_a_width() -> None:
    summary = metrics.summarize(np.full(20, 13.0))
    assert summary["within_6_months"]["value"] == summary["within_6_months"]["low"] == 0
    assert summary["within_6_months"]["high"] == pytest.approx(0.1611, abs=1e-4)


def test_no_radiograph_has_only_a_count() -> None:
    assert metrics.summarize(np.array([])) == {"n": 0}


def test_same_seed_same_interval() -> None:
    errors = np.tile(ERRORS, 3)
    assert metrics.summarize(errors) == metrics.summarize(errors)
    assert metrics.summarize(errors) != metrics.summarize(errors, seed=1)


def test_groups_are_summarized_apart() -> None:
    groups = metrics.by_group(ERRORS, np.array(["M", "F", "M", "F", "M"]))
    assert list(groups) == ["M", "F"]
    assert groups["M"]["n"] == 3
    assert groups["F"]["mae_months"]["value"] == pytest.approx((4 + 24.5) / 2)


@pytest.mark.parametrize(
    ("months", "band"),
    [
        (0, "0-4 years"), (47.99, "0-4 years"), (48, "4-8 years"), (96, "8-12 years"),
        (144, "12-16 years"), (191.9, "12-16 years"), (192, "16-20 years"), (240, "16-20 years"),
    ],
)  # fmt: skip
def test_bands_include_their_lower_end(months: float, band: str) -> None:
    assert metrics.age_band(months) == band


@pytest.mark.parametrize("months", [-0.1, 241, float("nan")])
def test_an_age_outside_every_band_is_rejected(months: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 240"):
        metrics.age_band(months)
