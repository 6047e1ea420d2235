import numpy as np
import pytest

from bone_age_tf.preprocessing import overlay


def coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """bool [height, width]: nearly that colour."""
    return np.abs(picture.astype(int) - colour).max(axis=-1) < 40


@pytest.fixture
def radiograph() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, (400, 300)).astype(np.uint8)


@pytest.mark.parametrize(("longest", "size"), [(1000, (400, 300)), (200, (200, 150))])
def test_a_large_radiograph_is_made_smaller(
    longest: int, size: tuple[int, int], radiograph: np.ndarray
) -> None:
    assert overlay.draw(radiograph, None, None, None, longest=longest).shape == (*size, 3)


@pytest.mark.parametrize("longest", [400, 200])
def test_points_outline_and_frame_are_where_they_should_be(
    longest: int, radiograph: np.ndarray
) -> None:
    mask = np.zeros_like(radiograph)
    mask[100:300, 80:220] = 255
    point, corners = (
        np.array([[150.0, 200.0]]),
        np.array([[20, 30], [280, 30], [280, 380], [20, 380]]),
    )
    picture = overlay.draw(radiograph, mask, point, corners.astype(float), longest=longest)
    scale = longest / 400
    rows, columns = np.nonzero(coloured(picture, overlay.POINT))
    assert (columns.mean(), rows.mean()) == pytest.approx((150 * scale, 200 * scale), abs=1)
    for colour, (left, top, right, bottom) in (
        (overlay.OUTLINE, (80, 100, 219, 299)),
        (overlay.FRAME, (20, 30, 280, 380)),
    ):
        rows, columns = np.nonzero(coloured(picture, colour))
        edges = (columns.min(), rows.min(), columns.max(), rows.max())
        assert edges == pytest.approx([x * scale for x in (left, top, right, bottom)], abs=2)


def test_without_findings_the_picture_is_grey(radiograph: np.ndarray) -> None:
    picture = overlay.draw(radiograph, None, None, None, longest=400)
    assert not np.ptp(picture, axis=-1).any()
    assert (picture.min(), picture.max()) == (0, 255)


def test_a_radiograph_of_one_grey_level_can_be_drawn() -> None:
    assert overlay.draw(np.full((90, 70), 7, np.uint8), None, None, None, longest=50).max() == 0


@pytest.mark.parametrize("words", [1, 30])
def test_a_label_fits_above_its_picture(words: int) -> None:
    picture = np.full((50, 200, 3), 9, np.uint8)
    labelled = overlay.label(picture, "no hand " * words, overlay.REJECTED)
    np.testing.assert_array_equal(labelled[-50:], picture)
    band = labelled[:-50]
    assert band.shape[1] == 200
    assert band.any()
    assert not band[:, -3:].any()


def test_a_sheet_has_a_cell_for_each_picture() -> None:
    pictures = [np.full((40 + n, 30, 3), 100 + n, np.uint8) for n in range(5)]
    sheet = overlay.sheet(pictures, 3)
    assert sheet.shape == (2 * 50, 3 * 36, 3)
    for number, picture in enumerate(pictures):
        top, left = number // 3 * 50 + 3, number % 3 * 36 + 3
        height, width = picture.shape[:2]
        np.testing.assert_array_equal(sheet[top : top + height, left : left + width], picture)


def test_a_sheet_of_one_is_as_wide_as_its_picture() -> None:
    assert overlay.sheet([np.zeros((40, 30, 3), np.uint8)], 5).shape == (46, 36, 3)
