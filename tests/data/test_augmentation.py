import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_phantom

from bone_age_tf.config import AugmentationConfig
from bone_age_tf.data.augmentation import (
    _BLUR,
    _CONTRAST,
    _CONTRAST_SIZE,
    NUMBERS,
    augment,
    drop_sex,
    variant_of,
)
from bone_age_tf.sex import Sex

IMAGE = draw_phantom(100, 1, height=104, width=80)[..., np.newaxis]
NOTHING = AugmentationConfig(
    rotation_degrees=0, shift=0, zoom=0, mirror=False, gamma=1, sex_dropout=0
)
EVERYTHING = AugmentationConfig(noise=0.2, blur=1.0, elastic=0.03, contrast=1.0, cutout=0.4)
DRAWS = 400


def draw(count: int, *, seed: int = 3) -> np.ndarray:
    """Numbers for `count` radiographs."""
    return np.random.default_rng(seed).uniform(-1, 1, (count, NUMBERS)).astype(np.float32)


def augmented(
    image: np.ndarray, count: int, config: AugmentationConfig, *, seed: int = 3
) -> np.ndarray:
    """The image changed in `count` ways, [count, height, width, 1]."""
    images = tf.repeat(image[np.newaxis], count, axis=0)
    return augment(images, tf.constant(draw(count, seed=seed)), config).numpy()


def test_same_numbers_same_result() -> None:
    first, second = (augmented(IMAGE, 8, AugmentationConfig()) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_other_numbers_other_result() -> None:
    pictures = augmented(IMAGE, 20, AugmentationConfig())
    assert len({picture.tobytes() for picture in pictures}) == 20


def test_shape_and_dtype_are_kept() -> None:
    images = tf.constant(np.stack([IMAGE] * 3))
    result = augment(images, tf.constant(draw(3)), AugmentationConfig())
    assert result.shape == images.shape
    assert result.dtype == tf.uint8


def test_without_any_change_it_is_the_identity() -> None:
    for picture in augmented(IMAGE, 5, NOTHING):
        np.testing.assert_array_equal(picture, IMAGE)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 13, 17])
def test_a_row_does_not_depend_on_its_batch(size: int) -> None:
    hands = [draw_phantom(20 * n, n, height=104, width=80)[..., np.newaxis] for n in range(1, 6)]
    images = np.stack([hands[n % 5] for n in range(64)])
    numbers = draw(64)
    together = augment(tf.constant(images), tf.constant(numbers), AugmentationConfig()).numpy()
    parts = [
        augment(
            tf.constant(images[start : start + size]),
            tf.constant(numbers[start : start + size]),
            AugmentationConfig(),
        ).numpy()
        for start in range(0, 64, size)
    ]
    np.testing.assert_array_equal(together, np.concatenate(parts))


def test_mirror_turns_about_half() -> None:
    pictures = augmented(IMAGE, DRAWS, dataclasses.replace(NOTHING, mirror=True))
    mirrored = IMAGE[:, ::-1]
    count = 0
    for picture in pictures:
        is_mirrored = np.array_equal(picture, mirrored)
        assert is_mirrored or np.array_equal(picture, IMAGE)
        count += is_mirrored
    assert 0.4 < count / DRAWS < 0.6


def test_gamma_keeps_black_and_white_and_the_order_of_levels() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    changed = augmented(ramp, 30, dataclasses.replace(NOTHING, gamma=1.5)).reshape(30, 256)
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
    for moved in augmented(dot, 30, config):
        rows, columns, _ = np.nonzero(moved)
        assert np.all(np.abs(rows - 50) <= 11)
        assert np.all(np.abs(columns - 50) <= 11)
    white = np.full((101, 101, 1), 255, np.uint8)
    assert augmented(white, 1, config).min() == 0


def test_rotation_and_zoom_keep_the_centre() -> None:
    dot = np.zeros((101, 101, 1), np.uint8)
    dot[48:53, 48:53] = 255
    config = dataclasses.replace(NOTHING, rotation_degrees=15, zoom=0.12)
    for turned in augmented(dot, 30, config):
        assert turned[50, 50, 0] == 255


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_sex_is_masked_in_its_share(share: float) -> None:
    sex = tf.constant([int(Sex.M)] * DRAWS, tf.int32)
    shown = drop_sex(sex, tf.constant(draw(DRAWS)), share)
    assert shown.dtype == tf.int32
    masked = shown.numpy().tolist()
    assert set(masked) <= {int(Sex.M), int(Sex.UNKNOWN)}
    assert masked.count(int(Sex.UNKNOWN)) / DRAWS == pytest.approx(share, abs=0.05)


def test_masking_does_not_follow_the_picture_s_changes() -> None:
    numbers = draw(DRAWS)
    sex = tf.constant([int(Sex.F)] * DRAWS, tf.int32)
    masked = drop_sex(sex, tf.constant(numbers), 0.5).numpy() == int(Sex.UNKNOWN)
    of_masking = [np.abs(np.corrcoef(row, masked)[0, 1]) > 0.2 for row in numbers.T]
    assert sum(of_masking) == 1
    other = np.where(of_masking, draw(DRAWS, seed=4), numbers)
    assert not np.array_equal(drop_sex(sex, tf.constant(other), 0.5) == Sex.UNKNOWN, masked)
    first, second = (
        augment(
            tf.repeat(IMAGE[np.newaxis], 9, axis=0), tf.constant(rows[:9]), AugmentationConfig()
        )
        for rows in (numbers, other)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("config", [AugmentationConfig(), EVERYTHING], ids=["usual", "all"])
def test_tf_data_gives_what_eager_gives(config: AugmentationConfig) -> None:
    images, numbers = np.stack([IMAGE] * 12), draw(12)
    sex = np.arange(12, dtype=np.int32) % 2
    mapped = (
        tf.data.Dataset.from_tensor_slices((images, sex, numbers))
        .batch(4)
        .map(lambda image, kind, row: (augment(image, row, config), drop_sex(kind, row, 0.5)))
    )
    spec: Any = mapped.element_spec
    assert spec[0].shape[1:] == (104, 80, 1)
    pictures, shown = zip(*mapped.as_numpy_iterator(), strict=True)
    eager = augment(tf.constant(images), tf.constant(numbers), config)
    np.testing.assert_array_equal(np.concatenate(pictures), eager)
    masked = drop_sex(tf.constant(sex), tf.constant(numbers), 0.5)
    np.testing.assert_array_equal(np.concatenate(shown), masked)


def test_every_second_radiograph_is_blurred_by_at_most_a_pixel() -> None:
    dot = np.full((31, 31, 1), 40, np.uint8)
    dot[15, 15] = 240
    pictures = augmented(dot, DRAWS, dataclasses.replace(NOTHING, blur=1.0)).astype(int)
    heights = pictures[:, 15, 15, 0]
    assert 0.4 < np.mean(heights == 240) < 0.6
    strongest = draw(DRAWS)[:, _BLUR].max()  # of the dot, (6/16)^2 stays where it is 1
    assert heights.min() == pytest.approx(240 - strongest * 200 * (1 - 0.375**2), abs=1)
    assert np.abs(pictures.sum(axis=(1, 2, 3)) - dot.astype(int).sum()).max() < 15
    assert (pictures[:, 12, 12] == 40).all()


def test_noise_has_its_spread_and_is_another_each_time() -> None:
    grey = np.full((64, 64, 1), 128, np.uint8)
    config = dataclasses.replace(NOTHING, noise=0.1)
    pictures = augmented(grey, DRAWS, config).astype(float) - 128
    spread = pictures.std(axis=(1, 2, 3))
    assert 0.4 < np.mean(spread == 0) < 0.6
    assert 23 < spread.max() < 27
    assert spread[spread > 0].mean() == pytest.approx(12.75, rel=0.1)
    noisy = pictures[spread > 5]
    assert abs(np.corrcoef(noisy[0].ravel(), noisy[1].ravel())[0, 1]) < 0.1
    assert np.abs(noisy.mean(axis=(1, 2, 3))).max() < 2


def test_background_stays_black() -> None:
    config = dataclasses.replace(NOTHING, noise=0.5, blur=1.0, contrast=2.0, cutout=1.0)
    for picture in augmented(IMAGE, 20, config):
        assert (picture[IMAGE == 0] == 0).all()


@pytest.mark.parametrize("size", [1, 3, 7])
def test_all_changes_together_do_not_depend_on_the_batch(size: int) -> None:
    config = EVERYTHING
    images, numbers = np.stack([IMAGE] * 16), draw(16)
    together = augment(tf.constant(images), tf.constant(numbers), config).numpy()
    parts = [
        augment(
            tf.constant(images[start : start + size]),
            tf.constant(numbers[start : start + size]),
            config,
        ).numpy()
        for start in range(0, 16, size)
    ]
    np.testing.assert_array_equal(together, np.concatenate(parts))


# === Elastic ===

ELASTIC = dataclasses.replace(NOTHING, elastic=0.05)


def test_nothing_is_resampled_where_nothing_is_moved() -> None:
    images = tf.constant(np.stack([IMAGE] * 2))
    numbers = tf.zeros((2, NUMBERS))
    np.testing.assert_array_equal(augment(images, numbers, ELASTIC), images)


def test_rotation_and_the_others_go_with_it() -> None:
    config = AugmentationConfig(gamma=1, blur=0)
    expected = augmented(IMAGE, 10, config).astype(int)
    found = augmented(IMAGE, 10, dataclasses.replace(config, elastic=1e-7))
    assert abs(expected - found).max() <= 2  # the other operation does not round
    moved = augmented(IMAGE, 10, dataclasses.replace(config, elastic=0.03))
    assert (abs(expected - moved).mean(axis=(1, 2, 3)) > 1).all()


def test_every_place_is_moved_by_a_little_and_its_neighbours_alike() -> None:
    ramps = np.arange(100, dtype=np.uint8) * 2 + 20  # the grey level tells the column
    across = np.tile(ramps, (100, 1))[..., np.newaxis]
    for picture in (across, across.transpose(1, 0, 2)):
        found = augmented(picture, 20, ELASTIC)[..., 0].astype(float)
        inner = slice(8, -8)
        away = (found - picture[..., 0])[:, inner, inner] / 2
        assert 3 < abs(away).max() < 100 * 0.05 * 1.5
        assert (away.max(axis=(1, 2)) > 1).all()
        assert (away.min(axis=(1, 2)) < -1).all()
        steps = max(abs(np.diff(away, axis=axis)).max() for axis in (1, 2))
        assert steps <= 1.5  # of a level, half a pixel, for rounding
        assert abs(np.corrcoef(away[0].ravel(), away[1].ravel())[0, 1]) < 0.9


def test_what_comes_in_from_outside_is_0() -> None:
    white = np.full((101, 81, 1), 255, np.uint8)
    found = augmented(white, 10, ELASTIC)
    assert (found[:, 12:-12, 12:-12] == 255).all()
    assert (found[:, :1] == 0).any()


# === Local contrast ===

CONTRAST = dataclasses.replace(NOTHING, contrast=1.0)


def _with_contrast(amount: float, size: float = 0.0) -> np.ndarray:
    numbers = np.zeros((1, NUMBERS), np.float32)
    numbers[:, [_CONTRAST, _CONTRAST_SIZE]] = amount, size
    return augment(tf.constant(IMAGE[np.newaxis]), tf.constant(numbers), CONTRAST).numpy()[0]


def _differences(picture: np.ndarray) -> float:
    """Mean difference of neighbours within the hand."""
    values, is_hand = picture[..., 0].astype(float), IMAGE[..., 0] > 0
    inside = is_hand[:, 1:] & is_hand[:, :-1]
    return float(abs(np.diff(values, axis=1))[inside].mean())


def test_small_differences_grow_and_shrink_and_mean_and_sd_stay() -> None:
    hand = IMAGE[IMAGE > 0].astype(float)
    same = _with_contrast(0.0)
    np.testing.assert_array_equal(same, IMAGE)
    weak, strong = _with_contrast(-1.0), _with_contrast(1.0)
    assert _differences(strong) > 1.2 * _differences(IMAGE)
    assert _differences(weak) < 0.9 * _differences(IMAGE)
    for picture in (weak, strong):
        levels = picture[IMAGE > 0].astype(float)
        assert levels.mean() == pytest.approx(hand.mean(), abs=3)  # some are cut off at 0 and 255
        assert levels.std() == pytest.approx(hand.std(), rel=0.1)


def test_the_surroundings_have_another_size_each_time() -> None:
    assert not np.array_equal(_with_contrast(1.0, -1.0), _with_contrast(1.0, 1.0))


def test_a_grey_without_differences_stays() -> None:
    grey = np.zeros((64, 64, 1), np.uint8)
    grey[20:44, 20:44] = 90
    even = augmented(np.full((64, 64, 1), 90, np.uint8), 4, CONTRAST)
    assert (even[:, 8:-8, 8:-8] == even[:, 32:33, 32:33]).all()
    assert (augmented(grey, 4, CONTRAST)[:, :20] == 0).all()


# === Cutout ===


def test_every_second_radiograph_has_a_rectangle_of_one_grey() -> None:
    white = np.full((60, 40, 1), 255, np.uint8)
    pictures = augmented(white, DRAWS, dataclasses.replace(NOTHING, cutout=0.5))[..., 0]
    is_cut = pictures < 255
    assert 0.4 < np.mean(is_cut.any(axis=(1, 2))) < 0.6
    greys, heights, widths = [], [], []
    for picture, cut in zip(pictures, is_cut, strict=True):
        rows, columns = np.flatnonzero(cut.any(axis=1)), np.flatnonzero(cut.any(axis=0))
        if len(rows):
            assert cut[np.ix_(rows, columns)].all()
            assert cut.sum() == len(rows) * len(columns)
            assert len(np.unique(picture[cut])) == 1
            greys.append(int(picture[cut][0]))
            heights.append(len(rows))
            widths.append(len(columns))
    assert 0.35 < np.mean(np.array(greys) == 0) < 0.65
    assert len(set(greys)) > 50
    assert 25 < max(heights) <= 31
    assert 16 < max(widths) <= 21
    assert min(heights) < 6


# === Variants ===


def test_variants_are_shown_in_their_share_and_equally_often() -> None:
    numbers = tf.constant(draw(4000))
    found = variant_of(numbers, 4, 0.4).numpy()
    assert found.dtype == np.int32
    counts = np.bincount(found, minlength=5) / 4000
    assert counts[0] == pytest.approx(0.6, abs=0.04)
    np.testing.assert_allclose(counts[1:], 0.1, atol=0.03)
    assert len(counts) == 5


@pytest.mark.parametrize("share", [1e-12, 1.0])
def test_the_ends_of_the_share_are_in_range(share: float) -> None:
    numbers = np.zeros((3, NUMBERS), np.float32)
    numbers[:] = np.array([[-1], [0], [1]])  # 1: rounded up from what is below it
    found = variant_of(tf.constant(numbers), 3, share).numpy()
    assert ((found >= 0) & (found <= 3)).all()
    assert found[0] == 1
