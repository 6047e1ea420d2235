"""A data set folder -> tf.data of ({"image", "sex"}, bone_age_months).

Order and augmentation of an epoch are a function of (seed, epoch, readers) and nothing else: not of
threads, devices, or where a run was interrupted. A batch is put together from `readers` equal
parts, each from shards of its own, so that several workers each read their own shards and still
train on the batches that one process would have made.
"""

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.augmentation import NUMBERS, augment, mask_sex
from bone_age_tf.config import AugmentationConfig, TrainConfig
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.manifest import DataSetManifest, load_data_set
from bone_age_tf.record_files import RecordFiles

_CHUNK = 32


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

    def paths(self, split: str) -> list[Path]:
        """The files of a split in order."""
        return [self.folder / shard.name for shard in self.manifest.shards_of(split)]

    def examples(self, split: str) -> tf.data.Dataset:
        """The records of a split in order: `id`, `image` uint8, `sex` int32, `bone_age_months`."""
        paths = [str(path) for path in self.paths(split)]
        batches = tf.data.TFRecordDataset(paths).batch(_CHUNK)
        return batches.map(self.decode, num_parallel_calls=tf.data.AUTOTUNE).unbatch()

    def decode(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialized records [N] -> `id`, `image` uint8 [N, *frame, 1], `sex`, `bone_age_months`."""
        examples = record.parse_batch(serialized)
        examples[record.IMAGE] = record.decode_images(
            examples[record.IMAGE], self.frame, self.manifest.encoding
        )
        examples[record.SEX] = tf.cast(examples[record.SEX], tf.int32)
        return examples


@dataclasses.dataclass(frozen=True)
class Share:
    """The part of every batch that one worker makes."""

    worker: int = 0
    """Number of the worker."""
    workers: int = 1
    """Workers together."""
    replicas: int = 1
    """Devices of the worker; each gets slices of its own."""


class TrainingBatches:
    """Augmented batches of a split, one tf.data for every epoch."""

    def __init__(
        self,
        data: PreparedRadiographs,
        split: str,
        augmentation: AugmentationConfig,
        settings: TrainConfig,
        share: Share = Share(),
    ) -> None:
        """Raises `InputDataError` or `UsageError` where the batches cannot be made like that."""
        readers = settings.readers or share.workers
        _require_even(settings.batch_size, readers, share.workers)
        self._data = data
        self._augmentation = augmentation
        self._settings = settings
        self._share = share
        shards = data.manifest.shards_of(split)
        records = _records_of_readers([shard.records for shard in shards], readers)
        self._readers = readers
        self._part = settings.batch_size // readers
        self._length = min(len(rows) for rows in records)
        if self._length < self._part:
            raise InputDataError(
                f"The split {split!r} has {data.count(split)} radiographs, fewer than one batch of "
                f"{settings.batch_size} (in {readers} equal parts). Expected more data, or a smaller "
                "--set train.batch_size."
            )
        self._require_slices()
        self._plan = functools.lru_cache(maxsize=2)(self._make_plan)
        self._files, self._records = _open(
            data.paths(split), [records[reader] for reader in self._own_readers], settings.cache
        )

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(self._length, self._part)
        return whole + bool(rest and self._settings.last_batch == "keep")

    @property
    def _own_readers(self) -> range:
        """The readers of this worker."""
        each = self._readers // self._share.workers
        return range(self._share.worker * each, (self._share.worker + 1) * each)

    def epoch(self, number: int, *, skip: int = 0) -> tf.data.Dataset:
        """Slices of the batches of epoch `number` (from 0), without the first `skip` batches.

        A batch is `passes` x `replicas` slices: those of the first pass, a slice for each of this
        worker's devices, then those of the second.
        """
        slices = self._settings.accumulation_passes * self._share.replicas
        size = self._slice_size()

        def prepare(position: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            serialized, drawn = tf.numpy_function(
                self._fetch, [number, position], (tf.string, tf.float32)
            )
            return self._augmented(
                tf.ensure_shape(serialized, [size]), tf.ensure_shape(drawn, [size, NUMBERS])
            )

        return (
            tf.data.Dataset.range(skip * slices, self.steps * slices)
            .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        )

    def _fetch(self, epoch: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Serialized records and numbers for augmentation of one slice.

        TensorFlow keeps what it is given to call for ever, so this holds nothing of an epoch.
        """
        order, numbers = self._plan(int(epoch))
        slices = self._settings.accumulation_passes * self._share.replicas
        rows = self._rows(*divmod(int(position), slices))
        return self._files.read(order[rows]), numbers[rows]

    def _make_plan(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Record numbers, int [own readers, n], and float32 [own readers, n, NUMBERS]."""
        plan = [
            _shuffled(records, self._length, [self._settings.seed, epoch, reader])
            for reader, records in zip(self._own_readers, self._records, strict=True)
        ]
        return np.stack([order for order, _ in plan]), np.stack([numbers for _, numbers in plan])

    def _augmented(
        self, serialized: tf.Tensor, numbers: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        examples = self._data.decode(serialized)
        inputs = {
            record.IMAGE: augment(examples[record.IMAGE], numbers, self._augmentation),
            record.SEX: mask_sex(examples[record.SEX], numbers, self._augmentation.mask_sex),
        }
        return inputs, examples[record.BONE_AGE_MONTHS]

    def _rows(self, step: int, place: int) -> tuple[np.ndarray, np.ndarray]:
        """(own reader, position in its epoch) of the rows of one slice.

        `place` counts through the slices of a batch.
        """
        which, replica = divmod(place, self._share.replicas)
        end = min((step + 1) * self._part, self._length)
        part = np.array_split(
            np.arange(step * self._part, end), self._settings.accumulation_passes
        )[which]
        readers = np.repeat(np.arange(len(self._own_readers)), len(part))
        positions = np.tile(part, len(self._own_readers))
        cut = np.array_split(np.arange(len(readers)), self._share.replicas)[replica]
        return readers[cut], positions[cut]

    def _slice_size(self) -> int | None:
        """Radiographs in a slice, where all have the same number."""
        places = range(self._settings.accumulation_passes * self._share.replicas)
        steps = {0, self.steps - 1}
        sizes = {len(self._rows(step, place)[0]) for step in steps for place in places}
        return sizes.pop() if len(sizes) == 1 else None

    def _require_slices(self) -> None:
        """Raises `UsageError` where a device would have nothing to do in some pass."""
        share, passes = self._share, self._settings.accumulation_passes
        rest = self._length % self._part
        smallest = rest if rest and self._settings.last_batch == "keep" else self._part
        if smallest // passes * len(self._own_readers) < share.replicas:
            raise UsageError(
                f"A batch of {smallest * self._readers} radiographs, {smallest} from each reader, is too "
                f"small for {share.workers} workers x {share.replicas} devices x {passes} passes. Expected "
                "at least one for each: choose another --set train.batch_size, fewer "
                "train.accumulation_passes, or train.last_batch=drop."
            )


def ordered_slices(
    data: PreparedRadiographs, split: str, *, batch_size: int, share: Share
) -> tf.data.Dataset:
    """({"image", "sex"}, bone_age_months) of a split in order, a slice for each device in turn.

    All devices of all workers together make a batch. The last one is filled up with repetitions of
    the last radiograph, so that every device has the same number.
    """
    files = RecordFiles(data.paths(split))
    each = -(-batch_size // (share.workers * share.replicas))
    together = each * share.workers * share.replicas
    first = share.worker * share.replicas

    def fetch(position: np.ndarray) -> np.ndarray:
        batch, replica = divmod(int(position), share.replicas)
        start = batch * together + (first + replica) * each
        return files.read(np.minimum(np.arange(start, start + each), len(files) - 1))

    def prepare(position: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        serialized = tf.numpy_function(fetch, [position], tf.string)
        examples = data.decode(tf.ensure_shape(serialized, [each]))
        inputs = {name: examples[name] for name in (record.IMAGE, record.SEX)}
        return inputs, examples[record.BONE_AGE_MONTHS]

    batches = -(-len(files) // together)
    return (
        tf.data.Dataset.range(batches * share.replicas)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(2)
    )


def _require_even(batch_size: int, readers: int, workers: int) -> None:
    if batch_size % readers or readers % workers:
        raise UsageError(
            f"train.batch_size {batch_size}, train.readers {readers} and {workers} workers do not fit. "
            "Expected a batch size that is a multiple of the readers, and readers that are a multiple "
            "of the workers."
        )


def _records_of_readers(counts: Sequence[int], readers: int) -> list[np.ndarray]:
    """(shard, record of the shard), int [n, 2], of each reader.

    Every reader has as many whole shards; the records of those that remain are dealt out in turn.
    """
    whole = len(counts) // readers * readers
    rest = np.concatenate(
        [np.zeros((0, 2), int), *map(_pairs, range(whole, len(counts)), counts[whole:])]
    )
    return [
        np.concatenate(
            [
                *(_pairs(shard, counts[shard]) for shard in range(reader, whole, readers)),
                rest[reader::readers],
            ]
        )
        for reader in range(readers)
    ]


def _pairs(shard: int, count: int) -> np.ndarray:
    return np.stack([np.full(count, shard), np.arange(count)], axis=1)


def _open(
    paths: Sequence[Path], records: Sequence[np.ndarray], cache: str
) -> tuple[RecordFiles, list[np.ndarray]]:
    """The files that hold these records ([n, 2] for each reader), and the records' numbers in them."""
    needed = np.unique(np.concatenate(records)[:, 0])
    size = sum(paths[shard].stat().st_size for shard in needed)
    in_memory = cache == "yes" or (cache == "auto" and size < _memory_bytes() / 4)
    files = RecordFiles([paths[shard] for shard in needed], in_memory=in_memory)
    return files, [
        files.first[np.searchsorted(needed, pairs[:, 0])] + pairs[:, 1] for pairs in records
    ]


def _shuffled(
    records: np.ndarray, length: int, seed: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The first `length` of the records in random order, and their numbers for augmentation."""
    random = np.random.default_rng(seed)
    order = random.permutation(records)[:length]
    return order, random.uniform(-1, 1, (length, NUMBERS)).astype(np.float32)


def _memory_bytes() -> int:
    """Of this machine, or of this container where it may take less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text().strip() if limit.exists() else "max"
    return min(machine, int(allowed)) if allowed.isdigit() else machine
