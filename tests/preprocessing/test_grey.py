import numpy as np
import pytest
from conftest import draw_phantom, encode

from bone_age_tf.errors import InputDataError
from bone_age_tf.preprocessing.grey import grey_levels, grey_values

HAND = draw_phantom(100, 1, height=120, width=90)


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp"])
def test_grey_values_are_those_of_the_file_in_any_format(ending: str) -> None:
    values = grey_values(encode(HAND, ending))
    assert values is not None
    np.testing.assert_allclose(values * 255, HAND, atol=1e-4)


def test_grey_levels_span_black_to_white() -> None:
    levels = grey_levels(encode(HAND.astype(np.uint16) * 100, ".tif"))
    assert (levels.dtype, levels.min(), levels.max()) == (np.uint8, 0, 255)


@pytest.mark.parametrize("encoded", [b"", b"no image", encode(HAND, ".webp")])
def test_what_is_not_read_has_no_grey_values(encoded: bytes) -> None:
    assert grey_values(encoded) is None
    with pytest.raises(InputDataError):
        grey_levels(encoded)
