import numpy as np
import pytest

from bone_age_tf.data.training_ages import BINS, FEW, TrainingAges
from bone_age_tf.sex import Sex


def ages_of(count: int) -> TrainingAges:
    """As many girls, evenly from 12 to 216 months, and boys from 36 to 216."""
    girls, boys = np.linspace(12, 216, count), np.linspace(36, 216, count)
    return TrainingAges.of(np.repeat([0, 1], count), np.concatenate([girls, boys]))


def test_few_lie_beyond_an_end_and_enough_within() -> None:
    ages = ages_of(2000)
    young, old = ages.ends(Sex.F)
    months = np.linspace(12, 216, 2000)
    assert (months < young).sum() < FEW <= (months < young + 6).sum()
    assert (months >= old).sum() < FEW <= (months >= old - 6).sum()
    assert ages.is_near_end(young - 0.1, Sex.F)
    assert not ages.is_near_end(young, Sex.F)
    assert not ages.is_near_end(old - 0.1, Sex.F)
    assert ages.is_near_end(old, Sex.F)


def test_unknown_sex_is_near_an_end_where_either_is() -> None:
    ages = ages_of(2000)
    assert ages.ends(Sex.F)[0] < ages.ends(Sex.M)[0] == ages.ends(Sex.UNKNOWN)[0]


def test_of_few_radiographs_only_what_lies_outside_is_near_an_end() -> None:
    assert ages_of(12).ends(Sex.F) == (12, 222)
    assert ages_of(12).ends(Sex.M) == (36, 222)


def test_a_sex_that_was_not_trained_on_has_no_end() -> None:
    girls = TrainingAges.of(np.zeros(100, int), np.linspace(12, 216, 100))
    assert girls.ends(Sex.M) == (0, 6 * BINS)


@pytest.mark.parametrize("unlabelled", [np.nan, -1.0, -6.0, 246.0, np.inf])
def test_a_radiograph_without_a_bone_age_is_not_counted(unlabelled: float) -> None:
    ages = TrainingAges.of(np.array([0, 1, 0, 1]), np.array([0.0, unlabelled, 240.0, 100.0]))
    assert ages.counts.sum() == 3
    assert ages.counts[0, 0] == ages.counts[0, -1] == ages.counts[1, 16] == 1


def test_a_description_is_read_again() -> None:
    ages = ages_of(50)
    again = TrainingAges.from_description(ages.describe())
    np.testing.assert_array_equal(again.counts, ages.counts)
    with pytest.raises(ValueError, match="counts"):
        TrainingAges.from_description(ages.describe() | {"bin_months": 12})


def test_an_ensemble_knows_the_most_of_its_members() -> None:
    first, second = ages_of(40).describe(), ages_of(50).describe()
    merged = TrainingAges.of_members([first, second])
    assert merged is not None
    assert merged.counts.sum() >= 100
    assert (merged.counts >= ages_of(50).counts).all()
    assert TrainingAges.of_members([first, None]) is None
