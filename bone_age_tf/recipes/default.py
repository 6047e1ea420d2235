"""InceptionV3 up to `mixed7` + sex, for registered radiographs: the expectation of a softmax over 240 months.

Command: `bone-age-tf train --data prepared --run runs/1`
Label distribution learning: the softmax is also trained towards a normal distribution around the label. Augmentation of
position, shape and grey levels, and, of data prepared with `--variants 4`, grey levels as other devices process them, so that
predictions depend less on the detector. All of InceptionV3: `--set model.backbone=inception_v3`.
At a high resolution, the recipe `high_resolution` continues from a run at a lower one.
Measured: `--scale 0.1 --variants 4`, five folds of the 953 registered radiographs of a 959-image subset of the RSNA training
set: 8.33 months [7.90, 8.76]; about 20 minutes a fold on one core.
"""

from bone_age_tf.config import AugmentationConfig, ExperimentConfig, ModelConfig, TrainConfig

CONFIG = ExperimentConfig(
    recipe="default",
    model=ModelConfig(backbone="inception_v3_mixed7", head="expectation"),
    augmentation=AugmentationConfig(
        blur=1.0, noise=0.06, gamma=1.5, contrast=0.4, cutout=0.25, elastic=0.015
    ),
    train=TrainConfig(label_distribution=1.0, epochs=30),
)
