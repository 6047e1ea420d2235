"""Markers, tape, plates, foam and straps."""

import numpy as np
import pytest
from scenes import infant

from bone_age_tf.data_prep.phantom.artefacts import Artefacts

SCENE = infant()
GREY = np.full(SCENE.mask.shape, 40, np.float32)


def _artefacts(seed: int) -> Artefacts:
    return Artefacts(np.random.default_rng(seed), SCENE)


def test_a_marker_is_bright_and_beside_the_hand() -> None:
    covered, lit = 0, 0
    for seed in range(20):
        changed = _artefacts(seed).mark(GREY) > 150
        lit += bool(changed.any())
        covered += int((changed & (SCENE.mask > 0)).sum() > 0.5 * changed.sum() > 0)
    assert lit >= 18
    assert covered <= 2


def test_tape_is_thin_and_crosses_the_hand() -> None:
    planes = [_artefacts(seed).tape() for seed in range(10)]
    assert all(0 < plane.max() < 0.2 for plane in planes)
    assert all((plane[SCENE.mask > 0] > 0).any() for plane in planes)


@pytest.mark.parametrize("kind", ["plate", "foam", "strap"])
def test_immobilisers_let_the_hand_be_seen(kind: str) -> None:
    planes = [_artefacts(seed).immobiliser(kind) for seed in range(10)]
    assert sum(bool((plane > 0.005).any()) for plane in planes) >= 9
    assert max(plane.max() for plane in planes) < 0.6


def test_a_strap_lies_on_the_forearm() -> None:
    for seed in range(10):
        rows, columns = np.nonzero(_artefacts(seed).immobiliser("strap"))
        middle = np.array([columns.mean(), rows.mean()])
        beyond_wrist = (middle - SCENE.wrist) @ SCENE.towards_elbow / SCENE.unit
        assert 0.0 < beyond_wrist < 0.6
