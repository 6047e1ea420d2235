import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.config import AugmentationConfig
from bone_age_tf.errors import InputDataError
from bone_age_tf.input_pipeline import PreparedRadiographs, TrainingBatches

NOTHING = AugmentationConfig(rotation_degrees=0, shift=0, zoom=0, mirror=False, gamma=1, mask_sex=0)
Batch = tuple[dict[str, np.ndarray], np.ndarray]


@pytest.fixture
def data(prepared: Path) -> PreparedRadiographs:
    return PreparedRadiographs.open(prepared)


def make(
    data: PreparedRadiographs,
    config: AugmentationConfig = NOTHING,
    *,
    batch_size: int = 5,
    seed: int = 0,
    cache: str = "yes",
) -> TrainingBatches:
    return TrainingBatches(data, "train", config, batch_size=batch_size, seed=seed, cache=cache)


def listed(batches: TrainingBatches, epoch: int, *, skip: int = 0) -> list[Batch]:
    return list(batches.epoch(epoch, skip=skip).as_numpy_iterator())


def digests(batches: list[Batch]) -> list[str]:
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
    first, second = (list(data.examples("train").as_numpy_iterator()) for _ in range(2))
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


@pytest.mark.parametrize("cache", ["yes", "no"])
def test_same_seed_and_epoch_same_batches(data: PreparedRadiographs, cache: str) -> None:
    config = AugmentationConfig()
    assert_equal(
        listed(make(data, config, cache=cache), 2), listed(make(data, config, cache=cache), 2)
    )


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
    batches = make(data, dataclasses.replace(NOTHING, mask_sex=0.5), batch_size=24)
    sexes = [np.sort(listed(batches, epoch)[0][0][record.SEX]) for epoch in range(6)]
    masked = [int((sex == record.Sex.UNKNOWN).sum()) for sex in sexes]
    assert 0 < sum(masked) < 6 * 24
    assert len(set(masked)) > 1


def test_a_batch_larger_than_the_split_is_refused(data: PreparedRadiographs) -> None:
    with pytest.raises(InputDataError, match="train.batch_size"):
        make(data, batch_size=data.count("train") + 1)


def test_an_unknown_split_is_refused(data: PreparedRadiographs) -> None:
    with pytest.raises(InputDataError, match="no split 'holdout'.*train"):
        data.count("holdout")


def test_a_split_with_a_missing_label_is_refused(data: PreparedRadiographs) -> None:
    data.require_labels("train")
    labels = {**data.manifest.labels, "train": {"count": data.count("train") - 1}}
    manifest = dataclasses.replace(data.manifest, labels=labels)
    with pytest.raises(InputDataError, match="bone age"):
        dataclasses.replace(data, manifest=manifest).require_labels("train")
