"""Finished shards -> a data set folder that describes itself."""

import csv
import dataclasses
import math
import os
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bone_age_tf import config as configuration
from bone_age_tf import record
from bone_age_tf.config import PrepareConfig
from bone_age_tf.data import processing
from bone_age_tf.data.manifest import SPLITS, DataSetManifest, Shard
from bone_age_tf.data.problems import Problem
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.data_prep.shards import DATA_SET_NAME, ShardResult
from bone_age_tf.data_prep.sources.source import Source
from bone_age_tf.files.atomic import written_whole
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.sex import SEX_NAMES

NOT_IN_MANIFEST = (
    *("output", "source", "labels", "image_dir", "salt"),
    *("jobs", "preprocessing", "skip_bad"),
)
"""Settings that are local paths, do not change the content, or are stored elsewhere."""


def publish(
    config: PrepareConfig,
    source: Source,
    rows: Sequence[CheckedRow],
    splits: dict[str, str],
    *,
    plan: str,
    work: Path,
    results: Sequence[ShardResult],
    problems: Sequence[Problem],
) -> DataSetManifest:
    """Put the shards in place, describe them for TensorFlow Datasets, and write the manifest last.

    Can be repeated after a kill at any point.
    """
    output = Path(config.output)
    shards = _shards_with_records(results)
    _place(shards, work, output)
    _write_splits(output / SPLITS, rows, splits)
    _write_tfds_metadata(output, config, shards)
    preprocessor = Preprocessor(config.preprocessing)
    preprocessor.save_beside(output)
    values = configuration.to_dict(config)
    if config.variants:
        values["processing_version"] = processing.VERSION
    else:
        del values["variants"]
    made = DataSetManifest(
        fingerprint=preprocessor.fingerprint,
        preprocessing=config.preprocessing.portable(),
        shards=tuple(shards),
        labels=_label_statistics(rows, splits),
        plan=plan,
        config={name: value for name, value in values.items() if name not in NOT_IN_MANIFEST},
        source={
            "layout": source.layout,
            "tables": [part.table.name for part in source.parts if part.table],
        },
        rejects=tuple(dataclasses.asdict(problem) for problem in problems),
    )
    made.write(output)
    return made


def _shards_with_records(results: Sequence[ShardResult]) -> list[Shard]:
    """All shards of every split in which at least one record is left."""
    records: dict[str, int] = {}
    for result in results:
        records[result.shard.split] = records.get(result.shard.split, 0) + result.shard.records
    return [result.shard for result in results if records[result.shard.split]]


def _place(shards: Sequence[Shard], work: Path, output: Path) -> None:
    """The shards under their own names; the work folder keeps them until all is published."""
    for stale in output.glob(f"{DATA_SET_NAME}-*.tfrecord-*"):
        stale.unlink()
    for shard in shards:
        try:
            os.link(work / shard.name, output / shard.name)
        except OSError:  # a file system without hard links
            shutil.copyfile(work / shard.name, output / shard.name)


def _write_splits(path: Path, rows: Sequence[CheckedRow], splits: dict[str, str]) -> None:
    with written_whole(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "sex", "bone_age_months", "split", "group", "sha256"])
        for row in sorted(rows, key=lambda row: row.id):
            age = row.label.bone_age_months
            text = "" if math.isnan(age) else f"{age:g}"
            label = [row.id, row.label.sex.label, text, splits[row.id], row.label.group]
            writer.writerow([*label, row.sha256])


def _write_tfds_metadata(output: Path, config: PrepareConfig, shards: Sequence[Shard]) -> None:
    """`dataset_info.json` and `features.json`, so that TensorFlow Datasets reads the folder."""
    import tensorflow_datasets as tfds  # a second to import

    shape = (*config.preprocessing.frame, 1)
    if config.encoding == "raw":
        image = tfds.features.Tensor(
            shape=shape, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
        )
    else:
        image = tfds.features.Image(shape=shape, encoding_format="png")
    features = tfds.features.FeaturesDict(
        {
            record.ID: tfds.features.Text(),
            record.IMAGE: image,
            record.SEX: tfds.features.ClassLabel(names=list(SEX_NAMES)),
            record.BONE_AGE_MONTHS: tfds.features.Scalar(dtype=np.float32),
        }
    )
    template = tfds.core.ShardedFileTemplate(
        data_dir=output, dataset_name=DATA_SET_NAME, filetype_suffix="tfrecord"
    )
    split_infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[shard.records for shard in shards if shard.split == split],
            num_bytes=sum(shard.bytes for shard in shards if shard.split == split),
            filename_template=template.replace(split=split),
        )
        for split in dict.fromkeys(shard.split for shard in shards)
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=output,
        features=features,
        split_infos=split_infos,
        filename_template=template,
        check_data=False,
        description="Prepared radiographs of the hand, made by bone-age-tf prepare.",
    )


def _label_statistics(
    rows: Sequence[CheckedRow], splits: dict[str, str]
) -> dict[str, dict[str, float]]:
    """Number, mean and standard deviation of the bone ages in each split."""
    ages: dict[str, list[float]] = {}
    for row in rows:
        if not math.isnan(row.label.bone_age_months):
            ages.setdefault(splits[row.id], []).append(row.label.bone_age_months)
    return {
        split: {
            "count": len(values),
            "mean_months": statistics.fmean(values),
            "sd_months": statistics.pstdev(values),
        }
        for split, values in sorted(ages.items())
    }
