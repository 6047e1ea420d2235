"""Where the outline lies: along the edges of pixels, in the pixels of the file."""

import cv2
import numpy as np
import pytest

from bone_age_tf.dicom_output.outline import border_of, mask_of, outline_of

SIZE = (520, 400)
IDENTITY = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


def prepared_box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Bright from the first to the last of these columns and rows."""
    prepared = np.zeros((*SIZE, 1), np.uint8)
    prepared[top : bottom + 1, left : right + 1] = 90
    return prepared


def test_it_runs_along_the_edge_of_the_pixels_not_their_centres() -> None:
    outline = outline_of(prepared_box(100, 80, 299, 429), IDENTITY)
    assert outline.min(0) == pytest.approx([99.5, 79.5], abs=0.13)
    assert outline.max(0) == pytest.approx([299.5, 429.5], abs=0.13)
    area = cv2.contourArea(outline.astype(np.float32))
    assert area == pytest.approx(200 * 350, rel=0.01)


def test_it_ends_at_the_edge_of_the_frame() -> None:
    outline = outline_of(prepared_box(100, 300, 299, 519), IDENTITY)
    assert outline[:, 1].max() == pytest.approx(519.5, abs=0.13)


@pytest.mark.parametrize("degrees", [0, 30, 90, 200])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_it_is_in_the_pixels_of_the_file(degrees: float, is_mirrored: bool) -> None:
    angle = np.deg2rad(degrees)
    turn = 3.7 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([-1 if is_mirrored else 1, 1])
    matrix = np.column_stack([turn, [900, 1200]]).astype(np.float32)
    outline = outline_of(prepared_box(100, 80, 299, 429), matrix)
    corners = np.array([(99.5, 79.5), (299.5, 79.5), (299.5, 429.5), (99.5, 429.5)])
    expected = (corners @ turn.T + [900, 1200]).astype(np.float32)
    away = [cv2.pointPolygonTest(expected[:, None], point, True) for point in outline.tolist()]
    assert np.abs(away).max() < 0.7 * 3.7  # corners are rounded
    area = cv2.contourArea(outline.astype(np.float32))
    assert area == pytest.approx(200 * 350 * 3.7**2, rel=0.01)


def test_an_oblique_edge_is_straight() -> None:
    prepared = np.zeros(SIZE, np.uint8)
    corners = np.array([(100, 60), (330, 100), (290, 420), (60, 380)])
    cv2.fillPoly(prepared, [corners], 90)
    assert len(outline_of(prepared[..., None], IDENTITY)) < 16


def test_only_the_hand_counts_not_specks() -> None:
    prepared = prepared_box(100, 80, 299, 429)
    prepared[5:9, 5:9] = 200
    prepared[200:210, 200:210] = 0  # a hole
    outline = outline_of(prepared, IDENTITY)
    assert cv2.contourArea(outline.astype(np.float32)) == pytest.approx(200 * 350, rel=0.01)


def test_the_border_is_that_of_the_whole_radiograph() -> None:
    border = border_of(30, 20)
    assert border.min(0).tolist() == [-0.5, -0.5] and border.max(0).tolist() == [19.5, 29.5]
    assert mask_of(border, (30, 20)).all()


def test_the_mask_is_what_is_inside() -> None:
    mask = mask_of(np.array([(9.6, 4.6), (19.4, 4.6), (19.4, 14.4), (9.6, 14.4)]), (30, 40))
    assert mask.dtype == bool and mask.sum() == 100
    assert mask[5:15, 10:20].all()
