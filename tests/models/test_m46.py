import keras
import numpy as np

from bone_age_tf.models.backbones import build_backbone
from bone_age_tf.models.m46 import FILTERS, m46


def test_places_of_a_hand_are_those_of_the_paper() -> None:
    backbone = build_backbone("m46", (500, 375), "float32")
    assert backbone.output.shape == (None, 6, 4, 384)


def test_weights_are_those_of_the_recipe() -> None:
    before, expected = 1, 0
    for filters in FILTERS:
        for size in (3, 1):  # kernel, bias, four of the normalization
            expected += size**2 * before * filters + 5 * filters
            before = filters
    assert (
        m46(include_top=False, weights=None, input_shape=(127, 127, 1)).count_params() == expected
    )


def test_a_block_is_convolution_elu_normalization_twice_and_a_pool() -> None:
    kinds = [
        type(layer).__name__ for layer in build_backbone("m46", (130, 130), "float32").layers[1:8]
    ]
    half = ["Conv2D", "Activation", "BatchNormalization"]
    assert kinds == [*half, *half, "MaxPooling2D"]


def test_kernels_begin_as_he_says_for_the_outputs() -> None:
    keras.utils.set_random_seed(0)
    backbone = build_backbone("m46", (127, 127), "float32")
    kernels = [layer.kernel for layer in backbone.layers if isinstance(layer, keras.layers.Conv2D)]
    spread = float(np.std(keras.ops.convert_to_numpy(kernels[-2])))
    assert abs(spread - (2 / (9 * 384)) ** 0.5) < 1e-4
