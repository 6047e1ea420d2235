"""What counts as one whole hand: crops, cuts, views and grey levels, on phantoms and on real radiographs."""

import collections
import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from conftest import encode

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.data import processing
from bone_age_tf.data_prep.phantom import draw
from bone_age_tf.preprocessing.localizer.network import POINTS
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.preprocessing.rejections import OK

AGES = (14, 60, 120, 220)
CUT = {"no_whole_hand", "mask_touches_top"}
REAL = 24


class Hand(NamedTuple):
    """An upright hand and the box (left, top, right, bottom) of its bones."""

    picture: np.ndarray
    points: dict[str, np.ndarray]
    unit: float


def hand_of(picture: np.ndarray, points: dict[str, np.ndarray]) -> Hand:
    return Hand(picture, points, float(np.hypot(*(points["middle_tip"] - points["capitate"]))))


def phantom(number: int, **taken: float) -> Hand:
    rng = np.random.default_rng([71, number])
    picture, truth = draw(AGES[number % len(AGES)], "FM"[number % 2], rng, size=480, **taken)
    return hand_of(picture, {name: np.array(at) for name, at in truth.key_points.items()})


@pytest.fixture(scope="module")
def hands() -> list[Hand]:
    return [phantom(number) for number in range(len(AGES))]


@pytest.fixture(scope="module")
def status_of() -> Callable[[np.ndarray], str]:
    preprocessor = Preprocessor(PreprocessingConfig(scale=0.05))
    return lambda picture: preprocessor.graph(encode(picture)).status.numpy().decode()


def tight(hand: Hand) -> np.ndarray:
    """Cropped on every side where skin ends; the forearm a little below the wrist."""
    tips = np.array([hand.points[name] for name in POINTS if name.endswith(("tip", "mcp"))])
    left, top = np.maximum(tips.min(axis=0) - 0.035 * hand.unit, 0).astype(int)
    right, _ = (tips.max(axis=0) + 0.035 * hand.unit).astype(int)
    bottom = int(hand.points["wrist"][1] + 0.13 * hand.unit)
    return hand.picture[top:bottom, left:right]


def without_fingertip(hand: Hand) -> np.ndarray:
    """The end of the middle finger is above the picture."""
    return hand.picture[int(hand.points["middle_tip"][1] + 0.12 * hand.unit) :]


def without_thumb_tip(hand: Hand) -> np.ndarray:
    thumb, middle = (hand.points[name][0] for name in ("thumb_tip", "middle_tip"))
    inward = int(thumb - np.sign(thumb - middle) * 0.1 * hand.unit)
    return hand.picture[:, :inward] if thumb > middle else hand.picture[:, inward:]


def without_forearm(hand: Hand) -> np.ndarray:
    """Cut through the carpus."""
    return hand.picture[: int(hand.points["capitate"][1] + 0.04 * hand.unit)]


def without_wrist(hand: Hand) -> np.ndarray:
    """Cut at the growth plate of the radius."""
    return hand.picture[: int(hand.points["wrist"][1])]


def statuses(
    make: Callable[[Hand], np.ndarray], hands: list[Hand], status_of: Callable[[np.ndarray], str]
) -> collections.Counter[str]:
    return collections.Counter(status_of(make(hand)) for hand in hands)


def test_tight_crops_are_accepted(hands: list[Hand], status_of: Callable) -> None:
    assert statuses(tight, hands, status_of)[OK] >= len(hands) - 1


@pytest.mark.parametrize("make", [without_fingertip, without_thumb_tip])
def test_cut_fingers_are_rejected(make: Callable, hands: list[Hand], status_of: Callable) -> None:
    assert set(statuses(make, hands, status_of)) <= CUT


@pytest.mark.parametrize("make", [without_forearm, without_wrist])
def test_without_radius_and_ulna_it_is_no_whole_hand(
    make: Callable, hands: list[Hand], status_of: Callable
) -> None:
    found = statuses(make, hands, status_of)
    assert found[OK] == 0
    assert found["no_whole_hand"] >= len(hands) - 1


def test_a_hand_that_is_turned_out_of_the_plane_is_oblique(status_of: Callable) -> None:
    turned = [
        phantom(number, out_of_plane_degrees=(-1) ** number * 50) for number in range(len(AGES))
    ]
    found = statuses(lambda hand: hand.picture, turned, status_of)
    assert found["oblique"] >= len(AGES) - 1


def test_local_contrast_is_no_reason(hands: list[Hand], status_of: Callable) -> None:
    def processed(hand: Hand) -> np.ndarray:
        grey = processing.clahe(hand.picture.astype(np.float32) / 255, clip=4)
        return np.round(grey * 255).astype(np.uint8)

    assert statuses(processed, hands, status_of)[OK] >= len(hands) - 1


# === Real radiographs ===


@pytest.fixture
def real_hands(real_data: Path) -> list[Hand]:
    """Upright ones among those with key points."""
    kaggle = real_data / "rsna-bone-age"
    known: dict[str, dict[str, np.ndarray]] = {}
    with (kaggle / "key_points.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            at = np.array([float(row["x"]), float(row["y"])])
            known.setdefault(row["id"], {})[row["point"]] = at
    found = []
    for name, points in sorted(known.items()):
        along = points["capitate"] - points["middle_tip"]
        if abs(along[0]) < 0.12 * along[1]:
            (path,) = (kaggle / "boneage-training-dataset").rglob(f"{name}.png")
            found.append(hand_of(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), points))
    return found[:REAL]


@pytest.mark.large
def test_real_crops_and_cuts(real_hands: list[Hand], status_of: Callable) -> None:
    assert len(real_hands) == REAL

    def lower_crop(hand: Hand) -> np.ndarray:
        """Tight at the top and below; at the sides not every fingertip is annotated."""
        top = max(int(hand.points["middle_tip"][1] - 0.035 * hand.unit), 0)
        return hand.picture[top : int(hand.points["wrist"][1] + 0.13 * hand.unit)]

    assert statuses(lower_crop, real_hands, status_of)[OK] >= 0.9 * REAL
    assert statuses(without_fingertip, real_hands, status_of)[OK] <= 1
    assert statuses(without_forearm, real_hands, status_of)["no_whole_hand"] >= 0.9 * REAL
