"""Sexes and ages of a data set by split, and what leaving rows out has done to them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from bone_age_tf.config import AGE_BANDS, LabelOptions
from bone_age_tf.data.labels import SexAndAge, sexes_and_ages
from bone_age_tf.data.problems import Problem
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.data_prep.sources.source import Source
from bone_age_tf.sex import SEX_NAMES, Sex

MOST_LEFT_OUT = 0.1
"""Share of rows and files above which leaving them out is worth a warning."""
NO_AGE = "no age"
GROUPS = (*SEX_NAMES, *AGE_BANDS, NO_AGE)
_PEOPLE = {Sex.F: "girl", Sex.M: "boy"}


def composition(rows: Sequence[CheckedRow], splits: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Split -> radiographs of each of `GROUPS`: the sexes, and the four-year bands of the bone age."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        found = counts.setdefault(splits[row.id], Counter())
        found.update([row.label.sex.label, _band(row.label.bone_age_months)])
    return {split: {name: found[name] for name in GROUPS} for split, found in counts.items()}


def warnings_of_losses(
    source: Source,
    options: LabelOptions,
    rows: Sequence[CheckedRow],
    problems: Sequence[Problem],
) -> list[str]:
    """What is missing from `rows`, compared with the tables: a sex, an age band, or more than a tenth."""
    if not problems:
        return []
    before = [
        one for part in source.parts if part.table for one in sexes_and_ages(part.table, options)
    ]
    left = [SexAndAge(row.label.sex, row.label.bone_age_months) for row in rows]
    stray = {problem.file for problem in problems if not problem.row}
    if source.pseudonyms.files:  # what a table does not tell, a header may
        before = [one for one in before if one.sex is not None]
    return [*_share(max(len(before), len(left)) + len(stray), len(left)), *_groups(before, left)]


def _share(total: int, left: int) -> list[str]:
    out = total - left
    if out <= MOST_LEFT_OUT * total:
        return []
    return [f"{out} of {total} rows and files are left out ({out / total:.0%})"]


def _groups(before: Sequence[SexAndAge], left: Sequence[SexAndAge]) -> list[str]:
    """The sexes and age bands of which nobody is left."""
    found = []
    known, unknown = Counter(one.sex for one in before), sum(one.sex is None for one in before)
    for sex, name in _PEOPLE.items():
        if known[sex] + unknown and sex not in {one.sex for one in left}:
            of = f"{known[sex]} in the table" + (f", {unknown} without a sex" if unknown else "")
            found.append(f"no {name} is left ({of})")
    bands = Counter(_band(one.bone_age_months) for one in before)
    kept = {_band(one.bone_age_months) for one in left}
    for band in AGE_BANDS:
        if bands[band] and band not in kept:
            found.append(f"no bone age of {band} is left ({bands[band]} in the table)")
    return found


def _band(months: float) -> str:
    if math.isnan(months):
        return NO_AGE
    return next(name for name, (low, high) in AGE_BANDS.items() if low <= months < high)
