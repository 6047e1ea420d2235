"""An adult's fingers: large, dense, where they hold."""

import numpy as np
import pytest
from scenes import infant

from bone_age_tf.data_prep.phantom.holder import holding_fingers

SCENE = infant()


def _planes(kind: str, count: int = 10) -> list[np.ndarray]:
    return [holding_fingers(SCENE, kind, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("kind", ["edge", "grip", "press"])
def test_fingers_reach_in_from_an_edge(kind: str) -> None:
    for plane in _planes(kind):
        edges = np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])
        assert edges.max() > 0.1
        assert 0 < (plane > 0).mean() < 0.6


def test_they_are_as_thick_as_an_adults_and_have_bones() -> None:
    for plane in _planes("press"):
        assert 0.17 < np.median(plane[plane > 0]) < 0.7  # 8 to 33 mm of tissue
        assert plane.max() > 0.6


def test_a_grip_lies_on_the_forearm_and_edges_spare_the_hand() -> None:
    def on_hand(plane: np.ndarray) -> float:
        return float(((plane > 0) & (SCENE.mask > 0)).sum() / SCENE.mask.sum())

    grip, edge = (
        np.array([on_hand(plane) for plane in _planes(kind)]) for kind in ("grip", "edge")
    )
    assert np.median(grip) > 0.03
    assert np.median(edge) < 0.02
