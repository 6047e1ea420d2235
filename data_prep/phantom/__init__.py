"""Synthetic radiographs of the hand (phantoms), with known bone age, sex, mask and key points.

`draw` renders one, `generate.write_phantoms` writes a data set. Lengths are in *hand units*: 1 is the
distance from the centre of the capitate to the tip of the middle finger's distal phalanx; x points
to the thumb, y to the fingertips, and the capitate's centre is the origin.
"""

from bone_age_tf.data_prep.phantom.draw import Truth, draw

__all__ = ["Truth", "draw"]
