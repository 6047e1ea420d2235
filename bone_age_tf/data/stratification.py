"""Dealing radiographs to parts: stratified by sex and age, by patient, the same for the same seed."""

import dataclasses
import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

AGE_BAND_MONTHS = 24
"""Width of the bands of bone age that are dealt, and drawn, evenly."""


@dataclasses.dataclass(frozen=True)
class Item:
    """A radiograph that is dealt."""

    id: str
    """Its identifier, no other's."""
    group: str
    """The patient, whose radiographs stay together; empty: a group of its own."""
    sex: int
    """A `record.Sex`."""
    bone_age_months: float
    """NaN where it has no label."""


def deal(items: Iterable[Item], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """The part of each identifier; a part's share is its number divided by the sum of all.

    Groups are dealt stratum after stratum, each to the part that is furthest below its share.
    """
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in sorted(items, key=lambda item: item.id):
        groups[f"group:{item.group}" if item.group else f"id:{item.id}"].append(item)
    order = sorted(
        groups, key=lambda name: (_stratum_of_group(groups[name]), shuffle_key(seed, name))
    )
    total = sum(shares.values())
    counts = dict.fromkeys(shares, 0)
    parts = {}
    dealt = 0
    for name in order:
        dealt += len(groups[name])
        part = max(shares, key=lambda s: shares[s] / total * dealt - counts[s])
        counts[part] += len(groups[name])
        parts.update((item.id, part) for item in groups[name])
    return parts


def stratum(sex: int, bone_age_months: float) -> tuple[int, int]:
    """Sex and number of the two-year age band; unlabelled (NaN) is a band of its own, -1."""
    if math.isnan(bone_age_months):
        return sex, -1
    return sex, int(bone_age_months // AGE_BAND_MONTHS)


def shuffle_key(seed: int, text: str) -> str:
    """A key that sorts texts into an order that only the seed decides."""
    return hashlib.sha256(f"{seed}:{text}".encode()).hexdigest()


def _stratum_of_group(group: Sequence[Item]) -> tuple[int, int]:
    """Sex of a group's first identifier and band of its lowest age."""
    ages = [item.bone_age_months for item in group if not math.isnan(item.bone_age_months)]
    return stratum(group[0].sex, min(ages, default=math.nan))
