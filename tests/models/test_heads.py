from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf.config import ModelConfig
from bone_age_tf.errors import UsageError
from bone_age_tf.export.allowed_operations import ALLOWED_OPERATIONS
from bone_age_tf.models.bone_age_model import build_bone_age_model

FRAME = (96, 104)
MEAN, SD = 110.0, 30.0


def build(frame: tuple[int, int] = FRAME, **settings: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    options = {"backbone": "tiny", "age_mean_months": MEAN, "age_sd_months": SD, **settings}
    return build_bone_age_model(ModelConfig(**options), frame)


def answers(model: keras.Model, sex: list[int] | None = None) -> np.ndarray:
    """Of the same noise once for each sex."""
    codes = np.array([0, 1, 2] if sex is None else sex, np.int32)
    frame = model.input["image"].shape[1:]
    noise = np.random.default_rng(0).integers(0, 256, frame).astype(np.uint8)
    images = np.repeat(noise[np.newaxis], len(codes), axis=0)
    return keras.ops.convert_to_numpy(model({"image": images, "sex": codes}, training=False))


def randomize(model: keras.Model, layer: str) -> None:
    """Another kernel for a layer."""
    kernel, bias = model.get_layer(layer).get_weights()
    random = np.random.default_rng(1)
    model.get_layer(layer).set_weights([random.normal(0, 0.5, kernel.shape), bias])


def of_layer(model: keras.Model, name: str) -> keras.Model:
    return keras.Model(model.input, model.get_layer(name).output)


def test_the_default_has_the_layers_that_older_runs_have_weights_for() -> None:
    names = [layer.name for layer in build().layers]
    assert names == [
        "image", "region", "rgb", "input_range", "sex", "tiny", "sex_embedding", "pool", "sex_branch",
        "image_and_sex", "dropout_1", "joint", "dropout_2", "score", "months", "bone_age_months",
    ]  # fmt: skip


# === Expectation ===


def test_the_expectation_starts_as_a_normal_distribution() -> None:
    model = build(head="expectation")
    shares = keras.ops.softmax(of_layer(model, "logits")(_inputs(model), training=False))
    months = np.arange(1, 241)
    expected = np.exp(-0.5 * ((months - MEAN) / SD) ** 2)
    np.testing.assert_allclose(shares[0], expected / expected.sum(), rtol=1e-4)
    np.testing.assert_allclose(answers(model), MEAN, atol=0.1)


def test_the_expectation_is_the_mean_over_240_months() -> None:
    model = build(head="expectation")
    randomize(model, "logits")
    logits = keras.ops.convert_to_numpy(of_layer(model, "logits")(_inputs(model), training=False))
    weights = np.exp(np.float64(logits))
    expected = weights @ np.arange(1, 241) / weights.sum(axis=1)
    found = answers(model)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert len(set(found.tolist())) == 3


@pytest.mark.parametrize(("month", "logit"), [(1, 300.0), (240, 300.0), (77, 1e4)])
def test_the_expectation_reaches_both_ends(month: int, logit: float) -> None:
    model = build(head="expectation")
    kernel, bias = model.get_layer("logits").get_weights()
    bias = np.zeros_like(bias)
    bias[month - 1] = logit
    model.get_layer("logits").set_weights([kernel, bias])
    np.testing.assert_allclose(answers(model), month, rtol=1e-5)


def test_the_head_computes_in_float32() -> None:
    config = ModelConfig(
        backbone="tiny", head="expectation", age_mean_months=MEAN, age_sd_months=SD, head_layers=2
    )
    model = build_bone_age_model(config, FRAME, precision="mixed_bfloat16")
    others = [layer for layer in model.layers if layer.name not in ("tiny", "image", "sex")]
    assert {layer.compute_dtype for layer in others} == {"float32"}
    assert {v.dtype for v in model.trainable_variables} == {"float32"}


# === Layers between ===


def test_layers_dropout_and_activation_of_a_deep_head() -> None:
    model = build(head_layers=2, head_units=24, activation="elu", dropout=0.25)
    names = [layer.name for layer in model.layers]
    first = names.index("dropout_1")
    assert names[first : first + 5] == ["dropout_1", "joint", "dropout_2", "joint_2", "score"]
    for name in ("joint", "joint_2"):
        layer = model.get_layer(name)
        assert (layer.units, layer.activation) == (24, keras.activations.elu)
    assert [model.get_layer(f"dropout_{n}").rate for n in (1, 2)] == [0.25, 0.25]


# === Sex ===


@pytest.mark.parametrize("settings", [{"sex_units": 0}, {"target": "sex"}, {"target": "sex", "sex_units": 0}])  # fmt: skip
def test_a_network_that_is_not_told_the_sex_does_not_depend_on_it(settings: dict[str, Any]) -> None:
    model = build(**settings)
    assert set(model.input) == {"image", "sex"}
    assert len(set(answers(model).tolist())) == 1
    assert not [layer for layer in model.layers if layer.name.startswith("sex_")]


def test_the_target_sex_gives_a_probability() -> None:
    model = build(target="sex")
    randomize(model, "score")
    score = keras.ops.convert_to_numpy(of_layer(model, "score")(_inputs(model), training=False))
    found = answers(model)
    assert found.shape == (3,)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-score[:, 0])), rtol=1e-5)


def test_an_expectation_of_the_sex_is_rejected() -> None:
    with pytest.raises(UsageError, match=r"model\.head=expectation.*model\.head=regression"):
        build(target="sex", head="expectation")


# === Pooling ===


@pytest.mark.parametrize("pooling", ["average", "flatten", "average_2x2_flatten"])
def test_pooling_by_hand(pooling: str) -> None:
    model = build(pooling=pooling, sex_units=0)
    first, last = (
        ("flat" if pooling == "flatten" else "pool"),
        ("pool" if pooling == "average" else "flat"),
    )
    backbone = keras.Model(model.input, model.get_layer(first).input)
    maps = keras.ops.convert_to_numpy(backbone(_inputs(model), training=False))
    assert maps.shape == (3, 6, 7, 96)
    found = keras.ops.convert_to_numpy(of_layer(model, last)(_inputs(model), training=False))
    expected = {
        "average": maps.mean((1, 2)),
        "flatten": maps.reshape(3, -1),
        "average_2x2_flatten": maps[:, :, :6].reshape(3, 3, 2, 3, 2, 96).mean((2, 4)).reshape(3, -1),
    }[pooling]  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert model.get_layer("joint").kernel.shape[0] == expected.shape[1]


def test_2_x_2_places_need_as_many() -> None:
    with pytest.raises(UsageError, match="at least 2 x 2. Received 1 x 1 from m46.*--scale"):
        build((127, 127), backbone="m46", pooling="average_2x2_flatten")


# === In an exported model ===

KINDS = {
    "regression": {"backbone": "tiny"},
    "expectation": {"backbone": "tiny", "head": "expectation"},
    "sex": {"backbone": "tiny", "target": "sex"},
    "16 Bit": {"backbone": "tiny", "pooling": "average_2x2_flatten", "head_layers": 2},
    "m46": {"backbone": "m46", "pooling": "flatten", "activation": "elu", "head_units": 16},
    "mixed7": {"backbone": "inception_v3_mixed7"},
}


@pytest.mark.parametrize(
    "kind", [k if k != "mixed7" else pytest.param(k, marks=pytest.mark.large) for k in KINDS]
)
def test_all_operations_may_be_exported(kind: str) -> None:
    model = build((127, 127), **KINDS[kind])
    images = tf.TensorSpec((None, 127, 127, 1), tf.uint8)
    sex = tf.TensorSpec((None,), tf.int32)
    serve = tf.function(lambda image, sex: model({"image": image, "sex": sex}, training=False))
    graph = serve.get_concrete_function(images, sex).graph.as_graph_def()
    used = {node.op for node in graph.node}
    used |= {node.op for function in graph.library.function for node in function.node_def}
    assert "MatMul" in used
    assert used <= ALLOWED_OPERATIONS


def _inputs(model: keras.Model) -> dict[str, np.ndarray]:
    frame = model.input["image"].shape[1:]
    noise = np.random.default_rng(0).integers(0, 256, frame).astype(np.uint8)
    return {"image": np.repeat(noise[np.newaxis], 3, axis=0), "sex": np.array([0, 1, 2], np.int32)}
