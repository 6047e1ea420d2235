"""Markers, collimation, borders, the finger of an adult."""

import numpy as np
import pytest

from bone_age_tf.data_prep.phantom.artefacts import Artefacts
from bone_age_tf.data_prep.phantom.rendering import Camera

CAMERA = Camera(np.array([[150.0, 0, 0], [0, -150.0, 200]]), 240, 200)
MASK = np.zeros((240, 200), np.uint8)
MASK[60:, 60:140] = 1
GREY = np.full((240, 200), 40, np.float32)


def _artefacts(seed: int) -> Artefacts:
    return Artefacts(np.random.default_rng(seed), CAMERA, MASK)


def test_a_marker_is_bright_and_beside_the_hand() -> None:
    covered, lit = 0, 0
    for seed in range(20):
        changed = _artefacts(seed).mark(GREY) > 150
        lit += bool(changed.any())
        covered += int((changed & (MASK > 0)).sum() > 0.5 * changed.sum() > 0)
    assert lit >= 18
    assert covered <= 2


@pytest.mark.parametrize("kind", ["shutter", "frame", "unexposed"])
def test_collimation_changes_the_outside_and_leaves_the_hand(kind: str) -> None:
    outside = 0
    for seed in range(10):
        seen = _artefacts(seed).collimate(GREY, kind)
        assert np.abs(seen - GREY)[100:200, 80:120].max() < 1
        outside += bool((np.abs(seen - GREY)[:40] > 0.5).any())
    assert outside >= 8
    if kind == "shutter":
        assert seen.min() == 0
    if kind == "unexposed":
        assert seen.max() == GREY.max()


def test_a_film_border_is_black_and_spares_the_hand() -> None:
    seen = _artefacts(0).border(GREY)
    assert seen[0, 0] == 0
    assert (seen[60:200, 60:140] == 40).all()


def test_a_holder_reaches_in_from_an_edge() -> None:
    plane = _artefacts(1).holder()
    edges = (plane[0], plane[:, 0], plane[:, -1])
    assert max(edge.max() for edge in edges) > 0.3
    assert 0 < (plane > 0).mean() < 0.25
