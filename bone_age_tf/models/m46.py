"""The convolutions of Iglovikov, Rakhlin, Kalinin and Shvets 2018, as in ml-recipe-bone-age."""

import keras
from keras import layers

FILTERS = (32, 64, 128, 128, 256, 384)
"""Of the six blocks; 500 x 375 pixels become 6 x 4 positions."""
MIN_SIDE = 127
"""Smallest side, of which the last block leaves one position."""


def m46(*, include_top: bool, weights: None, input_shape: tuple[int, int, int]) -> keras.Model:
    """Blocks of 3x3 and 1x1 convolutions, each with ELU and then normalization, and 3x3/2 pooling."""
    del include_top, weights
    image = x = layers.Input(input_shape)
    for filters in FILTERS:
        x = _convolution(x, filters, size=3)
        x = _convolution(x, filters, size=1)
        x = layers.MaxPooling2D(3, strides=2)(x)
    return keras.Model(image, x, name="m46")


def _convolution(x: keras.KerasTensor, filters: int, size: int) -> keras.KerasTensor:
    kernel = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    x = layers.Conv2D(filters, size, padding="same", kernel_initializer=kernel)(x)
    x = layers.Activation("elu")(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
