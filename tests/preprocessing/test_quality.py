"""Quality scores of hand-made localizations, and a reason for every limit."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf.preprocessing import quality, registration
from bone_age_tf.preprocessing import rejections as reasons
from bone_age_tf.preprocessing.localizer.decoding import Localization
from bone_age_tf.preprocessing.localizer.network import IMAGE_CLASSES, POINTS, VIEW
from bone_age_tf.preprocessing.localizer.weights import Limits

FREE = 2 * len(quality.FREE_POINTS)
LIMITS = Limits(
    hand=0.6,
    certainty=0.5,
    distance=4.0,
    coverage=0.8,
    edge=0.05,
    wrist=0.04,
    tilt=0.3,
    resolution=60.0,
    mean=(0.0,) * FREE,
    precision=tuple(map(tuple, np.eye(FREE).tolist())),
)
HAND = tf.constant([0.9, 0.05, 0.03, 0.02])
GOOD = quality.Scores(
    HAND, *(tf.constant(value) for value in (0.8, 2.0, 0.95, 0.2, 0.2, 0.1, 200.0))
)

VIEW_POINTS = {
    "middle_tip": (84, 30),
    "thumb_tip": (132, 94),
    "capitate": (84, 150),
    "index_mcp": (100, 90),
    "little_mcp": (60, 98),
    "wrist": (85, 170),
    "index_tip": (104, 42),
    "ring_tip": (68, 40),
    "little_tip": (48, 62),
}
"""An upright hand in the view; its hand unit is 120 pixels."""


def status_of(**changes: float | list[float]) -> str:
    changed = GOOD._replace(**{name: tf.constant(value) for name, value in changes.items()})
    return quality.status(changed, LIMITS).numpy().decode()


def found(rows: slice, columns: slice) -> Localization:
    mask = np.zeros((*VIEW, 1), np.float32)
    mask[rows, columns] = 1
    points = tf.constant([VIEW_POINTS[name] for name in POINTS], tf.float32)
    certainty = tf.constant([0.9, 0.7, 0.8, 0.9, 0.95, 0.75, 0.9, 0.6, 0.9])
    return Localization(
        points, certainty, tf.constant(mask), HAND, tf.constant(0.0), tf.constant(0.2)
    )


def scored(
    localization: Localization,
    *,
    matrix: tuple[tuple[float, ...], ...] = ((1, 0, 0), (0, 1, 0)),
    size: tuple[int, int] = VIEW,
    limits: Limits = LIMITS,
) -> quality.Scores:
    to_picture = tf.constant(matrix, tf.float32)
    return quality.scores(HAND, localization, limits, to_picture, tf.constant(size))


WHOLE = found(slice(25, 224), slice(40, 140))


# === Reasons ===


def test_a_good_radiograph_is_ok() -> None:
    assert status_of() == reasons.OK


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image_class": [0.5, 0.4, 0.05, 0.05]}, "not_a_hand"),
        ({"image_class": [0.5, 0.1, 0.3, 0.1]}, "no_whole_hand"),
        ({"image_class": [0.0, 0.1, 0.3, 0.6]}, "two_hands"),
        ({"image_class": [0.2, 0.2, 0.15, 0.45]}, "not_a_hand"),
        ({"image_class": [0.2, 0.1, 0.25, 0.45]}, "no_whole_hand"),
        ({"resolution": 59.0}, "too_low_resolution"),
        ({"certainty": 0.49}, "implausible_key_points"),
        ({"distance": 4.1}, "implausible_key_points"),
        ({"coverage": 0.79}, "no_whole_hand"),
        ({"wrist": 0.03}, "no_whole_hand"),
        ({"tilt": 0.31}, "oblique"),
        ({"edge": 0.04}, "mask_touches_top"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_each_limit_has_its_reason(changes: dict[str, float], reason: str) -> None:
    assert status_of(**changes) == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"image_class": [0.6, 0.4, 0.0, 0.0]},
        {"resolution": 60.0},
        {"distance": 4.0},
        {"coverage": 0.8},
        {"edge": 0.05},
        {"wrist": 0.04},
        {"tilt": 0.3},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_just_at_its_limit_is_ok(changes: dict[str, float]) -> None:
    assert status_of(**changes) == reasons.OK


def test_the_first_reason_is_the_one_that_is_given() -> None:
    bad = {"resolution": 1.0, "certainty": 0.0, "distance": 99.0, "edge": -1.0}
    assert status_of(**bad, image_class=[0.1, 0.0, 0.0, 0.9]) == "two_hands"
    assert status_of(**bad) == "too_low_resolution"
    assert status_of(edge=-1.0, certainty=0.0) == "implausible_key_points"


def test_every_status_has_an_explanation() -> None:
    given = {
        *IMAGE_CLASSES[1:],
        "too_low_resolution",
        "implausible_key_points",
        "mask_touches_top",
        "oblique",
    }
    assert set(reasons.EXPLANATIONS) == given | {reasons.BLANK}
    assert reasons.OK not in reasons.EXPLANATIONS


# === Scores ===


def test_certainty_is_that_of_the_least_certain_point_that_places_the_hand() -> None:
    assert float(scored(WHOLE).certainty) == pytest.approx(0.7)


@pytest.mark.parametrize("step", [0.5, 1.0, 7.5])
def test_resolution_counts_pixels_of_the_file(step: float) -> None:
    scores = scored(WHOLE, matrix=((0, -step, 900), (step, 0, 3)), size=(2000, 2000))
    assert float(scores.resolution) == pytest.approx(120 * step, rel=1e-4)


def test_distance_is_mahalanobis() -> None:
    rng = np.random.default_rng(0)
    spread = rng.normal(0, 1, (FREE, FREE))
    precision = spread @ spread.T + np.eye(FREE)
    mean = rng.normal(0, 0.3, FREE)
    limits = dataclasses.replace(
        LIMITS, mean=tuple(mean.tolist()), precision=tuple(map(tuple, precision.tolist()))
    )
    units = registration.in_hand_units(WHOLE.points).numpy()
    free = [POINTS.index(name) for name in ("thumb_tip", "index_mcp", "little_mcp", "wrist")]
    away = units[free].ravel() - mean
    expected = np.sqrt(away @ precision @ away)
    assert float(scored(WHOLE, limits=limits).distance) == pytest.approx(expected, rel=1e-4)


def test_distance_of_the_mean_hand_is_nothing() -> None:
    mean = quality.shape_vector(WHOLE.points).numpy().tolist()
    limits = dataclasses.replace(LIMITS, mean=tuple(mean))
    assert float(scored(WHOLE, limits=limits).distance) < 1e-5


@pytest.mark.parametrize(
    ("left", "top", "size", "edge", "wrist"),
    [
        (0, 0, VIEW, 30.5, 53.5),
        (0, 28, (190, 176), 2.5, 47.5),
        (46, 0, (224, 130), 2.5, 39.5),
        (0, 0, (224, 134), 1.5, 48.5),
        (0, 35, (189, 176), -4.5, 53.5),
        (0, 0, (172, 176), 30.5, 1.5),
        (0, 0, (165, 176), 30.5, -5.5),
    ],
    ids=["whole", "top", "little finger", "thumb", "fingers cut", "tight wrist", "wrist cut"],
)
def test_edge_and_wrist_are_distances_from_the_picture_s_edge(
    left: int, top: int, size: tuple[int, int], edge: float, wrist: float
) -> None:
    cropped = scored(WHOLE, matrix=((1, 0, -left), (0, 1, -top)), size=size)
    assert float(cropped.edge) * 120 == pytest.approx(edge, abs=0.01)
    assert float(cropped.wrist) * 120 == pytest.approx(wrist, abs=0.01)


def test_the_border_of_the_view_is_no_edge_of_the_picture() -> None:
    inside = scored(WHOLE, matrix=((1, 0, 200), (0, 1, 150)), size=(500, 600))
    assert float(inside.edge) * 120 == pytest.approx(180.5, abs=0.01)


def test_the_edge_of_a_larger_picture_is_found_in_hand_units() -> None:
    scores = scored(WHOLE, matrix=((6, 0, -100), (0, 6, -120)), size=(2000, 1500))
    assert float(scores.edge) == pytest.approx(60.5 / 720, abs=1e-4)


def test_tilt_is_that_of_the_hand_s_view() -> None:
    assert float(scored(WHOLE).tilt) == pytest.approx(0.2)


def test_coverage_is_the_share_of_the_hand_that_the_mask_holds() -> None:
    assert float(scored(found(slice(0, 200), slice(20, 160))).coverage) == 1.0
    assert float(scored(found(slice(0, 10), slice(0, 10))).coverage) == 0.0
    carpals_alone = float(scored(found(slice(130, 190), slice(40, 130))).coverage)
    assert 0.3 < carpals_alone < 0.6
