"""Decoding of the localizer's logits."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_phantom

from bone_age_tf.preprocessing.localizer import decoding as localization
from bone_age_tf.preprocessing.localizer.network import IMAGE_CLASSES, OUTPUTS, POINTS, STRIDE, VIEW

MAP = (VIEW[0] // STRIDE, VIEW[1] // STRIDE)


# === The connected part ===


def reached_by_opencv(inside: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    _, labels = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
    return np.isin(labels, np.setdiff1d(labels[seeds & inside], 0))


@pytest.mark.parametrize("share", [0.3, 0.55, 0.6, 0.65, 0.8])
@pytest.mark.parametrize("shape", [(112, 88), (40, 7), (1, 30)])
def test_connected_is_what_opencv_finds(shape: tuple[int, int], share: float) -> None:
    rng = np.random.default_rng(round(100 * share))
    connected = tf.function(localization._connected, autograph=False)
    for _ in range(4):
        inside = rng.random(shape) < share
        seeds = inside & (rng.random(shape) < 0.01)
        found = connected(tf.constant(inside), tf.constant(seeds))
        np.testing.assert_array_equal(found, reached_by_opencv(inside, seeds))


def spiral(size: int) -> np.ndarray:
    """bool [size, size]: a path one pixel wide, with walls of one pixel."""
    path = np.zeros((size, size), bool)
    row, column, step, turn = 0, 0, size - 1, 0
    path[0, 0] = True
    while step > 0:
        for _ in range(step):
            down, right = [(0, 1), (1, 0), (0, -1), (-1, 0)][turn % 4]
            row, column = row + down, column + right
            path[row, column] = True
        turn += 1
        step -= 2 * (turn % 2 == 1 and turn > 1)
    return path


def test_a_spiral_is_followed_to_its_end() -> None:
    path = spiral(41)
    seeds = np.zeros_like(path)
    seeds[0, 0] = True
    np.testing.assert_array_equal(
        localization._connected(tf.constant(path), tf.constant(seeds)), path
    )


def test_without_a_seed_nothing_is_reached() -> None:
    inside = tf.ones((20, 30), tf.bool)
    assert not np.any(localization._connected(inside, ~inside))


# === The mask ===


def probability(*parts: tuple[tuple[int, int], int, float]) -> tf.Tensor:
    """Discs (x, y), radius, probability; later ones over earlier ones."""
    plane = np.zeros(VIEW, np.float32)
    for place, radius, value in parts:
        cv2.circle(plane, place, radius, (value,), -1)
    return tf.constant(plane[..., None])


def points_at(x: float, y: float) -> tf.Tensor:
    return tf.constant([[x, y]] * len(POINTS), tf.float32)


def test_the_part_without_a_key_point_is_cleaned_away() -> None:
    plane = probability(((60, 100), 30, 0.9), ((140, 40), 20, 0.95))
    cleaned = localization._clean(plane, points_at(65, 95)).numpy()
    expected = probability(((60, 100), 30, 0.9)).numpy()
    np.testing.assert_array_equal(cleaned, expected)


def test_holes_are_filled_and_bays_are_not() -> None:
    ring = probability(((60, 100), 40, 0.8), ((60, 100), 12, 0.1))
    filled = localization._clean(ring, points_at(90, 100))
    cleaned = filled.numpy()[..., 0]
    assert (cleaned[94:106, 54:66] == 1).all()
    assert cleaned[100, 85] == np.float32(0.8)
    assert (localization.soft_edge(filled).numpy()[85:115, 45:75] == 1).all()
    opened = ring.numpy()
    opened[96:105, :60] = 0.1
    cleaned = localization._clean(tf.constant(opened), points_at(90, 100)).numpy()[..., 0]
    assert cleaned[100, 60] < 0.5


def test_a_hole_at_the_border_of_the_view_is_no_hole() -> None:
    plane = np.zeros(VIEW, np.float32)
    plane[150:, 60:120] = 0.9
    plane[170:, 80:100] = 0.05
    cleaned = localization._clean(tf.constant(plane[..., None]), points_at(70, 160)).numpy()
    assert cleaned[200, 90, 0] < 0.5


@pytest.mark.parametrize("place", [(150, 20), (-40, 500)])
def test_no_key_point_in_the_mask_leaves_nothing(place: tuple[int, int]) -> None:
    plane = probability(((60, 100), 30, 0.9))
    assert not np.any(localization._clean(plane, points_at(*place)))


def test_the_soft_edge_is_one_in_the_hand_and_falls_around_it() -> None:
    plane = np.zeros(VIEW, np.float32)
    plane[100:, 50:90] = 1
    row = localization.soft_edge(tf.constant(plane[..., None])).numpy()[150, :, 0]
    assert (row[49:91] == 1).all()
    assert (row[:47] == 0).all()
    assert (row[93:] == 0).all()
    assert 0 < row[48] < 1
    assert (np.diff(row[40:60]) >= 0).all()


# === Key points ===


def heat_around(places: np.ndarray, width: float = 1.5) -> tf.Tensor:
    """Logits [h, w, points] whose softmax is a Gaussian around each place of the view."""
    rows, columns = np.mgrid[: MAP[0], : MAP[1]]
    at = (places + 0.5) / STRIDE - 0.5
    away = (columns[..., None] - at[:, 0]) ** 2 + (rows[..., None] - at[:, 1]) ** 2
    return tf.constant(-away / (2 * width**2), tf.float32)


def test_peaks_are_found_between_the_pixels() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform((15, 15), (VIEW[1] - 15, VIEW[0] - 15), (len(POINTS), 2))
    points, certainty = localization._peaks(heat_around(places))
    np.testing.assert_allclose(points, places, atol=0.2)
    assert (certainty.numpy() > 0.95).all()
    np.testing.assert_array_equal(points * localization.ROUNDING % 1, np.zeros_like(points))


def test_certainty_is_the_share_of_the_highest_peak() -> None:
    places = np.tile([[40.5, 60.5]], (len(POINTS), 1))
    two = tf.math.log(
        0.7 * tf.exp(heat_around(places)) + 0.3 * tf.exp(heat_around(places + np.array([90, 100])))
    )
    points, certainty = localization._peaks(two)
    np.testing.assert_allclose(points, places, atol=0.2)
    np.testing.assert_allclose(certainty, 0.7, atol=0.02)


def test_a_flat_map_is_uncertain() -> None:
    points, certainty = localization._peaks(tf.zeros((*MAP, len(POINTS))))
    assert (certainty.numpy() < 0.01).all()
    assert np.isfinite(points).all()


# === What the network reads and says ===


def test_the_input_does_not_depend_on_brightness_and_contrast() -> None:
    hand = draw_phantom(120, 0, height=VIEW[0], width=VIEW[1]).astype(np.int32)[..., None]
    views = [
        localization.network_input(tf.constant(hand * a + b)) for a, b in [(257, 0), (90, 5000)]
    ]
    assert views[0].shape == (*VIEW, 2)
    assert views[0].dtype == tf.uint8
    np.testing.assert_allclose(views[0].numpy().astype(int), views[1], atol=1)


def test_both_inputs_keep_the_order_of_the_grey_levels() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, VIEW).astype(np.int32)
    view = localization.network_input(tf.constant(levels[..., None])).numpy().astype(int)
    order = np.argsort(levels, axis=None)
    for channel in range(2):
        assert (np.diff(view[..., channel].ravel()[order]) >= 0).all()
        assert (view[..., channel].min(), view[..., channel].max()) == (0, 255)
    counts = np.bincount(view[..., 1].ravel(), minlength=256)
    assert np.abs(counts[:-1] - levels.size / 255).max() <= 0.05 * levels.size / 255


@pytest.mark.parametrize("level", [0, 9000, 65535])
def test_an_even_view_is_read_as_black(level: int) -> None:
    view = localization.network_input(tf.fill((*VIEW, 1), level))
    assert not np.any(view)


def test_locate_turns_logits_into_probabilities() -> None:
    places = np.tile([[80.5, 100.5]], (len(POINTS), 1))
    mask = np.full((1, *VIEW, 1), -9, np.float32)
    mask[0, 60:140, 50:120] = 2
    seen = []

    def network(view: tf.Tensor) -> dict[str, tf.Tensor]:
        seen.append(view)
        return {
            OUTPUTS.mask: tf.constant(mask),
            OUTPUTS.heat: heat_around(places)[tf.newaxis],
            OUTPUTS.image_class: tf.math.log([[0.7, 0.1, 0.15, 0.05]]),
            OUTPUTS.inverted: tf.constant([[0.0]]),
            OUTPUTS.tilt: tf.constant([[0.25]]),
        }

    hand = draw_phantom(120, 0, height=VIEW[0], width=VIEW[1]).astype(np.int32)[..., None] * 257
    found = localization.locate(tf.constant(hand), network)
    np.testing.assert_array_equal(seen[0][0], localization.network_input(tf.constant(hand)))
    np.testing.assert_allclose(found.points, places, atol=0.1)
    np.testing.assert_allclose(found.image_class, [0.7, 0.1, 0.15, 0.05], atol=1e-6)
    assert len(IMAGE_CLASSES) == 4
    assert float(found.inverted) == 0.5
    assert float(found.tilt) == 0.25
    assert float(found.mask[100, 80, 0]) == pytest.approx(1 / (1 + np.exp(-2)))
    assert not np.any(found.mask[:60])
