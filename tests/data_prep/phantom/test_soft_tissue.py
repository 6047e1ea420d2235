"""The outline of the hand."""

import numpy as np

from bone_age_tf.data_prep.phantom import skeleton
from bone_age_tf.data_prep.phantom.rendering import Camera, hand_mask
from bone_age_tf.data_prep.phantom.soft_tissue import soft_parts

CAMERA = Camera(np.array([[300.0, 0.0, 210.0], [0.0, -300.0, 330.0]]), 480, 480)


def _mask(seed: int, growth: float) -> np.ndarray:
    child = skeleton.draw_individual(np.random.default_rng(seed))
    return hand_mask(soft_parts(skeleton.pose(child, growth), child, growth), CAMERA)


def test_skin_surrounds_every_bone_end() -> None:
    for seed in range(10):
        child = skeleton.draw_individual(np.random.default_rng(seed))
        segments = skeleton.pose(child, 0.5)
        mask = hand_mask(soft_parts(segments, child, 0.5), CAMERA)
        for name in skeleton.BONES:
            for end in (segments[name].base, segments[name].head):
                column, row = np.round(CAMERA.project(end)).astype(int)
                assert mask[row, column] == 1, name


def test_spread_fingers_are_apart_and_infants_are_chubby() -> None:
    child = skeleton.draw_individual(np.random.default_rng(0))
    row = round(330 - 0.8 * 300)
    edges = np.abs(np.diff(_mask(0, 0.6)[row].astype(int))).sum()
    assert child.spread > 0.3
    assert edges >= 6  # three fingers at least
    assert _mask(0, 0.0).sum() > 1.08 * _mask(0, 1.0).sum()
