"""A small residual backbone from random weights, for synthetic radiographs (phantoms).

No download, minutes on two cores.

Command: `bone-age-tf train --data prepared --run runs/phantom --recipe phantom --initial-weights none`
It shows that all stages work. It does not estimate the performance of the default recipe on real radiographs.
"""

from bone_age_tf.config import AugmentationConfig, ExperimentConfig, ModelConfig, TrainConfig

CONFIG = ExperimentConfig(
    recipe="phantom",
    model=ModelConfig(backbone="small", sex_units=16, head_units=128, dropout=0.1),
    augmentation=AugmentationConfig(
        rotation_degrees=5, shift=0.03, zoom=0.05, mirror=False, gamma=1.15, sex_dropout=0.1
    ),
    train=TrainConfig(
        epochs=12, batch_size=8, learning_rate=1e-3, warmup_steps=60, ema_momentum=0.98
    ),
)
