"""Limits for `preprocessing/quality.py`, learnt from good radiographs and from spoilt ones.

Every limit but that of the outlook lies where `WRONGLY_REFUSED` of the good radiographs would be
beyond it. That of the outlook is where good and spoilt pictures part best, or lower, so that it
refuses at most `REFUSED_BY_OUTLOOK` of the good ones.
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

WRONGLY_REFUSED = 0.001
"""Share of good radiographs beyond each limit."""
REFUSED_BY_OUTLOOK = 0.002
SPOILT_PICTURES = 2000
STRANGERS = 0.02
"""Share of the good radiographs that is left out of mean and covariance, the farthest ones."""
ENOUGH = 30
"""Good radiographs in which the network must find a hand, for limits to be learnt."""
COARSER = 2.0
"""How much coarser than the coarsest good radiograph one may be."""


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


def learn_limits(
    network: keras.Model, good: Sequence[Example], drawn: Sequence[Example], seed: int
) -> Limits:
    """`good` are radiographs of one whole hand; the spoilt pictures are made from `drawn`.

    Raises `InputDataError` where the network finds a hand in too few of the good ones.
    """
    score = scorer(network)
    rows = [score(e.image) for e in good]
    found = sum(row.hand >= 0.5 for row in rows)
    if found < ENOUGH:
        raise InputDataError(
            f"The localizer finds a hand in {found} of {len(good)} good radiographs; expected at least "
            f"{ENOUGH}. Give more radiographs or phantoms with --data, or train longer with --set steps=3000."
        )
    sampler = Sampler([(1.0, drawn)], seed, spoilt=1.0)
    spoilt = np.array([score(sampler.draw().view[..., 0]).hand for _ in range(SPOILT_PICTURES)])
    hand = np.array([row.hand for row in rows])
    is_hand = hand >= 0.5
    shapes = np.array([row.shape for row in rows])[is_hand]
    mean, precision, distance = _shape_limits(shapes)
    pixels = [row.resolution / e.scale for row, e in zip(rows, good, strict=True)]

    def least(values: Sequence[float]) -> float:
        return float(np.quantile(np.array(values)[is_hand], WRONGLY_REFUSED))

    return Limits(
        hand=min(_parting(hand, spoilt), float(np.quantile(hand, REFUSED_BY_OUTLOOK))),
        certainty=least([row.certainty for row in rows]),
        distance=distance,
        coverage=least([row.coverage for row in rows]),
        edge=-least([-row.edge for row in rows]),
        resolution=least(pixels) / COARSER,
        mean=tuple(mean.tolist()),
        precision=tuple(map(tuple, precision.tolist())),
    )


def _parting(good: np.ndarray, spoilt: np.ndarray) -> float:
    """The middle of the probabilities at which fewest of both are judged wrongly."""
    limits = np.linspace(0.02, 0.98, 97)
    wrong = [(good < limit).mean() + (spoilt >= limit).mean() for limit in limits]
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
        kept = shapes[distances <= np.quantile(distances, 1 - STRANGERS)]
    limit = float(np.quantile(distances, 1 - WRONGLY_REFUSED))
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
            scores.outlook[0],
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
