"""A hand in its picture, for tests of what is drawn around it."""

import numpy as np

from bone_age_tf.data_prep.phantom import acquisition, rendering, scene, skeleton
from bone_age_tf.data_prep.phantom.acquisition import Acquisition
from bone_age_tf.data_prep.phantom.scene import Scene
from bone_age_tf.data_prep.phantom.soft_tissue import soft_parts

INFANT_MILLIMETRES = 65.0


def infant(size: int = 200, **changes) -> Scene:
    """The scene of an infant's hand that fills half of the picture."""
    child = skeleton.draw_individual(np.random.default_rng(0))
    segments = skeleton.pose(child, 0.1)
    parts = soft_parts(segments, child, 0.1)
    taken = Acquisition(**{"fill": 0.6, "forearm": 0.5, **changes})
    camera = acquisition.aim(taken, parts, size)
    mask = rendering.hand_mask(parts, camera)
    return scene.place(parts, segments, mask, camera, INFANT_MILLIMETRES)
