"""The sheet of `docs/phantoms.md`."""

import numpy as np

from bone_age_tf.data_prep.phantom.sheet import sheet, turned_sheet


def test_one_tile_for_each_age_and_sex() -> None:
    picture = sheet((2, 12), size=100)
    assert picture.shape == (200, 160)
    tiles = [picture[r : r + 100, c : c + 80] for r in (0, 100) for c in (0, 80)]
    assert all(tile.std() > 20 for tile in tiles)
    assert len({tile.tobytes() for tile in tiles}) == 4


def test_one_tile_for_each_angle() -> None:
    flat, lateral = np.hsplit(turned_sheet((0, 90), size=100).astype(int), 2)
    assert flat.shape == (100, 80)
    assert (lateral[20:] > 60).sum() < 0.75 * (flat[20:] > 60).sum()
