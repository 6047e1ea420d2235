"""The default recipe's second stage: on from a run at a lower resolution, with half the learning rate.

Command: `bone-age-tf train --data prepared --run runs/1 --recipe high_resolution --weights runs/small`
Before it: `bone-age-tf train --data prepared-small --run runs/small`, on the same radiographs prepared
with a smaller `--scale`. There an epoch takes less than half the time, and most is learnt; the details
follow.
Measured: `--scale 0.15625` after the default recipe's runs at 0.1, the same folds: 8.53 months
[8.11, 8.99], 0.45 [0.16, 0.74] less; about 8 minutes a fold. With 5 views and a line for each sex (`ensemble
--tta warps`): 8.07 [7.65, 8.51].
"""

import dataclasses

from bone_age_tf.recipes.default import CONFIG as DEFAULT

CONFIG = dataclasses.replace(
    DEFAULT,
    recipe="high_resolution",
    augmentation=dataclasses.replace(DEFAULT.augmentation, mirror=True),
    train=dataclasses.replace(DEFAULT.train, epochs=10, learning_rate=2e-4),
)
