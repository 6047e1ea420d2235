"""InceptionV3 + sex, for registered radiographs: the expectation of a softmax over 240 months.

Command: `bone-age-tf train --data prepared --run runs/1`
It is drawn towards a normal distribution around the label, too. Augmentation is mild, and nothing is
mirrored: registration has turned every hand upright, the thumb on the right. For letterboxed
radiographs say `--set augmentation.mirror=true --set augmentation.rotation_degrees=15
--set augmentation.shift=0.08 --set augmentation.zoom=0.12`.
"""

from bone_age_tf.config import AugmentationConfig, ExperimentConfig, ModelConfig, TrainConfig

CONFIG = ExperimentConfig(
    recipe="default",
    model=ModelConfig(head="expectation"),
    augmentation=AugmentationConfig(rotation_degrees=8, shift=0.04, zoom=0.06, mirror=False),
    train=TrainConfig(label_distribution=1.0),
)
