"""Backbone + sex branch + head -> months, or the probability of a boy."""

import keras
from keras import layers

from bone_age_tf.config import ModelConfig
from bone_age_tf.errors import UsageError
from bone_age_tf.models import heads
from bone_age_tf.models.backbones import build_backbone, find_backbone
from bone_age_tf.preprocessing.regions import crop_of

SEXES = 3
"""F, M, unknown: the third is trained by sex dropout."""


def build_bone_age_model(
    config: ModelConfig,
    frame: tuple[int, int],
    *,
    region: str = "frame",
    precision: str = "float32",
) -> keras.Model:
    """The model with random weights.

    Inputs `image` uint8 [N, *frame, 1] and `sex` int32 [N] (`sex.Sex`); output
    `bone_age_months` float32 [N], for the target `sex` `boy_probability`, from 0 to 1. Of the frame,
    the backbone sees the named region. A network that does not use the sex still has the input.
    The backbone computes in the dtype policy `precision`, all that follows it in float32: between 128
    and 256, neighbouring bfloat16 numbers are a month apart.
    Raises `UsageError` where the settings contradict each other or the region is too small.
    """
    if config.target == "sex" and config.head != "regression":
        raise UsageError(
            f"model.head={config.head} predicts months, and model.target=sex a probability. Expected "
            "model.head=regression with it."
        )
    if config.age_mean_months is None or config.age_sd_months is None:
        raise UsageError(
            "model.age_mean_months and model.age_sd_months must be set to build a model."
        )
    rows, columns = crop_of(region, frame)
    seen = (frame[0] - sum(rows), frame[1] - sum(columns))
    spec = find_backbone(config.backbone, seen)

    # === Inputs ===
    image = layers.Input((*frame, 1), dtype="uint8", name="image")
    sex = layers.Input((), dtype="int32", name="sex")

    # === Region of the frame ===
    cut = layers.Cropping2D((rows, columns), dtype="float32", name="region")(image)

    # === Grey levels -> the backbone's range, three channels ===
    rgb = layers.Concatenate(dtype="float32", name="rgb")([cut, cut, cut])
    scaled = layers.Rescaling(
        list(spec.input_scale), list(spec.input_offset), dtype="float32", name="input_range"
    )(rgb)

    # === Backbone ===
    features = build_backbone(config.backbone, seen, precision)(scaled)
    vector = _pooled(features, config)

    # === Sex branch ===
    if config.sex_units and config.target != "sex":
        sex_features = layers.Embedding(
            SEXES, config.sex_units, dtype="float32", name="sex_embedding"
        )(sex)
        sex_features = layers.Dense(config.sex_units, "relu", dtype="float32", name="sex_branch")(
            sex_features
        )
        vector = layers.Concatenate(dtype="float32", name="image_and_sex")([vector, sex_features])

    # === Head ===
    joined = heads.dense_layers(vector, config)
    if config.target == "sex":
        answer = heads.boy_probability(joined)
    elif config.head == "expectation":
        answer = heads.expectation(joined, config.age_mean_months, config.age_sd_months)
    else:
        answer = heads.regression(joined, config.age_mean_months, config.age_sd_months)
    return keras.Model({"image": image, "sex": sex}, answer, name=config.target)


def _pooled(features: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """Feature maps [N, h, w, c] as a vector, float32 [N, d]."""
    if config.pooling == "average":
        return layers.GlobalAveragePooling2D(dtype="float32", name="pool")(features)
    if config.pooling == "average_2x2_flatten":
        if min(features.shape[1:3]) < 2:
            raise UsageError(
                f"model.pooling=average_2x2_flatten needs feature maps of at least 2 x 2. Received "
                f"{features.shape[1]} x {features.shape[2]} from {config.backbone}: prepare the data with a "
                "larger --scale, or choose model.pooling=average."
            )
        features = layers.AveragePooling2D(2, dtype="float32", name="pool")(features)
    return layers.Flatten(dtype="float32", name="flat")(features)
