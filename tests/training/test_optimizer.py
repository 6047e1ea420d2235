import keras
import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf.config import ModelConfig, TrainConfig
from bone_age_tf.models.bone_age_model import build_bone_age_model
from bone_age_tf.training.optimizer import (
    FLOOR,
    LayerwiseAdamW,
    WarmupSchedule,
    layer_rates,
    make_optimizer,
)

HIGHEST = 4e-3


class Constant(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step: object) -> object:
        return tf.constant(HIGHEST)


def schedule(shape: str, warmup: int, total: int) -> WarmupSchedule:
    settings = TrainConfig(learning_rate=HIGHEST, warmup_steps=warmup, schedule=shape)
    return WarmupSchedule(settings, total)


def shares(rates: WarmupSchedule, *steps: int) -> list[float]:
    """The rates of the steps as shares of the highest."""
    return [float(rates(step)) / HIGHEST for step in steps]


def some_variables(seed: int = 0) -> list[keras.Variable]:
    rng = np.random.default_rng(seed)
    return [
        keras.Variable(rng.normal(size=shape).astype(np.float32)) for shape in ((3, 4), (4,), ())
    ]


def some_gradients(seed: int) -> list[tf.Tensor]:
    rng = np.random.default_rng(seed)
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in ((3, 4), (4,), ())]


def values(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [np.array(variable) for variable in variables]


def momenta(optimizer: keras.optimizers.Optimizer) -> list[np.ndarray]:
    return [np.array(v) for v in optimizer.variables if "momentum" in v.path]


# === The schedule ===


@pytest.mark.parametrize("shape", ["cosine", "linear", "constant"])
def test_the_rate_rises_evenly_from_nothing_to_the_highest(shape: str) -> None:
    found = shares(schedule(shape, 4, 24), 0, 1, 2, 3, 4)
    assert found == pytest.approx([0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("cosine", [FLOOR + (1 - FLOOR) * (2 + 2**0.5) / 4, 0.505, FLOOR, FLOOR]),
        ("linear", [0.7525, 0.505, FLOOR, FLOOR]),
        ("constant", [1, 1, 1, 1]),
    ],
)
def test_the_rate_falls_by_its_shape_and_stays_at_one_percent(
    shape: str, expected: list[float]
) -> None:
    assert shares(schedule(shape, 4, 24), 9, 14, 24, 1000) == pytest.approx(expected, abs=1e-6)
    assert FLOOR == 0.01


def test_more_warm_up_than_steps_is_cut_to_half_of_them() -> None:
    found = shares(schedule("linear", 1000, 10), *range(11))
    assert found == pytest.approx(
        [0, 0.2, 0.4, 0.6, 0.8, 1, 0.802, 0.604, 0.406, 0.208, FLOOR], abs=1e-6
    )


def test_without_warm_up_the_first_step_has_the_highest_rate() -> None:
    assert shares(schedule("cosine", 0, 10), 0, 10) == pytest.approx([1, FLOOR])


# === One step ===


def test_with_all_rates_1_it_is_adamw() -> None:
    mine, theirs = some_variables(), some_variables()
    layerwise = LayerwiseAdamW(Constant(), [1, 1, 1], decay=0.1)
    stock = keras.optimizers.AdamW(HIGHEST, weight_decay=0.1)
    before = values(mine)
    for step in range(10):
        layerwise.apply(some_gradients(step), mine)
        stock.apply(some_gradients(step), theirs)
    for own, other, old in zip(values(mine), values(theirs), before, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-6, rtol=0)
        assert np.abs(own - old).max() > HIGHEST


def test_a_rate_of_a_tenth_moves_and_decays_a_tenth() -> None:
    start = np.float32([2.0, -3.0, 0.5])
    variables = [keras.Variable(start), keras.Variable(start)]
    gradient = tf.constant([1.0, -0.1, 30.0])
    LayerwiseAdamW(Constant(), [1, 0.1], decay=0.5).apply([gradient, gradient], variables)
    whole, tenth = (value - start for value in values(variables))
    expected = -HIGHEST * (np.sign(gradient) + 0.5 * start)
    np.testing.assert_allclose(whole, expected, rtol=1e-3)
    np.testing.assert_allclose(tenth, expected / 10, rtol=1e-3)


def test_a_variable_that_begins_later_begins_as_at_the_first_step() -> None:
    """After `train.freeze_backbone_epochs`; the moments' bias is that of their own age."""
    early, late = keras.Variable(np.float32(0)), keras.Variable(np.float32(0))
    optimizer = LayerwiseAdamW(Constant(), [1, 1], [0, 40], decay=0)
    optimizer.build([early, late])
    for _ in range(40):
        optimizer.apply([tf.constant(1.0)], [early])
    for step in range(1, 4):
        optimizer.apply([tf.constant(1.0)] * 2, [early, late])
        assert late.numpy() == pytest.approx(-HIGHEST * step, rel=1e-3)


def test_rates_go_with_their_variables_where_some_are_left_out() -> None:
    """As in `train.freeze_backbone_epochs`: the backbone's variables get no gradient."""
    variables = [keras.Variable(np.float32(0)) for _ in range(3)]
    optimizer = LayerwiseAdamW(Constant(), [0.01, 0.1, 1], decay=0)
    optimizer.build(variables)
    optimizer.apply([tf.constant(1.0), tf.constant(1.0)], variables[1:])
    assert [value.item() for value in values(variables)] == pytest.approx(
        [0, -HIGHEST / 10, -HIGHEST], rel=1e-3
    )


def test_global_clipnorm_is_of_all_gradients_together() -> None:
    settings = TrainConfig(global_clipnorm=0.5, learning_rate=HIGHEST)
    variables = some_variables()
    optimizer = make_optimizer(settings, 100, "float32", [1, 1, 1])
    gradients = some_gradients(0)
    norm = np.sqrt(sum(float(tf.reduce_sum(g**2)) for g in gradients))
    assert norm > 1
    optimizer.apply(gradients, variables)
    for momentum, gradient in zip(momenta(optimizer), gradients, strict=True):
        np.testing.assert_allclose(momentum, 0.1 * 0.5 / norm * gradient, rtol=1e-5)


def test_a_gradient_below_global_clipnorm_is_left_as_it_is() -> None:
    for global_clipnorm in (None, 1000.0):
        optimizer = make_optimizer(
            TrainConfig(global_clipnorm=global_clipnorm), 100, "float32", [1, 1, 1]
        )
        optimizer.apply(some_gradients(0), some_variables())
        for momentum, gradient in zip(momenta(optimizer), some_gradients(0), strict=True):
            np.testing.assert_allclose(momentum, 0.1 * gradient, rtol=1e-5)


# === float16 ===


def test_only_float16_scales_the_loss() -> None:
    for precision in ("float32", "mixed_bfloat16"):
        optimizer = make_optimizer(TrainConfig(), 10, precision, [1])
        assert type(optimizer) is LayerwiseAdamW
        assert float(optimizer.scale_loss(tf.constant(2.0))) == 2
    optimizer = make_optimizer(TrainConfig(), 10, "mixed_float16", [1])
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert float(optimizer.scale_loss(tf.constant(2.0))) > 1000


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_overflows_leaves_everything_but_the_scale(bad: float) -> None:
    settings = TrainConfig(warmup_steps=0, weight_decay=0.5)
    variables = some_variables()
    optimizer = make_optimizer(settings, 10, "mixed_float16", [1, 1, 1])
    optimizer.build(variables)
    scale = float(optimizer.scale_loss(tf.constant(1.0)))
    before, inner = values(variables), values(optimizer.inner_optimizer.variables)
    matrix, *others = some_gradients(0)
    spoiled = tf.tensor_scatter_nd_update(matrix, [[1, 2]], [bad])
    tf.function(lambda: optimizer.apply([spoiled, *others], variables))()
    for old, new in zip(before, values(variables), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(inner, values(optimizer.inner_optimizer.variables), strict=True):
        np.testing.assert_array_equal(old, new)
    assert int(optimizer.iterations) == 0
    assert float(optimizer.scale_loss(tf.constant(1.0))) == scale / 2


def test_a_scaled_step_is_the_step() -> None:
    """Unscaled before it is clipped."""
    settings = TrainConfig(warmup_steps=0, global_clipnorm=0.5)
    plain, scaled = some_variables(), some_variables()
    make_optimizer(settings, 10, "float32", [1, 1, 0.1]).apply(some_gradients(0), plain)
    optimizer = make_optimizer(settings, 10, "mixed_float16", [1, 1, 0.1])
    optimizer.build(scaled)
    optimizer.apply([optimizer.scale_loss(g) for g in some_gradients(0)], scaled)
    for one, other in zip(values(plain), values(scaled), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert int(optimizer.iterations) == 1


# === The rates of the layers ===


@pytest.fixture(scope="module")
def model() -> keras.Model:
    config = ModelConfig(backbone="tiny", age_mean_months=100, age_sd_months=40)
    return build_bone_age_model(config, (104, 80))


def test_rates_rise_geometrically_from_the_first_layer_to_the_head(model: keras.Model) -> None:
    backbone = model.get_layer("tiny")
    rates = layer_rates(model, backbone, 0.5)
    assert len(rates) == len(model.trainable_variables)
    by_variable = {id(v): rate for v, rate in zip(model.trainable_variables, rates, strict=True)}
    layers = [layer for layer in backbone.layers if layer.trainable_variables]
    found = [by_variable[id(layer.trainable_variables[0])] for layer in layers]
    for layer, rate in zip(layers, found, strict=True):
        assert {by_variable[id(v)] for v in layer.trainable_variables} == {rate}
    assert layers[0].name.startswith("conv2d")
    assert found[0] == pytest.approx(0.5**8)  # four convolutions, each with a normalization
    steps = np.diff(np.log([*found, 1]))
    np.testing.assert_allclose(steps, np.log(2))
    of_backbone = {id(v) for v in backbone.trainable_variables}
    head = [rate for key, rate in by_variable.items() if key not in of_backbone]
    assert head == [1.0] * 7  # embedding, and kernel and bias of three layers


def test_a_layerwise_decay_of_1_is_1_everywhere(model: keras.Model) -> None:
    assert set(layer_rates(model, model.get_layer("tiny"), 1.0)) == {1.0}
