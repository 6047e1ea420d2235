"""Collimation and borders spare the hand with the ends of radius and ulna."""

import numpy as np
import pytest
from scenes import infant

from bone_age_tf.data_prep.phantom import acquisition, field

SCENE = infant()
GREY = np.full(SCENE.mask.shape, 40, np.float32)
GREY[SCENE.mask > 0] = 120


def _at(where: np.ndarray, picture: np.ndarray) -> np.ndarray:
    columns, rows = np.round(where).astype(int).T
    return picture[rows, columns]


@pytest.mark.parametrize("kind", sorted(set(acquisition.COLLIMATIONS) - {"none"}))
def test_collimation_changes_the_outside_and_leaves_the_hand(kind: str) -> None:
    changed = 0
    for seed in range(12):
        grey, exposed = field.collimate(GREY, kind, SCENE, np.random.default_rng(seed))
        assert _at(SCENE.fingertips, exposed).all()
        assert _at(SCENE.wrist[None], exposed).all()
        assert abs(_at(SCENE.knuckles[None], grey) - 120).max() < 1
        changed += bool((exposed == 0).any())
        if kind == "unexposed" and (exposed == 0).any():
            assert grey[exposed == 0].mean() > 80
    assert changed >= 10


def test_a_field_may_cut_the_forearm() -> None:
    hidden = []
    for seed in range(12):
        _, exposed = field.collimate(GREY, "grey", SCENE, np.random.default_rng(seed))
        hidden.append(float(((exposed == 0) & (SCENE.mask > 0)).sum() / SCENE.mask.sum()))
    assert max(hidden) > 0.02
    assert min(hidden) == 0


def test_the_surroundings_of_a_grey_field_are_neither_black_nor_white() -> None:
    grey, exposed = field.collimate(GREY, "grey", SCENE, np.random.default_rng(3))
    assert 5 < grey[exposed == 0].mean() < 70


@pytest.mark.parametrize("kind", sorted(set(acquisition.BORDERS) - {"none"}))
def test_borders_lie_at_the_edges(kind: str) -> None:
    for seed in range(8):
        grey, left = field.border(GREY, kind, SCENE, np.random.default_rng(seed))
        assert _at(SCENE.fingertips, left).all()
        assert abs(_at(SCENE.knuckles[None], grey) - 120).max() < 2
        assert (grey[left == 0] == 0).all() if kind == "film" else grey.max() >= 120
    if kind == "glow":
        assert grey[0].mean() > 60 or grey[:, 0].mean() > 60
