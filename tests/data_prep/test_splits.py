import random
from collections import Counter

import pytest

from bone_age_tf.data.labels import LabelRow
from bone_age_tf.data.stratification import AGE_BAND_MONTHS
from bone_age_tf.data_prep.checks import CheckedRow
from bone_age_tf.data_prep.splits import assign_splits
from bone_age_tf.files.images import SourceFile
from bone_age_tf.sex import Sex

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def _row(
    number: int, *, sex: Sex = Sex.F, months: float = 90.0, group: str = "", label_split: str = "",
    source_split: str | None = None,
) -> CheckedRow:  # fmt: skip
    label = LabelRow(str(number), sex, months, "labels.csv", number, group, label_split)
    return CheckedRow(label, SourceFile(f"{number}.png", "raw"), source_split)


def _rows(count: int, *, group_size: int = 0) -> list[CheckedRow]:
    rng = random.Random(count)
    return [
        _row(
            number,
            sex=rng.choice(list(Sex)),
            months=rng.uniform(0, 240),
            group=f"p{number // group_size}" if group_size else "",
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 10, 57, 300, 959])
@pytest.mark.parametrize(
    "shares", [SHARES, {"train": 0.5, "test": 0.5}, {"a": 0.7, "b": 0.2, "c": 0.05, "d": 0.05}]
)
def test_proportions_hold_to_one_radiograph(count: int, shares: dict[str, float]) -> None:
    splits = assign_splits(_rows(count), shares, seed=3)
    sizes = Counter(splits.values())
    assert len(splits) == count
    for name, share in shares.items():
        assert abs(sizes[name] - share * count) <= 1, name


def test_every_stratum_of_sex_and_age_band_has_its_share() -> None:
    rows = _rows(900)
    splits = assign_splits(rows, SHARES, seed=0)
    strata: dict[tuple[Sex, int], Counter[str]] = {}
    for row in rows:
        key = (row.label.sex, int(row.label.bone_age_months // AGE_BAND_MONTHS))
        strata.setdefault(key, Counter())[splits[row.id]] += 1
    assert AGE_BAND_MONTHS == 24
    assert len(strata) == 30
    for stratum, sizes in strata.items():
        for name, share in SHARES.items():
            assert abs(sizes[name] - share * sizes.total()) <= 2, (stratum, name)


def test_groups_stay_together_and_proportions_hold_to_one_group() -> None:
    rows = _rows(300, group_size=5)
    splits = assign_splits(rows, SHARES, seed=0)
    per_group: dict[str, set[str]] = {}
    for row in rows:
        per_group.setdefault(row.label.group, set()).add(splits[row.id])
    assert all(len(names) == 1 for names in per_group.values())
    sizes = Counter(splits.values())
    assert all(abs(sizes[name] - share * 300) <= 5 for name, share in SHARES.items())


def test_group_named_like_an_identifier_is_not_mixed_up_with_it() -> None:
    rows = [_row(1, group="2"), _row(2), _row(3, group="2"), _row(4)]
    apart = set()
    for seed in range(20):
        splits = assign_splits(rows, {"train": 0.5, "test": 0.5}, seed)
        assert splits["1"] == splits["3"]
        apart.add(splits["2"] != splits["1"])
    assert True in apart


def test_same_seed_gives_the_same_splits_in_any_order_of_rows() -> None:
    rows = _rows(200, group_size=2)
    shuffled = random.Random(1).sample(rows, len(rows))
    assert assign_splits(rows, SHARES, seed=7) == assign_splits(shuffled, SHARES, seed=7)


def test_another_seed_gives_other_splits() -> None:
    rows = _rows(200)
    assert assign_splits(rows, SHARES, seed=7) != assign_splits(rows, SHARES, seed=8)


def test_split_column_decides() -> None:
    rows = [_row(number, label_split="fold_a" if number % 3 else "fold_b") for number in range(9)]
    splits = assign_splits(rows, SHARES, seed=0)
    assert splits == {row.id: row.label.split for row in rows}


def test_official_test_set_is_kept_and_not_topped_up_from_the_training_set() -> None:
    training = [_row(number, source_split="train") for number in range(90)]
    test = [_row(number, source_split="test") for number in range(100, 105)]
    splits = assign_splits(training + test, SHARES, seed=0)
    assert {splits[row.id] for row in test} == {"test"}
    assert Counter(splits[row.id] for row in training) == {"train": 80, "validation": 10}


def test_training_set_stays_whole_where_every_other_split_is_official() -> None:
    rows = [_row(number, source_split="train") for number in range(20)]
    rows += [_row(100, source_split="validation"), _row(101, source_split="test")]
    splits = assign_splits(rows, SHARES, seed=0)
    assert {splits[str(number)] for number in range(20)} == {"train"}


def test_unlabelled_radiographs_are_split_too() -> None:
    rows = [_row(number, months=float("nan")) for number in range(50)]
    sizes = Counter(assign_splits(rows, SHARES, seed=0).values())
    assert sizes == {"train": 40, "validation": 5, "test": 5}
