"""Iglovikov, Rakhlin, Kalinin and Shvets 2018, classification: a softmax over 240 months.

Command: `bone-age-tf train --data prepared --run runs/A-F-months --recipe iglovikov_classification
--initial-weights none --set data.region=hand --set data.sex=F`; see `iglovikov_regression`.
As there, and trained by the mean absolute error of the expectation, as in the paper. With
`--set train.label_distribution=1` also towards a normal distribution around the label.
Measured: not measured yet.
"""

import dataclasses

from bone_age_tf.config import ExperimentConfig
from bone_age_tf.recipes import iglovikov_regression

CONFIG: ExperimentConfig = dataclasses.replace(
    iglovikov_regression.CONFIG,
    recipe="iglovikov_classification",
    model=dataclasses.replace(iglovikov_regression.CONFIG.model, head="expectation"),
)
