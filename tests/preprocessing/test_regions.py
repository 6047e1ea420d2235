import pytest

from bone_age_tf.errors import UsageError
from bone_age_tf.preprocessing.regions import REGIONS, crop_of


def left(name: str, frame: tuple[int, int]) -> tuple[slice, slice]:
    rows, columns = crop_of(name, frame)
    assert min(*rows, *columns) >= 0
    return slice(rows[0], frame[0] - rows[1]), slice(columns[0], frame[1] - columns[1])


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("frame", (0, 2080), (0, 1600)),
        ("hand", (40, 2040), (50, 1550)),
        ("carpal", (1225, 1975), (425, 1175)),
        ("metacarpal", (740, 1340), (100, 1500)),
    ],
)
def test_regions_at_scale_1(name: str, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    assert left(name, (2080, 1600)) == (slice(*rows), slice(*columns))


@pytest.mark.parametrize("frame", [(520, 400), (260, 200), (104, 80)])
@pytest.mark.parametrize("name", REGIONS)
def test_a_smaller_frame_has_smaller_regions(name: str, frame: tuple[int, int]) -> None:
    scale = frame[0] / 2080
    for region, whole in zip(left(name, frame), left(name, (2080, 1600)), strict=True):
        assert region.start == pytest.approx(whole.start * scale, abs=0.51)
        assert region.stop == pytest.approx(whole.stop * scale, abs=1.01)


def test_the_carpal_region_holds_the_capitate() -> None:
    rows, columns = left("carpal", (520, 400))
    assert rows.start < 400 < rows.stop
    assert columns.start < 200 < columns.stop


def test_an_unknown_region_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'foot'.*carpal"):
        crop_of("foot", (520, 400))
