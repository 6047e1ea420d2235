from pathlib import Path

import numpy as np
import pytest

from bone_age_tf.errors import InputDataError
from bone_age_tf.metrics import bone_age as metrics
from bone_age_tf.metrics.predictions import (
    Judged,
    read_predictions,
    tables,
    worst,
    write_predictions,
)


def judged_hands(count: int = 60, seed: int = 0) -> Judged:
    random = np.random.default_rng(seed)
    true = random.uniform(2, 228, count).round()
    answers = 20 + 0.85 * true + random.normal(0, 5, count)
    return Judged([str(n) for n in range(count)], random.integers(0, 3, count), true, answers)


def test_predictions_are_read_as_written(tmp_path: Path) -> None:
    judged = judged_hands()
    write_predictions(tmp_path, judged, "bone_age")
    for path in (tmp_path, tmp_path / "predictions.csv"):
        again = read_predictions(path)
        assert list(again.ids) == list(judged.ids)
        assert again.sex.tolist() == judged.sex.tolist()
        assert again.true_months.tolist() == judged.true_months.tolist()
        np.testing.assert_allclose(again.answers, judged.answers, atol=0.0051)


@pytest.mark.parametrize(
    "text",
    [
        "id,sex\n1,F\n",
        "id,sex,bone_age_months_true,bone_age_months\n",
        "id,sex,bone_age_months_true,bone_age_months\n1,F,12,much\n",
        "id,sex,bone_age_months_true,bone_age_months\n1,girl,12,13\n",
        "id,sex,bone_age_months_true,boy_probability\n1,F,12,0.5\n",
    ],
)
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(InputDataError, match="predictions.csv"):
        read_predictions(tmp_path)


def test_the_worst_come_first() -> None:
    judged = judged_hands()
    rows = worst(judged, 5)
    errors = np.abs(judged.errors)
    assert errors[rows].tolist() == sorted(errors, reverse=True)[:5]
    listed = tables(judged)["worst"]
    assert [row["id"] for row in listed[:5]] == [judged.ids[row] for row in rows]


def test_stages_count_hands_of_known_sex() -> None:
    judged = judged_hands(300)
    by_stage = tables(judged)["by_stage"]
    assert list(by_stage) == [name for name in metrics.STAGES if name in by_stage]
    assert sum(group["n"] for group in by_stage.values()) == int((judged.sex < 2).sum())
    infants = np.where(judged.sex == 0, judged.true_months < 10, judged.true_months < 14)
    assert by_stage["infancy"]["n"] == int((infants & (judged.sex < 2)).sum())


def test_agreement_is_least_squares() -> None:
    judged = judged_hands(200)
    agreement = tables(judged)["agreement"]
    slope, intercept = np.polyfit(judged.answers, judged.true_months, 1)
    found = agreement["calibration_slope"]
    assert found["value"] == pytest.approx(slope)
    assert agreement["calibration_intercept_months"]["value"] == pytest.approx(intercept)
    assert found["low"] < found["value"] < found["high"]
    assert found["low"] > 1.05  # answers that lie too near to the mean


def test_equal_answers_have_no_slope() -> None:
    judged = judged_hands(10)
    flat = Judged(judged.ids, judged.sex, judged.true_months, np.full(10, 100.0))
    assert tables(flat)["agreement"]["calibration_slope"] == {
        "value": None,
        "low": None,
        "high": None,
    }


def test_limits_of_agreement_by_hand() -> None:
    errors = np.array([-10.0, 0.0, 10.0, 20.0])
    summary = metrics.summarize(errors)
    half = 1.96 * errors.std()
    assert summary["agreement_low_months"]["value"] == pytest.approx(5 - half)
    assert summary["agreement_high_months"]["value"] == pytest.approx(5 + half)


@pytest.mark.parametrize(
    ("months", "sex", "name"),
    [
        (9.9, 0, "infancy"),
        (10, 0, "toddlers"),
        (10, 1, "infancy"),
        (84, 0, "early and mid puberty"),
        (84, 1, "pre-puberty"),
        (180, 0, "post-puberty"),
        (180, 1, "late puberty"),
        (240, 1, "post-puberty"),
        (100, 2, None),
    ],
)
def test_stage_of_maturation(months: float, sex: int, name: str | None) -> None:
    assert metrics.stage(months, sex) == name
