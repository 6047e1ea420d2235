"""InceptionV3 + sex, for registered radiographs: the expectation of a softmax over 240 months.

Command: `bone-age-tf train --data prepared --run runs/1`
Label distribution learning: the softmax is also trained towards a normal distribution around the label. No mirroring:
registration turns every hand upright, the thumb on the right. For letterboxed radiographs, and for `ensemble --tta mirror` without a
second stage, pass `--set augmentation.mirror=true`. Blur and noise make the predictions depend less on the detector.
At a high resolution, the recipe `high_resolution` continues from a run at a lower one.
Measured: `--scale 0.1`, after 1,000 synthetic radiographs, five folds of the 951 registered radiographs of a
959-image subset of the RSNA training set: 8.98 months [8.55, 9.46]; about 9 minutes a fold on two
cores of an AMD EPYC with AVX-512 BF16.
"""

from bone_age_tf.config import AugmentationConfig, ExperimentConfig, ModelConfig, TrainConfig

CONFIG = ExperimentConfig(
    recipe="default",
    model=ModelConfig(head="expectation"),
    augmentation=AugmentationConfig(mirror=False, blur=1.0, noise=0.06),
    train=TrainConfig(label_distribution=1.0),
)
