from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from bone_age_tf.models.backbones import BACKBONES, build_backbone
from bone_age_tf.models.batch_normalization import (
    BatchNormalization,
    fuse_normalization,
    synchronize_normalization,
)

SHAPE = (4, 5, 3, 6)
FRAME = (40, 36)


def pair(dtype: str = "float32", **settings: Any) -> list[keras.layers.BatchNormalization]:
    """The fused layer and Keras' with the same weights."""
    random = np.random.default_rng(1)
    found: list[keras.layers.BatchNormalization] = []
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        layer = kind(momentum=0.9, dtype=dtype, **settings)
        layer.build((None, *SHAPE[1:]))
        found.append(layer)
    values = [random.uniform(0.5, 2, weight.shape) for weight in found[0].get_weights()]
    for layer in found:
        layer.set_weights(values)
    return found


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(2, 3, shape).astype(np.float32)


def outcome(
    layer: keras.layers.BatchNormalization, *, training: bool, shape: tuple[int, ...] = SHAPE
) -> dict[str, np.ndarray]:
    """Outputs, gradients and weights after a call."""
    x = tf.constant(draw(*shape))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
        loss = tf.reduce_sum(tf.cast(y, tf.float32) * draw(*shape, seed=2))
    assert y.dtype == layer.compute_dtype
    variables = {v.name: v for v in layer.weights if v.name in ("gamma", "beta")}
    gradients = tape.gradient(loss, [x, *(v.value for v in variables.values())])
    found = {"y": y, "gradient of x": gradients[0]}
    found |= {f"gradient of {name}": g for name, g in zip(variables, gradients[1:], strict=True)}
    found |= {v.name: v.value for v in layer.weights}
    return {name: tf.cast(value, tf.float32).numpy() for name, value in found.items()}


def assert_close(
    first: dict[str, np.ndarray], second: dict[str, np.ndarray], tolerance: float
) -> None:
    assert first.keys() == second.keys()
    for name, values in second.items():
        scale = max(1.0, float(np.abs(values).max()))
        np.testing.assert_allclose(first[name], values, 0, tolerance * scale, err_msg=name)


@pytest.fixture
def kernel_calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Grows with every use of the fused kernel by the layer."""
    calls: list[Any] = []
    original = BatchNormalization._fused

    def counted(self: BatchNormalization, inputs: tf.Tensor, learns: bool) -> tf.Tensor:
        calls.append(learns)
        return original(self, inputs, learns)

    monkeypatch.setattr(BatchNormalization, "_fused", counted)
    return calls


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_keras(training: bool, center: bool, scale: bool, kernel_calls: list[Any]) -> None:
    fused, own = pair(center=center, scale=scale)
    assert_close(outcome(fused, training=training), outcome(own, training=training), 1e-5)
    assert kernel_calls == [training]


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("training", [True, False])
def test_equals_keras_roughly_in_16_bits(
    training: bool, dtype: str, kernel_calls: list[Any]
) -> None:
    fused, own = pair(dtype)
    first, second = outcome(fused, training=training), outcome(own, training=training)
    assert_close(first, second, 0.02)
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_allclose(first[name], second[name], 1e-3)
    assert kernel_calls == [training]


def test_equals_keras_in_a_graph_with_an_open_batch_size() -> None:
    for fused, own in [pair(), pair("mixed_bfloat16")]:

        def call(x: tf.Tensor, layer: keras.layers.Layer) -> tf.Tensor:
            return tf.cast(layer(x, training=True), tf.float32)

        spec = tf.TensorSpec((None, *SHAPE[1:]), tf.float32)
        first = tf.function(lambda x, layer=fused: call(x, layer), input_signature=[spec])
        second = tf.function(lambda x, layer=own: call(x, layer), input_signature=[spec])
        tolerance = 1e-5 if fused.compute_dtype == "float32" else 0.05
        for size in (1, 7):
            x = tf.constant(draw(size, *SHAPE[1:]))
            np.testing.assert_allclose(first(x), second(x), 0, tolerance)
            for one, other in zip(fused.weights, own.weights, strict=True):
                np.testing.assert_allclose(one, other, 1e-3 if tolerance > 1e-5 else 1e-5)


def test_a_single_value_in_each_channel() -> None:
    shape = (1, 1, 1, 6)
    fused, own = pair()
    first = outcome(fused, training=True, shape=shape)
    assert_close(first, outcome(own, training=True, shape=shape), 1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_frozen_uses_the_moving_statistics(training: bool) -> None:
    fused, own = pair()
    expected = outcome(own, training=False)
    fused.trainable = False
    assert_close(outcome(fused, training=training), expected, 1e-5)
    fused.trainable = True
    assert np.abs(outcome(fused, training=True)["y"] - expected["y"]).max() > 0.1


def test_values_that_are_not_finite_do_not_reach_the_moving_statistics() -> None:
    layer = BatchNormalization()
    pixels = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    layer(pixels, training=True)
    before = layer.get_weights()
    pixels[0, 0, 0, 1] = np.nan
    layer(pixels, training=True)
    after = layer.get_weights()
    assert np.isfinite(np.concatenate(after)).all()
    assert all(
        old[1] == new[1] and old[0] != new[0]
        for old, new in zip(before[2:], after[2:], strict=True)
    )


def test_training_is_off_by_default() -> None:
    fused, _ = pair()
    x = tf.constant(draw(*SHAPE))
    np.testing.assert_array_equal(fused(x), fused(x, training=False))


@pytest.mark.parametrize(
    ("settings", "shape"), [({"axis": 1}, SHAPE), ({}, (8, 6)), ({"axis": 2}, (4, 7, 6))]
)
def test_what_the_kernel_cannot_do_is_left_to_keras(
    settings: dict[str, int], shape: tuple[int, ...], kernel_calls: list[Any]
) -> None:
    x = tf.constant(draw(*shape))
    fused, own = BatchNormalization(**settings), keras.layers.BatchNormalization(**settings)
    np.testing.assert_array_equal(fused(x, training=True), own(x, training=True))
    for first, second in zip(fused.weights, own.weights, strict=True):
        np.testing.assert_array_equal(first, second)
    assert not kernel_calls


def test_synchronized_is_left_to_keras(kernel_calls: list[Any]) -> None:
    fused, own = pair()
    model = keras.Sequential([layers.Input(SHAPE[1:]), fused])
    kernel_calls.clear()
    synchronize_normalization(model)
    assert fused.synchronized
    assert_close(outcome(fused, training=True), outcome(own, training=True), 1e-6)
    assert not kernel_calls


def test_configuration_is_that_of_keras() -> None:
    fused, own = pair(center=False, epsilon=1e-4)
    expected = own.get_config() | {"name": fused.name}
    assert fused.get_config() == expected
    copy = BatchNormalization.from_config(fused.get_config())
    assert (copy.center, copy.epsilon, copy.momentum) == (False, 1e-4, 0.9)


# === In models ===


def keras_backbone(name: str) -> keras.Model:
    """The backbone with Keras' own layers."""
    return BACKBONES[name].build(include_top=False, weights=None, input_shape=(*FRAME, 3))


def normalizations(model: keras.Model) -> list[keras.layers.Layer]:
    kind = keras.layers.BatchNormalization
    return [layer for layer in model.layers if isinstance(layer, kind)]


def randomize(model: keras.Model) -> None:
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.1, 1, w.shape) * 0.2 for w in model.get_weights()])


def test_backbones_are_fused() -> None:
    for name in ("tiny", "small"):
        kinds = {type(layer) for layer in normalizations(build_backbone(name, FRAME, "float32"))}
        assert kinds == {BatchNormalization}


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_weight_files_fit_both_ways(name: str, tmp_path: Path) -> None:
    own, fused = keras_backbone(name), build_backbone(name, FRAME, "float32")
    assert {type(layer) for layer in normalizations(own)} == {keras.layers.BatchNormalization}
    x = draw(2, *FRAME, 3)
    for source, target in ((own, fused), (fused, own)):
        for model in (own, fused):
            keras.utils.set_random_seed(0)
            model.set_weights([np.random.normal(size=w.shape) for w in model.get_weights()])
        randomize(source)
        path = tmp_path / f"{source is own}.weights.h5"
        source.save_weights(path)
        target.load_weights(path)
        assert len(source.weights) == len(target.weights)
        for first, second in zip(source.weights, target.weights, strict=True):
            np.testing.assert_array_equal(first, second)
        for training in (False, True):
            expected = keras.ops.convert_to_numpy(source(x, training=training))
            found = keras.ops.convert_to_numpy(target(x, training=training))
            scale = np.abs(expected).max()
            np.testing.assert_allclose(found, expected, 0, 1e-4 * scale)


def test_a_model_made_by_hand_keeps_its_weights_and_order(tmp_path: Path) -> None:
    def make() -> keras.Model:
        image = x = layers.Input((*FRAME, 3))
        x = layers.Conv2D(5, 3, name="conv")(x)
        left = layers.BatchNormalization(name="left", scale=False)(x)
        right = layers.BatchNormalization(name="right", momentum=0.8)(x)
        flat = layers.GlobalAveragePooling2D()(layers.Add()([left, right]))
        return keras.Model(image, layers.BatchNormalization(name="flat")(flat))

    own, fused = make(), make()
    randomize(own)
    names = [layer.name for layer in own.layers]
    fuse_normalization(fused)
    fuse_normalization(fused)  # once more changes nothing
    assert [type(layer) for layer in normalizations(fused)] == [BatchNormalization] * 3
    assert [layer.name for layer in fused.layers][1:4] == names[1:4]
    own.save_weights(tmp_path / "own.weights.h5")
    fused.load_weights(tmp_path / "own.weights.h5")
    x = draw(4, *FRAME, 3)
    for training in (True, False):
        np.testing.assert_allclose(fused(x, training=training), own(x, training=training), 0, 1e-4)
    for first, second in zip(fused.weights, own.weights, strict=True):
        np.testing.assert_allclose(first, second, 0, 1e-5)
    fused.save_weights(tmp_path / "fused.weights.h5")
    other = make()
    other.load_weights(tmp_path / "fused.weights.h5")
    for first, second in zip(fused.weights, other.weights, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_saved_model_comes_back_fused(tmp_path: Path) -> None:
    backbone = build_backbone("tiny", FRAME, "float32")
    randomize(backbone)
    backbone.save(tmp_path / "backbone.keras")
    loaded = keras.models.load_model(tmp_path / "backbone.keras")
    assert {type(layer) for layer in normalizations(loaded)} == {BatchNormalization}
    x = draw(2, *FRAME, 3)
    np.testing.assert_array_equal(loaded(x, training=False), backbone(x, training=False))
