"""Girl or boy from the radiograph alone: for the warning of `export --sex-classifier`.

Command: `bone-age-tf train --data prepared --run runs/sex --recipe sex_classifier`
The first half of InceptionV3 (9 million weights), cross-entropy; the sex is not an input.
Measured: `--scale 0.1`, fold 1 of 5 of the 951 registered radiographs of a 959-image subset of the RSNA
training set (n 191), last weights: accuracy 84.8 % [79.6, 89.5], AUROC 0.923 [0.883, 0.956]; below ten
years 81.2 % and 0.876 (n 64). About 8 minutes on two cores.
"""

from bone_age_tf.config import AugmentationConfig, ExperimentConfig, ModelConfig

CONFIG = ExperimentConfig(
    recipe="sex_classifier",
    model=ModelConfig(backbone="inception_v3_mixed7", target="sex", sex_units=0),
    augmentation=AugmentationConfig(sex_dropout=0),
)
