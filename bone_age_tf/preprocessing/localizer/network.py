"""The network that finds the hand: one encoder, a mask, key points, the image class and the view.

Keras layers only. It is part of the preprocessing and not of `models/`, because the preprocessing of
every model contains it (docs/decisions/0004).
"""

from typing import NamedTuple

import keras
from keras import layers

VIEW = (224, 176)
"""Rows and columns of the network's input: the whole radiograph, letterboxed."""
CHANNELS = 2
"""Grey levels stretched between two percentiles, and equalised."""
FITTED = 0.94
"""Share of the view that the whole radiograph fills, so that there is room around a tight crop."""
STRIDE = 2
"""Pixels of the view for one of the heat maps."""

POINTS = (
    "middle_tip",
    "thumb_tip",
    "capitate",
    "index_mcp",
    "little_mcp",
    "wrist",
    "index_tip",
    "ring_tip",
    "little_tip",
)
"""Tips of the distal phalanges, centre of the capitate, centres of the second and fifth metacarpal's
epiphysis (of the head once fused), and the middle between radius and ulna at the level of the radius'
growth plate."""

IMAGE_CLASSES = ("hand", "not_a_hand", "no_whole_hand", "two_hands")
"""Image classes. The output and its layer are named `outlook` in the weights."""

_WIDTHS = (24, 48, 80, 128)


class Outputs(NamedTuple):
    """Names of the network's outputs."""

    mask: str = "mask"
    """Logits [N, *VIEW, 1]: hand and forearm."""
    heat: str = "heat"
    """Logits [N, VIEW / STRIDE, points]; the softmax over a map's pixels is where the point is."""
    image_class: str = "outlook"
    """Logits [N, classes]."""
    inverted: str = "inverted"
    """Logit [N, 1]: bone is dark."""
    tilt: str = "tilt"
    """[N, 1]: sine of the angle by which the hand is turned out of the picture's plane."""


OUTPUTS = Outputs()


def build_hand_localizer(*, for_training: bool = False) -> keras.Model:
    """The network with random weights: uint8 [N, *VIEW, 2] -> a dictionary by `OUTPUTS`.

    For training with batch normalization after every convolution; without it otherwise, where
    `fold_normalization` has put it into the convolutions.
    """

    def convolve(x: keras.KerasTensor, filters: int, name: str, strides: int = 1, size: int = 3):
        x = layers.Conv2D(
            filters, size, strides, padding="same", use_bias=not for_training, name=name
        )(x)
        if for_training:
            x = layers.BatchNormalization(momentum=0.97, name=f"{name}_normalized")(x)
        return layers.Activation("relu", name=f"{name}_relu")(x)

    # === Input ===
    view = layers.Input((*VIEW, CHANNELS), dtype="uint8", name="view")
    x = layers.Rescaling(1 / 64, -1.0, name="input_range")(view)

    # === Encoder: halves, with more and more channels ===
    x = convolve(x, 16, "stem", strides=2, size=5)
    kept = []
    for level, filters in enumerate(_WIDTHS):
        if level:
            x = layers.MaxPooling2D(2, padding="same", name=f"pool_{level}")(x)
        x = convolve(x, filters, f"encoder_{level}_1")
        x = convolve(x, filters, f"encoder_{level}_2")
        kept.append(x)

    # === Context: what the whole picture holds, at every place ===
    mean = layers.GlobalAveragePooling2D(name="mean")(x)
    most = layers.GlobalMaxPooling2D(name="most")(x)
    whole = layers.Concatenate(name="whole")([mean, most])
    whole = layers.Dense(_WIDTHS[-1], "relu", name="context")(whole)
    x = layers.Add(name="with_context")(
        [x, layers.Reshape((1, 1, _WIDTHS[-1]), name="context_everywhere")(whole)]
    )
    x = convolve(x, _WIDTHS[-1], "encoder_last")

    # === Decoder: doubles, and adds what the encoder saw there ===
    for level in reversed(range(len(_WIDTHS) - 1)):
        x = layers.Conv2D(_WIDTHS[level], 1, name=f"narrow_{level}")(x)
        x = layers.UpSampling2D(2, name=f"double_{level}")(x)
        x = layers.Add(name=f"join_{level}")([x, kept[level]])
        x = convolve(x, _WIDTHS[level], f"decoder_{level}")

    # === Heads ===
    quarters = layers.Conv2D(STRIDE**2, 3, padding="same", name="mask_quarters")(x)
    mask = _interleave(quarters)
    heat = layers.Conv2D(len(POINTS), 1, name="heat_logits")(x)
    image_class = layers.Dense(len(IMAGE_CLASSES), name="outlook_logits")(whole)
    inverted = layers.Dense(1, name="inverted_logit")(whole)
    tilt = layers.Dense(1, name="tilt_sine")(whole)
    heads = dict(zip(OUTPUTS, (mask, heat, image_class, inverted, tilt), strict=True))
    outputs = {
        name: layers.Activation("linear", dtype="float32", name=name)(head)
        for name, head in heads.items()
    }
    return keras.Model(view, outputs, name="hand_localizer")


def _interleave(quarters: keras.KerasTensor) -> keras.KerasTensor:
    """[N, h, w, 4] -> [N, 2 h, 2 w, 1]: each channel is one pixel of four."""
    height, width = VIEW[0] // STRIDE, VIEW[1] // STRIDE
    x = layers.Reshape((height, width, STRIDE, STRIDE), name="mask_split")(quarters)
    x = layers.Permute((1, 3, 2, 4), name="mask_order")(x)
    return layers.Reshape((*VIEW, 1), name="mask_whole")(x)


def fold_normalization(trained: keras.Model) -> keras.Model:
    """The network for use: the trained one's function with no batch normalization left."""
    folded = build_hand_localizer()
    names = {layer.name for layer in trained.layers}
    for layer in folded.layers:
        if not layer.weights:
            continue
        source = trained.get_layer(layer.name)
        if f"{layer.name}_normalized" not in names:
            layer.set_weights(source.get_weights())
            continue
        (kernel,) = source.get_weights()
        normalization = trained.get_layer(f"{layer.name}_normalized")
        gamma, beta, mean, variance = normalization.get_weights()
        factor = gamma / (variance + normalization.epsilon) ** 0.5
        layer.set_weights([kernel * factor, beta - mean * factor])
    return folded
