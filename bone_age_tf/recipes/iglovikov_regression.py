"""Iglovikov, Rakhlin, Kalinin and Shvets 2018, regression: one of the eighteen networks of the paper.

Command: `bone-age-tf train --data prepared --run runs/A-F --recipe iglovikov_regression --initial-weights none
--set data.region=hand --set data.sex=F`, for each of the regions `hand`, `carpal`, `metacarpal` and
each of the sexes `F`, `M`, `both`; the same of `iglovikov_classification`; then `bone-age-tf ensemble
runs/* --data prepared --output ensembles/iglovikov --weights fitted`.
Theirs: mean absolute error, Adam from 1e-3 down to 1e-5, no sex as input. Ours: epochs, batch size and
augmentation (those of the recipe `m46`, with batches of 16), a straight line for the learning rate, and
500 steps of warm-up: at 1e-3 the first steps change the prediction by thousands of months.
The paper reports 4.97 months for its ensemble of regions on the 200 official test radiographs.
Measured: not measured yet.
"""

import dataclasses

from bone_age_tf.config import ExperimentConfig, TrainConfig
from bone_age_tf.recipes import m46

CONFIG: ExperimentConfig = dataclasses.replace(
    m46.CONFIG,
    recipe="iglovikov_regression",
    train=TrainConfig(
        epochs=50,
        batch_size=16,
        learning_rate=1e-3,
        schedule="linear",
        warmup_steps=500,
        weight_decay=0,
        ema_momentum=0,
    ),
)
