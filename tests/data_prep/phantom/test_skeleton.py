"""Proportions and pose."""

import itertools

import numpy as np
import pytest

from bone_age_tf.data_prep.phantom import skeleton


def _child(seed: int) -> skeleton.Individual:
    return skeleton.draw_individual(np.random.default_rng(seed))


def test_the_hand_unit_is_what_it_says() -> None:
    tips = [skeleton.pose(_child(seed), 1.0)["distal_3"].head for seed in range(60)]
    assert np.median([np.hypot(*tip) for tip in tips]) == pytest.approx(1, abs=0.02)


def test_the_third_ray_is_the_longest_and_all_bones_are_there() -> None:
    segments = skeleton.pose(_child(1), 1.0)
    assert set(segments) == {*skeleton.BONES, "radius", "ulna"}
    reach = {ray: segments[f"distal_{ray}"].head[1] for ray in skeleton.RAYS}
    assert max(reach, key=reach.__getitem__) == 3
    assert segments["distal_1"].head[0] > segments["distal_5"].head[0]


def test_bones_of_a_ray_are_joined() -> None:
    segments = skeleton.pose(_child(2), 0.5)
    for ray in skeleton.RAYS[1:]:
        names = [f"{kind}_{ray}" for kind in skeleton.SEGMENTS]
        for below, above in itertools.pairwise(names):
            assert segments[below].head == pytest.approx(segments[above].base)


def test_children_differ_and_one_child_is_always_the_same() -> None:
    assert _child(3) == _child(3)
    assert _child(3) != _child(4)
    spreads = [_child(seed).spread for seed in range(50)]
    assert np.std(spreads) > 0.2


def test_turn_goes_towards_the_thumb() -> None:
    assert skeleton.turn(np.array([0.0, 1.0]), 90) == pytest.approx([1, 0])


def test_key_points_lie_where_they_do_on_real_hands(real_data) -> None:
    """Medians of the phantoms against those of the annotated radiographs, in hand units."""
    from conftest import key_point_medians, read_key_points

    from bone_age_tf.data_prep.phantom import draw

    synthetic = []
    for seed in range(60):
        rng = np.random.default_rng([5, seed])
        _, truth = draw(float(rng.integers(24, 216)), "FM"[seed % 2], rng, size=64)
        synthetic.append({name: np.array(at) for name, at in truth.key_points.items()})
    real = read_key_points(real_data / "rsna-bone-age" / "key_points.csv")
    assert len(real) >= 100
    difference = key_point_medians(synthetic) - key_point_medians(real)
    assert np.abs(difference).max() < 0.04
