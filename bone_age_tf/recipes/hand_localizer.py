"""The hand localizer of `prepare --preprocess registered`: mask, key points, image class.

Command: `bone-age-tf train --recipe hand_localizer --data phantoms --data rsna-bone-age --run runs/localizer`
"""

from bone_age_tf.config import LocalizerConfig

CONFIG = LocalizerConfig()
