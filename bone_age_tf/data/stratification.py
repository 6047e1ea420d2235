"""Stratified splits: by sex and bone age, whole patients at a time, the same for the same seed."""

import dataclasses
import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

AGE_BAND_MONTHS = 24
"""Width of the bands of bone age that are split, and sampled, evenly."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """A radiograph that is assigned to a split."""

    id: str
    """Its unique identifier."""
    group: str
    """The patient, whose radiographs stay together; empty: no other radiograph of the patient is known."""
    sex: int
    """A `sex.Sex`."""
    bone_age_months: float
    """NaN where it has no label."""


def stratified_group_split(
    samples: Iterable[Sample], shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """The split of each identifier; `shares` are relative to their sum.

    Groups are assigned stratum after stratum, each to the split that is furthest below its share.
    """
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.id):
        groups[f"group:{sample.group}" if sample.group else f"id:{sample.id}"].append(sample)
    order = sorted(
        groups, key=lambda name: (_stratum_of_group(groups[name]), shuffle_key(seed, name))
    )
    total = sum(shares.values())
    counts = dict.fromkeys(shares, 0)
    splits = {}
    assigned = 0
    for name in order:
        assigned += len(groups[name])
        split = max(shares, key=lambda s: shares[s] / total * assigned - counts[s])
        counts[split] += len(groups[name])
        splits.update((sample.id, split) for sample in groups[name])
    return splits


def stratum(sex: int, bone_age_months: float) -> tuple[int, int]:
    """Sex and number of the two-year age band; unlabelled (NaN) radiographs have the band -1."""
    if math.isnan(bone_age_months):
        return sex, -1
    return sex, int(bone_age_months // AGE_BAND_MONTHS)


def shuffle_key(seed: int, text: str) -> str:
    """A key that sorts texts into an order that only the seed decides."""
    return hashlib.sha256(f"{seed}:{text}".encode()).hexdigest()


def _stratum_of_group(group: Sequence[Sample]) -> tuple[int, int]:
    """Sex of a group's first identifier and band of its lowest age."""
    ages = [sample.bone_age_months for sample in group if not math.isnan(sample.bone_age_months)]
    return stratum(group[0].sex, min(ages, default=math.nan))
