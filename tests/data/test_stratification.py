import math
from collections import Counter

import numpy as np
import pytest

from bone_age_tf.data.stratification import (
    AGE_BAND_MONTHS,
    Sample,
    shuffle_key,
    stratified_group_split,
    stratum,
)
from bone_age_tf.sex import Sex

FOLDS = {str(number): 1.0 for number in range(1, 6)}


def items(count: int, *, of_patient: int = 0, seed: int = 0) -> list[Sample]:
    random = np.random.default_rng(seed)
    return [
        Sample(
            str(number),
            f"p{number // of_patient}" if of_patient else "",
            int(random.integers(0, 3)),
            float(random.uniform(0, 240)),
        )
        for number in range(count)
    ]


def test_the_split_is_that_of_the_first_data_sets() -> None:
    """Data sets that were prepared earlier are split the same again."""
    few = [Sample(str(number), "", number % 2, 20.0 * number) for number in range(12)]
    shares = {"train": 0.6, "validation": 0.2, "test": 0.2}
    splits = stratified_group_split(few, shares, seed=0)
    members = {part: [int(item.id) for item in few if splits[item.id] == part] for part in shares}
    assert members == {
        "train": [0, 3, 4, 7, 8, 9, 10],
        "validation": [1, 2, 11],
        "test": [5, 6],
    }


@pytest.mark.parametrize("count", [5, 12, 57, 301])
def test_folds_are_equal_to_one_radiograph(count: int) -> None:
    sizes = Counter(stratified_group_split(items(count), FOLDS, seed=0).values())
    assert sorted(sizes) == sorted(FOLDS)
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_every_stratum_is_spread_evenly_over_the_folds() -> None:
    found = items(1500)
    folds = stratified_group_split(found, FOLDS, seed=0)
    strata: dict[tuple[int, int], Counter[str]] = {}
    for item in found:
        key = stratum(item.sex, item.bone_age_months)
        strata.setdefault(key, Counter())[folds[item.id]] += 1
    assert len(strata) == 30
    for sizes in strata.values():
        assert max(sizes[fold] for fold in FOLDS) - min(sizes[fold] for fold in FOLDS) <= 2


def test_a_patient_is_in_one_fold() -> None:
    found = items(300, of_patient=4)
    folds = stratified_group_split(found, FOLDS, seed=0)
    patients: dict[str, set[str]] = {}
    for item in found:
        patients.setdefault(item.group, set()).add(folds[item.id])
    assert len(patients) == 75
    assert all(len(parts) == 1 for parts in patients.values())
    sizes = Counter(folds.values())
    assert max(sizes.values()) - min(sizes.values()) <= 4


def test_the_order_of_the_items_does_not_matter_but_the_seed_does() -> None:
    found = items(200, of_patient=2)
    assert stratified_group_split(found, FOLDS, seed=1) == stratified_group_split(
        found[::-1], FOLDS, seed=1
    )
    assert stratified_group_split(found, FOLDS, seed=1) != stratified_group_split(
        found, FOLDS, seed=2
    )


def test_no_sample_is_no_split() -> None:
    assert stratified_group_split([], FOLDS, seed=0) == {}


@pytest.mark.parametrize(
    ("months", "band"), [(0.0, 0), (23.9, 0), (24.0, 1), (240.0, 10), (math.nan, -1)]
)
def test_a_stratum_is_sex_and_two_years(months: float, band: int) -> None:
    assert AGE_BAND_MONTHS == 24
    assert stratum(Sex.M, months) == (1, band)


def test_the_shuffle_key_depends_on_seed_and_text() -> None:
    keys = {shuffle_key(seed, text) for seed in (0, 1) for text in ("a", "b")}
    assert len(keys) == 4
    assert shuffle_key(0, "a") in keys
