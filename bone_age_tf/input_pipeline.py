"""A data set folder -> tf.data of ({"image", "sex"}, bone_age_months).

The order of an epoch is a function of (seed, epoch) alone, so that a resumed run sees what the
undisturbed one would have seen.
"""

import dataclasses
import os
from pathlib import Path

import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.augmentation import augment, mask_sex
from bone_age_tf.config import AugmentationConfig
from bone_age_tf.errors import InputDataError
from bone_age_tf.manifest import DataSetManifest, load_data_set

SHUFFLE_BUFFER = 2048
"""Records shuffled among each other where the split is not kept in memory."""


@dataclasses.dataclass(frozen=True)
class PreparedRadiographs:
    """A data set that `prepare` made, checked against its manifest."""

    folder: Path
    manifest: DataSetManifest

    @classmethod
    def open(cls, folder: str | Path) -> "PreparedRadiographs":
        """Raises `InputDataError` where the folder is not what its manifest says."""
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

    def serialized(self, split: str) -> tf.data.Dataset:
        """The records of a split as bytes, in the order of the shards."""
        paths = [str(self.folder / shard.name) for shard in self.manifest.shards_of(split)]
        return tf.data.TFRecordDataset(paths)

    def examples(self, split: str) -> tf.data.Dataset:
        """The records of a split in order: `id`, `image` uint8, `sex` int32, `bone_age_months`."""
        return self.serialized(split).map(self._decode, num_parallel_calls=tf.data.AUTOTUNE)

    def _decode(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        example = record.parse(serialized)
        example[record.IMAGE] = record.decode_image(example[record.IMAGE], self.frame)
        example[record.SEX] = tf.cast(example[record.SEX], tf.int32)
        return example


class TrainingBatches:
    """Augmented batches of a split, one tf.data for every epoch."""

    def __init__(
        self,
        data: PreparedRadiographs,
        split: str,
        config: AugmentationConfig,
        *,
        batch_size: int,
        seed: int,
        cache: str,
    ) -> None:
        self._data = data
        self._config = config
        self._batch_size = batch_size
        self._seed = seed
        self._count = data.count(split)
        if self._count < batch_size:
            raise InputDataError(
                f"The split {split!r} has {self._count} radiographs, fewer than one batch of "
                f"{batch_size}. Expected more data, or a smaller --set train.batch_size."
            )
        size = sum(shard.bytes for shard in data.manifest.shards_of(split))
        is_cached = cache == "yes" or (cache == "auto" and size < _memory_bytes() / 4)
        serialized = data.serialized(split)
        self._serialized = serialized.cache() if is_cached else serialized
        self._buffer = self._count if is_cached else min(self._count, SHUFFLE_BUFFER)

    @property
    def steps(self) -> int:
        """Full batches in an epoch; the rest of an epoch is another one each time."""
        return self._count // self._batch_size

    def epoch(self, number: int, *, skip: int = 0) -> tf.data.Dataset:
        """Batches of epoch `number` (from 0), without the first `skip`."""
        tf.random.set_seed(self._seed)  # `shuffle` mixes it into its own seed
        order = self._serialized.shuffle(
            self._buffer, seed=self._seed * 100_003 + number, reshuffle_each_iteration=False
        )
        order = order.take(self.steps * self._batch_size).enumerate().skip(skip * self._batch_size)

        def prepare(
            index: tf.Tensor, serialized: tf.Tensor
        ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            seed = tf.stack([self._seed, number * 2 * self._count + 2 * tf.cast(index, tf.int32)])
            example = self._data._decode(serialized)
            inputs = {
                record.IMAGE: augment(example[record.IMAGE], seed, self._config),
                record.SEX: mask_sex(example[record.SEX], seed, self._config.mask_sex),
            }
            return inputs, example[record.BONE_AGE_MONTHS]

        return (
            order.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
            .batch(self._batch_size, drop_remainder=True)
            .prefetch(tf.data.AUTOTUNE)
        )


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
