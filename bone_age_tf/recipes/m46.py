"""The network of Iglovikov et al. 2018 as the authors of ml-recipe-bone-age train it.

Command: `bone-age-tf train --data prepared --run runs/m46 --recipe m46 --initial-weights none`
Theirs: the hand at scale 0.25 (500 x 375), Adam at 2e-5 with betas 0.5 and 0.999, batches of 8, 50
epochs, mean absolute error, no sex. Ours: the error in standard deviations instead of 120 months, gamma
0.8 to 1.25 instead of 0.8 to 1.2. Their checkpoint has an MAE of 7.08 months on its own validation radiographs.
Measured: 880 s (39 epochs) on two cores, fold 1 of 5 of the 951 registered radiographs of a 959-image
subset of the RSNA training set, 325 x 250, n 191: last weights 20.0 months [17.8, 22.3], best on that
fold 17.6; the default's two stages in the same time 8.6 [7.6, 9.6]. It was still falling.
"""

from bone_age_tf.config import (
    AugmentationConfig,
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    TrainConfig,
)

CONFIG = ExperimentConfig(
    recipe="m46",
    data=DataConfig(region="hand"),
    model=ModelConfig(
        backbone="m46",
        pooling="flatten",
        sex_units=0,
        head_layers=2,
        head_units=2048,
        activation="elu",
        dropout=0.3,
    ),
    augmentation=AugmentationConfig(
        rotation_degrees=5, shift=0.05, zoom=0.05, mirror=False, gamma=1.25, sex_dropout=0
    ),
    train=TrainConfig(
        epochs=50,
        batch_size=8,
        learning_rate=2e-5,
        schedule="constant",
        warmup_steps=0,
        beta_1=0.5,
        weight_decay=0,
        ema_momentum=0,
    ),
)
