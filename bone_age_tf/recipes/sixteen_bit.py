"""16 Bit Inc., winner of the Pediatric Bone Age Challenge 2017 (Halabi et al. 2018).

Command: `bone-age-tf train --data prepared --run runs/sixteen --recipe sixteen_bit`
Theirs: InceptionV3 at 500 pixels, 2 x 2 average pool, flattened (71 million weights in the next layer
at 520 x 400), 32 units for the sex, two layers of 1000, mean absolute error, Adam at 1e-3, batches of
16, 500 epochs, rotation 20 degrees, shift and zoom 0.2, mirroring. Ours: a cosine instead of their
plateau schedule, 500 steps of warm-up, every tenth sex dropped, so that the network also handles unknown sex. A
single model of theirs has an MAE of 5.99 months on the 200 official test radiographs.
Measured: not measured yet.
"""

from bone_age_tf.config import AugmentationConfig, ExperimentConfig, ModelConfig, TrainConfig

CONFIG = ExperimentConfig(
    recipe="sixteen_bit",
    model=ModelConfig(pooling="average_2x2_flatten", head_layers=2, head_units=1000, dropout=0),
    augmentation=AugmentationConfig(rotation_degrees=20, shift=0.2, zoom=0.2, gamma=1),
    train=TrainConfig(
        epochs=500,
        batch_size=16,
        learning_rate=1e-3,
        warmup_steps=500,
        weight_decay=0,
        ema_momentum=0,
    ),
)
