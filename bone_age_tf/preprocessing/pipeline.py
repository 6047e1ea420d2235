"""The order of the steps, their version and their fingerprint; `Preprocessor` puts them together."""

import hashlib
import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bone_age_tf import config as configuration
from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.preprocessing import geometry, intensity, quality, registration
from bone_age_tf.preprocessing.localizer import decoding as localization
from bone_age_tf.preprocessing.localizer import weights as localizer
from bone_age_tf.preprocessing.localizer.decoding import Localization
from bone_age_tf.preprocessing.localizer.network import FITTED, VIEW
from bone_age_tf.preprocessing.localizer.weights import Localizer
from bone_age_tf.preprocessing.rejections import BLANK, OK

VERSION = 3
"""Raised whenever the same file would give other pixels."""

UPRIGHT_ORIGIN = (84.0, 150.0)
"""Column and row of the capitate in the view of the hand."""
UPRIGHT_UNIT = 120.0
"""Pixels between capitate and middle fingertip there."""


class Prepared(NamedTuple):
    """A prepared radiograph."""

    image: tf.Tensor
    """uint8 [*frame, 1]; black where it is rejected."""
    status: tf.Tensor
    """String scalar: `ok`, or a reason of `rejections`."""
    prepared_to_original: tf.Tensor
    """float32 [2, 3]: (x, y, 1) of the prepared radiograph -> (x, y) of the file."""


class View(NamedTuple):
    """The localizer's outputs for one view of a radiograph."""

    found: Localization
    """In pixels of the view."""
    to_original: tf.Tensor
    """float32 [2, 3]: pixels of the view -> pixels of the file."""

    @property
    def points(self) -> tf.Tensor:
        """float32 [points, 2] in pixels of the file."""
        return geometry.move(self.found.points, self.to_original)


class Examination(NamedTuple):
    """Results of the hand localizer and the quality control for one radiograph."""

    whole: View
    """The whole radiograph, letterboxed: is there a hand, and where?"""
    hand: View
    """The hand alone, upright, as located in the whole radiograph: mask and key points."""
    scores: quality.Scores
    status: tf.Tensor
    """String scalar: `ok`, or a reason of `rejections`."""
    is_registered: tf.Tensor
    """bool scalar: it was registered already and is only scaled."""


def examine(levels: list[tf.Tensor], network: Localizer) -> Examination:
    """A pyramid of the radiograph -> hand, key points, quality."""
    size = tf.shape(levels[0])[1:3]
    view = _viewer(levels, network)
    whole = view(whole_matrix(size))
    upright = registration.hand_matrix(whole.points, tf.constant(UPRIGHT_ORIGIN), UPRIGHT_UNIT)
    hand = view(upright)
    scored = quality.scores(
        whole.found.image_class, hand.found, network.limits, hand.to_original, size
    )
    status = quality.status(scored, network.limits)
    # the edge of a registered radiograph is the frame's, not the detector's, and may cut a thumb
    most = tf.constant(1.0)
    within = scored._replace(edge=most, wrist=most, coverage=most)
    uncut = quality.status(within, network.limits)
    is_registered = registration.is_done(levels, hand.points) & (uncut == OK)
    status = tf.where(is_registered, OK, status)
    coarse = to_levels(levels[2][0])  # not the view, which may have bars of black
    low, high = intensity.percentiles(coarse, 0.5, 99.5)
    status = tf.where(high - low > intensity.BLANK_RANGE, status, BLANK)
    return Examination(whole, hand, scored, status, is_registered)


def whole_matrix(size: tf.Tensor) -> tf.Tensor:
    """Pixels of the view of the whole radiograph -> pixels of the radiograph of `size`."""
    middle = (tf.constant(VIEW[::-1], tf.float32)[:, tf.newaxis] - 1) / 2
    wider = tf.concat(
        [np.eye(2, dtype=np.float32) / np.float32(FITTED), middle * (1 - 1 / FITTED)], axis=1
    )
    return geometry.product(geometry.centred_matrix(size, VIEW), wider)


def _viewer(levels: list[tf.Tensor], network: Localizer) -> Callable[[tf.Tensor], View]:
    """Matrix -> view. Within a graph, a function of its own: half the graph, traced once."""

    def view(to_original: tf.Tensor) -> View:
        pixels = to_levels(geometry.warp(levels, to_original, VIEW))
        return View(localization.locate(pixels, network), to_original)

    if tf.executing_eagerly():
        return view
    return tf.function(view, [tf.TensorSpec((2, 3))], autograph=False)


def register(
    levels: list[tf.Tensor], examined: Examination, config: PreprocessingConfig
) -> Prepared:
    """Warp into the frame, contrast from the hand's pixels, background removed."""
    size = tf.shape(levels[0])[1:3]
    found, is_done = examined.hand.found, examined.is_registered
    to_original = tf.where(
        is_done,
        geometry.centred_matrix(size, config.frame),
        registration.frame_matrix(examined.hand.points, config.frame),
    )
    is_inverted = (examined.whole.found.inverted > 0.5) & tf.logical_not(is_done)
    fill = tf.where(is_inverted, float(intensity.FULL_SCALE), 0.0)
    warped = to_levels(geometry.warp(levels, to_original, config.frame, fill))
    warped = tf.where(is_inverted, intensity.FULL_SCALE - warped, warped)
    to_view = geometry.product(geometry.inverse(examined.hand.to_original), to_original)
    masks = tf.concat([found.mask, localization.soft_edge(found.mask)], axis=-1)
    masks = geometry.warp([masks[tf.newaxis]], to_view, config.frame)
    hand, opacity = masks[..., :1], masks[..., 1:]
    low, high = intensity.percentiles(
        tf.boolean_mask(warped, hand > intensity.HAND_MASK_THRESHOLD),
        config.low_percentile,
        config.high_percentile,
    )
    low = tf.where(is_done, 0, low)
    high = tf.where(is_done, intensity.FULL_SCALE, tf.maximum(high, low + 1))
    grey = intensity.between(warped, low, high)
    opacity = tf.where(is_done, 1.0, tf.clip_by_value(opacity, 0.0, 1.0))
    image = tf.cast(tf.round(tf.cast(grey, tf.float32) * opacity), tf.uint8)
    is_ok = examined.status == OK
    return Prepared(tf.where(is_ok, image, tf.zeros_like(image)), examined.status, to_original)


def to_levels(warped: tf.Tensor) -> tf.Tensor:
    """Grey levels in whole numbers, int32."""
    return tf.cast(tf.round(warped), tf.int32)


def letterbox(
    pixels: tf.Tensor, config: PreprocessingConfig, *, is_bright: bool = False
) -> Prepared:
    """The whole radiograph in the frame, its contrast corrected, and its polarity unless bone `is_bright`."""
    to_original = geometry.centred_matrix(tf.shape(pixels)[:2], config.frame)
    pixels = geometry.fit(pixels, config.frame)
    if not is_bright:
        pixels = tf.where(is_inverted(pixels), intensity.FULL_SCALE - pixels, pixels)
    low, high = intensity.percentiles(pixels, config.low_percentile, config.high_percentile)
    grey = intensity.between(pixels, low, high)
    status = tf.where(high > low, OK, BLANK)
    image = geometry.centre(tf.where(high > low, grey, tf.zeros_like(grey)), config.frame)
    return Prepared(image, status, to_original)


def is_inverted(fitted: tf.Tensor) -> tf.Tensor:
    """bool scalar: bone is dark in a radiograph that was fitted into a frame."""
    view = geometry.fit(fitted, (intensity.POLARITY_SIDE, intensity.POLARITY_SIDE))
    return intensity.polarity(view) < intensity.POLARITY_THRESHOLD


def fingerprint(config: PreprocessingConfig) -> str:
    """sha256 of everything that determines the prepared pixels: equal fingerprints, equal pixels."""
    content = {"version": VERSION, **configuration.to_dict(config)}
    if config.method == "registered":
        content["localizer"] = localizer.digest(config.localizer)
    else:
        del content["localizer"]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
