"""A trained localizer: its network, and the quality limits that were set with it.

A folder holds `hand_localizer.weights.h5` (convolutions, float16) and `hand_localizer.json`
(limits for `quality`, what it was trained on). The package ships one in `assets/`;
`bone-age-tf train --recipe hand_localizer` makes others.
"""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from bone_age_tf.config import OWN_LOCALIZER, SHIPPED_LOCALIZER, PreprocessingConfig
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.preprocessing.localizer.network import POINTS, build_hand_localizer

WEIGHTS = "hand_localizer.weights.h5"
DESCRIPTION = "hand_localizer.json"
FILES = (WEIGHTS, DESCRIPTION)
SCHEMA = "bone-age-tf/hand-localizer/2"
SHIPPED = Path(__file__).parents[2] / "assets"


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits that a radiograph must meet to be accepted; set by `training/localizer/limits.py`."""

    hand: float
    """Smallest probability of one whole hand."""
    certainty: float
    """Smallest share of a heat map around its peak, the least of all key points."""
    distance: float
    """Largest Mahalanobis distance of the hand's key points from those of other hands."""
    coverage: float
    """Smallest share of the ways from the capitate to the other key points that lies in the mask."""
    edge: float
    """Smallest distance of a fingertip's bone from the picture's edge, in capitate - fingertip distances."""
    wrist: float
    """Smallest distance of the wrist from the picture's edge, likewise."""
    tilt: float
    """Largest sine of the angle by which the hand is turned out of the picture's plane."""
    resolution: float
    """Smallest distance between capitate and middle fingertip in pixels of the radiograph."""
    mean: tuple[float, ...]
    """Mean of the key points in hand units, the two that define these left out."""
    precision: tuple[tuple[float, ...], ...]
    """Inverse covariance of the same."""


class Localizer:
    """A network that is called with one view, and its limits."""

    def __init__(self, network: keras.Model, limits: Limits) -> None:
        self.network = network
        self.limits = limits

    def __call__(self, view: tf.Tensor) -> dict[str, tf.Tensor]:
        """uint8 [N, *VIEW, 2] -> logits by the names in `localizer_network.OUTPUTS`."""
        return self.network(view, training=False)


def folder_of(setting: str) -> Path:
    """The folder that `PreprocessingConfig.localizer` names."""
    return SHIPPED if setting == SHIPPED_LOCALIZER else Path(setting)


def load(setting: str) -> Localizer:
    """The localizer that `PreprocessingConfig.localizer` names, from its files.

    Raises `ModelRefusedError` where the folder holds no localizer of this version.
    """
    folder = folder_of(setting)
    description = _describe(folder)
    with tf.init_scope():  # variables may not be made inside a graph
        network = build_hand_localizer()
        try:
            network.load_weights(folder / WEIGHTS)
        except (ValueError, OSError, KeyError) as error:
            raise ModelRefusedError(
                f"{folder / WEIGHTS}: not the weights of a hand localizer of this version ({error})."
            ) from error
        return Localizer(network, description)


def _describe(folder: Path) -> Limits:
    path = folder / DESCRIPTION
    if not path.is_file() or not (folder / WEIGHTS).is_file():
        raise ModelRefusedError(
            f"{folder}: expected a hand localizer ({WEIGHTS} and {DESCRIPTION}). Train one: "
            "bone-age-tf train --recipe hand_localizer, or use the one that is shipped."
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["schema"] != SCHEMA or tuple(values["points"]) != POINTS:
            raise ValueError(f"schema {values['schema']!r}, expected {SCHEMA!r}")
        limits = values["limits"]
        limits["mean"] = tuple(limits["mean"])
        limits["precision"] = tuple(map(tuple, limits["precision"]))
        return Limits(**limits)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelRefusedError(f"{path}: not a localizer of this version ({error}).") from error


def keep_beside(config: PreprocessingConfig, folder: Path) -> None:
    """Copy a localizer other than the shipped one to where `PreprocessingConfig.resolved` looks."""
    if not config.has_own_localizer:
        return
    target = folder / OWN_LOCALIZER
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if not (target / name).exists() or not (target / name).samefile(
            Path(config.localizer) / name
        ):
            shutil.copyfile(Path(config.localizer) / name, target / name)


def digest(setting: str) -> str:
    """sha256 of the localizer's weights and limits."""
    folder = folder_of(setting)
    limits = json.dumps(dataclasses.asdict(_describe(folder)), sort_keys=True)
    return hashlib.sha256((folder / WEIGHTS).read_bytes() + limits.encode()).hexdigest()


def save(folder: Path, network: keras.Model, limits: Limits, card: dict[str, object]) -> None:
    """Write a localizer: the folded network's weights as float16, its limits and its card."""
    network.set_weights([np.float16(weight) for weight in network.get_weights()])
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    try:
        small = build_hand_localizer()
    finally:
        keras.config.set_dtype_policy(policy)
    small.set_weights(network.get_weights())
    small.save_weights(folder / WEIGHTS)
    content = {"schema": SCHEMA, "points": POINTS, "limits": dataclasses.asdict(limits), **card}
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")
