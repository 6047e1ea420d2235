import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_hand

from bone_age_tf.augmentation import augment, mask_sex
from bone_age_tf.config import AugmentationConfig
from bone_age_tf.record import Sex

IMAGE = tf.constant(draw_hand(100, 1, height=104, width=80)[..., np.newaxis])
NOTHING = AugmentationConfig(rotation_degrees=0, shift=0, zoom=0, mirror=False, gamma=1, mask_sex=0)
SEEDS = 400


def seeded(number: int) -> tf.Tensor:
    return tf.constant([3, number], tf.int32)


def result(number: int, config: AugmentationConfig) -> np.ndarray:
    return augment(IMAGE, seeded(number), config).numpy()


def test_same_seed_same_result() -> None:
    np.testing.assert_array_equal(result(7, AugmentationConfig()), result(7, AugmentationConfig()))


def test_other_seed_other_result() -> None:
    different = {result(number, AugmentationConfig()).tobytes() for number in range(20)}
    assert len(different) == 20


def test_shape_and_dtype_are_kept() -> None:
    augmented = augment(IMAGE, seeded(0), AugmentationConfig())
    assert augmented.shape == IMAGE.shape
    assert augmented.dtype == tf.uint8


@pytest.mark.parametrize("number", range(5))
def test_without_any_change_it_is_the_identity(number: int) -> None:
    np.testing.assert_array_equal(result(number, NOTHING), IMAGE)


def test_mirror_turns_about_half() -> None:
    config = dataclasses.replace(NOTHING, mirror=True)
    mirrored = IMAGE.numpy()[:, ::-1]
    count = 0
    for number in range(SEEDS):
        picture = result(number, config)
        is_mirrored = np.array_equal(picture, mirrored)
        assert is_mirrored or np.array_equal(picture, IMAGE)
        count += is_mirrored
    assert 0.4 < count / SEEDS < 0.6


def test_gamma_keeps_black_and_white_and_the_order_of_levels() -> None:
    ramp = tf.reshape(tf.cast(tf.range(256), tf.uint8), (16, 16, 1))
    config = dataclasses.replace(NOTHING, gamma=1.5)
    changed = [augment(ramp, seeded(number), config).numpy().ravel() for number in range(30)]
    assert all(levels[0] == 0 and levels[-1] == 255 for levels in changed)
    assert all(np.all(np.diff(levels.astype(int)) >= 0) for levels in changed)
    middle = [int(levels[128]) for levels in changed]
    assert min(middle) < 120
    assert max(middle) > 136
    low, high = 255 * (128 / 255) ** 1.5, 255 * (128 / 255) ** (1 / 1.5)
    assert low - 1 <= min(middle)
    assert max(middle) <= high + 1


def test_shift_stays_in_its_range_and_fills_with_0() -> None:
    dot = np.zeros((101, 101, 1), np.uint8)
    dot[50, 50] = 255
    config = dataclasses.replace(NOTHING, shift=0.1)
    for number in range(30):
        moved = augment(tf.constant(dot), seeded(number), config).numpy()[..., 0]
        rows, columns = np.nonzero(moved)
        assert np.all(np.abs(rows - 50) <= 11)
        assert np.all(np.abs(columns - 50) <= 11)
    white = tf.fill((101, 101, 1), tf.constant(255, tf.uint8))
    assert augment(white, seeded(1), config).numpy().min() == 0


def test_rotation_and_zoom_keep_the_centre() -> None:
    dot = np.zeros((101, 101, 1), np.uint8)
    dot[48:53, 48:53] = 255
    config = dataclasses.replace(NOTHING, rotation_degrees=15, zoom=0.12)
    for number in range(30):
        turned = augment(tf.constant(dot), seeded(number), config).numpy()[..., 0]
        assert turned[50, 50] == 255


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_sex_is_masked_in_its_share(share: float) -> None:
    masked = [int(mask_sex(tf.constant(1), seeded(n), share)) for n in range(SEEDS)]
    assert set(masked) <= {int(Sex.M), int(Sex.UNKNOWN)}
    assert masked.count(Sex.UNKNOWN) / SEEDS == pytest.approx(share, abs=0.05)


def test_masking_does_not_follow_the_picture_s_changes() -> None:
    numbers = [tf.random.stateless_uniform([6], seeded(n), -1.0, 1.0).numpy() for n in range(SEEDS)]
    masked = [int(mask_sex(tf.constant(0), seeded(n), 0.5)) == Sex.UNKNOWN for n in range(SEEDS)]
    for column in np.array(numbers).T:
        assert abs(np.corrcoef(column, masked)[0, 1]) < 0.2


def test_tf_data_gives_what_eager_gives() -> None:
    config = AugmentationConfig()
    mapped = tf.data.Dataset.range(8).map(
        lambda number: augment(IMAGE, tf.stack([3, tf.cast(number, tf.int32)]), config)
    )
    for number, picture in enumerate(mapped.as_numpy_iterator()):
        np.testing.assert_array_equal(picture, result(number, config))
