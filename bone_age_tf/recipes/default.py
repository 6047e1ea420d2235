"""InceptionV3 + sex, global average pool, mean absolute error: the plain baseline.

Command: `bone-age-tf train --data prepared --run runs/1`
"""

from bone_age_tf.config import ExperimentConfig

CONFIG = ExperimentConfig(recipe="default")
