"""Registration of key points at any position to the common frame."""

import math

import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.preprocessing import geometry, registration
from bone_age_tf.preprocessing.localizer.network import POINTS

PLACES = {
    "middle_tip": (800, 100),
    "thumb_tip": (1400, 900),
    "capitate": (800, 1600),
    "index_mcp": (980, 850),
    "little_mcp": (510, 960),
    "wrist": (810, 1850),
    "index_tip": (1080, 150),
    "ring_tip": (620, 170),
    "little_tip": (400, 430),
}
"""A left hand, (column, row) in the frame at scale 1."""
FRAME_POINTS = np.array([PLACES[name] for name in POINTS], np.float32)
TIP, THUMB, CAPITATE = (POINTS.index(name) for name in ("middle_tip", "thumb_tip", "capitate"))

PICTURES = [
    (1.0, 0.0, False), (0.31, 30.0, False), (0.31, 30.0, True), (2.5, 90.0, True),
    (0.12, -170.0, False), (0.6, 180.0, True),
]  # fmt: skip


def in_picture(zoom: float, degrees: float, mirrored: bool) -> tf.Tensor:
    """The hand's key points in a radiograph that shows it turned, zoomed and mirrored."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = zoom * turn @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    return tf.constant(FRAME_POINTS @ linear.T + [1234.5, 987.25], tf.float32)


@pytest.mark.parametrize("scale", [1.0, 0.25, 0.05])
@pytest.mark.parametrize("picture", PICTURES, ids=str)
def test_capitate_and_fingertip_are_mapped_to_their_positions(
    picture: tuple[float, float, bool], scale: float
) -> None:
    points = in_picture(*picture)
    frame = PreprocessingConfig(scale=scale).frame
    to_picture = registration.frame_matrix(points, frame)
    placed = geometry.move(points, geometry.inverse(to_picture)).numpy()
    capitate, tip = [(800.5 * scale - 0.5, (row + 0.5) * scale - 0.5) for row in (1600, 100)]
    np.testing.assert_allclose(placed[CAPITATE], capitate, atol=0.01)
    np.testing.assert_allclose(placed[TIP], tip, atol=0.01)
    np.testing.assert_allclose(placed, (FRAME_POINTS + 0.5) * scale - 0.5, atol=0.01)
    assert placed[THUMB][0] > capitate[0]


@pytest.mark.parametrize("picture", PICTURES, ids=str)
def test_a_matrix_is_a_similarity_that_mirrors_right_hands_alone(
    picture: tuple[float, float, bool],
) -> None:
    zoom, _, mirrored = picture
    linear = registration.frame_matrix(in_picture(*picture), (520, 400)).numpy()[:, :2]
    step = 4 * zoom
    np.testing.assert_allclose(linear.T @ linear, step**2 * np.eye(2), atol=1e-3 * step**2)
    assert (np.linalg.det(linear) < 0) == mirrored


@pytest.mark.parametrize("picture", PICTURES, ids=str)
def test_the_thumb_tells_right_hands_from_left_ones(picture: tuple[float, float, bool]) -> None:
    assert bool(registration.is_mirrored(in_picture(*picture))) == picture[2]


def test_a_thumb_across_the_palm_does_not_mirror_the_hand() -> None:
    points = FRAME_POINTS.copy()
    points[THUMB] = (700, 1000)
    assert not registration.is_mirrored(tf.constant(points))


@pytest.mark.parametrize("picture", PICTURES, ids=str)
def test_hand_units_do_not_depend_on_the_picture(picture: tuple[float, float, bool]) -> None:
    found = registration.in_hand_units(in_picture(*picture)).numpy()
    expected = (FRAME_POINTS - PLACES["capitate"]) * [1, -1] / 1500
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_allclose(found[[CAPITATE, TIP]], [[0, 0], [0, 1]], atol=1e-3)


def test_places_beside_the_key_points_have_hand_units_too() -> None:
    points = tf.constant(FRAME_POINTS)
    places = tf.constant([[800.0, 850.0], [1550.0, 1600.0]])
    found = registration.in_hand_units_of(places, points)
    np.testing.assert_allclose(found, [[0, 0.5], [0.5, 0]], atol=1e-5)


def test_the_upright_view_puts_the_capitate_at_its_origin() -> None:
    points = in_picture(0.3, 40.0, True)
    matrix = registration.hand_matrix(points, tf.constant([84.0, 150.0]), 120.0)
    placed = geometry.move(points, geometry.inverse(matrix)).numpy()
    np.testing.assert_allclose(placed[CAPITATE], [84, 150], atol=1e-2)
    np.testing.assert_allclose(placed[TIP], [84, 30], atol=1e-2)


@pytest.mark.parametrize("apart", [0.0, 1e-5])
def test_points_in_one_place_give_finite_numbers(apart: float) -> None:
    points = np.full((len(POINTS), 2), 50, np.float32)
    points[TIP, 1] -= apart
    matrix = registration.frame_matrix(tf.constant(points), (520, 400))
    assert np.isfinite(matrix).all()
    assert np.isfinite(geometry.inverse(matrix)).all()
    assert np.isfinite(registration.in_hand_units(tf.constant(points))).all()
