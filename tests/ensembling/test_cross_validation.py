import numpy as np
import pytest

from bone_age_tf.ensembling.cross_validation import (
    complete,
    cross_validate,
    family_predictions,
    fit_correction,
    fit_weights,
)
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.metrics.predictions import LabelledPredictions
from bone_age_tf.postprocessing.bias_correction import (
    NO_CORRECTION,
    Curve,
    Line,
    fit_line,
    fit_lines,
    parts_of,
)

NONE = np.nan


def of_families(
    sex: np.ndarray, true_months: np.ndarray, months: np.ndarray
) -> LabelledPredictions:
    """Held-out months of families, [n, families]."""
    families = {f"family {number}": column for number, column in enumerate(months.T)}
    ids = [str(number) for number in range(len(sex))]
    return LabelledPredictions.of(ids, sex, true_months, families=families)


def drawn(count: int = 400, *, slope: float = 0.8, seed: int = 0) -> LabelledPredictions:
    """Three families: shrunken with little noise, shrunken with more, and a useless one."""
    random = np.random.default_rng(seed)
    true = random.uniform(12, 228, count)
    shrunk = 120 + slope * (true - 120)
    predicted = np.stack(
        [
            shrunk + random.normal(0, 5, count),
            shrunk + random.normal(0, 10, count),
            random.uniform(12, 228, count),
        ],
        axis=1,
    )
    return of_families(np.arange(count) % 2, true, predicted)


def mae(months: np.ndarray, held_out: LabelledPredictions) -> float:
    return float(np.abs(months - held_out.true_months).mean())


def test_a_line_is_found_again() -> None:
    months = np.linspace(10, 200, 30)
    line = fit_line(months, 7 + 1.2 * months)
    assert (line.intercept_months, line.slope) == pytest.approx((7, 1.2))


def test_least_squares_is_numpys() -> None:
    held_out = drawn()
    slope, intercept = np.polyfit(held_out.family_months[:, 1], held_out.true_months, 1)
    line = fit_line(held_out.family_months[:, 1], held_out.true_months)
    assert (line.intercept_months, line.slope) == pytest.approx((intercept, slope))


def test_a_weight_counts_like_repetitions() -> None:
    months, true = np.array([10.0, 50.0, 90.0]), np.array([20.0, 40.0, 120.0])
    repeated = fit_line(np.repeat(months, [1, 3, 2]), np.repeat(true, [1, 3, 2]))
    weighted = fit_line(months, true, np.array([1.0, 3.0, 2.0]))
    assert (weighted.intercept_months, weighted.slope) == pytest.approx(
        (repeated.intercept_months, repeated.slope)
    )


def test_equal_predictions_get_a_shift_alone() -> None:
    assert fit_line(np.full(5, 100.0), np.full(5, 110.0)) == Line(10.0, 1.0)


def test_lines_follow_each_other() -> None:
    first, second = Line(3, 1.1), Line(-5, 0.9)
    months = np.array([0.0, 50, 200])
    np.testing.assert_allclose(second.after(first)(months), second(first(months)))


def test_parts_are_even_and_always_the_same() -> None:
    assert np.bincount(parts_of(43)).tolist() == [5, 5, 5, *[4] * 7]
    assert parts_of(43).tolist() == parts_of(43).tolist()
    assert sorted(parts_of(4).tolist()) == [0, 1, 2, 3]


def test_fitted_weights_prefer_the_better_family() -> None:
    weights = fit_weights(drawn(), "fitted")
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > weights[1] > weights[2] >= 0
    assert fit_weights(drawn(), "mean").tolist() == pytest.approx([1 / 3] * 3)


def test_predictions_that_go_against_the_labels_are_refused() -> None:
    held_out = drawn()
    turned = of_families(held_out.sex, held_out.true_months, -held_out.family_months)
    with pytest.raises(ModelRefusedError, match="negatively correlated with the labels"):
        fit_weights(turned, "fitted")


def test_the_correction_undoes_the_shrinking() -> None:
    held_out = drawn(slope=0.7)
    before, after = cross_validate(held_out, "fitted", "linear")
    assert mae(after, held_out) < 0.7 * mae(before, held_out)
    first = np.array([1.0, 0, 0])
    lines = fit_correction(held_out, first, "linear").maps
    assert [line.slope for line in lines] == pytest.approx([1 / 0.7] * 3, rel=0.05)
    assert fit_correction(held_out, first, "none") == NO_CORRECTION


def test_a_monotone_correction_is_fitted_within_each_part() -> None:
    """Its outermost bands, too, are answered by curves that did not see them."""
    held_out = drawn(120, slope=0.7)
    before, after = cross_validate(held_out, "fitted", "monotone")
    assert mae(after, held_out) < 0.4 * mae(before, held_out)
    fitted = fit_correction(held_out, fit_weights(held_out, "fitted"), "monotone")
    assert all(isinstance(curve, Curve) for curve in fitted.maps)
    assert mae(fitted(before, held_out.sex), held_out) < mae(after, held_out)


def test_the_correction_knows_the_sexes_apart() -> None:
    """Girls are read 6 months too old, boys too young; a common line would leave that."""
    held_out = drawn(slope=1)
    shifted = held_out.family_months + np.where(held_out.sex == 0, 6, -6)[:, np.newaxis]
    apart = of_families(held_out.sex, held_out.true_months, shifted)
    girls, boys, unknown = fit_correction(apart, np.array([1.0, 0, 0]), "linear").maps
    for line, months in ((girls, -6), (boys, 6), (unknown, 0)):
        assert line(np.array([120.0])) - 120 == pytest.approx(months, abs=1.5)
    errors = (cross_validate(apart, "fitted", "linear")[1] - apart.true_months)[apart.sex == 0]
    assert abs(errors.mean()) < 1.5


def test_lines_by_sex_are_described_and_stay_in_range() -> None:
    sex = np.arange(3)
    lines = fit_lines(
        np.array([0, 0, 1, 1]), np.array([50.0, 90, 50, 90]), np.array([40.0, 80, 60, 100])
    )
    assert type(lines).of(lines.describe()) == lines
    months = np.array([60.0, 60, 60])
    expected = [line(60.0) for line in lines.maps]
    np.testing.assert_allclose(lines(months, sex), expected)
    assert lines(np.array([-50.0, 900, 100]), sex)[:2].tolist() == [0, 240]


def test_no_radiograph_is_evaluated_with_a_fit_that_used_it() -> None:
    """A label that is changed moves the others' months, never its own."""
    held_out = drawn(60)
    changed = held_out.true_months.copy()
    changed[17] += 100
    again = of_families(held_out.sex, changed, held_out.family_months)
    before, after = (cross_validate(each, "fitted", "linear")[1] for each in (held_out, again))
    same_part = parts_of(60) == parts_of(60)[17]
    assert after[same_part].tolist() == before[same_part].tolist()
    assert (np.abs(after - before)[~same_part] > 1e-3).all()


def test_equal_weights_without_correction_are_the_plain_mean() -> None:
    held_out = drawn(5)
    before, after = cross_validate(held_out, "mean", "none")
    np.testing.assert_allclose(before, held_out.family_months.mean(axis=1))
    assert after.tolist() == before.tolist()


def test_only_members_that_did_not_learn_from_a_radiograph_answer() -> None:
    predicted = np.array([[10, NONE, NONE, 40], [NONE, 20, NONE, 50], [1, 2, NONE, 4]])
    answers = family_predictions(predicted, ["both"] * 3, [0, 0, 1], np.zeros(4, int))
    np.testing.assert_array_equal(answers, [[10, 1], [20, 2], [NONE, NONE], [45, 4]])


def test_members_of_one_sex_answer_for_it() -> None:
    predicted = np.array([[10.0, 10, 10], [20, 20, 20], [30, 30, 30]])
    girls_boys_unknown = np.array([0, 1, 2])
    answers = family_predictions(predicted, ["F", "M", "M"], [0, 0, 0], girls_boys_unknown)
    assert answers[:, 0].tolist() == [10, 25, 17.5]


def test_only_complete_radiographs_are_fitted() -> None:
    predicted = np.array([[1.0, 2], [NONE, 2], [3, 4]])
    found = complete(of_families(np.array([0, 1, 2]), np.array([5.0, 6, 7]), predicted))
    assert found.ids == ["0", "2"]
    assert found.sex.tolist() == [0, 2]
    assert found.true_months.tolist() == [5, 7]
