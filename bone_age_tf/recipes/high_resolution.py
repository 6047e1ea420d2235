"""The default recipe's second stage: on from a run at a lower resolution, with half the learning rate.

Command: `bone-age-tf train --data prepared --run runs/1 --recipe high_resolution --weights runs/small`
Before it: `bone-age-tf train --data prepared-small --run runs/small`, on the same radiographs prepared
with a smaller `--scale`. There an epoch takes less than half the time, and most is learnt; the details
follow.
"""

import dataclasses

from bone_age_tf.recipes.default import CONFIG as DEFAULT

CONFIG = dataclasses.replace(
    DEFAULT,
    recipe="high_resolution",
    train=dataclasses.replace(DEFAULT.train, epochs=10, learning_rate=2e-4),
)
