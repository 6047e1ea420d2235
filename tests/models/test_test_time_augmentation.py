import keras
import numpy as np
import pytest
from keras import layers, ops

from bone_age_tf.models.ensemble_model import Member, build_ensemble_model
from bone_age_tf.models.test_time_augmentation import MeanOverViews
from bone_age_tf.models.views import VIEWS, is_mirrored, transforms_of
from bone_age_tf.postprocessing.bias_correction import Line, SexSpecificRecalibration

FRAME = (40, 30)


def hand(count: int = 1) -> np.ndarray:
    """Smooth blobs off the centre, uint8 [count, *FRAME, 1], black at the edge."""
    rows, columns = np.mgrid[:40, :30]
    blobs = [
        200 * np.exp(-((rows - 12 - n) ** 2 + (columns - 18) ** 2) / 30)
        + 90 * np.exp(-((rows - 26) ** 2 + (columns - 10 - n) ** 2) / 12)
        for n in range(count)
    ]
    return np.stack(blobs)[..., np.newaxis].astype(np.uint8)


def network(function=lambda pixels: ops.mean(pixels, axis=(1, 2, 3)), by_sex: float = 0.0):
    """A `keras.Model` of no weights: `function` of the pixels, and `by_sex` x the code of the sex."""
    image = layers.Input((*FRAME, 1), dtype="uint8", name="image")
    sex = layers.Input((), dtype="int32", name="sex")

    def answer(inputs):
        return function(ops.cast(inputs[0], "float32")) + by_sex * ops.cast(inputs[1], "float32")

    months = layers.Lambda(answer, output_shape=(), dtype="float32")([image, sex])
    return keras.Model({"image": image, "sex": sex}, months)


def centre_x(pixels):
    """Column of the centre of gravity."""
    columns = ops.reshape(ops.arange(30, dtype="float32"), (1, 1, 30, 1))
    return ops.sum(pixels * columns, axis=(1, 2, 3)) / ops.sum(pixels, axis=(1, 2, 3))


def seen(pixels: np.ndarray, name: str) -> list[np.ndarray]:
    """The views as pictures, uint8 each."""
    return [
        np.round(
            ops.convert_to_numpy(
                ops.image.affine_transform(
                    pixels.astype(np.float32), transform, data_format="channels_last"
                )
            )
        ).astype(np.uint8)
        for transform in transforms_of(VIEWS[name], FRAME)
    ]


@pytest.mark.parametrize("name", VIEWS)
def test_the_first_view_is_the_radiograph(name: str) -> None:
    np.testing.assert_array_equal(seen(hand(), name)[0], hand())


def test_mirrored_views_are_the_others_mirrored() -> None:
    views = seen(hand(), "warps_mirror")
    assert len(views) == 10
    for plain, mirrored in zip(views[:5], views[5:], strict=True):
        difference = np.abs(mirrored.astype(int) - plain[:, :, ::-1])
        assert difference.max() <= 1
    np.testing.assert_array_equal(seen(hand(), "mirror")[1], hand()[:, :, ::-1])


def test_warps_differ_and_are_small() -> None:
    views = [view.astype(int) for view in seen(hand(), "warps")]
    for number, view in enumerate(views[1:], start=1):
        assert np.abs(view - views[0]).max() > 5
        assert np.corrcoef(view.ravel(), views[0].ravel())[0, 1] > 0.9
        assert all(np.abs(view - other).max() > 2 for other in views[:number])


def test_on_a_gpu_keras_does_not_ask_xla_for_views() -> None:
    model = build_ensemble_model([Member(network(), (1, 1, 1))], VIEWS["warps"])
    (views,) = (layer for layer in model.layers if isinstance(layer, MeanOverViews))
    assert not views.supports_jit  # what Keras looks at


def test_mirror_is_known_by_name() -> None:
    assert [name for name in VIEWS if is_mirrored(name)] == ["mirror", "warps_mirror"]


@pytest.mark.parametrize("count", [1, 2, 3, 6])
@pytest.mark.parametrize("name", VIEWS)
def test_the_answer_is_the_mean_over_the_views(name: str, count: int) -> None:
    pixels, sex = hand(count), np.arange(count, dtype=np.int32) % 3
    alone = network(centre_x, by_sex=100)
    layer = MeanOverViews(alone, VIEWS[name], fixed_sex=None, name="member")
    answer = ops.convert_to_numpy(layer(pixels, sex))
    expected = np.mean([alone({"image": view, "sex": sex}) for view in seen(pixels, name)], axis=0)
    np.testing.assert_allclose(answer, expected, rtol=1e-5)


def test_views_are_the_same_in_a_graph() -> None:
    model = build_ensemble_model([Member(network(centre_x), (1, 1, 1))], VIEWS["warps"])
    inputs = {"image": hand(2), "sex": np.zeros(2, np.int32)}
    np.testing.assert_allclose(model.predict_on_batch(inputs), model(inputs), rtol=1e-6)
    alone = model.predict_on_batch({name: value[1:] for name, value in inputs.items()})
    np.testing.assert_allclose(model.predict_on_batch(inputs)[1:], alone, rtol=1e-6)


@pytest.mark.parametrize("count", [2, 6])
def test_one_broken_answer_leaves_the_others(count: int) -> None:
    def broken(pixels):
        return centre_x(pixels) / ops.cast(pixels[:, 0, 0, 0] < 200, "float32")

    pixels = hand(2)[[0, *[1] * (count - 1)]]
    pixels[0] = 255
    layer = MeanOverViews(network(broken), VIEWS["mirror"], fixed_sex=None, name="member")
    answer = ops.convert_to_numpy(layer(pixels, np.zeros(count, np.int32)))
    assert not np.isfinite(answer[0])
    np.testing.assert_allclose(answer[1:], 14.5, rtol=1e-5)


def test_members_count_by_sex() -> None:
    members = [
        Member(network(lambda p: ops.mean(p, axis=(1, 2, 3)) * 0 + 10), (1.0, 0.0, 0.5)),
        Member(network(lambda p: ops.mean(p, axis=(1, 2, 3)) * 0 + 20), (0.0, 1.0, 0.5)),
    ]
    model = build_ensemble_model(
        members, VIEWS["none"], SexSpecificRecalibration((Line(3, 2), Line(3, 3), Line(1, 2)))
    )
    months = model({"image": hand(3), "sex": np.arange(3, dtype=np.int32)})
    assert np.asarray(months).tolist() == [23, 63, 31]


def test_a_member_of_one_sex_is_always_told_it() -> None:
    member = Member(network(by_sex=100), (1, 1, 1), fixed_sex=1)
    model = build_ensemble_model([member], VIEWS["none"])
    months = np.asarray(model({"image": hand(1).repeat(3, 0), "sex": np.arange(3)}))
    np.testing.assert_allclose(months, 100 + hand().mean(), rtol=1e-5)


@pytest.mark.parametrize(("intercept", "end"), [(-900.0, 0.0), (900.0, 240.0)])
def test_no_correction_leads_out_of_twenty_years(intercept: float, end: float) -> None:
    member = Member(network(), (1.0, 1.0, 1.0))
    model = build_ensemble_model(
        [member], VIEWS["none"], SexSpecificRecalibration((Line(intercept),) * 3)
    )
    answer = model.predict_on_batch({"image": hand(), "sex": np.zeros(1, np.int32)})
    np.testing.assert_array_equal(answer, [end])
