"""A backbone of four convolutions, for tests and for a run of all stages in a minute without a GPU.

Command: `bone-age-tf train --data prepared --run runs/tiny --recipe tiny --initial-weights none`
Its metrics are not meaningful; use the recipe `default`.
"""

from bone_age_tf.config import AugmentationConfig, ExperimentConfig, ModelConfig, TrainConfig

CONFIG = ExperimentConfig(
    recipe="tiny",
    model=ModelConfig(backbone="tiny", sex_units=8, head_units=64, dropout=0.1),
    augmentation=AugmentationConfig(rotation_degrees=5, shift=0.03, zoom=0.03, mirror=False),
    train=TrainConfig(
        epochs=5, batch_size=8, learning_rate=2e-3, warmup_steps=10, ema_momentum=0.9
    ),
)
