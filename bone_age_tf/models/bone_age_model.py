"""Trunk + sex branch + head -> months."""

import keras
from keras import layers

from bone_age_tf.config import ModelConfig
from bone_age_tf.errors import UsageError
from bone_age_tf.models.backbones import build_trunk, find_backbone
from bone_age_tf.preprocessing.regions import crop_of

SEXES = 3
"""F, M, unknown: the third is a state of its own, learnt from examples whose sex is masked."""


def build_bone_age_model(
    config: ModelConfig,
    frame: tuple[int, int],
    *,
    region: str = "frame",
    precision: str = "float32",
) -> keras.Model:
    """The model with random weights.

    Inputs `image` uint8 [N, *frame, 1] and `sex` int32 [N] (`record.Sex`); output
    `bone_age_months` float32 [N]. Of the frame, the trunk sees the named region. The trunk computes in the dtype policy `precision`, all that
    follows it in float32: between 128 and 256, neighbouring bfloat16 numbers are a month apart.
    """
    if config.age_mean_months is None or config.age_sd_months is None:
        raise UsageError(
            "model.age_mean_months and model.age_sd_months must be set to build a model."
        )
    rows, columns = crop_of(region, frame)
    seen = (frame[0] - sum(rows), frame[1] - sum(columns))
    backbone = find_backbone(config.trunk, seen)

    # === Inputs ===
    image = layers.Input((*frame, 1), dtype="uint8", name="image")
    sex = layers.Input((), dtype="int32", name="sex")

    # === Region of the frame ===
    cut = layers.Cropping2D((rows, columns), dtype="float32", name="region")(image)

    # === Grey levels -> the trunk's range, three channels ===
    rgb = layers.Concatenate(dtype="float32", name="rgb")([cut, cut, cut])
    scaled = layers.Rescaling(
        list(backbone.input_scale), list(backbone.input_offset), dtype="float32", name="input_range"
    )(rgb)

    # === Trunk ===
    features = build_trunk(config.trunk, seen, precision)(scaled)
    pooled = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(features)

    # === Sex branch ===
    sex_features = layers.Embedding(SEXES, config.sex_units, dtype="float32", name="sex_embedding")(
        sex
    )
    sex_features = layers.Dense(config.sex_units, "relu", dtype="float32", name="sex_branch")(
        sex_features
    )

    # === Head ===
    joined = layers.Concatenate(dtype="float32", name="image_and_sex")([pooled, sex_features])
    joined = layers.Dropout(config.dropout, dtype="float32", name="dropout_1")(joined)
    joined = layers.Dense(config.head_units, "relu", dtype="float32", name="joint")(joined)
    joined = layers.Dropout(config.dropout, dtype="float32", name="dropout_2")(joined)
    score = layers.Dense(1, dtype="float32", name="score")(joined)
    months = layers.Rescaling(
        config.age_sd_months, config.age_mean_months, dtype="float32", name="months"
    )(score)
    months = layers.Reshape((), dtype="float32", name="bone_age_months")(months)
    return keras.Model({"image": image, "sex": sex}, months, name="bone_age")
