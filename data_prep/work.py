"""The work of a run of `prepare`: its plan, its shards, and the folder where they are written until they are published."""

import dataclasses
import hashlib
import json
import logging
import math
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bone_age_tf.config import PrepareConfig, PreprocessingConfig
from bone_age_tf.data import processing
from bone_age_tf.data.stratification import shuffle_key
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.data_prep.shards import DATA_SET_NAME, ShardTask
from bone_age_tf.data_prep.sources.source import Source
from bone_age_tf.preprocessing import pipeline

log = logging.getLogger(__name__)

WORK = ".prepare"
"""In the folder of the data set; each plan has a folder in it."""
LOCK = "lock"
RECORDS_PER_SHARD = 128
_USUAL_SPLITS = ("train", "validation", "test")


def plan_digest(
    config: PrepareConfig, source: Source, rows: Sequence[CheckedRow], splits: dict[str, str]
) -> str:
    """sha256 of everything that determines the bytes of the data set."""
    content = {
        "fingerprint": pipeline.fingerprint(config.preprocessing),
        "layout": source.layout,
        "seed": config.seed,
        "shards": config.shards,
        "encoding": config.encoding,
        "rows": [
            (row.id, row.sha256, int(row.label.sex), str(row.label.bone_age_months), splits[row.id])
            for row in rows
        ],
    }
    if config.variants:
        content["variants"] = [config.variants, processing.VERSION]
    if any(row.label.group for row in rows):  # they determine the folds
        content["groups"] = [row.label.group for row in rows]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def shard_tasks(
    config: PrepareConfig, rows: Sequence[CheckedRow], splits: dict[str, str], work: Path
) -> list[ShardTask]:
    """The rows of each split, in an order that the seed decides, cut into shards of equal size.

    Paths are absolute: workers elsewhere have another current folder.
    """
    folder = str(work.absolute())
    preprocessing = _with_absolute_path(config.preprocessing)
    sizes = split_sizes(splits)
    largest = max(sizes.values())
    per_shard = math.ceil(largest / config.shards) if config.shards else RECORDS_PER_SHARD
    tasks = []
    for split, size in sizes.items():
        members = [row for row in rows if splits[row.id] == split]
        members.sort(key=lambda row: shuffle_key(config.seed, row.id))
        count = math.ceil(size / per_shard)
        edges = [size * number // count for number in range(count + 1)]
        tasks += [
            ShardTask(
                split,
                f"{DATA_SET_NAME}-{split}.tfrecord-{number:05d}-of-{count:05d}",
                folder,
                tuple(map(_at_absolute_path, members[edges[number] : edges[number + 1]])),
                preprocessing,
                config.encoding,
                config.accept_dicom,
                config.variants,
            )
            for number in range(count)
        ]
    return tasks


def _at_absolute_path(row: CheckedRow) -> CheckedRow:
    file = dataclasses.replace(row.file, path=str(Path(row.file.path).absolute()))
    return dataclasses.replace(row, file=file)


def _with_absolute_path(config: PreprocessingConfig) -> PreprocessingConfig:
    if not config.has_own_localizer:
        return config
    return dataclasses.replace(config, localizer=str(Path(config.localizer).absolute()))


def keep_only(work: Path) -> None:
    """Make the folder of this plan, and remove unfinished work of others.

    Each plan has its own folder: a worker elsewhere that has not heard of the end of its run cannot finish
    a shard of other settings into this one.
    """
    others = [path for path in work.parent.iterdir() if path.name not in (LOCK, work.name)]
    if others:
        log.warning("%s: unfinished work of other data or settings removed", work.parent)
    _remove(others)
    work.mkdir(exist_ok=True)
    for path in work.glob(f".{DATA_SET_NAME}-*"):  # files that a killed run was writing
        path.unlink(missing_ok=True)


def remove_all(work: Path) -> None:
    """Empty the folder `WORK` but for its lock."""
    _remove([path for path in work.iterdir() if path.name != LOCK])


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # a worker elsewhere may still write there
        else:
            path.unlink(missing_ok=True)


def split_sizes(splits: dict[str, str]) -> dict[str, int]:
    """Rows of each split, in the usual order."""
    counts = Counter(splits.values())
    usual = [name for name in _USUAL_SPLITS if name in counts]
    return {name: counts[name] for name in [*usual, *sorted({*counts} - {*usual})]}
