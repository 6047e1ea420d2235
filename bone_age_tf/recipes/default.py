"""InceptionV3 + sex, global average pool, mean absolute error: the plain baseline.

Command: `bone-age-tf train --data prepared --run runs/1`
Measured: 767 radiographs of a 959-image subset of the RSNA training set, letterboxed to 390 x 300
(`prepare --scale 0.1875`), `--set train.epochs=28`, on 2 CPU cores in bfloat16 beside other work: 68 minutes, MAE
8.99 months [7.52, 10.55] on the 96 test images, 8.53 [7.32, 9.84] on the 96 validation images.
"""

from bone_age_tf.config import ExperimentConfig

CONFIG = ExperimentConfig(recipe="default")
