from collections.abc import Callable

import numpy as np
import pytest
from conftest import draw_phantom

from bone_age_tf.data import processing
from bone_age_tf.data.processing import TRAINED, bordered, clahe, collimated, film_curve, multiscale

HAND = draw_phantom(120, 1, height=208, width=160).astype(np.float32) / 255
FAINT = 0.3 + 0.1 * HAND
FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "clahe": lambda p: clahe(p, 4),
    "equalised": processing.equalised,
    "unsharp": lambda p: processing.unsharp(p, 2, 6),
    "multiscale": lambda p: multiscale(p, 0.5),
    "film_curve": lambda p: film_curve(p, 0.5, 6),
    "gamma": lambda p: processing.gamma(p, 1.6),
    "collimated": lambda p: collimated(p, 0.03, 1.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("picture", [HAND, FAINT, np.full((70, 90), 0.4, np.float32)])
def test_processing_keeps_size_type_and_range(name: str, picture: np.ndarray) -> None:
    before = picture.copy()
    result = FUNCTIONS[name](picture)
    assert (result.shape, result.dtype) == (picture.shape, np.float32)
    assert 0 <= result.min() <= result.max() <= 1
    np.testing.assert_array_equal(picture, before)


def test_clahe_raises_local_contrast_with_its_clip() -> None:
    spreads = [
        picture[80:120, 60:100].std() for picture in (FAINT, clahe(FAINT, 2), clahe(FAINT, 4))
    ]
    assert spreads == sorted(spreads)
    assert spreads[1] > 1.2 * spreads[0]


def test_multiscale_raises_small_differences_more_than_large_ones() -> None:
    picture = np.zeros((256, 256), np.float32)
    picture[:, 128:] = 0.8
    picture[::4, ::4] += 0.02
    before = picture[:, :100].std() / picture.std()
    result = multiscale(picture, 0.7)
    assert result[:, :100].std() / result.std() > 2 * before


def test_multiscale_with_exponent_one_only_stretches() -> None:
    low, high = np.percentile(HAND, (0.5, 99.5))
    expected = np.clip((HAND - low) / (high - low), 0, 1)
    np.testing.assert_allclose(multiscale(HAND, 1.0), expected, atol=1e-4)


def test_a_film_darkens_soft_tissue_and_keeps_the_order() -> None:
    ramp = np.tile(np.linspace(0, 1, 200, dtype=np.float32), (50, 1))
    result = film_curve(ramp, 0.6, 8)
    assert (np.diff(result[0]) >= 0).all()
    assert result[0, 60] < 0.5 * ramp[0, 60]  # 0.3 of the range
    assert (result.min(), result.max()) == (0, 1)


def test_a_border_is_added_and_shutters_lie_inside() -> None:
    added = bordered(HAND, 0.1, 0.5)
    assert added.shape == (208 + 2 * 21, 160 + 2 * 21)
    np.testing.assert_array_equal(added[21:-21, 21:-21], HAND)
    assert (added[:21] == 0.5).all()
    shut = collimated(HAND, 0.1, 1.0)
    np.testing.assert_array_equal(shut[21:-21, 16:-16], HAND[21:-21, 16:-16])
    assert (shut[:21] == 1).all()
    assert (shut[:, -16:] == 1).all()


def test_training_draws_every_kind_but_the_one_held_out() -> None:
    assert "multiscale" not in TRAINED
    for name, change in TRAINED.items():
        result = change(HAND, np.random.default_rng(3))
        assert (result.shape, result.dtype) == (HAND.shape, np.float32), name
        assert 0 <= result.min() <= result.max() <= 1
        np.testing.assert_array_equal(result, change(HAND, np.random.default_rng(3)))
    drawn = [processing.random_processing(HAND, np.random.default_rng(n)) for n in range(3)]
    assert not np.array_equal(drawn[0], drawn[1])
