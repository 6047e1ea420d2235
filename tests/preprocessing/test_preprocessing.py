import dataclasses
import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_phantom, encode

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.preprocessing import geometry, intensity, pipeline
from bone_age_tf.preprocessing.localizer import weights as localizer
from bone_age_tf.preprocessing.preprocessor import Preprocessor

LETTERBOX = PreprocessingConfig(method="letterbox", scale=0.05)
REGISTERED = PreprocessingConfig(scale=0.05)
EVERY_LEVEL = dataclasses.replace(LETTERBOX, low_percentile=0.0, high_percentile=100.0)
FRAME = LETTERBOX.frame
SHAPES = [
    (64, 64), (64, 65), (65, 64), (67, 101), (101, 67), (104, 80), (103, 79), (105, 81), (208, 160),
    (209, 161), (207, 159), (520, 400), (521, 400), (520, 401), (77, 1000), (1000, 77), (64, 3000),
    (3000, 64), (127, 129), (331, 257), (999, 333), (333, 999), (400, 520), (612, 613), (128, 128),
    (130, 100), (131, 100), (130, 101), (73, 512), (512, 73),
]  # fmt: skip


def prepared(picture: np.ndarray) -> np.ndarray:
    done = Preprocessor(LETTERBOX).graph(encode(picture))
    assert done.status == "ok"
    return done.image.numpy()


def expected_size(height: int, width: int, frame: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same shape in the frame, half a pixel rounded up."""
    if height * frame[1] >= width * frame[0]:
        return frame[0], max(math.floor(width * frame[0] / height + 0.5), 1)
    return max(math.floor(height * frame[1] / width + 0.5), 1), frame[1]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
def test_fitted_size_is_the_largest_inside_the_frame(shape: tuple[int, int]) -> None:
    fitted = geometry.fit(tf.zeros((*shape, 1), tf.uint16), FRAME)
    assert tuple(fitted.shape) == (*expected_size(*shape, FRAME), 1)
    assert fitted.shape[0] <= FRAME[0]
    assert fitted.shape[1] <= FRAME[1]


@pytest.mark.parametrize("shape", [(104, 80), (103, 79), (104, 1), (1, 80), (51, 80)])
def test_centred_with_zeros_around(shape: tuple[int, int]) -> None:
    inside = np.full((*shape, 1), 7, np.uint8)
    centred = geometry.centre(tf.constant(inside), FRAME).numpy()
    top, left = (FRAME[0] - shape[0]) // 2, (FRAME[1] - shape[1]) // 2
    expected = np.zeros((*FRAME, 1), np.uint8)
    expected[top : top + shape[0], left : left + shape[1]] = 7
    np.testing.assert_array_equal(centred, expected)


def test_a_radiograph_of_the_frame_s_size_is_not_resampled() -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (*FRAME, 1)).astype(np.uint16)
    np.testing.assert_array_equal(geometry.fit(tf.constant(pixels), FRAME), pixels)


def test_eager_function_and_tf_data_agree_byte_for_byte() -> None:
    files = [encode(draw_phantom(100, n, height=h, width=w)) for n, (h, w) in enumerate(SHAPES)]
    mapped = tf.data.Dataset.from_tensor_slices(files).map(
        Preprocessor(LETTERBOX), num_parallel_calls=2
    )
    for encoded, from_data in zip(files, mapped.as_numpy_iterator(), strict=True):
        eager = Preprocessor(LETTERBOX)(tf.constant(encoded))
        assert eager.image.shape == (*FRAME, 1)
        assert eager.image.dtype == tf.uint8
        compiled = Preprocessor(LETTERBOX).graph(encoded)
        for one, other, third in zip(eager, compiled, from_data, strict=True):
            np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(one, third)


def test_stretch_goes_from_0_to_255() -> None:
    dull = draw_phantom(120, 3, height=208, width=160) // 3 + 60
    picture = prepared(dull)
    assert picture.min() == 0
    assert picture.max() == 255


def test_levels_between_two_percentiles_by_hand() -> None:
    pixels = tf.reshape(tf.range(0, 1000, dtype=tf.int32), (10, 100, 1))
    low, high = intensity.percentiles(pixels, 10, 90)
    assert (int(low), int(high)) == (99, 899)
    grey = intensity.between(pixels, low, high).numpy().ravel()
    expected = np.floor((np.clip(np.arange(1000), 99, 899) - 99) * 255 / 800 + 0.5)
    np.testing.assert_array_equal(grey, expected)


def test_percentiles_are_levels_that_occur() -> None:
    pixels = tf.constant([5] * 90 + [1000] * 10, tf.int32)[:, None, None]
    assert [int(level) for level in intensity.percentiles(pixels, 1, 90)] == [5, 5]
    assert [int(level) for level in intensity.percentiles(pixels, 1, 90.5)] == [5, 1000]


def test_no_level_is_between_two_equal_ones() -> None:
    pixels = tf.constant([6, 7, 8], tf.int32)
    assert intensity.between(pixels, tf.constant(7), tf.constant(7)).numpy().tolist() == [0, 0, 0]


@pytest.mark.parametrize("config", [LETTERBOX, REGISTERED], ids=lambda config: config.method)
@pytest.mark.parametrize("level", [0, 1, 128, 255])
@pytest.mark.parametrize("shape", [(120, 90), (90, 300)])
def test_blank_is_rejected_and_black(
    shape: tuple[int, int], level: int, config: PreprocessingConfig
) -> None:
    rejected = Preprocessor(config).graph(encode(np.full(shape, level, np.uint8)))
    assert rejected.status == "blank"
    np.testing.assert_array_equal(rejected.image, np.zeros((*FRAME, 1), np.uint8))


@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_of_the_letterbox_are_led_back_to_the_file(shape: tuple[int, int]) -> None:
    """A dot's place, as the centre of mass of the prepared pixels, is where the dot was."""
    picture = np.zeros(shape, np.uint8)
    radius = max(min(shape) // 8, 2)
    place = (shape[1] // 3, shape[0] // 2)
    cv2.circle(picture, place, radius, (255,), -1)
    done = pipeline.letterbox(tf.constant(picture[..., None], tf.uint16) * 257, EVERY_LEVEL)
    mass = done.image.numpy()[..., 0].astype(float)
    rows, columns = np.mgrid[: FRAME[0], : FRAME[1]]
    centre = np.array([(columns * mass).sum(), (rows * mass).sum()]) / mass.sum()
    found = geometry.move(tf.constant([centre], tf.float32), done.prepared_to_original)
    step = max(shape[0] / FRAME[0], shape[1] / FRAME[1], 1)
    np.testing.assert_allclose(found[0], place, atol=0.25 * step)


@pytest.mark.parametrize("shape", SHAPES[:8])
def test_16_bit_equals_its_8_bit_twin(shape: tuple[int, int]) -> None:
    hand = draw_phantom(90, 5, height=shape[0], width=shape[1])
    np.testing.assert_array_equal(prepared(hand), prepared(hand.astype(np.uint16) * 257))


def test_brightness_and_contrast_of_the_film_do_not_matter() -> None:
    hand = draw_phantom(90, 5, height=208, width=160).astype(np.uint16)
    bright, dark = prepared(hand * 200 + 9000), prepared(hand * 100 + 500)
    np.testing.assert_allclose(bright.astype(int), dark, atol=1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(340, 260), (260, 340), (500, 180)])
def test_an_inverted_hand_is_turned_around(seed: int, shape: tuple[int, int]) -> None:
    hand = draw_phantom(60 + 40 * seed, seed, height=shape[0], width=shape[1])
    upright, inverted = prepared(hand).astype(int), prepared(255 - hand).astype(int)
    assert np.abs(upright - inverted).max() <= 1


def test_polarity_has_the_sign_of_the_bone() -> None:
    view = tf.constant(draw_phantom(120, 0, height=128, width=100)[..., None], tf.int32) * 257
    assert float(intensity.polarity(view)) > 0
    assert float(intensity.polarity(intensity.FULL_SCALE - view)) < intensity.POLARITY_THRESHOLD


# === Fingerprint ===


@pytest.mark.parametrize("base", [LETTERBOX, REGISTERED], ids=lambda config: config.method)
@pytest.mark.parametrize(
    "change", [{"scale": 0.3}, {"low_percentile": 2.0}, {"high_percentile": 99.0}], ids=str
)
def test_fingerprint_changes_with_every_setting(
    change: dict[str, float], base: PreprocessingConfig
) -> None:
    assert pipeline.fingerprint(dataclasses.replace(base, **change)) != pipeline.fingerprint(base)


def test_fingerprint_changes_with_the_method() -> None:
    assert pipeline.fingerprint(LETTERBOX) != pipeline.fingerprint(REGISTERED)


def test_every_setting_is_in_the_fingerprint_test() -> None:
    names = {field.name for field in dataclasses.fields(PreprocessingConfig)}
    assert names == {"method", "scale", "low_percentile", "high_percentile", "localizer"}


def test_fingerprint_is_that_of_the_localizer_s_content_wherever_it_lies(tmp_path: Path) -> None:
    for name in (localizer.WEIGHTS, localizer.DESCRIPTION):
        shutil.copy(localizer.SHIPPED / name, tmp_path / name)
    copied = dataclasses.replace(REGISTERED, localizer=str(tmp_path))
    assert pipeline.fingerprint(copied) == pipeline.fingerprint(REGISTERED)
    with (tmp_path / localizer.WEIGHTS).open("ab") as stream:
        stream.write(b"more")
    assert pipeline.fingerprint(copied) != pipeline.fingerprint(REGISTERED)


def test_fingerprint_of_the_letterbox_needs_no_localizer() -> None:
    nowhere = dataclasses.replace(LETTERBOX, localizer="nowhere")
    assert pipeline.fingerprint(nowhere) == pipeline.fingerprint(LETTERBOX)


@pytest.mark.parametrize("config", [LETTERBOX, REGISTERED], ids=lambda config: config.method)
def test_fingerprint_changes_with_the_version(
    config: PreprocessingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pipeline.fingerprint(config)
    monkeypatch.setattr(pipeline, "VERSION", pipeline.VERSION + 1)
    assert pipeline.fingerprint(config) != before


def test_fingerprint_is_stable() -> None:
    assert pipeline.fingerprint(PreprocessingConfig()) == pipeline.fingerprint(
        PreprocessingConfig()
    )
    assert len(pipeline.fingerprint(REGISTERED)) == 64
    assert int(pipeline.fingerprint(REGISTERED), 16)
