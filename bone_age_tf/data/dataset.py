"""A prepared data set on disk: its splits, its records and their labels."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.data.manifest import DataSetManifest, Shard, load_data_set
from bone_age_tf.data.tfrecords import Records
from bone_age_tf.errors import InputDataError, ModelRefusedError

_CHUNK = 32
"""Records that are decoded together."""


@dataclasses.dataclass(frozen=True)
class PreparedRadiographs:
    """A data set that `prepare` made, checked against its manifest."""

    folder: Path
    manifest: DataSetManifest

    @classmethod
    def open(cls, folder: str | Path) -> "PreparedRadiographs":
        """Raises `InputDataError` where the folder does not match its manifest."""
        return cls(Path(folder), load_data_set(folder))

    @property
    def frame(self) -> tuple[int, int]:
        """Rows and columns of a prepared radiograph."""
        return self.manifest.preprocessing.frame

    def count(self, split: str) -> int:
        """Number of records in a split. Raises `InputDataError` where there is no such split."""
        return sum(shard.records for shard in self.manifest.shards_of(split))

    def require_labels(self, split: str) -> None:
        """Raises `InputDataError` where a record of the split has no bone age."""
        labelled = int(self.manifest.labels.get(split, {}).get("count", 0))
        if labelled < self.count(split):
            raise InputDataError(
                f"{self.folder}: the split {split!r} has {self.count(split)} radiographs but only "
                f"{labelled} bone ages. Expected a bone age for every radiograph."
            )

    def require_prepared_for(
        self, model: str | Path, fingerprint: str, preprocessing: Mapping[str, Any]
    ) -> None:
        """Raises `ModelRefusedError` where a model expects radiographs prepared in another way.

        `preprocessing` is the one of the model's run or manifest.
        """
        if fingerprint != self.manifest.fingerprint:
            raise ModelRefusedError(
                f"{model} was trained on radiographs prepared in another way "
                f"(fingerprint {fingerprint[:12]}) than {self.folder} "
                f"({self.manifest.fingerprint[:12]}). Prepare the data for the model: "
                f"bone-age-tf prepare ... --for-model {model} (--preprocess {preprocessing['method']} --scale "
                f"{preprocessing['scale']:g}, and the localizer)."
            )

    def paths(self, split: str) -> list[Path]:
        """The files of a split in order."""
        return [self.folder / shard.name for shard in self.manifest.shards_of(split)]

    def examples(self, split: str) -> tf.data.Dataset:
        """The records of a split in order: `id`, `image` uint8, `sex` int32, `bone_age_months`."""
        return self._decoded(tf.data.TFRecordDataset([str(path) for path in self.paths(split)]))

    def records(self, *splits: str) -> Records:
        """All records of these splits, in order. Reads them, but decodes no image."""
        shards = [shard for split in splits for shard in self.manifest.shards_of(split)]
        return _read_labels(self.folder, tuple(shards))

    def examples_of(self, records: Records) -> tf.data.Dataset:
        """These records in order, as `examples` gives them."""
        is_chosen = np.zeros(sum(records.sizes), bool)
        is_chosen[records.numbers] = True
        every = tf.data.TFRecordDataset([str(path) for path in records.paths])
        marked = tf.data.Dataset.zip((every, tf.data.Dataset.from_tensor_slices(is_chosen)))
        return self._decoded(marked.batch(_CHUNK).map(tf.boolean_mask).unbatch())

    def _decoded(self, serialized: tf.data.Dataset) -> tf.data.Dataset:
        batches = serialized.batch(_CHUNK)
        return batches.map(self.decode, num_parallel_calls=tf.data.AUTOTUNE).unbatch()

    def decode(
        self, serialized: tf.Tensor, variant: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Serialized records [N] -> `id`, `image` uint8 [N, *frame, 1], `sex`, `bone_age_months`.

        `variant`, int32 [N]: which of its variants, from 1, takes the place of each image; 0, and None: none.
        """
        examples = record.parse_batch(serialized)
        if variant is not None:
            others = record.parse_variants(serialized, self.manifest.variants)
            every = tf.concat([examples[record.IMAGE][:, tf.newaxis], others], axis=1)
            examples[record.IMAGE] = tf.gather(every, variant, axis=1, batch_dims=1)
        examples[record.IMAGE] = record.decode_images(
            examples[record.IMAGE], self.frame, self.manifest.encoding
        )
        examples[record.SEX] = tf.cast(examples[record.SEX], tf.int32)
        return examples


@functools.lru_cache(maxsize=4)
def _read_labels(folder: Path, shards: tuple[Shard, ...]) -> Records:
    """All records of the shards; cached, because several stages need them."""
    paths = tuple(folder / shard.name for shard in shards)
    batches = tf.data.TFRecordDataset([str(path) for path in paths]).batch(_CHUNK)
    parsed = batches.map(record.parse_labels).as_numpy_iterator()
    columns = [(b[record.ID], b[record.SEX], b[record.BONE_AGE_MONTHS]) for b in parsed]
    ids, sex, months = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Records(
        paths=paths,
        sizes=tuple(shard.records for shard in shards),
        numbers=np.arange(len(ids)),
        ids=tuple(identifier.decode() for identifier in ids),
        sex=sex.astype(np.int32),
        bone_age_months=months.astype(np.float64),
    )
