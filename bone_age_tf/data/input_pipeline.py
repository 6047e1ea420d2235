"""Training batches and ordered slices: records of a data set -> tf.data of ({"image", "sex"}, bone_age_months).

Order and augmentation of an epoch are a function of (seed, epoch, readers) alone: threads, devices and
interruptions have no influence. A batch consists of `readers` equal parts, each from its own
shards, so that several workers read separate shards and still train on the batches that a single
process would have made.
"""

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.config import AugmentationConfig, TrainConfig
from bone_age_tf.data.augmentation import NUMBERS, augment, drop_sex, variant_of
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.stratification import stratum
from bone_age_tf.data.tfrecords import RecordFiles, Records
from bone_age_tf.errors import InputDataError, UsageError


@dataclasses.dataclass(frozen=True)
class Share:
    """The part of every batch that one worker makes."""

    worker: int = 0
    """Number of the worker."""
    workers: int = 1
    """Number of workers."""
    replicas: int = 1
    """Devices of the worker; each gets its own slices."""


class TrainingBatches:
    """Augmented batches of some records, one tf.data for every epoch."""

    def __init__(
        self,
        data: PreparedRadiographs,
        records: Records,
        augmentation: AugmentationConfig,
        settings: TrainConfig,
        share: Share = Share(),
    ) -> None:
        """Raises `InputDataError` or `UsageError` where the settings do not fit the data or the devices."""
        readers = settings.readers or share.workers
        _require_even(settings.batch_size, readers, share.workers)
        self._data = data
        self._augmentation = augmentation
        self._settings = settings
        self._share = share
        rows = _rows_of_readers(records, readers)
        self._readers = readers
        self._part = settings.batch_size // readers
        self._length = min(map(len, rows))
        if self._length < self._part:
            raise InputDataError(
                f"There are {len(records)} radiographs for training, fewer than one batch of "
                f"{settings.batch_size} (in {readers} equal parts). Expected more data, or a smaller "
                "--set train.batch_size."
            )
        self._require_slices()
        self._plan = functools.lru_cache(maxsize=2)(self._make_plan)
        own = [rows[reader] for reader in self._own_readers]
        self._files, self._records = _open(records, own, settings.cache)
        strata = _strata(records)
        self._strata = [strata[each] for each in own]
        sizes = np.bincount(strata).astype(np.float64)
        self._weights = sizes**-settings.age_sampling if settings.age_sampling else None

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(self._length, self._part)
        return whole + bool(rest and not self._settings.drop_remainder)

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
        slices = self._settings.gradient_accumulation_steps * self._share.replicas
        positions = tf.data.Dataset.range(skip * slices, self.steps * slices)
        return _with_fixed_threads(
            positions.map(lambda position: (tf.constant(number, tf.int64), position))
            .map(self._prepare, num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        )

    @functools.cached_property
    def _prepare(self) -> tf.types.experimental.GenericFunction:
        """Number of the epoch and of a slice -> the slice; traced once for all epochs."""
        size = self._slice_size()

        def prepare(
            epoch: tf.Tensor, position: tf.Tensor
        ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            serialized, numbers = tf.numpy_function(
                self._fetch, [epoch, position], (tf.string, tf.float32)
            )
            return self._augmented(
                tf.ensure_shape(serialized, [size]), tf.ensure_shape(numbers, [size, NUMBERS])
            )

        scalar = tf.TensorSpec([], tf.int64)
        return tf.function(prepare, input_signature=[scalar, scalar], autograph=False)

    def _fetch(self, epoch: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Serialized records and numbers for augmentation of one slice.

        TensorFlow never releases a Python function that a graph calls, so this one holds no data of an epoch.
        """
        order, numbers = self._plan(int(epoch))
        slices = self._settings.gradient_accumulation_steps * self._share.replicas
        rows = self._rows(*divmod(int(position), slices))
        return self._files.read(order[rows]), numbers[rows]

    def _make_plan(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Record numbers, int [own readers, n], and float32 [own readers, n, NUMBERS]."""
        orders, numbers = [], []
        for reader, records, strata in zip(
            self._own_readers, self._records, self._strata, strict=True
        ):
            random = np.random.default_rng([self._settings.seed, epoch, reader])
            if self._weights is None:
                rows = random.permutation(len(records))[: self._length]
            else:
                rows = _sampled_rows(random, strata, self._weights[strata], self._length)
            orders.append(records[rows])
            numbers.append(random.uniform(-1, 1, (self._length, NUMBERS)).astype(np.float32))
        return np.stack(orders), np.stack(numbers)

    def _augmented(
        self, serialized: tf.Tensor, numbers: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        count, share = self._data.manifest.variants, self._augmentation.variants
        variant = variant_of(numbers, count, share) if count and share else None
        examples = self._data.decode(serialized, variant)
        inputs = {
            record.IMAGE: augment(examples[record.IMAGE], numbers, self._augmentation),
            record.SEX: drop_sex(examples[record.SEX], numbers, self._augmentation.sex_dropout),
        }
        return inputs, examples[record.BONE_AGE_MONTHS]

    def _rows(self, step: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(own reader, position in its epoch) of the rows of one slice.

        `index` is the slice in the batch.
        """
        which, replica = divmod(index, self._share.replicas)
        end = min((step + 1) * self._part, self._length)
        part = np.array_split(
            np.arange(step * self._part, end), self._settings.gradient_accumulation_steps
        )[which]
        readers = np.repeat(np.arange(len(self._own_readers)), len(part))
        positions = np.tile(part, len(self._own_readers))
        cut = np.array_split(np.arange(len(readers)), self._share.replicas)[replica]
        return readers[cut], positions[cut]

    def _slice_size(self) -> int | None:
        """Radiographs in a slice, where all have the same number."""
        indices = range(self._settings.gradient_accumulation_steps * self._share.replicas)
        steps = {0, self.steps - 1}
        sizes = {len(self._rows(step, index)[0]) for step in steps for index in indices}
        return sizes.pop() if len(sizes) == 1 else None

    def _require_slices(self) -> None:
        """Raises `UsageError` where a device would get no radiograph in some pass."""
        share, passes = self._share, self._settings.gradient_accumulation_steps
        rest = self._length % self._part
        smallest = rest if rest and not self._settings.drop_remainder else self._part
        if smallest // passes * len(self._own_readers) < share.replicas:
            raise UsageError(
                f"A batch of {smallest * self._readers} radiographs, {smallest} from each reader, is too "
                f"small for {share.workers} workers x {share.replicas} devices x {passes} passes. Expected "
                "at least one for each: choose another --set train.batch_size, fewer "
                "train.gradient_accumulation_steps, or train.drop_remainder=true."
            )


def ordered_slices(
    data: PreparedRadiographs, records: Records, *, batch_size: int, share: Share
) -> tf.data.Dataset:
    """({"image", "sex"}, bone_age_months) of records in order, a slice for each device in turn.

    All devices of all workers together make a batch. The last one is filled up with repetitions of
    the last radiograph, so that every device has the same number.
    """
    files = RecordFiles(records.paths)
    each = -(-batch_size // (share.workers * share.replicas))
    together = each * share.workers * share.replicas
    first = share.worker * share.replicas

    def fetch(position: np.ndarray) -> np.ndarray:
        batch, replica = divmod(int(position), share.replicas)
        start = batch * together + (first + replica) * each
        rows = np.minimum(np.arange(start, start + each), len(records) - 1)
        return files.read(records.numbers[rows])

    def prepare(position: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        serialized = tf.numpy_function(fetch, [position], tf.string)
        examples = data.decode(tf.ensure_shape(serialized, [each]))
        inputs = {name: examples[name] for name in (record.IMAGE, record.SEX)}
        return inputs, examples[record.BONE_AGE_MONTHS]

    batches = -(-len(records) // together)
    return _with_fixed_threads(
        tf.data.Dataset.range(batches * share.replicas)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(2)
    )


def _with_fixed_threads(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """As many threads as there are cores, not tuned: an iterator that tunes them is given up only after the tuner's sleep,
    which lasts up to a minute in an epoch of minutes."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _require_even(batch_size: int, readers: int, workers: int) -> None:
    if batch_size % readers or readers % workers:
        raise UsageError(
            f"train.batch_size {batch_size}, train.readers {readers} and {workers} workers do not fit. "
            "Expected a batch size that is a multiple of the readers, and readers that are a multiple "
            "of the workers."
        )


def _rows_of_readers(records: Records, readers: int) -> list[np.ndarray]:
    """The rows of `records` that belong to each reader, int [n].

    Every reader has as many whole files; the records of those that remain are assigned in turn.
    """
    files = np.unique(records.positions[:, 0], return_inverse=True)[1]
    count = len(set(files.tolist()))
    whole = count // readers * readers
    rest = np.flatnonzero(files >= whole)
    return [
        np.concatenate(
            [
                *(np.flatnonzero(files == file) for file in range(reader, whole, readers)),
                rest[reader::readers],
            ]
        )
        for reader in range(readers)
    ]


def _open(
    records: Records, rows: Sequence[np.ndarray], cache: str
) -> tuple[RecordFiles, list[np.ndarray]]:
    """The files that hold these rows of `records`, and the numbers of the rows' records in them."""
    positions = records.positions
    needed = np.unique(positions[np.concatenate(rows), 0])
    paths = [records.paths[file] for file in needed]
    size = sum(path.stat().st_size for path in paths)
    in_memory = cache == "yes" or (cache == "auto" and size < _memory_bytes() / 4)
    files = RecordFiles(paths, in_memory=in_memory)
    return files, [
        files.first[np.searchsorted(needed, positions[each, 0])] + positions[each, 1]
        for each in rows
    ]


def _strata(records: Records) -> np.ndarray:
    """Number of each record's sex and two-year age band, int [n], from 0."""
    pairs = zip(records.sex.tolist(), records.bone_age_months.tolist(), strict=True)
    return np.unique([stratum(*pair) for pair in pairs], axis=0, return_inverse=True)[1].ravel()


def _sampled_rows(
    random: np.random.Generator, strata: np.ndarray, weights: np.ndarray, length: int
) -> np.ndarray:
    """`length` rows in random order; each, and each stratum, as often as its weights say.

    Systematic sampling: the expected number, rounded up or down. A row is left out only where less than
    one is expected, and seen twice only where more is.
    """
    rows = random.permutation(len(strata))
    rows = rows[np.argsort(strata[rows], kind="stable")]
    ends = np.cumsum(weights[rows])
    points = (np.arange(length) + random.uniform()) / length * ends[-1]
    hit = np.searchsorted(ends, points, side="right")
    return random.permutation(rows[np.minimum(hit, len(rows) - 1)])


def _memory_bytes() -> int:
    """Of this machine, or of this container where it may take less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text().strip() if limit.exists() else "max"
    return min(machine, int(allowed)) if allowed.isdigit() else machine
