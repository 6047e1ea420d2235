import json
from pathlib import Path

import numpy as np
import pytest

from bone_age_tf.errors import InputDataError
from bone_age_tf.evaluation.compare import compare, compare_predictions
from bone_age_tf.metrics.predictions import LabelledPredictions, write_predictions


def predicted(
    noise: float, *, count: int = 100, seed: int = 0, skip: int = 0
) -> LabelledPredictions:
    """The same hands, evaluated with this much noise."""
    hands = np.random.default_rng(9)
    true, sex = hands.uniform(2, 228, count), hands.integers(0, 2, count)
    answers = true + np.random.default_rng(seed).normal(0, noise, count)
    whole = LabelledPredictions.of([f"hand{n}" for n in range(count)], sex, true, answers)
    return whole.select(np.arange(skip, count))


def test_the_difference_is_that_of_the_errors() -> None:
    first, second = predicted(10), predicted(4, seed=1)
    result = compare_predictions(first, second)
    change = np.abs(second.errors) - np.abs(first.errors)
    assert result["n"] == 100
    assert result["difference_months"]["value"] == pytest.approx(change.mean())
    assert result["verdict"] == "second"
    assert result["notably_better"] == int((change < -6).sum())
    assert result["notably_worse"] == int((change > 6).sum())
    most = result["most_improved"][0]
    assert most["id"] == first.ids[int(change.argmin())]
    assert sum(group["n"] for group in result["by_sex"].values()) == 100
    assert sum(group["n"] for group in result["by_age_band"].values()) == 100


def test_the_other_way_round_is_the_opposite() -> None:
    first, second = predicted(10), predicted(4, seed=1)
    there, back = compare_predictions(first, second), compare_predictions(second, first)
    assert back["verdict"] == "first"
    mine, other = there["difference_months"], back["difference_months"]
    assert [mine["value"], mine["low"], mine["high"]] == pytest.approx(
        [-other["value"], -other["high"], -other["low"]]
    )


def test_pairs_tell_what_two_intervals_do_not() -> None:
    """Errors that go together: the MAEs' intervals overlap, the difference is sure all the same."""
    first = predicted(10)
    worse = first.true_months + first.errors + np.sign(first.errors)
    result = compare_predictions(first, first.with_months(worse))
    assert result["difference_months"]["value"] == pytest.approx(1)
    assert result["verdict"] == "first"
    assert result["mae_months"]["first"]["high"] > result["mae_months"]["second"]["low"]


def test_the_same_predictions_are_undecided() -> None:
    result = compare_predictions(predicted(5), predicted(5))
    assert result["verdict"] == "undecided"
    assert result["difference_months"] == {"value": 0.0, "low": None, "high": None}
    assert result["most_improved"] == result["most_worsened"] == []


def test_few_radiographs_decide_nothing() -> None:
    first, second = predicted(10, count=5), predicted(0.1, count=5)
    assert compare_predictions(first, second)["verdict"] == "undecided"


def test_only_what_both_have_is_compared() -> None:
    result = compare_predictions(predicted(5, skip=30), predicted(5, seed=2))
    assert result["n"] == 70
    assert result["left_out"] == {"first": 0, "second": 30}


def test_folders_are_compared(tmp_path: Path) -> None:
    for name, noise in (("a", 10.0), ("b", 4.0)):
        (tmp_path / name).mkdir()
        write_predictions(tmp_path / name, predicted(noise))
    result = compare(str(tmp_path / "a"), str(tmp_path / "b"), output=str(tmp_path / "c"))
    assert json.loads((tmp_path / "c/comparison.json").read_text()) == result
    assert (result["first"], result["second"], result["verdict"]) == ("a", "b", "second")


def test_models_are_evaluated_first(
    run: Path, exported: Path, prepared: Path, tmp_path: Path
) -> None:
    result = compare(str(run), str(exported), output=str(tmp_path), data=str(prepared))
    assert result["n"] == 8
    assert abs(result["difference_months"]["value"]) < 0.011
    assert (tmp_path / "first/evaluation.json").is_file()
    assert (tmp_path / "second/predictions.csv").is_file()


def test_other_radiographs_or_labels_are_refused() -> None:
    first, other = predicted(5), predicted(5)
    renamed = LabelledPredictions(other.table.assign(id="x" + other.table["id"]))
    with pytest.raises(InputDataError, match="no radiograph in common"):
        compare_predictions(first, renamed)
    relabelled = LabelledPredictions(other.table.assign(bone_age_months_true=other.true_months + 1))
    with pytest.raises(InputDataError, match="100 radiographs have different labels"):
        compare_predictions(first, relabelled)
