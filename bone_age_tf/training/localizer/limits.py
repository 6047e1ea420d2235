"""Limits for `preprocessing/quality.py`, set from good radiographs and from negatives.

Every limit but that of the image class lies where `FALSE_REJECTION_RATE` of the good radiographs would be
beyond it, as they are and with the grey levels of other devices; those of the picture's edge also hold most phantoms that are
cropped tightly. That of the image class is where good radiographs and negatives are separated best, or lower, so
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
from bone_age_tf.training.localizer.crops import tight_crop
from bone_age_tf.training.localizer.examples import Example
from bone_age_tf.training.localizer.sampler import Sampler, random_processing

FALSE_REJECTION_RATE = 0.001
"""Share of good radiographs beyond each limit."""
FALSE_REJECTION_RATE_BY_CLASS = 0.002
NEGATIVES = 2000
"""Pictures that are not one whole hand, sampled to set the limit of the image class."""
OUTLIER_SHARE = 0.02
"""Share of the good radiographs that is left out of mean and covariance, the farthest ones."""
FALSE_REJECTION_RATE_BY_TILT = 0.003
MIN_TILT = 0.34
"""Sine of 20 degrees: a hand that is turned less is as good as flat."""
TIGHT_REJECTION_RATE = 0.01
"""Share of tight crops of phantoms beyond the limits of the picture's edge."""
TIGHT_CROPS = 500
"""Tight crops of phantoms, sampled for the limits of the picture's edge."""
FLAT = 0.17
"""Largest sine of the angle out of the plane at which a phantom counts as straight."""
MIN_HANDS = 30
"""Smallest number of good radiographs with a detected hand for limits to be set."""
RESOLUTION_MARGIN = 2.0
"""Factor by which a radiograph may be coarser than the coarsest good one."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scores of one picture, in the order of `quality.Scores`."""

    hand: float
    certainty: float
    distance: float
    coverage: float
    edge: float
    wrist: float
    tilt: float
    resolution: float
    points: np.ndarray
    """float32 [points, 2] in pixels of the picture."""
    shape: np.ndarray
    """The free key points in hand units."""


Scorer = Callable[[np.ndarray], Scored]
"""Of a picture uint8 [height, width]."""


def set_limits(
    network: keras.Model, good: Sequence[Example], phantoms: Sequence[Example], seed: int
) -> Limits:
    """`good` are radiographs of one whole hand; the negatives are made from `phantoms`.

    Raises `InputDataError` where the network finds a hand in too few of the good ones.
    """
    score = scorer(network)
    rows = [score(example.image) for example in good]
    found = sum(row.hand >= 0.5 for row in rows)
    if found < MIN_HANDS:
        raise InputDataError(
            f"The localizer finds a hand in {found} of {len(good)} good radiographs; expected at least "
            f"{MIN_HANDS}. Give more radiographs or phantoms with --data, or train longer with --set steps=3000."
        )
    rng = np.random.default_rng([seed, 2])
    rows += [score(random_processing(example.image, rng)) for example in good]
    flat = [example for example in phantoms if example.tilt < FLAT]
    cropped, negatives = _tight(flat, seed, score), _negatives(phantoms, seed, score)
    hand = np.array([row.hand for row in rows])
    is_hand = hand >= 0.5
    shapes = np.array([row.shape for row in rows])[is_hand]
    mean, precision, distance = _shape_limits(shapes)
    pixels = [row.resolution / e.scale for row, e in zip(rows, [*good, *good], strict=True)]

    def least(values: Sequence[float], rate: float = FALSE_REJECTION_RATE) -> float:
        return float(np.quantile(np.array(values)[is_hand], rate))

    def least_tight(name: str) -> float:
        tight = [getattr(row, name) for row in cropped if row.hand >= 0.5]
        far = least([getattr(row, name) for row in rows])
        return min(far, float(np.quantile(tight, TIGHT_REJECTION_RATE))) if tight else far

    return Limits(
        hand=min(
            _threshold(np.append(hand, [row.hand for row in cropped]), negatives),
            float(np.quantile(hand, FALSE_REJECTION_RATE_BY_CLASS)),
        ),
        certainty=least([row.certainty for row in rows]),
        distance=distance,
        coverage=least([row.coverage for row in rows]),
        edge=least_tight("edge"),
        wrist=least_tight("wrist"),
        tilt=max(MIN_TILT, -least([-row.tilt for row in rows], FALSE_REJECTION_RATE_BY_TILT)),
        resolution=least(pixels) / RESOLUTION_MARGIN,
        mean=tuple(mean.tolist()),
        precision=tuple(map(tuple, precision.tolist())),
    )


def _tight(phantoms: Sequence[Example], seed: int, score: Scorer) -> list[Scored]:
    """Scores of phantoms that are cropped tightly."""
    rng = np.random.default_rng([seed, 1])
    chosen = rng.integers(len(phantoms), size=TIGHT_CROPS)
    return [score(tight_crop(phantoms[number], rng).image) for number in chosen]


def _negatives(phantoms: Sequence[Example], seed: int, score: Scorer) -> np.ndarray:
    """Probability of one whole hand in pictures that do not show one."""
    sampler = Sampler([(1.0, phantoms)], seed, negative_share=1.0)
    return np.array([score(sampler.draw().view[..., 0]).hand for _ in range(NEGATIVES)])


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


def scorer(network: keras.Model) -> Scorer:
    """Scores by this network."""
    count = 2 * len(quality.FREE_POINTS)
    identity = tuple(map(tuple, np.eye(count).tolist()))
    anything = Limits(*[0.0] * 8, mean=(0.0,) * count, precision=identity)
    localizer = Localizer(network, anything)

    @tf.function(input_signature=[tf.TensorSpec((None, None, 1), tf.uint8)], autograph=False)
    def examine(image: tf.Tensor) -> tuple[tf.Tensor, ...]:
        levels = geometry.pyramid(tf.cast(image, tf.float32) * 257.0)
        examined = pipeline.examine(levels, localizer)
        scores = examined.scores
        shape = quality.shape_vector(examined.hand.points)
        numbers = [scores.image_class[0], *scores[1:]]
        return (*numbers, examined.hand.points, shape)

    def score(image: np.ndarray) -> Scored:
        *numbers, points, shape = (value.numpy() for value in examine(image[..., np.newaxis]))
        return Scored(*map(float, numbers), points=points, shape=shape)

    return score
