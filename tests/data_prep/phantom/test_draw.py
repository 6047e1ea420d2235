"""One synthetic radiograph and its ground truth."""

import cv2
import numpy as np
import pytest

from bone_age_tf.data_prep.phantom import draw
from bone_age_tf.data_prep.phantom.skeleton import ALL_BONES, CARPALS

SHARED_NAMES = {"middle_tip", "thumb_tip", "capitate", "index_mcp", "little_mcp", "wrist"}


def _draw(age: float, sex: str = "F", seed: int = 0, **options):
    return draw(age, sex, np.random.default_rng(seed), **{"size": 256, **options})


def _area(truth, *names: str) -> int:
    labels = [1 + ALL_BONES.index(name) for name in names]
    return int(np.isin(truth.bones, labels).sum())


def test_shapes_and_types() -> None:
    radiograph, truth = _draw(100)
    assert radiograph.shape == truth.mask.shape == truth.bones.shape == (256, 205)
    assert radiograph.dtype == truth.mask.dtype == truth.bones.dtype == np.uint8
    assert set(np.unique(truth.mask)) == {0, 255}
    assert set(truth.key_points) >= SHARED_NAMES
    assert len(truth.key_points) == 26


@pytest.mark.parametrize("style", ["clean", "varied"])
def test_the_same_generator_draws_the_same_radiograph(style: str) -> None:
    assert (_draw(90, style=style)[0] == _draw(90, style=style)[0]).all()
    other = _draw(90, style=style, seed=1)[0]
    assert (
        other.shape != _draw(90, style=style)[0].shape or (other != _draw(90, style=style)[0]).any()
    )


@pytest.mark.parametrize("style", ["clean", "varied"])
def test_bones_lie_inside_the_hand(style: str) -> None:
    for seed in range(30):
        _, truth = _draw(7 * (seed + 1), "FM"[seed % 2], seed, style=style)
        outside = ((truth.bones > 0) & (truth.mask == 0)).sum()
        assert outside <= 0.01 * (truth.bones > 0).sum(), seed


@pytest.mark.parametrize("age", [20, 40, 60, 90, 120, 160, 200])
def test_mcp_points_are_the_centres_of_the_epiphyses(age: float) -> None:
    """Against the label map: until it fuses, the epiphysis is a separate piece."""
    _, truth = _draw(age, size=900, seed=2)
    unit = np.hypot(*np.subtract(truth.key_points["middle_tip"], truth.key_points["capitate"]))
    for point, ray in (("index_mcp", 2), ("little_mcp", 5)):
        label = (truth.bones == 1 + ALL_BONES.index(f"metacarpal_{ray}")).astype(np.uint8)
        at = np.array(truth.key_points[point])
        assert label[tuple(np.round(at[::-1]).astype(int))] == 1
        _, _, _, centroids = cv2.connectedComponentsWithStats(label)
        if len(centroids) == 3:
            distance = min(np.hypot(*(centroids[1:] - at).T)) / unit
            assert distance < 0.006


def test_key_points_lie_on_their_bones() -> None:
    for seed in range(8):
        _, truth = _draw(120 + 10 * seed, "FM"[seed % 2], seed, size=512)
        where = {"capitate": "capitate", "index_mcp": "metacarpal_2", "little_mcp": "metacarpal_5"}
        for point, bone in where.items():
            x, y = np.round(truth.key_points[point]).astype(int)
            assert truth.bones[y, x] == 1 + ALL_BONES.index(bone), (seed, point)
        for point, bone in {"middle_tip": "distal_3", "thumb_tip": "distal_1"}.items():
            rows, columns = np.nonzero(truth.bones == 1 + ALL_BONES.index(bone))
            x, y = truth.key_points[point]
            assert np.hypot(columns - x, rows - y).min() < 4, (seed, point)


def test_the_thumb_is_on_the_right_unless_mirrored() -> None:
    seen = set()
    for seed in range(60):
        _, truth = _draw(120, seed=seed, size=64, style="varied")
        if abs(truth.acquisition.rotation_degrees) < 30:
            on_right = truth.key_points["thumb_tip"][0] > truth.key_points["little_mcp"][0]
            assert on_right != truth.acquisition.mirrored
            seen.add(on_right)
    assert seen == {True, False}


@pytest.mark.parametrize("sex", ["F", "M"])
def test_drawn_carpal_bones_come_in_the_published_order(sex: str) -> None:
    first_seen: dict[str, int] = {}
    for month in range(0, 190, 4):
        _, truth = draw(month, sex, np.random.default_rng(7), size=256)
        for name in CARPALS:
            if name not in first_seen and truth.stages[name].size > 0:
                assert _area(truth, name) > 0
                first_seen[name] = month
    early = ["capitate", "hamate", "triquetrum", "lunate"]
    assert [first_seen[name] for name in early] == sorted(first_seen[name] for name in early)
    assert first_seen["capitate"] < first_seen["triquetrum"] < first_seen["scaphoid"]
    assert max(first_seen, key=first_seen.__getitem__) == "pisiform"


def test_one_child_matures_as_it_gets_older() -> None:
    share = []
    for age in range(6, 110, 8):
        _, truth = _draw(age, seed=3, size=384)
        share.append(_area(truth, *CARPALS) / (truth.mask > 0).sum())
    assert share == sorted(share)
    assert share[-1] > 10 * share[0]


def test_a_girl_is_ahead_of_a_boy_of_the_same_age_in_years() -> None:
    girl, boy = _draw(60, "F")[1], _draw(60, "M")[1]
    assert _area(girl, *CARPALS) > 1.2 * _area(boy, *CARPALS)


def test_bone_is_brighter_than_soft_tissue() -> None:
    radiograph, truth = _draw(120)
    bone = radiograph[truth.bones > 0].mean()
    soft = radiograph[(truth.mask > 0) & (truth.bones == 0)].mean()
    air = radiograph[truth.mask == 0].mean()
    assert bone > soft + 20 > air + 40


def test_without_bones_the_same_hand_remains() -> None:
    (with_bones, truth), (without, same) = _draw(120), _draw(120, with_bones=False)
    assert (truth.mask == same.mask).all()
    assert (truth.bones == same.bones).all()

    def detail(radiograph: np.ndarray) -> float:
        return float(np.abs(np.diff(radiograph.astype(int), axis=1))[truth.bones[:, 1:] > 0].mean())

    assert detail(with_bones) > 2 * detail(without)


def test_pixel_spacing_is_that_of_a_hand() -> None:
    _, truth = _draw(216, "M", size=512)
    tip, capitate = (np.array(truth.key_points[name]) for name in ("middle_tip", "capitate"))
    assert np.hypot(*(tip - capitate)) * truth.pixel_spacing_mm == pytest.approx(163, rel=0.25)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"bone_age_months": 301}, "0 to 300"),
        ({"sex": "unknown"}, "F or M"),
        ({"size": 8}, "at least 64"),
        ({"style": "artistic"}, "clean"),
    ],
)
def test_what_cannot_be_drawn_is_named(changes: dict, named: str) -> None:
    arguments = {"bone_age_months": 100, "sex": "F", **changes}
    with pytest.raises(ValueError, match=named):
        draw(rng=np.random.default_rng(0), **arguments)
