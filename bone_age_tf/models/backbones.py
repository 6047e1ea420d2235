"""The table of backbones: name -> constructor, the range of its input, its smallest input."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras import layers

from bone_age_tf.errors import EnvironmentFaultError, InputDataError, UsageError
from bone_age_tf.models import m46 as vgg_m46
from bone_age_tf.models.batch_normalization import fuse_normalization

_TORCH_MEAN = (0.485, 0.456, 0.406)
_TORCH_SD = (0.229, 0.224, 0.225)
_MINUS_ONE_TO_ONE = ((1 / 127.5,) * 3, (-1.0,) * 3)
_UNCHANGED = ((1.0,) * 3, (0.0,) * 3)  # of backbones that rescale their input themselves
_TORCH = (
    tuple(1 / (255 * sd) for sd in _TORCH_SD),
    tuple(-mean / sd for mean, sd in zip(_TORCH_MEAN, _TORCH_SD, strict=True)),
)


@dataclasses.dataclass(frozen=True)
class BackboneSpec:
    """A backbone, and the input that its ImageNet weights were trained with."""

    build: Callable[..., keras.Model]
    """Called with `include_top`, `weights` and `input_shape`, as in `keras.applications`."""
    input_scale: tuple[float, ...]
    """Per channel: grey level 0 to 255 times this ..."""
    input_offset: tuple[float, ...]
    """... plus this is what the backbone expects."""
    min_side: int
    """Smallest height and width."""
    has_imagenet: bool = True


def _tiny(*, include_top: bool, weights: None, input_shape: tuple[int, int, int]) -> keras.Model:
    """Four strided convolutions, for tests and first trials without a GPU."""
    del include_top, weights
    image = x = layers.Input(input_shape)
    for filters in (16, 32, 64, 96):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.Activation("relu")(x)
    return keras.Model(image, x, name="tiny")


def _small(*, include_top: bool, weights: None, input_shape: tuple[int, int, int]) -> keras.Model:
    """A residual network of 1.6 million weights that can be trained from random weights on phantoms on two cores."""
    del include_top, weights
    image = layers.Input(input_shape)
    x = layers.Conv2D(24, 5, strides=2, padding="same", use_bias=False)(image)
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.95)(x))
    for filters in (32, 64, 128, 160):
        x = _residual(x, filters, strides=2)
        x = _residual(x, filters, strides=1)
    return keras.Model(image, x, name="small")


def _residual(x: keras.KerasTensor, filters: int, strides: int) -> keras.KerasTensor:
    """Two convolutions and a shortcut, as in He et al. 2015."""
    shortcut = x
    if strides > 1:
        shortcut = layers.AveragePooling2D(strides, padding="same")(x)
        shortcut = layers.Conv2D(filters, 1, use_bias=False)(shortcut)
    x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.95)(x))
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.95)(x)
    return layers.Activation("relu")(layers.Add()([x, shortcut]))


_apps = keras.applications


def _inception_v3_mixed7(**options: Any) -> keras.Model:
    """InceptionV3 up to the layer `mixed7`: 768 maps, a stride of 16, 9.0 of 21.8 million weights.

    Its layers are the first ones of the whole network, in the same order, so weight files of that fit.
    """
    whole = _apps.InceptionV3(**options)
    return keras.Model(whole.input, whole.get_layer("mixed7").output)


BACKBONES = {
    "inception_v3": BackboneSpec(_apps.InceptionV3, *_MINUS_ONE_TO_ONE, 75),
    "inception_v3_mixed7": BackboneSpec(_inception_v3_mixed7, *_MINUS_ONE_TO_ONE, 75),
    "xception": BackboneSpec(_apps.Xception, *_MINUS_ONE_TO_ONE, 71),
    "efficientnet_v2_b0": BackboneSpec(_apps.EfficientNetV2B0, *_UNCHANGED, 32),
    "efficientnet_v2_s": BackboneSpec(_apps.EfficientNetV2S, *_UNCHANGED, 32),
    "convnext_tiny": BackboneSpec(_apps.ConvNeXtTiny, *_UNCHANGED, 32),
    "densenet_121": BackboneSpec(_apps.DenseNet121, *_TORCH, 32),
    "mobilenet_v2": BackboneSpec(_apps.MobileNetV2, *_MINUS_ONE_TO_ONE, 32),
    "m46": BackboneSpec(vgg_m46.m46, *_MINUS_ONE_TO_ONE, vgg_m46.MIN_SIDE, has_imagenet=False),
    "small": BackboneSpec(_small, *_MINUS_ONE_TO_ONE, 32, has_imagenet=False),
    "tiny": BackboneSpec(_tiny, *_MINUS_ONE_TO_ONE, 32, has_imagenet=False),
}


def find_backbone(name: str, frame: tuple[int, int]) -> BackboneSpec:
    """The row of the table. Raises `UsageError` for an unknown name or too small a frame."""
    if name not in BACKBONES:
        raise UsageError(
            f"model.backbone: there is no backbone {name!r}. Expected one of: {', '.join(BACKBONES)}."
        )
    spec = BACKBONES[name]
    if min(frame) < spec.min_side:
        raise UsageError(
            f"model.backbone {name} needs radiographs of at least {spec.min_side} pixels a side. "
            f"Received {frame[0]} x {frame[1]}. Prepare the data with a larger --scale."
        )
    return spec


def build_backbone(name: str, frame: tuple[int, int], precision: str) -> keras.Model:
    """The backbone with random weights: [N, *frame, 3] in its own range -> feature maps.

    `precision` is a Keras dtype policy, as in `float32` or `mixed_bfloat16`.
    """
    spec = find_backbone(name, frame)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)  # the only way to set the dtype in keras.applications
    try:
        backbone = spec.build(include_top=False, weights=None, input_shape=(*frame, 3))
    finally:
        keras.config.set_dtype_policy(policy)
    backbone.name = name
    fuse_normalization(backbone)
    return backbone


def load_backbone_weights(backbone: keras.Model, weights: str) -> None:
    """Start the backbone from `imagenet` (Keras downloads them), `none`, or a `.weights.h5` file."""
    if weights == "none":
        return
    if weights == "imagenet":
        _load_imagenet(backbone)
    elif not weights.endswith(".weights.h5") or not Path(weights).is_file():
        raise UsageError(
            f"--initial-weights: expected imagenet, none, a run folder, or a .weights.h5 file of the backbone "
            f"{backbone.name}. Received: {weights!r}."
        )
    else:
        try:
            backbone.load_weights(weights)
        except (ValueError, OSError, KeyError) as error:
            raise InputDataError(
                f"{weights}: these are not weights of {backbone.name} without its top ({error})."
            ) from error


def _load_imagenet(backbone: keras.Model) -> None:
    spec = BACKBONES[backbone.name]
    if not spec.has_imagenet:
        raise UsageError(
            f"The backbone {backbone.name} has no ImageNet weights. Pass --initial-weights none."
        )
    try:
        source = spec.build(
            include_top=False, weights="imagenet", input_shape=backbone.input_shape[1:]
        )
    except Exception as error:  # Keras' download raises a bare Exception
        raise EnvironmentFaultError(
            f"The ImageNet weights of {backbone.name} could not be downloaded ({error}). "
            "Connect to the network, or give a file: --initial-weights FILE.weights.h5, or --initial-weights none."
        ) from error
    backbone.set_weights(source.get_weights())
