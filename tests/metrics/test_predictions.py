from pathlib import Path

import numpy as np
import pytest

from bone_age_tf.errors import InputDataError
from bone_age_tf.metrics import bone_age as metrics
from bone_age_tf.metrics.error_tables import tables, worst
from bone_age_tf.metrics.predictions import (
    COLUMNS,
    LabelledPredictions,
    csv_text,
    read_predictions,
    table_of,
    write_predictions,
)


def some_predictions(count: int = 60, seed: int = 0) -> LabelledPredictions:
    random = np.random.default_rng(seed)
    true = random.uniform(2, 228, count).round()
    answers = 20 + 0.85 * true + random.normal(0, 5, count)
    sex = random.integers(0, 3, count)
    return LabelledPredictions.of([str(n) for n in range(count)], sex, true, answers)


def test_predictions_are_read_as_written(tmp_path: Path) -> None:
    predictions = some_predictions()
    write_predictions(tmp_path, predictions)
    for path in (tmp_path, tmp_path / "predictions.csv"):
        again = read_predictions(path)
        assert list(again.ids) == list(predictions.ids)
        assert again.sex.tolist() == predictions.sex.tolist()
        assert again.true_months.tolist() == predictions.true_months.tolist()
        np.testing.assert_allclose(again.predicted, predictions.predicted, atol=0.0051)


def test_columns_stand_in_one_order_and_only_those_that_there_are(tmp_path: Path) -> None:
    months = np.array([100.0, 30.456])
    of_ensemble = LabelledPredictions.of(
        ["a", "b"], np.array([0, 2]), np.array([94.5, 31.0]), families={"frame": months}
    )
    text = csv_text(of_ensemble.with_months(months + 1).table)
    assert text == (
        "id,sex,bone_age_months,bone_age_months_true,frame\n"
        "a,F,101.00,94.5,100.00\nb,unknown,31.46,31,30.46\n"
    )
    (tmp_path / "predictions.csv").write_text(text)
    again = read_predictions(tmp_path)
    assert again.family_names == ["frame"]
    np.testing.assert_allclose(again.family_months[:, 0], months, atol=0.0051)
    of_sex = LabelledPredictions.of(
        ["a"], np.array([1]), np.array([30.0]), np.array([0.25]), target="sex"
    )
    assert (
        csv_text(of_sex.table) == "id,sex,boy_probability,bone_age_months_true\na,M,0.250000,30\n"
    )
    order = [name for name in COLUMNS if name in of_ensemble.table]
    assert csv_text(of_ensemble.table).startswith(",".join(order))


def test_rows_without_bone_age_or_label_are_left_out(tmp_path: Path) -> None:
    common = {"sex": "F", "bone_age_months_true": 90.0, "status": "ok", "reason": ""}
    rows = [
        {"id": "read", "bone_age_months": 95.5, **common},
        {"id": "refused", "bone_age_months": None, **common, "status": "refused", "reason": "x: y"},
        {"id": "unlabelled", "bone_age_months": 20.0, **common, "bone_age_months_true": None},
    ]
    table = table_of(rows)
    assert table["bone_age_months"].isna().tolist() == [False, True, False]
    (tmp_path / "predictions.csv").write_text(csv_text(table))
    found = read_predictions(tmp_path)
    assert found.ids == ["read"]
    assert found.errors.tolist() == [5.5]


@pytest.mark.parametrize(
    "text",
    [
        "id,sex\n1,F\n",
        "id,sex,bone_age_months_true,bone_age_months\n",
        "id,sex,bone_age_months_true,bone_age_months\n1,F,12,much\n",
        "id,sex,bone_age_months_true,bone_age_months\n1,girl,12,13\n",
        "id,sex,bone_age_months_true,boy_probability\n1,F,12,0.5\n",
        "id,sex,bone_age_months_true,bone_age_months\n1,F,12,\n",
        "id,sex,bone_age_months_true,bone_age_months\n1,F,12,inf\n",
        "id,sex,bone_age_months_true,bone_age_months\n1,F,241,13\n",
    ],
)
def test_other_files_are_rejected(text: str, tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(InputDataError, match="predictions.csv"):
        read_predictions(tmp_path)


def test_the_worst_come_first() -> None:
    predictions = some_predictions()
    rows = worst(predictions, 5)
    errors = np.abs(predictions.errors)
    assert errors[rows].tolist() == sorted(errors, reverse=True)[:5]
    listed = tables(predictions)["worst"]
    assert [row["id"] for row in listed[:5]] == [predictions.ids[row] for row in rows]


def test_stages_count_hands_of_known_sex() -> None:
    predictions = some_predictions(300)
    by_stage = tables(predictions)["by_stage"]
    assert list(by_stage) == [name for name in metrics.STAGES if name in by_stage]
    assert sum(group["n"] for group in by_stage.values()) == int((predictions.sex < 2).sum())
    infants = np.where(
        predictions.sex == 0, predictions.true_months < 10, predictions.true_months < 14
    )
    assert by_stage["infancy"]["n"] == int((infants & (predictions.sex < 2)).sum())


def test_agreement_is_least_squares() -> None:
    predictions = some_predictions(200)
    agreement = tables(predictions)["agreement"]
    slope, intercept = np.polyfit(predictions.predicted, predictions.true_months, 1)
    found = agreement["calibration_slope"]
    assert found["value"] == pytest.approx(slope)
    assert agreement["calibration_intercept_months"]["value"] == pytest.approx(intercept)
    assert found["low"] < found["value"] < found["high"]
    assert found["low"] > 1.05  # answers that lie too near to the mean


def test_equal_answers_have_no_slope() -> None:
    predictions = some_predictions(10)
    flat = predictions.with_months(np.full(10, 100.0))
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
