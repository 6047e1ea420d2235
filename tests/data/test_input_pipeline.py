import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.config import AugmentationConfig, PrepareConfig, TrainConfig
from bone_age_tf.data import input_pipeline
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.input_pipeline import (
    Share,
    TrainingBatches,
    _rows_of_readers,
    _sampled_rows,
    ordered_slices,
)
from bone_age_tf.data.manifest import Shard
from bone_age_tf.data.stratification import stratum
from bone_age_tf.data.tfrecords import RecordFiles, Records
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.sex import Sex

NOTHING = AugmentationConfig(
    rotation_degrees=0, shift=0, zoom=0, mirror=False, gamma=1, sex_dropout=0
)
ALONE = Share()
KNOWN: dict[str, dict[str, Any]] = {}
"""Plan of a data set -> sha256 of each training radiograph's pixels -> its identifier."""
Batch = tuple[dict[str, np.ndarray], np.ndarray]


@pytest.fixture
def data(prepared: Path) -> PreparedRadiographs:
    return PreparedRadiographs.open(prepared)


def make(
    data: PreparedRadiographs,
    augmentation: AugmentationConfig = NOTHING,
    share: Share = ALONE,
    *,
    batch_size: int = 5,
    cache: str = "yes",
    **settings: Any,
) -> TrainingBatches:
    config = TrainConfig(batch_size=batch_size, cache=cache, **settings)
    return TrainingBatches(data, data.records("train"), augmentation, config, share)


def with_shards(
    data: PreparedRadiographs, folder: Path, counts: Sequence[int]
) -> PreparedRadiographs:
    """The training radiographs again, so many in each shard."""
    names = [str(path) for path in data.paths("train")]
    records = iter(tf.data.TFRecordDataset(names).as_numpy_iterator())
    shards = []
    for number, count in enumerate(counts):
        path = folder / f"train.tfrecord-{number:05d}-of-{len(counts):05d}"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for _ in range(count):
                writer.write(next(records))
        shards.append(Shard(path.name, path.stat().st_size, "", "train", count))
    return PreparedRadiographs(folder, dataclasses.replace(data.manifest, shards=tuple(shards)))


def joined(parts: Sequence[Batch]) -> Batch:
    """Several slices as one."""
    inputs = {
        name: np.concatenate([inputs[name] for inputs, _ in parts])
        for name in (record.IMAGE, record.SEX)
    }
    return inputs, np.concatenate([months for _, months in parts])


def joined_by(slices: Sequence[Batch], number: int) -> list[Batch]:
    """Every `number` slices that follow each other as one."""
    assert len(slices) % number == 0
    return [joined(slices[start : start + number]) for start in range(0, len(slices), number)]


def identifiers(data: PreparedRadiographs, batches: list[Batch]) -> list[Any]:
    """The identifier of each radiograph; made without augmentation."""
    plan = data.manifest.plan  # `with_shards` keeps it, and the pixels
    if plan not in KNOWN:
        KNOWN[plan] = {
            hashlib.sha256(row[record.IMAGE].tobytes()).hexdigest(): row[record.ID]
            for row in data.examples("train").as_numpy_iterator()
        }
    return [KNOWN[plan][digest] for digest in digests(batches)]


def arrays(data: tf.data.Dataset) -> list[Any]:
    return list(data.as_numpy_iterator())


def listed(batches: TrainingBatches, epoch: int, *, skip: int = 0) -> list[Batch]:
    return arrays(batches.epoch(epoch, skip=skip))


def digests(batches: Sequence[Batch]) -> list[str]:
    """One for each radiograph, in order."""
    images = [image for inputs, _ in batches for image in inputs[record.IMAGE]]
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def assert_equal(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for (inputs, months), (other_inputs, other_months) in zip(first, second, strict=True):
        np.testing.assert_array_equal(months, other_months)
        for name in (record.IMAGE, record.SEX):
            np.testing.assert_array_equal(inputs[name], other_inputs[name])


def test_examples_are_the_records_in_order(data: PreparedRadiographs) -> None:
    first, second = (arrays(data.examples("train")) for _ in range(2))
    assert [row[record.ID] for row in first] == [row[record.ID] for row in second]
    assert len(first) == data.count("train")
    assert {row[record.IMAGE].shape for row in first} == {(*data.frame, 1)}
    assert {row[record.SEX].dtype for row in first} == {np.dtype(np.int32)}


def test_splits_share_no_record(data: PreparedRadiographs) -> None:
    ids = [row[record.ID] for split in data.manifest.splits for row in data.examples(split)]
    assert len({identifier.numpy() for identifier in ids}) == len(ids) == 40


def test_batches_have_the_model_s_shapes(data: PreparedRadiographs) -> None:
    batches = make(data)
    epoch = listed(batches, 0)
    assert len(epoch) == batches.steps == data.count("train") // 5
    for inputs, months in epoch:
        assert inputs[record.IMAGE].shape == (5, *data.frame, 1)
        assert inputs[record.IMAGE].dtype == np.uint8
        assert inputs[record.SEX].dtype == np.int32
        assert months.shape == (5,)
        assert np.isfinite(months).all()


@pytest.mark.parametrize("cache", ["yes", "no", "auto"])
def test_same_seed_and_epoch_same_batches(data: PreparedRadiographs, cache: str) -> None:
    config = AugmentationConfig()
    assert_equal(
        listed(make(data, config, cache=cache), 2), listed(make(data, config, cache="no"), 2)
    )


def test_batches_do_not_depend_on_threads(data: PreparedRadiographs) -> None:
    found = []
    for threads in (1, 4):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        epoch = make(data, AugmentationConfig(), batch_size=2).epoch(0).with_options(options)
        found.append(arrays(epoch))
    assert_equal(*found)


def test_order_does_not_depend_on_tensorflow_s_global_seed(data: PreparedRadiographs) -> None:
    tf.random.set_seed(1)
    first = listed(make(data), 0)
    tf.random.set_seed(2)
    assert_equal(first, listed(make(data), 0))


def test_other_epoch_or_seed_other_order(data: PreparedRadiographs) -> None:
    batches = make(data)
    orders = [digests(listed(batches, epoch)) for epoch in range(3)]
    orders.append(digests(listed(make(data, seed=1), 0)))
    assert len({tuple(order) for order in orders}) == 4


def test_other_epoch_other_augmentation(data: PreparedRadiographs) -> None:
    batches = make(data, AugmentationConfig(), batch_size=data.count("train"))
    assert not set(digests(listed(batches, 0))) & set(digests(listed(batches, 1)))


@pytest.mark.parametrize("cache", ["yes", "no"])
@pytest.mark.parametrize("skip", [1, 3])
def test_skip_goes_on_exactly(data: PreparedRadiographs, skip: int, cache: str) -> None:
    whole = listed(make(data, AugmentationConfig(), cache=cache), 1)
    rest = listed(make(data, AugmentationConfig(), cache=cache), 1, skip=skip)
    assert_equal(whole[skip:], rest)


def test_an_epoch_does_not_depend_on_the_ones_before(data: PreparedRadiographs) -> None:
    used = make(data, AugmentationConfig())
    listed(used, 0)
    assert_equal(listed(used, 1), listed(make(data, AugmentationConfig()), 1))


@pytest.mark.parametrize("cache", ["yes", "no"])
def test_a_record_is_seen_at_most_once_in_an_epoch(data: PreparedRadiographs, cache: str) -> None:
    batches = make(data, batch_size=7, cache=cache)
    records = {
        hashlib.sha256(row[record.IMAGE].tobytes()).hexdigest()
        for row in data.examples("train").as_numpy_iterator()
    }
    for epoch in range(3):
        seen = digests(listed(batches, epoch))
        assert len(set(seen)) == len(seen) == batches.steps * 7
        assert set(seen) <= records


def test_masked_sex_differs_between_epochs(data: PreparedRadiographs) -> None:
    batches = make(data, dataclasses.replace(NOTHING, sex_dropout=0.5), batch_size=24)
    sexes = [np.sort(listed(batches, epoch)[0][0][record.SEX]) for epoch in range(6)]
    masked = [int((sex == Sex.UNKNOWN).sum()) for sex in sexes]
    assert 0 < sum(masked) < 6 * 24
    assert len(set(masked)) > 1


def test_a_batch_larger_than_the_split_is_rejected(data: PreparedRadiographs) -> None:
    with pytest.raises(InputDataError, match="train.batch_size"):
        make(data, batch_size=data.count("train") + 1)


def test_an_unknown_split_is_rejected(data: PreparedRadiographs) -> None:
    with pytest.raises(InputDataError, match="no split 'holdout'.*train"):
        data.count("holdout")


def test_a_split_with_a_missing_label_is_rejected(data: PreparedRadiographs) -> None:
    data.require_labels("train")
    labels = {**data.manifest.labels, "train": {"count": data.count("train") - 1}}
    manifest = dataclasses.replace(data.manifest, labels=labels)
    with pytest.raises(InputDataError, match="bone age"):
        dataclasses.replace(data, manifest=manifest).require_labels("train")


# === Last batch ===


@pytest.mark.parametrize("batch_size", [5, 7, 24])
def test_a_last_batch_that_is_kept_makes_an_epoch_complete(
    data: PreparedRadiographs, batch_size: int
) -> None:
    count = data.count("train")
    batches = make(data, batch_size=batch_size, drop_remainder=False)
    assert batches.steps == -(-count // batch_size)
    for number in range(2):
        epoch = listed(batches, number)
        assert len(epoch) == batches.steps
        assert [len(months) for _, months in epoch[:-1]] == [batch_size] * (batches.steps - 1)
        seen = identifiers(data, epoch)
        assert len(set(seen)) == len(seen) == count
    shown = listed(make(data, AugmentationConfig(), batch_size=batch_size, drop_remainder=False), 0)
    dropped = listed(make(data, AugmentationConfig(), batch_size=batch_size), 0)
    assert_equal(shown[: len(dropped)], dropped)


# === Passes, replicas, workers ===


@pytest.mark.parametrize(
    ("passes", "replicas", "drop_remainder"),
    [(1, 2, True), (2, 1, False), (2, 2, True), (3, 2, False), (1, 3, False)],
)
def test_slices_together_are_the_batch_of_one_device(
    data: PreparedRadiographs, passes: int, replicas: int, drop_remainder: bool
) -> None:
    settings: dict[str, Any] = {"batch_size": 9, "drop_remainder": drop_remainder, "seed": 4}
    whole = listed(make(data, AugmentationConfig(), **settings), 1)
    cut = make(
        data,
        AugmentationConfig(),
        Share(replicas=replicas),
        gradient_accumulation_steps=passes,
        **settings,
    )
    slices = listed(cut, 1)
    assert len(slices) == cut.steps * passes * replicas
    sizes = [len(months) for _, months in slices]
    assert min(sizes) >= 1
    assert max(sizes[: passes * replicas]) - min(sizes[: passes * replicas]) <= 1
    assert_equal(joined_by(slices, passes * replicas), whole)


def test_equal_slices_have_a_known_size(data: PreparedRadiographs) -> None:
    share = Share(replicas=2)
    even, odd = (
        make(data, NOTHING, share, batch_size=size, gradient_accumulation_steps=2).epoch(0)
        for size in (8, 9)
    )
    (inputs, months), (odd_inputs, _) = cast(Any, [even.element_spec, odd.element_spec])
    assert months.shape == (2,)
    assert inputs[record.IMAGE].shape == (2, *data.frame, 1)
    assert odd_inputs[record.IMAGE].shape.as_list() == [None, *data.frame, 1]


@pytest.mark.parametrize(
    ("counts", "passes", "drop_remainder"),
    [
        ((6, 6, 6, 6), 1, True),
        ((6, 6, 6, 6), 2, False),
        ((10, 10, 4), 1, False),
        ((10, 10, 4), 2, True),
        ((24,), 2, False),
    ],
)
def test_two_workers_make_the_batches_of_one(
    data: PreparedRadiographs,
    tmp_path: Path,
    counts: Sequence[int],
    passes: int,
    drop_remainder: bool,
) -> None:
    data = with_shards(data, tmp_path, counts)
    settings: dict[str, Any] = {
        "batch_size": 10,
        "readers": 2,
        "gradient_accumulation_steps": passes,
        "drop_remainder": drop_remainder,
    }
    together = listed(make(data, AugmentationConfig(), **settings), 3)
    parts = [
        listed(make(data, AugmentationConfig(), Share(worker, 2), **settings), 3)
        for worker in range(2)
    ]
    assert len(parts[0]) == len(parts[1]) == len(together)
    assert_equal([joined(both) for both in zip(*parts, strict=True)], together)


def test_workers_with_several_devices_and_readers_make_the_batches_of_one(
    data: PreparedRadiographs, tmp_path: Path
) -> None:
    data = with_shards(data, tmp_path, (6, 6, 6, 6))
    settings: dict[str, Any] = {"batch_size": 12, "readers": 4}
    together = listed(make(data, AugmentationConfig(), **settings), 0)
    parts = [
        joined_by(listed(make(data, AugmentationConfig(), Share(worker, 2, 2), **settings), 0), 2)
        for worker in range(2)
    ]
    assert_equal([joined(both) for both in zip(*parts, strict=True)], together)


def test_readers_are_the_workers_where_none_are_named(
    data: PreparedRadiographs, tmp_path: Path
) -> None:
    data = with_shards(data, tmp_path, (12, 12))
    for worker in range(2):
        share = Share(worker, 2)
        unnamed = listed(make(data, AugmentationConfig(), share, batch_size=8), 0)
        named = listed(make(data, AugmentationConfig(), share, batch_size=8, readers=2), 0)
        assert_equal(unnamed, named)


@pytest.mark.parametrize("skip", [1, 2])
@pytest.mark.parametrize("drop_remainder", [True, False])
def test_skip_goes_on_exactly_with_passes_and_replicas(
    data: PreparedRadiographs, skip: int, drop_remainder: bool
) -> None:
    batches = make(
        data,
        AugmentationConfig(),
        Share(replicas=2),
        batch_size=10,
        gradient_accumulation_steps=2,
        drop_remainder=drop_remainder,
    )
    whole = listed(batches, 2)
    assert_equal(whole[skip * 4 :], listed(batches, 2, skip=skip))
    assert listed(batches, 2, skip=batches.steps) == []


# === Shards and readers ===


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the files that each `RecordFiles` has opened."""
    names: list[list[str]] = []

    class Watched(RecordFiles):
        def __init__(self, paths: Sequence[Path], *, in_memory: bool = False) -> None:
            names.append([path.name for path in paths])
            super().__init__(paths, in_memory=in_memory)

    monkeypatch.setattr(input_pipeline, "RecordFiles", Watched)
    return names


@pytest.mark.parametrize(("counts", "shared"), [((6, 6, 6, 6), 0), ((8, 8, 8), 1), ((24,), 1)])
def test_workers_open_only_their_own_shards(
    data: PreparedRadiographs,
    tmp_path: Path,
    opened: list[list[str]],
    counts: Sequence[int],
    shared: int,
) -> None:
    data = with_shards(data, tmp_path, counts)
    seen = []
    for worker in range(2):
        batches = make(data, NOTHING, Share(worker, 2), batch_size=6, cache="no")
        seen.append(identifiers(data, listed(batches, 0)))
    assert len(opened) == 2
    assert len(set(opened[0]) & set(opened[1])) == shared
    assert set(opened[0]) | set(opened[1]) == {path.name for path in data.paths("train")}
    assert not set(seen[0]) & set(seen[1])
    assert len({*seen[0], *seen[1]}) == 24


def numbered(counts: Sequence[int], chosen: Sequence[bool] | None = None) -> Records:
    """Records of files of this many, or some of them."""
    n = sum(counts)
    every = Records(
        paths=tuple(Path(str(file)) for file in range(len(counts))),
        sizes=tuple(counts),
        numbers=np.arange(n),
        ids=tuple(map(str, range(n))),
        sex=np.arange(n) % 2,
        bone_age_months=np.arange(n) * 7.0 % 230,
    )
    return every if chosen is None else every.chosen(np.array(chosen))


@pytest.mark.parametrize("counts", [(6, 6), (5, 7, 3), (4, 1, 9, 2, 2), (3,), (0, 4, 0)])
@pytest.mark.parametrize("readers", [1, 2, 3, 4])
@pytest.mark.parametrize("every", [1, 2])
def test_each_record_belongs_to_one_reader(counts: Sequence[int], readers: int, every: int) -> None:
    chosen = [number % every == 0 for number in range(sum(counts))]
    records = numbered(counts, chosen)
    found = _rows_of_readers(records, readers)
    assert len(found) == readers
    assert sorted(np.concatenate(found).tolist()) == list(range(len(records)))
    files = [set(records.positions[rows, 0].tolist()) for rows in found]
    used = sorted(set(records.positions[:, 0].tolist()))
    whole = used[: len(used) // readers * readers]
    for file in whole:
        assert sum(file in of_reader for of_reader in files) == 1
    assigned = [int((~np.isin(records.positions[rows, 0], whole)).sum()) for rows in found]
    assert max(assigned) - min(assigned) <= 1


# === Rare ages ===


def counts_of_rows(
    strata: np.ndarray, share: float, length: int | None = None, seed: int = 0
) -> np.ndarray:
    """How often each row is sampled, int [n]."""
    weights = np.bincount(strata)[strata].astype(float) ** -share
    length = length or len(strata)
    rows = _sampled_rows(np.random.default_rng(seed), strata, weights, length)
    assert len(rows) == length
    return np.bincount(rows, minlength=len(strata))


STRATA = np.random.default_rng(5).permutation(np.repeat(np.arange(4), [600, 300, 90, 10]))


def test_all_strata_are_seen_equally_often_with_1() -> None:
    for seed in range(5):
        counts = counts_of_rows(STRATA, 1.0, seed=seed)
        np.testing.assert_allclose(np.bincount(STRATA, counts), 250, atol=1)


@pytest.mark.parametrize("share", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("length", [1000, 700])
def test_every_radiograph_is_sampled_as_often_as_expected(share: float, length: int) -> None:
    sizes = np.bincount(STRATA)
    weights = sizes[STRATA].astype(float) ** -share
    expected = weights / weights.sum() * length
    of_strata = sizes ** (1 - share) / (sizes ** (1 - share)).sum() * length
    total = np.zeros(len(STRATA))
    for seed in range(200):
        counts = counts_of_rows(STRATA, share, length, seed)
        assert (counts >= np.floor(expected - 1e-9)).all()
        assert (counts <= np.ceil(expected + 1e-9)).all()
        np.testing.assert_allclose(np.bincount(STRATA, counts), of_strata, atol=1)
        total += counts
    np.testing.assert_allclose(total / 200, expected, atol=0.2)


def test_repetitions_of_a_radiograph_are_not_neighbours() -> None:
    strata = np.repeat([0, 1], [500, 2])
    weights = np.bincount(strata)[strata].astype(float) ** -1.0
    rows = _sampled_rows(np.random.default_rng(1), strata, weights, 502)
    rare = np.flatnonzero(rows >= 500)
    assert len(rare) == 251
    assert 0.3 < np.mean(rows[:251] >= 500) < 0.7


def test_rare_ages_come_more_often_and_differ_between_epochs(data: PreparedRadiographs) -> None:
    records = data.records("train")
    kinds = list(map(stratum, records.sex.tolist(), records.bone_age_months.tolist()))
    alone = {id for id, kind in zip(records.ids, kinds, strict=True) if kinds.count(kind) == 1}
    assert 0 < len(alone) < len(records)
    batches = make(data, batch_size=8, age_sampling=1.0)
    seen = [identifiers(data, listed(batches, epoch)) for epoch in range(3)]
    assert len({tuple(epoch) for epoch in seen}) == 3
    for epoch in seen:
        assert len(epoch) == len(records)
        for id in alone:
            assert epoch.count(id.encode()) >= 1


@pytest.mark.parametrize("readers", [1, 2])
def test_age_sampling_is_repeatable_and_goes_on_exactly(
    data: PreparedRadiographs, readers: int
) -> None:
    settings: dict[str, Any] = {"batch_size": 8, "age_sampling": 0.5, "readers": readers}
    whole = listed(make(data, AugmentationConfig(), **settings), 2)
    assert_equal(whole[1:], listed(make(data, AugmentationConfig(), **settings), 2, skip=1))
    plain = listed(make(data, AugmentationConfig(), batch_size=8, readers=readers), 2)
    assert digests(plain) != digests(whole)


def test_a_repeated_radiograph_is_augmented_anew(data: PreparedRadiographs) -> None:
    settings: dict[str, Any] = {"batch_size": 8, "age_sampling": 1.0}
    assert len(set(identifiers(data, listed(make(data, **settings), 0)))) < 24
    assert len(set(digests(listed(make(data, AugmentationConfig(), **settings), 0)))) == 24


def test_two_workers_draw_what_one_process_draws(data: PreparedRadiographs, tmp_path: Path) -> None:
    data = with_shards(data, tmp_path, (6, 6, 6, 6))
    settings: dict[str, Any] = {"batch_size": 8, "readers": 2, "age_sampling": 0.7}
    together = listed(make(data, AugmentationConfig(), **settings), 1)
    parts = [
        listed(make(data, AugmentationConfig(), Share(worker, 2), **settings), 1)
        for worker in range(2)
    ]
    assert_equal([joined(pair) for pair in zip(*parts, strict=True)], together)


# === Some of the records ===


@pytest.mark.parametrize("readers", [1, 2])
@pytest.mark.parametrize("cache", ["yes", "no"])
def test_only_the_chosen_records_are_seen(
    data: PreparedRadiographs, tmp_path: Path, readers: int, cache: str
) -> None:
    data = with_shards(data, tmp_path, (8, 8, 8))
    records = data.records("train")
    records = records.chosen(np.arange(24) % 3 != 1)
    config = TrainConfig(batch_size=4, cache=cache, readers=readers)
    batches = TrainingBatches(data, records, NOTHING, config)
    for epoch in range(2):
        seen = [id.decode() for id in identifiers(data, listed(batches, epoch))]
        assert len(set(seen)) == len(seen) == batches.steps * 4
        assert set(seen) <= set(records.ids)
    (inputs, months), *_ = listed(TrainingBatches(data, records, NOTHING, config), 0)
    labels = dict(zip(records.ids, records.bone_age_months, strict=True))
    first = [id.decode() for id in identifiers(data, [(inputs, months)])]
    assert months.tolist() == [labels[id] for id in first]


@pytest.mark.parametrize("batch_size", [3, 8, 100])
def test_ordered_slices_of_chosen_records(data: PreparedRadiographs, batch_size: int) -> None:
    records = data.records("train", "validation")
    records = records.chosen(np.arange(32) % 4 == 2)
    slices = ordered_slices(data, records, batch_size=batch_size, share=Share())
    inputs, months = joined(arrays(slices))
    rows = arrays(data.examples_of(records))
    rows += [rows[-1]] * (len(months) - len(rows))
    np.testing.assert_array_equal(months, [row[record.BONE_AGE_MONTHS] for row in rows])
    np.testing.assert_array_equal(inputs[record.IMAGE], [row[record.IMAGE] for row in rows])


# === What cannot be ===


@pytest.mark.parametrize(
    ("share", "settings"),
    [
        (Share(), {"batch_size": 5, "readers": 2}),
        (Share(0, 2), {"batch_size": 6, "readers": 3}),
        (Share(0, 2), {"batch_size": 6, "readers": 1}),
        (Share(1, 2), {"batch_size": 5}),
    ],
)
def test_batch_size_readers_and_workers_that_do_not_fit_are_rejected(
    data: PreparedRadiographs, share: Share, settings: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="train.readers.*multiple"):
        make(data, NOTHING, share, **settings)


@pytest.mark.parametrize(
    ("share", "settings"),
    [
        (Share(replicas=6), {}),
        (Share(), {"gradient_accumulation_steps": 6}),
        (Share(replicas=3), {"gradient_accumulation_steps": 2}),
        (Share(replicas=5), {"drop_remainder": False}),
        (Share(), {"gradient_accumulation_steps": 5, "drop_remainder": False}),
        (Share(replicas=2), {"gradient_accumulation_steps": 3, "drop_remainder": False}),
    ],
)
def test_a_device_with_nothing_to_do_is_rejected(
    data: PreparedRadiographs, share: Share, settings: dict[str, Any]
) -> None:
    assert data.count("train") % 5 == 4
    with pytest.raises(UsageError, match="at least one.*train.batch_size"):
        make(data, NOTHING, share, batch_size=5, **settings)


def test_one_radiograph_for_each_device_and_pass_is_enough(data: PreparedRadiographs) -> None:
    batches = make(
        data,
        NOTHING,
        Share(replicas=2),
        batch_size=5,
        gradient_accumulation_steps=2,
        drop_remainder=False,
    )
    assert [len(months) for _, months in listed(batches, 0)][-4:] == [1] * 4


# === In order ===


@pytest.mark.parametrize(
    ("workers", "replicas", "batch_size"),
    [(1, 1, 5), (1, 1, 24), (1, 2, 8), (2, 1, 5), (2, 2, 24), (2, 2, 100)],
)
def test_ordered_slices_are_the_split_in_order(
    data: PreparedRadiographs, workers: int, replicas: int, batch_size: int
) -> None:
    def of(worker: int) -> list[Batch]:
        share = Share(worker, workers, replicas)
        slices = ordered_slices(data, data.records("train"), batch_size=batch_size, share=share)
        return joined_by(arrays(slices), replicas)

    batches = [joined(parts) for parts in zip(*map(of, range(workers)), strict=True)]
    together = -(-batch_size // (workers * replicas)) * workers * replicas
    assert {len(months) for _, months in batches} == {together}
    inputs, months = joined(batches)
    rows = arrays(data.examples("train"))
    assert len(months) == -(-len(rows) // together) * together
    rows += [rows[-1]] * (len(months) - len(rows))
    for name in (record.IMAGE, record.SEX):
        np.testing.assert_array_equal(inputs[name], np.stack([row[name] for row in rows]))
    np.testing.assert_array_equal(months, [row[record.BONE_AGE_MONTHS] for row in rows])


# === Encoding ===


def test_raw_records_give_the_batches_of_png(
    data: PreparedRadiographs, phantoms: Path, tmp_path: Path
) -> None:
    from bone_age_tf.data_prep.prepare import prepare

    config = PrepareConfig(
        source=str(phantoms),
        output=str(tmp_path / "raw"),
        preprocessing=data.manifest.preprocessing,
        split={"train": 0.6, "validation": 0.2, "test": 0.2},
        shards=2,
        encoding="raw",
    )
    assert prepare(config).problems == ()
    raw = PreparedRadiographs.open(tmp_path / "raw")
    assert (raw.manifest.encoding, data.manifest.encoding) == ("raw", "png")
    assert_equal(
        listed(make(raw, AugmentationConfig()), 1), listed(make(data, AugmentationConfig()), 1)
    )
    first, second = (
        arrays(ordered_slices(each, each.records("test"), batch_size=3, share=Share()))
        for each in (raw, data)
    )
    assert_equal(first, second)


# === Variants ===


@pytest.fixture
def varied(data: PreparedRadiographs, tmp_path: Path) -> PreparedRadiographs:
    """The training radiographs with two variants, of the same grey everywhere: 100 and 200."""
    grey = [np.full((*data.frame, 1), level, np.uint8) for level in (100, 200)]
    variants = [tf.io.encode_png(picture).numpy() for picture in grey]
    names = [str(path) for path in data.paths("train")]
    path = tmp_path / "train.tfrecord-00000-of-00001"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for serialized in tf.data.TFRecordDataset(names).as_numpy_iterator():
            example = tf.train.Example.FromString(serialized)
            example.features.feature[record.VARIANTS].bytes_list.value.extend(variants)
            writer.write(example.SerializeToString(deterministic=True))
    shard = Shard(path.name, path.stat().st_size, "", "train", data.count("train"))
    config = {**data.manifest.config, "variants": 2}
    manifest = dataclasses.replace(data.manifest, shards=(shard,), config=config)
    return PreparedRadiographs(tmp_path, manifest)


def test_a_share_is_shown_as_one_of_the_variants_another_in_each_epoch(
    varied: PreparedRadiographs,
) -> None:
    batches = make(varied, dataclasses.replace(NOTHING, variants=0.6), batch_size=6)
    levels: dict[float, list[int]] = {}
    for epoch in range(10):
        for inputs, months in listed(batches, epoch):
            for image, age in zip(inputs[record.IMAGE], months, strict=True):
                levels.setdefault(float(age), []).append(int(image.min()))  # 0: the background
    counts = np.bincount([level // 100 for each in levels.values() for level in each])
    assert counts.sum() == 10 * 24
    np.testing.assert_allclose(counts / counts.sum(), [0.4, 0.3, 0.3], atol=0.09)
    assert all(len(set(each)) > 1 for each in levels.values())


@pytest.mark.parametrize("share", [0.0, None])
def test_without_a_share_all_are_shown_as_they_are(
    varied: PreparedRadiographs, data: PreparedRadiographs, share: float | None
) -> None:
    augmentation = AugmentationConfig(variants=share)
    assert_equal(listed(make(varied, augmentation), 0), listed(make(data, augmentation), 0))


def test_variants_follow_the_seed_and_go_on_exactly(varied: PreparedRadiographs) -> None:
    augmentation = AugmentationConfig(variants=0.5)
    whole = listed(make(varied, augmentation), 2)
    assert_equal(listed(make(varied, augmentation, cache="no"), 2, skip=2), whole[2:])
    two = listed(make(varied, augmentation, Share(replicas=2), batch_size=6), 2)
    assert_equal(joined_by(two, 2), listed(make(varied, augmentation, batch_size=6), 2))


def test_other_readers_see_no_variant(
    varied: PreparedRadiographs, data: PreparedRadiographs
) -> None:
    first, second = (arrays(each.examples("train")) for each in (varied, data))
    for row, other in zip(first, second, strict=True):
        for name in (record.ID, record.IMAGE, record.SEX, record.BONE_AGE_MONTHS):
            np.testing.assert_array_equal(row[name], other[name])
    assert varied.records("train").ids == data.records("train").ids
