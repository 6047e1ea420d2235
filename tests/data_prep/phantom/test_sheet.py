"""The sheet of `docs/phantoms.md`."""

from bone_age_tf.data_prep.phantom.sheet import sheet


def test_one_tile_for_each_age_and_sex() -> None:
    picture = sheet((2, 12), size=100)
    assert picture.shape == (200, 160)
    tiles = [picture[r : r + 100, c : c + 80] for r in (0, 100) for c in (0, 80)]
    assert all(tile.std() > 20 for tile in tiles)
    assert len({tile.tobytes() for tile in tiles}) == 4
