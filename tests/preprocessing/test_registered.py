"""From a file to the registered hand, on phantoms whose ground truth is known."""

import csv
import dataclasses
import functools
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_phantom, encode

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.data_prep.phantom import draw
from bone_age_tf.preprocessing import geometry, pipeline
from bone_age_tf.preprocessing.examination import Examiner, Finding
from bone_age_tf.preprocessing.localizer import weights as localizer
from bone_age_tf.preprocessing.localizer.network import POINTS
from bone_age_tf.preprocessing.pipeline import Prepared
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.preprocessing.rejections import EXPLANATIONS, OK, Rejection

CONFIG = PreprocessingConfig()
SMALL = PreprocessingConfig(scale=0.05)
AGES = [15, 48, 90, 130, 170, 222]
ANNOTATED = POINTS[:6]
"""Key points that real radiographs have been annotated with."""
TIP, CAPITATE = POINTS.index("middle_tip"), POINTS.index("capitate")


class Hand(NamedTuple):
    """A synthetic radiograph and its ground truth."""

    radiograph: np.ndarray
    mask: np.ndarray
    points: np.ndarray
    unit: float
    """Pixels between capitate and middle fingertip."""


@pytest.fixture(scope="module")
def hands() -> list[Hand]:
    hands = []
    for number, age in enumerate(AGES):
        rng = np.random.default_rng(10 + number)
        radiograph, truth = draw(age, "FM"[number % 2], rng, size=480)
        points = np.array([truth.key_points[name] for name in POINTS])
        unit = float(np.hypot(*(points[TIP] - points[CAPITATE])))
        hands.append(Hand(radiograph, truth.mask, points, unit))
    return hands


@functools.cache  # tracing takes seconds
def preprocessor(config: PreprocessingConfig) -> Preprocessor:
    return Preprocessor(config)


@pytest.fixture(scope="module")
def examiner() -> Examiner:
    return Examiner(preprocessor(CONFIG))


@pytest.fixture(scope="module")
def findings(hands: list[Hand], examiner: Examiner) -> list[Finding]:
    return [examiner(encode(hand.radiograph)) for hand in hands]


def prepare(picture: np.ndarray, config: PreprocessingConfig = CONFIG) -> Prepared:
    return preprocessor(config).graph(encode(picture))


def grey(picture: np.ndarray, config: PreprocessingConfig = CONFIG) -> np.ndarray:
    done = prepare(picture, config)
    assert done.status == OK
    return done.image.numpy()[..., 0].astype(int)


def turned(picture: np.ndarray, degrees: float) -> np.ndarray:
    """Rotated about its centre, on a larger canvas of its own background."""
    ground = int(np.median(picture[:4]))
    wide = np.pad(picture, 120, constant_values=ground)
    matrix = cv2.getRotationMatrix2D((wide.shape[1] / 2, wide.shape[0] / 2), degrees, 1.0)
    return cv2.warpAffine(
        wide, matrix, wide.shape[::-1], flags=cv2.INTER_CUBIC, borderValue=(ground,)
    )


# === What is found ===


def test_key_points_are_near_the_truth(hands: list[Hand], findings: list[Finding]) -> None:
    errors = np.array(
        [
            np.hypot(*(found.points - hand.points).T) / hand.unit
            for hand, found in zip(hands, findings, strict=True)
        ]
    )
    assert errors.max() < 0.05, errors.round(3)
    assert errors.mean() < 0.015, errors.round(3)


def test_the_mask_is_near_the_truth(hands: list[Hand], findings: list[Finding]) -> None:
    for hand, found in zip(hands, findings, strict=True):
        seen, true = found.mask > 127, hand.mask > 127
        assert (seen & true).sum() / (seen | true).sum() > 0.93


def test_a_finding_is_what_prepare_makes(hands: list[Hand], findings: list[Finding]) -> None:
    for hand, found in zip(hands, findings, strict=True):
        done = prepare(hand.radiograph)
        assert found.status == done.status.numpy().decode() == OK
        np.testing.assert_array_equal(found.prepared, done.image[..., 0])
        np.testing.assert_array_equal(found.prepared_to_original, done.prepared_to_original)
        np.testing.assert_array_equal(found.radiograph, hand.radiograph)
        assert not found.is_registered
        assert not found.inverted


def test_the_corners_of_a_finding_are_those_of_the_frame(findings: list[Finding]) -> None:
    for found in findings:
        to_prepared = geometry.inverse(tf.constant(found.prepared_to_original))
        corners = geometry.move(tf.constant(found.frame_corners, tf.float32), to_prepared)
        expected = [[-0.5, -0.5], [399.5, -0.5], [399.5, 519.5], [-0.5, 519.5]]
        np.testing.assert_allclose(corners, expected, atol=0.01)


# === What is made of it ===


def test_true_key_points_land_where_the_frame_has_them(hands: list[Hand]) -> None:
    for hand in hands:
        to_prepared = geometry.inverse(prepare(hand.radiograph).prepared_to_original)
        placed = geometry.move(tf.constant(hand.points, tf.float32), to_prepared).numpy()
        capitate, tip = [(800.5 / 4 - 0.5, (row + 0.5) / 4 - 0.5) for row in (1600, 100)]
        np.testing.assert_allclose(placed[CAPITATE], capitate, atol=12)
        np.testing.assert_allclose(placed[TIP], tip, atol=12)
        assert placed[POINTS.index("thumb_tip")][0] > 230


def test_the_hand_alone_is_left_with_its_contrast(hands: list[Hand]) -> None:
    for hand in hands:
        done = prepare(hand.radiograph)
        picture = done.image.numpy()[..., 0]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = picture.shape[::-1]
        mask = cv2.warpAffine(hand.mask, done.prepared_to_original.numpy(), size, flags=flags)
        around = cv2.dilate(mask, np.ones((33, 33), np.uint8)) == 0
        within = cv2.erode(mask, np.ones((13, 13), np.uint8)) == 255
        assert (picture[around] == 0).mean() > 0.999
        assert (picture[within] == 0).mean() < 0.002
        low, high = np.percentile(picture[within], [1, 99.5])
        assert low < 50
        assert high > 235


CHANGES = {
    "30 degrees": (lambda picture: turned(picture, 30), 5),
    "-60 degrees": (lambda picture: turned(picture, -60), 5),
    "mirrored": (lambda picture: picture[:, ::-1], 4),
    "mirrored, -40 degrees": (lambda picture: turned(picture[:, ::-1], -40), 5),
    "inverted": (lambda picture: 255 - picture, 8),
    "larger": (lambda picture: cv2.resize(picture, None, fx=2.3, fy=2.3), 2),
    "faint": (lambda picture: picture.astype(np.uint16) * 90 + 3000, 3),
}
"""What is done to a radiograph, and how many grey levels the prepared one may differ on average; two
hands differ by 11 at least."""


@pytest.fixture(scope="module")
def pictures(hands: list[Hand]) -> list[np.ndarray]:
    """The prepared hands."""
    return [grey(hand.radiograph) for hand in hands]


@pytest.mark.parametrize("name", CHANGES)
def test_however_it_is_shown_the_same_hand_comes_out(
    name: str, hands: list[Hand], pictures: list[np.ndarray]
) -> None:
    change, tolerance = CHANGES[name]
    differences = [
        np.abs(picture - grey(change(hand.radiograph))).mean()
        for hand, picture in zip(hands, pictures, strict=True)
    ]
    assert np.mean(differences) < tolerance, np.round(differences, 1)
    assert max(differences) < 2.5 * tolerance, np.round(differences, 1)


def test_different_hands_differ(pictures: list[np.ndarray]) -> None:
    for number, picture in enumerate(pictures):
        for other in pictures[:number]:
            assert np.abs(picture - other).mean() > 11


def test_16_bit_equals_its_8_bit_twin(hands: list[Hand]) -> None:
    picture = hands[2].radiograph
    np.testing.assert_array_equal(grey(picture), grey(picture.astype(np.uint16) * 257))


def test_another_scale_is_the_same_picture(hands: list[Hand]) -> None:
    for hand in hands[::3]:
        small = grey(hand.radiograph, SMALL)
        assert small.shape == (104, 80)
        means = grey(hand.radiograph).reshape(104, 5, 80, 5).mean(axis=(1, 3))
        assert np.abs(small - means).mean() < 6


def test_eager_function_and_tf_data_agree_byte_for_byte(hands: list[Hand]) -> None:
    pictures = [hands[0].radiograph, hands[3].radiograph[:-31, :-7], hands[5].radiograph[150:]]
    files = [encode(picture) for picture in pictures]
    mapped = tf.data.Dataset.from_tensor_slices(files).map(
        preprocessor(SMALL), num_parallel_calls=2
    )
    for encoded, from_data in zip(files, mapped.as_numpy_iterator(), strict=True):
        eager = preprocessor(SMALL)(tf.constant(encoded))
        assert eager.image.shape == (*SMALL.frame, 1)
        for one, other, third in zip(
            eager, preprocessor(SMALL).graph(encoded), from_data, strict=True
        ):
            np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(one, third)


# === Prepared by others already ===


@pytest.fixture(scope="module")
def registered(hands: list[Hand]) -> np.ndarray:
    """uint8 [520, 400]: upright, without background."""
    return prepare(hands[3].radiograph).image.numpy()[..., 0]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_registered_radiograph_is_left_as_it_is(kind: type, registered: np.ndarray) -> None:
    picture = registered.astype(kind) * (257 if kind is np.uint16 else 1)
    done = prepare(picture)
    assert done.status == OK
    np.testing.assert_array_equal(done.image[..., 0], registered)
    np.testing.assert_array_equal(done.prepared_to_original, np.eye(2, 3))


def test_a_registered_radiograph_is_scaled_with_its_grey_levels(registered: np.ndarray) -> None:
    large = np.repeat(np.repeat(registered // 2, 4, axis=0), 4, axis=1)
    assert large.shape == (2080, 1600)
    np.testing.assert_array_equal(grey(large), registered // 2)
    means = (registered // 2).reshape(104, 5, 80, 5).mean(axis=(1, 3))
    assert np.abs(grey(large, SMALL) - means).mean() < 2


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture[::-1, ::-1],
        lambda picture: picture[:, ::-1],
        lambda picture: picture[:, 1:-1],
        lambda picture: np.maximum(picture, 9),
        lambda picture: turned(picture, 25)[60:-60, 60:-60],
        lambda picture: np.pad(picture, ((0, 130), (0, 100))),
    ],
    ids=["upside down", "mirrored", "another shape", "with background", "turned", "shifted"],
)
def test_another_picture_is_not_taken_for_registered(
    change, registered: np.ndarray, examiner: Examiner
) -> None:
    assert examiner(encode(registered)).is_registered
    assert not examiner(encode(np.ascontiguousarray(change(registered)))).is_registered


def test_what_only_lies_like_a_registered_hand_is_rejected(registered: np.ndarray) -> None:
    cut = registered.copy()
    cut[325:] = 0  # carpal bones, wrist and forearm
    assert prepare(cut).status != OK
    other = np.zeros_like(registered)
    other[40:480, 60:340] = np.random.default_rng(0).integers(30, 200, (440, 280))
    assert prepare(other).status != OK


# === Refused ===


def two_hands() -> np.ndarray:
    hand = draw_phantom(120, 3)
    return np.hstack([hand, draw_phantom(120, 4)[:, ::-1]])


def disc() -> np.ndarray:
    return cv2.circle(np.zeros((300, 400), np.uint8), (200, 150), 90, (200,), -1)


REJECTED = {
    "noise": np.random.default_rng(0).integers(0, 256, (300, 260)).astype(np.uint8),
    "gradient": np.tile(np.arange(256, dtype=np.uint8), (300, 1)),
    "disc": disc(),
    "two hands": two_hands(),
    "without fingers": draw_phantom(120, 3)[150:],
    "without wrist": draw_phantom(120, 3)[:190],
    "half a hand": draw_phantom(120, 3)[:, :110],
}


@pytest.mark.parametrize("config", [CONFIG, SMALL], ids=lambda config: config.scale)
@pytest.mark.parametrize("name", REJECTED)
def test_what_is_not_one_whole_hand_is_rejected_and_black(
    name: str, config: PreprocessingConfig
) -> None:
    rejected = prepare(REJECTED[name], config)
    assert rejected.status.numpy().decode() in EXPLANATIONS
    assert rejected.image.shape == (*config.frame, 1)
    assert not np.any(rejected.image)
    assert np.isfinite(rejected.prepared_to_original).all()


@pytest.mark.parametrize(("name", "reason"), [("noise", "not_a_hand"), ("two hands", "two_hands")])
def test_the_reason_is_the_right_one(name: str, reason: str) -> None:
    assert prepare(REJECTED[name]).status == reason


def test_a_rejected_finding_says_what_was_seen(examiner: Examiner) -> None:
    found = examiner(encode(REJECTED["two hands"]))
    assert found.status == "two_hands"
    assert found.scores["two_hands"] > 0.5
    assert not found.prepared.any()
    assert found.mask.shape == found.radiograph.shape == REJECTED["two hands"].shape


def test_a_file_that_cannot_be_decoded_fails(examiner: Examiner) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="not_png_or_jpeg"):
        preprocessor(CONFIG).graph(b"GIF89a")
    rejection = examiner.find(b"GIF89a")
    assert isinstance(rejection, Rejection)
    assert rejection.reason == "not_png_or_jpeg"


def test_an_own_localizer_s_limits_decide(tmp_path: Path, hands: list[Hand]) -> None:
    folder = shutil.copytree(localizer.SHIPPED, tmp_path / "own")
    description = json.loads((folder / localizer.DESCRIPTION).read_text())
    description["limits"]["resolution"] = hands[0].unit * 1.2
    (folder / localizer.DESCRIPTION).write_text(json.dumps(description))
    own = dataclasses.replace(SMALL, localizer=str(folder))
    small, large = hands[0].radiograph, cv2.resize(hands[0].radiograph, None, fx=1.5, fy=1.5)
    assert prepare(small, own).status == "too_low_resolution"
    assert prepare(large, own).status == OK
    assert pipeline.fingerprint(own) != pipeline.fingerprint(SMALL)


# === Real radiographs ===


def test_radiographs_registered_by_others_pass_unharmed(
    real_data: Path, examiner: Examiner
) -> None:
    paths = sorted((real_data / "registered-examples" / "train").glob("*.png"))
    assert len(paths) == 8
    for path in paths:
        found = examiner(path.read_bytes())
        assert found.status == OK, path.name
        assert found.is_registered, path.name
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(float)
        means = picture.reshape(520, 4, 400, 4).mean(axis=(1, 3))
        assert np.abs(found.prepared - means).max() <= 1, path.name


def test_key_points_of_real_radiographs(real_data: Path, examiner: Examiner) -> None:
    kaggle = real_data / "rsna-bone-age"
    known: dict[str, dict[str, tuple[float, float]]] = {}
    with (kaggle / "key_points.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            known.setdefault(row["id"], {})[row["point"]] = float(row["x"]), float(row["y"])
    whole = [(name, points) for name, points in known.items() if set(ANNOTATED) <= set(points)]
    errors = []
    for name, points in whole[:: len(whole) // 20][:20]:
        (path,) = (kaggle / "boneage-training-dataset").rglob(f"{name}.png")
        true = np.array([points[point] for point in ANNOTATED])
        unit = np.hypot(*(true[TIP] - true[CAPITATE]))
        found = examiner(path.read_bytes()).points[: len(ANNOTATED)]
        errors.append(np.hypot(*(found - true).T) / unit)
    assert len(errors) == 20
    assert np.median(errors) < 0.02
