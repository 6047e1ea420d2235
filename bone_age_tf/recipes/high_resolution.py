"""The default recipe's second stage: fine-tunes a run at a lower resolution, with half the learning rate.

Command: `bone-age-tf train --data prepared --run runs/1 --recipe high_resolution --initial-weights runs/small`
Before it: `bone-age-tf train --data prepared-small --run runs/small`, on the same radiographs prepared
with a smaller `--scale`. An epoch there takes less than half the time. Hands are mirrored here, so that test-time
augmentation can use the mirror image (`ensemble --tta mirror`).
Measured: `--scale 0.15625` after the default recipe's runs at 0.1, the same folds: 8.34 months
[7.92, 8.77] instead of 8.98 [8.55, 9.46]; about 8 minutes a fold. With the mirror image
and sex-specific linear recalibration (`ensemble --tta mirror`): 7.90 [7.50, 8.34]. Without mirrored hands 8.53
[8.11, 8.99], and 8.07 [7.65, 8.51] with 5 views and the recalibration.
"""

import dataclasses

from bone_age_tf.recipes.default import CONFIG as DEFAULT

CONFIG = dataclasses.replace(
    DEFAULT,
    recipe="high_resolution",
    augmentation=dataclasses.replace(DEFAULT.augmentation, mirror=True),
    train=dataclasses.replace(DEFAULT.train, epochs=10, learning_rate=2e-4),
)
