"""Assignment of radiographs to splits: stratified, by patient, reproducible for a seed."""

from collections.abc import Mapping, Sequence

from bone_age_tf.data.stratification import Sample, stratified_group_split
from bone_age_tf.data_prep.rows import CheckedRow


def assign_splits(
    rows: Sequence[CheckedRow], shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Split of each identifier.

    A row whose table or source names its split keeps it. The others are stratified by sex and
    two-year age band, whole groups at a time, over the splits that no source names.
    """
    splits = {
        row.id: row.label.split or (row.split if row.split not in (None, "train") else "")
        for row in rows
    }
    taken = set(splits.values())
    free_shares = {name: share for name, share in shares.items() if name not in taken}
    free = [
        Sample(row.id, row.label.group, int(row.label.sex), row.label.bone_age_months)
        for row in rows
        if not splits[row.id]
    ]
    return splits | stratified_group_split(free, free_shares or {"train": 1.0}, seed)
