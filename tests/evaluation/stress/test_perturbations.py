import cv2
import numpy as np
import pytest
from conftest import draw_phantom

from bone_age_tf.errors import UsageError
from bone_age_tf.evaluation.stress.perturbations import (
    CHANGES,
    GROUPS,
    blurred,
    coarsened,
    rotated,
    select_changes,
    with_contrast,
)

PICTURE = draw_phantom(120, 1, height=208, width=160).astype(np.float32) / 255


def changed(name: str, picture: np.ndarray = PICTURE, seed: int = 0) -> np.ndarray:
    return CHANGES[name](picture, np.random.default_rng(seed))


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_keeps_the_range_and_changes_something(name: str) -> None:
    picture = np.pad(PICTURE, ((160, 160), (20, 20)))
    result = changed(name, picture)
    assert result.dtype == np.float32
    assert 0 <= result.min() <= result.max() <= 1
    assert result.shape != picture.shape or np.abs(result - picture).max() > 0.01
    np.testing.assert_array_equal(changed(name, picture), result)  # the same draw, the same result


def test_rotation_loses_nothing() -> None:
    turned = rotated(PICTURE, 90)
    np.testing.assert_allclose(turned, np.rot90(PICTURE), atol=1e-3)
    on_black = np.pad(PICTURE, 5)
    for degrees in (10, 30, 180):
        assert rotated(on_black, degrees).sum() == pytest.approx(on_black.sum(), rel=0.01)


def test_rotation_fills_with_the_border() -> None:
    bright = np.full((50, 80), 0.8, np.float32)
    assert rotated(bright, 30).min() == pytest.approx(0.8, abs=1e-3)


def test_blur_refers_to_the_size() -> None:
    large = cv2.resize(PICTURE, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    small = cv2.resize(blurred(large, 8), PICTURE.shape[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(small, blurred(PICTURE, 8), atol=0.05)


def test_resolution_is_that_of_the_longer_side() -> None:
    assert coarsened(PICTURE, 128).shape == (128, 98)
    assert coarsened(PICTURE, 512) is PICTURE


def test_contrast_spreads_around_the_mean() -> None:
    picture = np.linspace(0.4, 0.6, 100, dtype=np.float32).reshape(10, 10)
    np.testing.assert_allclose(with_contrast(picture, 1.5), 0.5 + 1.5 * (picture - 0.5), atol=1e-6)


def test_noise_follows_the_range_of_the_radiograph() -> None:
    faint = np.tile(np.linspace(0.2, 0.3, 400, dtype=np.float32), (400, 1))
    noise = changed("noise 5%", faint) - faint
    assert noise.std() == pytest.approx(0.05 * 0.098, rel=0.02)


def test_a_tilted_field_loses_nothing_and_has_the_grey_asked_for() -> None:
    result = changed("tilted white")
    assert result.size > PICTURE.size
    assert result[0, 0] == result[-1, -1] == 1


def test_changes_are_selected_by_name_group_and_beginning() -> None:
    assert select_changes() == list(CHANGES)
    assert select_changes(["processing"]) == list(GROUPS["processing"])
    assert select_changes(["sharpness", "clahe"]) == [
        *GROUPS["sharpness"],
        "CLAHE clip 2",
        "CLAHE clip 4",
    ]
    assert select_changes([" unsharp 1", "mirrored"]) == ["mirrored", "unsharp 1"]


def test_a_whole_name_is_no_beginning_of_others() -> None:
    assert select_changes(["noise 2%", "contrast 50%"]) == ["contrast 50%", "noise 2%"]


@pytest.mark.parametrize("word", ["sepia", "", " "])
def test_an_unknown_change_is_refused_with_those_that_exist(word: str) -> None:
    with pytest.raises(UsageError, match=r"processing.*CLAHE clip 4.*Received"):
        select_changes(["noise", word])
