"""Warps compared with dense averaging in NumPy, and the algebra of their matrices."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_phantom

from bone_age_tf.preprocessing import geometry

HAND = draw_phantom(120, 0, height=512, width=400).astype(np.float32)
SIZE = (90, 110)
SUBSAMPLES = 8


def similarity(scale: float, degrees: float, mirrored: bool, size: tuple[int, int]) -> np.ndarray:
    """From a picture of `SIZE` to one of `size`, centre on centre."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = scale * turn @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    here, there = ((np.array(shape[::-1]) - 1) / 2 for shape in (SIZE, size))
    return np.column_stack([linear, there - linear @ here]).astype(np.float32)


def bilinear(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The picture at any places; what lies outside is 0, reached over one pixel."""
    padded = np.pad(picture, 1)
    x, y = np.clip(x + 1, 0, padded.shape[1] - 1), np.clip(y + 1, 0, padded.shape[0] - 1)
    left = np.minimum(x.astype(int), padded.shape[1] - 2)
    top = np.minimum(y.astype(int), padded.shape[0] - 2)
    across, down = x - left, y - top
    upper = padded[top, left] * (1 - across) + padded[top, left + 1] * across
    lower = padded[top + 1, left] * (1 - across) + padded[top + 1, left + 1] * across
    return upper * (1 - down) + lower * down


def dense(picture: np.ndarray, matrix: np.ndarray, subsamples: int) -> np.ndarray:
    """The mean of many samples in each pixel of the result."""
    offsets = (np.arange(subsamples) + 0.5) / subsamples - 0.5
    columns = (np.arange(SIZE[1])[:, None] + offsets).ravel()
    rows = (np.arange(SIZE[0])[:, None] + offsets).ravel()
    at = np.stack([*np.meshgrid(columns, rows), np.ones((rows.size, columns.size))])
    x, y = np.tensordot(matrix.astype(float), at, 1)
    fine = bilinear(picture, x, y)
    return fine.reshape(SIZE[0], subsamples, SIZE[1], subsamples).mean(axis=(1, 3))


def warp(picture: np.ndarray, matrix: np.ndarray, **options: float) -> np.ndarray:
    levels = geometry.pyramid(tf.constant(picture[..., None]))
    return geometry.warp(levels, tf.constant(matrix), SIZE, **options).numpy()[..., 0]


@pytest.fixture(scope="module")
def levels() -> list[tf.Tensor]:
    return geometry.pyramid(tf.constant(HAND[..., None]))


TURNS = pytest.mark.parametrize(
    ("degrees", "mirrored"), [(0.0, False), (17.0, True), (90.0, True), (-140.0, False)]
)


@TURNS
@pytest.mark.parametrize("scale", [0.4, 1.0, 1.2])
def test_one_bilinear_sample_where_nothing_can_alias(
    scale: float, degrees: float, mirrored: bool, levels: list[tf.Tensor]
) -> None:
    matrix = similarity(scale, degrees, mirrored, HAND.shape)
    warped = geometry.warp(levels, tf.constant(matrix), SIZE).numpy()[..., 0]
    # the operation computes its places in float32, some from the last column on
    np.testing.assert_allclose(warped, dense(HAND, matrix, 1), atol=0.05)


@TURNS
@pytest.mark.parametrize(
    ("scale", "tolerance"),
    [
        (1.26, 0.3),
        (1.6, 0.3),
        (2.0, 1.5),
        (2.4, 1.2),
        (3.1, 1.0),
        (4.3, 1.7),
        (6.5, 1.2),
        (9.0, 2.2),
    ],
)
def test_several_pixels_are_averaged(
    scale: float, tolerance: float, degrees: float, mirrored: bool, levels: list[tf.Tensor]
) -> None:
    """`tolerance` in grey levels of a hand whose standard deviation is about 55."""
    matrix = similarity(scale, degrees, mirrored, HAND.shape)
    warped = geometry.warp(levels, tf.constant(matrix), SIZE).numpy()[..., 0]
    expected = dense(HAND, matrix, SUBSAMPLES)
    inside = dense(np.ones_like(HAND), matrix, SUBSAMPLES) > 0.999
    assert inside.sum() > 1000
    difference = (warped - expected)[inside]
    assert np.abs(difference).mean() < tolerance
    assert abs(difference.mean()) < 0.1


def test_the_identity_changes_nothing() -> None:
    picture = np.random.default_rng(0).uniform(0, 65535, SIZE).astype(np.float32)
    np.testing.assert_array_equal(warp(picture, np.eye(2, 3, dtype=np.float32)), picture)


@pytest.mark.parametrize("shift", [(3, 0), (0, -7), (12, 5)])
def test_a_shift_by_whole_pixels_is_exact(shift: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).uniform(0, 65535, (140, 160)).astype(np.float32)
    matrix = np.array([[1, 0, 20 + shift[0]], [0, 1, 20 + shift[1]]], np.float32)
    top, left = 20 + shift[1], 20 + shift[0]
    expected = picture[top : top + SIZE[0], left : left + SIZE[1]]
    np.testing.assert_array_equal(warp(picture, matrix), expected)


@pytest.mark.parametrize("degrees", [0.0, 30.0])
@pytest.mark.parametrize("scale", [2.0, 4.0, 8.0, 16.0])
def test_a_fine_checkerboard_becomes_flat_grey(scale: float, degrees: float) -> None:
    shape = (2048, 2560)
    board = (np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 2).astype(np.float32) * 200
    grey = warp(board, similarity(scale, degrees, False, shape))
    inside = grey[20:-20, 20:-20]
    np.testing.assert_allclose(inside, 100, atol=0.01)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0, 40.0, 100.0])
def test_what_lies_outside_is_filled(scale: float) -> None:
    """The middle of the result is the picture's lower right corner."""
    picture = np.full(HAND.shape, 100, np.float32)
    matrix = similarity(scale, 0, False, picture.shape)
    matrix[:, 2] += np.array(picture.shape[::-1]) / 2
    warped = warp(picture, matrix, fill=321.0)
    reach = 2 ** math.floor(math.log2(min(max(scale, 1), 32))) / scale + 1
    rows, columns = (math.ceil(side / 2 + reach) for side in SIZE)
    assert (warped[rows:] == 321).all()
    assert (warped[:, columns:] == 321).all()
    if scale <= 3:
        rows, columns = (math.floor(side / 2 - reach) for side in SIZE)
        assert (warped[:rows, :columns] == 100).all()


@pytest.mark.parametrize("scale", [0.7, 1.9, 5.0])
def test_eager_function_and_tf_data_give_the_same_pixels(scale: float) -> None:
    picture = tf.constant(HAND[..., None])
    matrix = tf.constant(similarity(scale, 25, True, HAND.shape))

    def shrink(pixels: tf.Tensor, to_pixels: tf.Tensor) -> tf.Tensor:
        return geometry.warp(geometry.pyramid(pixels), to_pixels, SIZE)

    signature = [tf.TensorSpec((None, None, 1), tf.float32), tf.TensorSpec((2, 3), tf.float32)]
    compiled = tf.function(shrink, input_signature=signature, autograph=False)
    data = tf.data.Dataset.from_tensors((picture, matrix)).map(shrink)
    eager = shrink(picture, matrix)
    np.testing.assert_array_equal(eager, compiled(picture, matrix))
    np.testing.assert_array_equal(eager, next(iter(data)))


# === Pyramid ===


@pytest.mark.parametrize("shape", [(64, 64), (97, 130), (64, 200)])
def test_every_level_holds_the_means_of_four(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).uniform(0, 1000, shape).astype(np.float32)
    levels = [
        level.numpy()[0, ..., 0] for level in geometry.pyramid(tf.constant(picture[..., None]))
    ]
    assert len(levels) == geometry.LEVELS
    np.testing.assert_array_equal(levels[0], picture)
    for finer, coarser in itertools.pairwise(levels):
        height, width = (side // 2 for side in finer.shape)
        assert coarser.shape == (height, width)
        four = finer[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
        np.testing.assert_allclose(coarser, four.mean(axis=(1, 3)), rtol=1e-6)


# === Matrices ===


def random_matrix(seed: int) -> tf.Tensor:
    rng = np.random.default_rng(seed)
    scale, degrees, mirrored = math.exp(rng.normal()), rng.uniform(-180, 180), rng.random() < 0.5
    matrix = similarity(scale, degrees, mirrored, (300, 200))
    return tf.constant(matrix + np.float32(rng.normal(0, 30, (2, 3)) * [0, 0, 1]), tf.float32)


POINTS = tf.constant([[0.0, 0.0], [10.0, -3.0], [200.5, 99.25]])


@pytest.mark.parametrize("seed", range(6))
def test_the_inverse_leads_back(seed: int) -> None:
    matrix = random_matrix(seed)
    there = geometry.move(POINTS, matrix)
    np.testing.assert_allclose(geometry.move(there, geometry.inverse(matrix)), POINTS, atol=2e-3)


@pytest.mark.parametrize("seed", range(6))
def test_the_product_does_one_after_the_other(seed: int) -> None:
    first, second = random_matrix(seed), random_matrix(seed + 100)
    at_once = geometry.move(POINTS, geometry.product(second, first))
    one_by_one = geometry.move(geometry.move(POINTS, first), second)
    np.testing.assert_allclose(at_once, one_by_one, rtol=1e-4, atol=2e-3)


def test_a_matrix_moves_points_as_the_warp_moves_pixels() -> None:
    """The brightest pixel of a warped dot is where the inverse takes the dot."""
    picture = np.zeros((200, 240), np.float32)
    picture[70, 150] = 1000
    matrix = similarity(1.5, 35, True, picture.shape)
    warped = warp(picture, matrix)
    row, column = np.unravel_index(warped.argmax(), SIZE)
    expected = geometry.move(
        tf.constant([[150.0, 70.0]]), geometry.inverse(tf.constant(matrix))
    ).numpy()[0]
    assert np.abs([column, row] - expected).max() <= 1


@pytest.mark.parametrize("seed", range(4))
def test_steps_are_the_pixels_of_the_source_for_one_of_the_result(seed: int) -> None:
    matrix = random_matrix(seed)
    ends = geometry.move(tf.constant([[0.0, 0.0], [3.0, 4.0]]), matrix).numpy()
    assert float(geometry.steps(matrix)) == pytest.approx(
        np.hypot(*(ends[1] - ends[0])) / 5, rel=1e-4
    )


@pytest.mark.parametrize("shape", [(64, 64), (340, 260), (260, 340), (100, 901), (2000, 77)])
def test_the_letterbox_s_matrix_leads_from_its_edges_to_the_picture_s(
    shape: tuple[int, int],
) -> None:
    frame = (224, 176)
    height, width = geometry.fitted_size(tf.constant(shape), frame).numpy()
    top, left = (frame[0] - height) // 2, (frame[1] - width) // 2
    corners = tf.constant([[left - 0.5, top - 0.5], [left + width - 0.5, top + height - 0.5]])
    matrix = geometry.centred_matrix(tf.constant(shape), frame)
    found = geometry.move(tf.cast(corners, tf.float32), matrix)
    expected = [[-0.5, -0.5], [shape[1] - 0.5, shape[0] - 0.5]]
    np.testing.assert_allclose(found, expected, atol=1e-3)
