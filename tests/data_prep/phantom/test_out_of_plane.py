"""Hands turned about their long axis: oblique and lateral."""

import numpy as np
import pytest

from bone_age_tf.data_prep.phantom import draw
from bone_age_tf.data_prep.phantom.skeleton import ALL_BONES


def _draw(degrees: float, age: float = 120, seed: int = 0, **options):
    rng = np.random.default_rng(seed)
    return draw(age, "F", rng, **{"size": 160, "out_of_plane_degrees": degrees, **options})


def _width(truth) -> float:
    """Of the knuckles over the length of the hand."""
    at = {name: np.array(point) for name, point in truth.key_points.items()}
    knuckles = np.hypot(*(at["index_mcp"] - at["little_mcp"]))
    return float(knuckles / np.hypot(*(at["middle_tip"] - at["capitate"])))


def test_flat_is_the_same_picture() -> None:
    (first, truth), (second, _) = _draw(0), _draw(0.0)
    assert (first == second).all()
    assert truth.acquisition.out_of_plane_degrees == 0
    almost = _draw(0.01)[0].astype(int)  # by rounding, and the palm's outline without its dents
    assert np.abs(almost - first).mean() < 2.0


@pytest.mark.parametrize("side", [-1, 1])
def test_the_hand_gets_narrower_as_it_turns(side: int) -> None:
    turned = [_draw(side * degrees)[1] for degrees in (0, 20, 40, 60, 80)]
    widths = [_width(truth) for truth in turned]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.4 * widths[0]
    assert turned[3].acquisition.out_of_plane_degrees == side * 60


def test_rays_overlap_in_a_lateral_view() -> None:
    """The label map keeps one bone for each pixel, so overlapping ones lose area."""
    labels = [1 + ALL_BONES.index(f"metacarpal_{ray}") for ray in (2, 3, 4, 5)]

    def area(degrees: float) -> float:
        _, truth = _draw(degrees)
        return float(np.isin(truth.bones, labels).sum() * truth.pixel_spacing_mm**2)

    assert area(90) < 0.55 * area(0)


@pytest.mark.parametrize("age", [1, 60, 220])
@pytest.mark.parametrize("degrees", [-80, 40])
def test_bones_lie_inside_the_turned_hand_and_key_points_on_them(age: int, degrees: float) -> None:
    _, truth = _draw(degrees, age, seed=age)
    outside = ((truth.bones > 0) & (truth.mask == 0)).sum()
    assert outside <= 0.01 * (truth.bones > 0).sum()
    rows, columns = np.nonzero(truth.bones)
    for name in ("middle_tip", "thumb_tip", "index_mcp", "little_mcp"):
        x, y = truth.key_points[name]
        assert np.hypot(columns - x, rows - y).min() < 2.5, name


def test_an_angle_beyond_lateral_is_named() -> None:
    with pytest.raises(ValueError, match="-90 to 90"):
        _draw(120)
