import re
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from bone_age_tf.config import ExperimentConfig, ModelConfig
from bone_age_tf.config.settings_help import settings_help
from bone_age_tf.errors import EnvironmentFaultError, InputDataError, UsageError
from bone_age_tf.models.backbones import (
    BACKBONES,
    build_backbone,
    find_backbone,
    load_backbone_weights,
)
from bone_age_tf.models.bone_age_model import build_bone_age_model
from bone_age_tf.preprocessing.regions import REGIONS, crop_of

FRAME = (128, 136)
_apps = keras.applications
PREPROCESS_INPUT = {
    "inception_v3": _apps.inception_v3.preprocess_input,
    "inception_v3_mixed7": _apps.inception_v3.preprocess_input,
    "xception": _apps.xception.preprocess_input,
    "efficientnet_v2_b0": _apps.efficientnet_v2.preprocess_input,
    "efficientnet_v2_s": _apps.efficientnet_v2.preprocess_input,
    "convnext_tiny": _apps.convnext.preprocess_input,
    "densenet_121": _apps.densenet.preprocess_input,
    "mobilenet_v2": _apps.mobilenet_v2.preprocess_input,
    "m46": _apps.mobilenet_v2.preprocess_input,
    "small": _apps.mobilenet_v2.preprocess_input,
    "tiny": _apps.mobilenet_v2.preprocess_input,
}
"""What Keras itself does to an RGB image of 0 to 255 before this backbone."""


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *FRAME, 1)).astype(np.uint8)


def build(backbone: str = "tiny", **settings: float) -> keras.Model:
    keras.utils.set_random_seed(0)
    config = ModelConfig(backbone=backbone, age_mean_months=120.0, age_sd_months=40.0, **settings)
    return build_bone_age_model(config, FRAME)


def backbone_of(name: str = "tiny", frame: tuple[int, int] = FRAME) -> keras.Model:
    return build_backbone(name, frame, "float32")


SMALL = ("mobilenet_v2", "m46", "small", "tiny")
EVERY = [pytest.param(b, marks=() if b in SMALL else pytest.mark.large) for b in BACKBONES]


@pytest.fixture(scope="module", params=EVERY)
def network(request: pytest.FixtureRequest) -> Iterator[keras.Model]:
    """A model with each backbone in turn, built once."""
    yield build(request.param)
    keras.backend.clear_session()


def test_gives_finite_months_that_depend_on_sex(network: keras.Model) -> None:
    inputs = {"image": np.repeat(images(1), 3, axis=0), "sex": np.arange(3, dtype=np.int32)}
    months = keras.ops.convert_to_numpy(network(inputs, training=False))
    assert months.shape == (3,)
    assert months.dtype == np.float32
    assert np.isfinite(months).all()
    assert len(set(months.tolist())) == 3


def test_the_backbone_sees_the_range_that_keras_applications_gives_it(network: keras.Model) -> None:
    scaled = keras.Model(network.input["image"], network.get_layer("input_range").output)
    levels = images(1)
    (backbone,) = (layer.name for layer in network.layers if layer.name in BACKBONES)
    rgb = np.repeat(levels.astype(np.float32), 3, axis=-1)
    expected = PREPROCESS_INPUT[backbone](rgb.copy(), data_format="channels_last")
    np.testing.assert_allclose(scaled(levels), expected, rtol=1e-5, atol=1e-5)


def test_every_backbone_has_a_known_range() -> None:
    assert set(PREPROCESS_INPUT) == set(BACKBONES)


def test_the_help_of_the_setting_names_every_backbone() -> None:
    text = dict(settings_help(ExperimentConfig())["model: Backbone + sex branch + head."])
    assert set(BACKBONES) <= set(re.findall(r"`(\w+)`", text["model.backbone=inception_v3"]))


def test_the_model_depends_on_the_image() -> None:
    months = build()({"image": images(2), "sex": np.zeros(2, np.int32)}, training=False)
    assert float(months[0]) != float(months[1])


@pytest.mark.parametrize("region", REGIONS)
def test_the_model_sees_its_region_alone(region: str) -> None:
    frame = (208, 160)
    keras.utils.set_random_seed(0)
    config = ModelConfig(backbone="tiny", age_mean_months=120.0, age_sd_months=40.0)
    model = build_bone_age_model(config, frame, region=region)
    assert model.input["image"].shape == (None, *frame, 1)
    (above, below), (left, right) = crop_of(region, frame)
    inside = np.zeros((*frame, 1), bool)
    inside[above : frame[0] - below, left : frame[1] - right] = True
    picture = np.random.default_rng(0).integers(0, 256, (*frame, 1)).astype(np.uint8)
    other = picture // 4
    shown = np.stack([picture, np.where(inside, picture, other), np.where(inside, other, picture)])
    months = model({"image": shown, "sex": np.zeros(3, np.int32)}, training=False).numpy()
    assert months[0] == pytest.approx(months[1], abs=1e-4)
    assert abs(months[0] - months[2]) > 1e-3


def test_the_backbone_is_built_for_the_region() -> None:
    config = ModelConfig(backbone="tiny", age_mean_months=120.0, age_sd_months=40.0)
    shapes = {
        region: build_bone_age_model(config, (520, 400), region=region)
        .get_layer("tiny")
        .input.shape[1:3]
        for region in ("frame", "carpal")
    }
    assert shapes == {"frame": (520, 400), "carpal": (188, 188)}


def test_an_unknown_region_is_rejected() -> None:
    config = ModelConfig(backbone="tiny", age_mean_months=120.0, age_sd_months=40.0)
    with pytest.raises(UsageError, match=r"data\.region: there is no region 'foot'"):
        build_bone_age_model(config, FRAME, region="foot")


def test_mean_and_spread_scale_the_score() -> None:
    model = build()
    score = keras.Model(model.inputs, model.get_layer("score").output)
    inputs = {"image": images(2), "sex": np.array([0, 2], np.int32)}
    scores = keras.ops.convert_to_numpy(score(inputs, training=False))[:, 0]
    np.testing.assert_allclose(model(inputs, training=False), 120 + 40 * scores, rtol=1e-5)


def test_months_are_float32_where_the_backbone_is_bfloat16() -> None:
    config = ModelConfig(backbone="tiny", age_mean_months=120.0, age_sd_months=40.0)
    model = build_bone_age_model(config, FRAME, precision="mixed_bfloat16")
    kinds = {layer.name: layer.compute_dtype for layer in model.layers}
    assert {layer.compute_dtype for layer in model.get_layer("tiny").layers[1:]} == {"bfloat16"}
    assert {kind for name, kind in kinds.items() if name not in ("tiny", "image", "sex")} == {
        "float32"
    }
    assert model.output.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_months_are_never_built_without_mean_and_spread() -> None:
    with pytest.raises(UsageError, match="age_mean_months"):
        build_bone_age_model(ModelConfig(backbone="tiny"), FRAME)


def test_unknown_backbone_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'resnet_9000'.*inception_v3"):
        find_backbone("resnet_9000", FRAME)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_too_small_a_frame_is_rejected(backbone: str) -> None:
    smallest = BACKBONES[backbone].min_side
    find_backbone(backbone, (smallest, 500))
    message = f"at least {smallest} pixels a side.*Received 500 x {smallest - 1}"
    with pytest.raises(UsageError, match=message):
        find_backbone(backbone, (500, smallest - 1))


def test_weights_file_round_trip(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    first, second = backbone_of(), backbone_of(frame=(64, 64))
    path = tmp_path / "tiny.weights.h5"
    first.save_weights(path)
    load_backbone_weights(second, str(path))
    for mine, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("source", ["inception_v3", "inception_v3_mixed7"])
@pytest.mark.large
def test_the_first_part_takes_weights_of_the_whole_network_and_its_own(
    source: str, tmp_path: Path
) -> None:
    frame = (75, 80)
    whole, part = backbone_of(source, frame), backbone_of("inception_v3_mixed7", frame)
    random = np.random.default_rng(0)
    whole.set_weights([random.uniform(0.1, 1, w.shape) * 0.1 for w in whole.get_weights()])
    whole.save_weights(tmp_path / "whole.weights.h5")
    load_backbone_weights(part, str(tmp_path / "whole.weights.h5"))
    first = keras.Model(whole.input, whole.get_layer("mixed7").output)
    for mine, theirs in zip(part.get_weights(), first.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    picture = random.uniform(-1, 1, (1, *frame, 3)).astype(np.float32)
    np.testing.assert_array_equal(part(picture, training=False), first(picture, training=False))
    assert part.count_params() == 8_975_264


def test_weights_none_leaves_the_backbone_alone() -> None:
    backbone = backbone_of()
    before = backbone.get_weights()
    load_backbone_weights(backbone, "none")
    for mine, other in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("weights", ["there-is-none.weights.h5", "imagenette", "model.h5"])
def test_a_wrong_weights_option_is_rejected(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.h5").write_bytes(b"")
    with pytest.raises(UsageError, match=r"--initial-weights: expected imagenet, none.*Received"):
        load_backbone_weights(backbone_of(), weights)


def test_imagenet_is_rejected_for_a_backbone_without_it() -> None:
    with pytest.raises(UsageError, match="--initial-weights none"):
        load_backbone_weights(backbone_of(), "imagenet")


def test_weights_that_cannot_be_downloaded_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object, **options: object) -> None:
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", no_network)
    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", no_network)
    with pytest.raises(EnvironmentFaultError, match="URL fetch failure.*--initial-weights FILE"):
        load_backbone_weights(backbone_of("mobilenet_v2", (96, 96)), "imagenet")


@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize("content", ["garbage", "another model"])
def test_a_file_of_other_content_is_rejected(content: str, tmp_path: Path) -> None:
    path = tmp_path / "other.weights.h5"
    if content == "garbage":
        path.write_bytes(b"no weights at all")
    else:
        keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
    with pytest.raises(InputDataError, match="not weights of tiny"):
        load_backbone_weights(backbone_of(), str(path))
