"""Which radiograph is in which split: stratified, by patient, and the same for the same seed."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from bone_age_tf.data_prep.rows import CheckedRow, shuffle_key

AGE_BAND_MONTHS = 24


def assign_splits(
    rows: Sequence[CheckedRow], shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Split of each identifier.

    A row whose table or source names its split keeps it. The others are dealt out by sex and
    two-year age band, whole groups at a time, to the splits that no source has taken.
    """
    splits = {
        row.id: row.label.split or (row.split if row.split not in (None, "train") else "")
        for row in rows
    }
    taken = set(splits.values())
    free_shares = {name: share for name, share in shares.items() if name not in taken}
    free = [row for row in rows if not splits[row.id]]
    return splits | _deal(free, free_shares or {"train": 1.0}, seed)


def _deal(rows: Sequence[CheckedRow], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Deal groups, stratum after stratum, each to the split that is furthest below its share."""
    groups: dict[str, list[CheckedRow]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.id):
        groups[f"group:{row.label.group}" if row.label.group else f"id:{row.id}"].append(row)
    order = sorted(groups, key=lambda name: (_stratum(groups[name]), shuffle_key(seed, name)))
    total = sum(shares.values())
    counts = dict.fromkeys(shares, 0)
    splits = {}
    dealt = 0
    for name in order:
        dealt += len(groups[name])
        split = max(shares, key=lambda s: shares[s] / total * dealt - counts[s])
        counts[split] += len(groups[name])
        splits.update((row.id, split) for row in groups[name])
    return splits


def _stratum(group: Sequence[CheckedRow]) -> tuple[int, int]:
    """Sex of a group's first identifier and band of its lowest age; unlabelled is a band of its own."""
    ages = [row.label.bone_age_months for row in group if not math.isnan(row.label.bone_age_months)]
    band = int(min(ages) // AGE_BAND_MONTHS) if ages else -1
    return int(group[0].label.sex), band
