"""From outlines to attenuation."""

import numpy as np
import pytest

from bone_age_tf.data_prep.phantom.bones import Bone
from bone_age_tf.data_prep.phantom.rendering import (
    Camera,
    bone_attenuation,
    hand_mask,
    label_map,
    soft_attenuation,
)
from bone_age_tf.data_prep.phantom.soft_tissue import SoftPart


def _camera(units: float) -> Camera:
    matrix = np.array([[units, 0.0, 0.0], [0.0, -units, units]])
    return Camera(matrix, round(units), round(units))


def _box(left: float, low: float, right: float, high: float) -> np.ndarray:
    return np.array([[left, low], [right, low], [right, high], [left, high]])


def _tube(name: str = "proximal_3") -> Bone:
    origin, axis = np.array([0.5, 0.2]), np.array([0.0, 1.0])
    return Bone(name, (_box(0.45, 0.2, 0.55, 0.8),), origin, axis, 0.6, 0.05, (0.015, 0.004))


def _attenuation(bone: Bone, units: float, millimetres: float = 100) -> np.ndarray:
    return bone_attenuation([bone], _camera(units), millimetres, np.random.default_rng(0))


def test_a_camera_projects_and_measures() -> None:
    camera = _camera(200)
    assert camera.project(np.array([0.5, 1.0])) == pytest.approx([100, 0])
    assert camera.pixels_per_unit == pytest.approx(200)


def test_a_shaft_has_bright_rims_and_a_darker_middle() -> None:
    plane = _attenuation(_tube(), 300)
    profile = plane[120:180].mean(axis=0)
    assert profile[:130].max() == 0
    rim, middle = profile[135:142].max(), profile[148:152].mean()
    assert rim > 1.3 * middle > 0


def test_attenuation_is_proportional_to_size_and_independent_of_resolution() -> None:
    coarse, fine = _attenuation(_tube(), 200), _attenuation(_tube(), 400)
    assert coarse.mean() == pytest.approx(fine.mean(), rel=0.05)
    assert _attenuation(_tube(), 200, 50) == pytest.approx(coarse / 2, rel=1e-4)


def test_bones_that_overlap_add_up() -> None:
    camera, rng = _camera(200), np.random.default_rng(0)
    both = bone_attenuation([_tube(), _tube()], camera, 100, rng)
    assert both.mean() == pytest.approx(2 * _attenuation(_tube(), 200).mean(), rel=0.01)


def test_a_bone_outside_the_picture_is_no_error() -> None:
    away = _box(5, 5, 6, 6)
    bone = Bone("ulna", (away,), away[0], np.array([0.0, 1.0]), 1, 0.05, (0.01, 0.004))
    assert _attenuation(bone, 100).max() == 0


def test_the_label_map_names_the_bone() -> None:
    labels = label_map([_tube("ulna")], _camera(100), ("radius", "ulna"))
    assert labels[50, 50] == 2
    assert set(np.unique(labels)) == {0, 2}


@pytest.mark.parametrize("radius", [0.05, 0.1, 0.3])
def test_masks_and_labels_have_the_area_of_their_outlines(radius: float) -> None:
    angle = np.linspace(0, 2 * np.pi, 100)
    disc = 0.503 + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    exact = np.pi * (100 * radius) ** 2
    bone = Bone("ulna", (disc,), disc[0], np.array([0.0, 1.0]), 1, 0.05, (0.01, 0.004))
    assert (label_map([bone], _camera(100), ("ulna",)) > 0).sum() == pytest.approx(exact, rel=0.06)
    if radius > 0.05:
        mask = hand_mask([SoftPart(disc, 0.05)], _camera(100))
        assert mask.sum() == pytest.approx(exact, rel=0.03)


def test_soft_tissue_is_thickest_in_its_middle_and_nothing_outside() -> None:
    parts = [SoftPart(_box(0.3, 0.1, 0.5, 0.9), 0.08)]
    camera = _camera(200)
    mask = hand_mask(parts, camera)
    plane = soft_attenuation(parts, mask, camera, 100)
    assert plane[mask == 0].max() == 0
    assert plane[100, 80] > plane[100, 65] > 0
    assert plane[100, 80] == pytest.approx(2 * 8 * 0.021, rel=0.1)
