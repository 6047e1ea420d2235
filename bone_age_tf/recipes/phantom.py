"""A small residual backbone from random weights, for synthetic radiographs (phantoms).

No download, minutes on two cores.

Command: `bone-age-tf train --data prepared --run runs/phantom --recipe phantom --initial-weights none`
It shows that all stages work. It does not estimate the performance of the default recipe on real radiographs.
"""

from bone_age_tf.config import AugmentationConfig, ExperimentConfig, ModelConfig, TrainConfig

CONFIG = ExperimentConfig(
    recipe="phantom",
    model=ModelConfig(backbone="small", sex_units=16, head_units=128, dropout=0),
    augmentation=AugmentationConfig(
        rotation_degrees=3, shift=0.015, zoom=0.03, mirror=False, gamma=1.1, sex_dropout=0.05
    ),
    train=TrainConfig(
        epochs=12, batch_size=8, learning_rate=2e-3, warmup_steps=40, ema_momentum=0.95
    ),
)
