"""Limits for `preprocessing/quality.py`, set from good radiographs and from negatives.

Every limit but that of the image class lies where `FALSE_REJECTION_RATE` of the good radiographs would be
beyond it. That of the image class is where good radiographs and negatives are separated best, or lower, so
that it rejects at most `FALSE_REJECTION_RATE_BY_CLASS` of the good ones.
"""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from bone_age_tf.errors import InputDataError
from bone_age_tf.preprocessing import geometry, pipeline, quality
from bone_age_tf.preprocessing.localizer.weights import Limits, Localizer
from bone_age_tf.training.localizer.examples import Example
from bone_age_tf.training.localizer.sampler import Sampler

FALSE_REJECTION_RATE = 0.001
"""Share of good radiographs beyond each limit."""
FALSE_REJECTION_RATE_BY_CLASS = 0.002
NEGATIVES = 2000
"""Pictures that are not one whole hand, sampled to set the limit of the image class."""
OUTLIER_SHARE = 0.02
"""Share of the good radiographs that is left out of mean and covariance, the farthest ones."""
MIN_HANDS = 30
"""Smallest number of good radiographs with a detected hand for limits to be set."""
RESOLUTION_MARGIN = 2.0
"""Factor by which a radiograph may be coarser than the coarsest good one."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scores of one picture."""

    hand: float
    certainty: float
    coverage: float
    edge: float
    resolution: float
    points: np.ndarray
    """float32 [points, 2] in pixels of the picture."""
    shape: np.ndarray
    """The free key points in hand units."""


def set_limits(
    network: keras.Model, good: Sequence[Example], phantoms: Sequence[Example], seed: int
) -> Limits:
    """`good` are radiographs of one whole hand; the negatives are made from `phantoms`.

    Raises `InputDataError` where the network finds a hand in too few of the good ones.
    """
    score = scorer(network)
    rows = [score(e.image) for e in good]
    found = sum(row.hand >= 0.5 for row in rows)
    if found < MIN_HANDS:
        raise InputDataError(
            f"The localizer finds a hand in {found} of {len(good)} good radiographs; expected at least "
            f"{MIN_HANDS}. Give more radiographs or phantoms with --data, or train longer with --set steps=3000."
        )
    sampler = Sampler([(1.0, phantoms)], seed, negative_share=1.0)
    negatives = np.array([score(sampler.draw().view[..., 0]).hand for _ in range(NEGATIVES)])
    hand = np.array([row.hand for row in rows])
    is_hand = hand >= 0.5
    shapes = np.array([row.shape for row in rows])[is_hand]
    mean, precision, distance = _shape_limits(shapes)
    pixels = [row.resolution / e.scale for row, e in zip(rows, good, strict=True)]

    def least(values: Sequence[float]) -> float:
        return float(np.quantile(np.array(values)[is_hand], FALSE_REJECTION_RATE))

    return Limits(
        hand=min(
            _threshold(hand, negatives), float(np.quantile(hand, FALSE_REJECTION_RATE_BY_CLASS))
        ),
        certainty=least([row.certainty for row in rows]),
        distance=distance,
        coverage=least([row.coverage for row in rows]),
        edge=-least([-row.edge for row in rows]),
        resolution=least(pixels) / RESOLUTION_MARGIN,
        mean=tuple(mean.tolist()),
        precision=tuple(map(tuple, precision.tolist())),
    )


def _threshold(good: np.ndarray, negatives: np.ndarray) -> float:
    """The middle of the thresholds with the fewest misclassifications of both."""
    limits = np.linspace(0.02, 0.98, 97)
    wrong = [(good < limit).mean() + (negatives >= limit).mean() for limit in limits]
    best = limits[np.isclose(wrong, np.min(wrong))]
    return round(float(best.mean()), 3)


def _shape_limits(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean, inverse covariance and the largest distance of key points in hand units."""
    kept = shapes
    for _ in range(3):  # the farthest out, and again
        mean, precision = (
            kept.mean(axis=0),
            np.linalg.inv(np.cov(kept.T) + 1e-8 * np.eye(kept.shape[1])),
        )
        distances = _distances(shapes, mean, precision)
        kept = shapes[distances <= np.quantile(distances, 1 - OUTLIER_SHARE)]
    limit = float(np.quantile(distances, 1 - FALSE_REJECTION_RATE))
    return mean, precision, limit


def _distances(shapes: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    away = shapes - mean
    return np.sqrt(np.einsum("ni,ij,nj->n", away, precision, away))


def scorer(network: keras.Model) -> Callable[[np.ndarray], Scored]:
    """A function of a picture uint8 [height, width]."""
    count = 2 * len(quality.FREE_POINTS)
    anything = Limits(
        0.0, 0.0, 0.0, 0.0, 0.0, 0.0, (0.0,) * count, tuple(map(tuple, np.eye(count).tolist()))
    )
    localizer = Localizer(network, anything)

    @tf.function(input_signature=[tf.TensorSpec((None, None, 1), tf.uint8)], autograph=False)
    def examine(image: tf.Tensor) -> tuple[tf.Tensor, ...]:
        levels = geometry.pyramid(tf.cast(image, tf.float32) * 257.0)
        examined = pipeline.examine(levels, localizer)
        scores = examined.scores
        shape = quality.shape_vector(examined.hand.points)
        numbers = (
            scores.image_class[0],
            scores.certainty,
            scores.coverage,
            scores.edge,
            scores.resolution,
        )
        return (*numbers, examined.hand.points, shape)

    def score(image: np.ndarray) -> Scored:
        hand, certainty, coverage, edge, resolution, points, shape = (
            value.numpy() for value in examine(image[..., np.newaxis])
        )
        return Scored(
            hand=float(hand),
            certainty=float(certainty),
            coverage=float(coverage),
            edge=float(edge),
            resolution=float(resolution),
            points=points,
            shape=shape,
        )

    return score
