import hashlib

import numpy as np
import pytest

from bone_age_tf.growth.bayley_pinneau import (
    ACCELERATED,
    AVERAGE,
    COLUMNS,
    DELAYED,
    TABLE,
    column_of,
    table_of,
)
from bone_age_tf.sex import Sex

SHA256 = "ca4fe91c3b3a27736f1d86eaef5180c149dffc4a955b597819f2748e7b406f62"
RANGES = {
    (Sex.M, DELAYED): (29, 72, 68.0, 156, 88.0),
    (Sex.M, AVERAGE): (47, 84, 69.5, 222, 100.0),
    (Sex.M, ACCELERATED): (41, 84, 67.0, 204, 99.0),
    (Sex.F, DELAYED): (45, 72, 73.3, 204, 100.0),
    (Sex.F, AVERAGE): (47, 72, 72.0, 216, 100.0),
    (Sex.F, ACCELERATED): (42, 84, 71.2, 210, 99.95),
}
"""Rows, first bone age and percentage, last bone age and percentage."""


def test_the_table_has_251_cells_and_is_the_checked_one() -> None:
    assert sum(len(table_of(sex)[name].months) for sex, name in RANGES) == 251
    assert hashlib.sha256(TABLE.read_bytes()).hexdigest() == SHA256


@pytest.mark.parametrize(("sex", "name"), RANGES)
def test_the_columns_have_their_rows(sex: Sex, name: str) -> None:
    column = table_of(sex)[name]
    ends = (column.first, column.percentages[0], column.last, column.percentages[-1])
    assert (len(column.months), *ends) == RANGES[sex, name]


def test_girls_have_uneven_rows_and_boys_have_none() -> None:
    for name in COLUMNS:
        girls, boys = (set(table_of(sex)[name].months) for sex in (Sex.F, Sex.M))
        assert {94, 106} <= girls
        assert not {81, 93, 105} & girls
        assert all(months % 3 == 0 for months in boys)


def test_columns_rise_except_for_two_printed_ties() -> None:
    ties = [
        (sex, name, column.months[at])
        for sex, name in RANGES
        for column in [table_of(sex)[name]]
        for at in np.flatnonzero(np.diff(column.percentages) <= 0)
    ]
    assert ties == [(Sex.F, DELAYED, 195), (Sex.F, AVERAGE, 192)]


@pytest.mark.parametrize("sex", [Sex.F, Sex.M])
def test_more_is_left_to_grow_the_further_a_child_is_ahead(sex: Sex) -> None:
    delayed, average, accelerated = (
        dict(zip(column.months, column.percentages, strict=True))
        for column in map(table_of(sex).get, COLUMNS)
        if column is not None
    )
    equal = [month for month in average if average[month] == accelerated.get(month)]
    assert equal == ([210] if sex == Sex.F else [])
    for month, percentage in average.items():
        assert delayed.get(month, 101) > percentage or month > 200
        assert accelerated.get(month, 0) <= percentage


def test_percentages_that_the_paper_repeats_in_its_text() -> None:
    girls = table_of(Sex.F)
    assert [girls[name].percentage(120) for name in COLUMNS] == [87.4, 86.2, 82.8]
    assert girls[AVERAGE].percentage(102) == 81.0
    assert girls[AVERAGE].percentage(144) == 92.2


@pytest.mark.parametrize(
    ("bone_age", "age", "name"),
    [
        (132, 120, ACCELERATED),
        (131.9999, 120, AVERAGE),
        (120, 132, DELAYED),
        (120.0001, 132, AVERAGE),
        (128.2, 116.2, ACCELERATED),  # 11.999999999999986 in floating-point numbers
        (10.1 * 12, 11.1 * 12, DELAYED),
    ],
)
def test_exactly_one_year_belongs_to_the_outer_columns(
    bone_age: float, age: float, name: str
) -> None:
    assert column_of(bone_age, age) == name
