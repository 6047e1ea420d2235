"""Crops that lose no bone, and cuts that lose one."""

import numpy as np
import pytest

from bone_age_tf.data_prep.phantom import draw
from bone_age_tf.preprocessing.localizer.network import POINTS
from bone_age_tf.training.localizer.crops import BONE_MARGIN, CUTS, Hand, cut, tight_crop
from bone_age_tf.training.localizer.examples import Example

TIPS = [number for number, name in enumerate(POINTS) if name.endswith("_tip")]


@pytest.fixture(scope="module")
def hand() -> Example:
    image, truth = draw(120, "F", np.random.default_rng(5), size=352)
    points = np.array([truth.key_points[name] for name in POINTS])
    return Example("hand", image, 1.0, truth.mask, points)


def seen(example: Example) -> np.ndarray:
    """bool [points]: which are known and inside of the picture."""
    size = np.array(example.image.shape[::-1])
    known = ~np.isnan(example.points).any(axis=1)
    at = np.nan_to_num(example.points)
    return known & (at >= 0).all(axis=1) & (at <= size - 1).all(axis=1)


def is_lost(hand: Example, rest: Example) -> np.ndarray:
    """bool [points]: which are not known any more, or have moved to the edge."""
    capitate = POINTS.index("capitate")
    apart = (rest.points - rest.points[capitate]) - (hand.points - hand.points[capitate])
    return ~(np.hypot(*apart.T) < 1e-6)


def test_a_tight_crop_keeps_every_key_point_and_comes_close(hand: Example) -> None:
    rng = np.random.default_rng(0)
    crops = [tight_crop(hand, rng) for _ in range(60)]
    unit = Hand.of(hand).unit
    nearest = []
    for crop in crops:
        assert seen(crop).all()
        assert crop.mask.shape == crop.image.shape
        if crop.image.shape != hand.image.shape:  # not behind a collimator
            size = np.array(crop.image.shape[::-1])
            inward = np.minimum(crop.points, size - 1 - crop.points)[TIPS].min() / unit
            assert inward > BONE_MARGIN - 2 / unit
            nearest.append(inward)
    assert len(nearest) > 20
    assert min(nearest) < 0.04


def test_a_tight_crop_shows_the_same_pixels(hand: Example) -> None:
    rng = np.random.default_rng(1)
    capitate = POINTS.index("capitate")
    for _ in range(20):
        crop = tight_crop(hand, rng)
        one, other = (np.round(e.points[capitate]).astype(int) for e in (crop, hand))
        assert crop.image[one[1], one[0]] == hand.image[other[1], other[0]]


@pytest.mark.parametrize("kind", CUTS)
def test_a_cut_loses_bone_where_it_should(
    hand: Example, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bone_age_tf.training.localizer.crops.CUTS", {kind: (1.0, *CUTS[kind][1:])})
    rng = np.random.default_rng(2)
    cuts = [rest for rest in (cut(hand, rng) for _ in range(40)) if rest is not None]
    assert len(cuts) > 30
    lost = np.array([is_lost(hand, rest) for rest in cuts])
    if kind == "wrist":  # a cut beside the wrist shows it, but not the ends of radius and ulna
        assert lost[:, POINTS.index("wrist")].mean() > 0.6
        tips = np.array([rest.points[POINTS.index("middle_tip")] for rest in cuts])
        assert not np.isnan(tips).any()
    else:
        assert lost.any(axis=1).all()
    if kind == "fingers":
        assert lost[:, POINTS.index("middle_tip")].all()


def test_a_cut_fingertip_moves_to_the_edge(hand: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bone_age_tf.training.localizer.crops.SHUTTER_SHARE", 0.0)
    monkeypatch.setattr(
        "bone_age_tf.training.localizer.crops.CUTS", {"fingers": (1.0, (0.05, 0.15), (0.05, 0.15))}
    )
    rng = np.random.default_rng(6)
    for _ in range(10):
        rest = cut(hand, rng)
        x, y = rest.points[POINTS.index("middle_tip")]
        assert rest.mask[round(y), round(x)] > 127
        step = (rest.points[POINTS.index("capitate")] - (x, y)) / Hand.of(hand).unit
        before = np.round((x, y) - 3 * step).astype(int)  # three pixels further out
        outside = (before < 0).any() or (before >= rest.image.shape[::-1]).any()
        assert outside or rest.image[before[1], before[0]] == rest.image[0, 0]


def test_without_key_points_nothing_is_cut(hand: Example) -> None:
    bare = Example("bare", hand.image, 1.0)
    rng = np.random.default_rng(3)
    assert cut(bare, rng) is None
    assert tight_crop(bare, rng) is bare
