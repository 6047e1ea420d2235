"""Girl or boy from the radiograph alone: for the warning of `export --sex-classifier`.

Command: `bone-age-tf train --data prepared --run runs/sex --recipe sex_classifier`
The first half of InceptionV3 (9 million weights), cross-entropy; the network is not told the sex.
Measured: not measured yet.
"""

from bone_age_tf.config import AugmentationConfig, ExperimentConfig, ModelConfig

CONFIG = ExperimentConfig(
    recipe="sex_classifier",
    model=ModelConfig(trunk="inception_v3_mixed7", target="sex", sex_units=0),
    augmentation=AugmentationConfig(mask_sex=0),
)
