"""Attribution of an exported model's prediction for one prepared radiograph: Grad-CAM, occlusion, zones of bones.

- **Grad-CAM** (`explain` in `export/signatures.py`): where the backbone's features contribute to the prediction; one pass.
- **Occlusion** (Zeiler and Fergus 2014): a cell of the frame is blurred until no bone can be recognized;
  the change of the prediction in months is the effect of that cell. Works for every model, including ensembles.
- **Zones**: the same for all bones of a group at once. A zone is the region where phantoms of all ages have
  those bones in the registered frame (`assets/bone_zones.png`), so it is approximate for an individual hand.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.signatures import EXPLAIN, FEATURES, HEAT
from bone_age_tf.preprocessing.regions import crop_of

ZONES = (
    "radius and ulna",
    "carpals",
    "metacarpals",
    "proximal phalanges",
    "middle phalanges",
    "distal phalanges",
    "thumb",
)
"""In the order of the levels 1 to 7 of `assets/bone_zones.png`."""
ZONE_FILE = Path(__file__).parents[1] / "assets" / "bone_zones.png"
CELLS = 13
"""Cells of the occlusion over the height of the frame; about as many pixels wide as high."""
MIN_HAND_SHARE = 0.1
"""Cells with a smaller share of hand pixels are not blurred."""
BLUR = 0.045
"""SD of the blur as a share of the frame's height: about the width of a metacarpal."""
BATCH_SIZE = 16
OPACITY = 0.45
"""Largest opacity of the colours over the radiograph."""
Answers = Callable[[np.ndarray], np.ndarray]
"""Prepared radiographs uint8 [N, height, width, 1] -> months [N], for one sex."""


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Explanation of the prediction for one radiograph."""

    prepared: np.ndarray
    """uint8 [height, width]."""
    prepared_to_original: np.ndarray
    """float [2, 3]."""
    bone_age_months: float
    heat: np.ndarray | None
    """Grad-CAM in months, float [height, width]; None for a model without the signature `explain`."""
    occlusion: np.ndarray
    """Decrease of the prediction in months when this region is blurred, float [height, width]."""
    zones: Mapping[str, float]
    """Zone -> decrease of the prediction in months without its bones; empty where the frame is not registered."""
    features: np.ndarray | None
    """Means of the backbone's feature maps, float [c]."""


# === One radiograph ===


def explain_prepared(
    model: ExportedModel, image: np.ndarray, to_original: np.ndarray, sex: str
) -> Explanation:
    """All views of a prepared radiograph, uint8 [height, width, 1], with its matrix [2, 3]."""

    def answers(images: np.ndarray) -> np.ndarray:
        return model.months_of_one_view(images, [sex] * len(images))

    unchanged = float(answers(image[np.newaxis])[0])
    heat, features = _grad_cam(model, image, sex)
    return Explanation(
        prepared=image[..., 0],
        prepared_to_original=to_original,
        bone_age_months=float(model.months_of_prepared(image[np.newaxis], [sex])[0]),
        heat=heat,
        occlusion=occlusion(answers, image, unchanged),
        zones=without_zones(answers, image, unchanged) if model.is_registered else {},
        features=features,
    )


def _grad_cam(
    model: ExportedModel, image: np.ndarray, sex: str
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if EXPLAIN not in model.signatures:
        return None, None
    answer = model.signatures[EXPLAIN](image=image[np.newaxis], sex=[sex])
    region = model.manifest["config"]["data"]["region"]
    return on_frame(answer[HEAT][0], image.shape[:2], region), answer[FEATURES][0]


def on_frame(heat: np.ndarray, frame: tuple[int, int], region: str) -> np.ndarray:
    """A map of cells [h, w] over the input region of the network, as pixels of the frame; 0 outside it."""
    (above, below), (left, right) = crop_of(region, frame)
    size = (frame[1] - left - right, frame[0] - above - below)
    seen = cv2.resize(heat.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    return np.pad(seen, ((above, below), (left, right)))


def occlusion(answers: Answers, image: np.ndarray, months: float) -> np.ndarray:
    """Decrease of the prediction in months with each cell blurred, as a smooth map of the frame."""
    height, width = image.shape[:2]
    rows = np.linspace(0, height, CELLS + 1).round().astype(int)
    columns = np.linspace(0, width, round(CELLS * width / height) + 1).round().astype(int)
    places = [
        (row, column, np.s_[rows[row] : rows[row + 1], columns[column] : columns[column + 1]])
        for row in range(len(rows) - 1)
        for column in range(len(columns) - 1)
    ]
    shown = [p for p in places if (image[p[2]] > 0).mean() >= MIN_HAND_SHARE]
    falls = np.zeros((len(rows) - 1, len(columns) - 1), np.float32)
    masks = []
    for _, _, place in shown:
        mask = np.zeros((height, width), bool)
        mask[place] = True
        masks.append(mask)
    for (row, column, _), fall in zip(shown, _falls(answers, image, months, masks), strict=True):
        falls[row, column] = fall
    return cv2.resize(falls, (width, height), interpolation=cv2.INTER_CUBIC)


def without_zones(answers: Answers, image: np.ndarray, months: float) -> dict[str, float]:
    """Zone -> decrease of the prediction in months with all of its bones blurred."""
    zones = zones_of(image.shape[:2])
    masks = [zones == level for level in range(1, len(ZONES) + 1)]
    return dict(zip(ZONES, _falls(answers, image, months, masks), strict=True))


def zones_of(frame: tuple[int, int]) -> np.ndarray:
    """The level of the zone under each pixel of a registered frame, uint8 [height, width]."""
    return cv2.resize(_zones(), frame[::-1], interpolation=cv2.INTER_NEAREST)


@functools.cache
def _zones() -> np.ndarray:
    levels = cv2.imread(str(ZONE_FILE), cv2.IMREAD_GRAYSCALE)
    assert levels is not None
    return levels


def blurred(image: np.ndarray) -> np.ndarray:
    """The radiograph without its bones, uint8 of the same shape; the background stays 0."""
    hand = (image[..., 0] > 0).astype(np.float32)
    sigma = BLUR * image.shape[0]
    around = cv2.GaussianBlur(image[..., 0].astype(np.float32), (0, 0), sigma)
    weight = cv2.GaussianBlur(hand, (0, 0), sigma)  # so that the outline stays as bright
    return (
        np.round(hand * around / np.maximum(weight, 1e-3)).clip(0, 255)[..., None].astype(np.uint8)
    )


def _falls(
    answers: Answers, image: np.ndarray, months: float, masks: Sequence[np.ndarray]
) -> list[float]:
    """Decrease of the prediction in months with each mask, bool [height, width], blurred."""
    smooth = blurred(image)
    falls: list[float] = []
    for start in range(0, len(masks), BATCH_SIZE):
        part = masks[start : start + BATCH_SIZE]
        images = np.stack([np.where(mask[..., None], smooth, image) for mask in part])
        falls += (months - answers(images)).tolist()
    return falls


# === Pictures ===


def over(picture: np.ndarray, values: np.ndarray, largest: float) -> np.ndarray:
    """Colours over a grey picture [height, width]: red where `values` > 0, blue below, uint8 [.., 3].

    Opaque in proportion to the value, fully at `largest`. Blue, green, red.
    """
    share = np.clip(np.abs(values) / max(largest, 1e-6), 0, 1)[..., None] * OPACITY
    colours = np.where(values[..., None] > 0, (40, 40, 235), (235, 130, 30))
    grey = np.repeat(picture[..., None].astype(np.float32), 3, axis=2)
    return np.round(grey * (1 - share) + colours * share).astype(np.uint8)


def on_original(
    values: np.ndarray, prepared_to_original: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """A map of the prepared radiograph as one of the original's pixels, float [height, width]."""
    return cv2.warpAffine(
        values.astype(np.float32), prepared_to_original, shape[::-1], flags=cv2.INTER_LINEAR
    )


def sheet(explanation: Explanation, original: np.ndarray) -> np.ndarray:
    """Original, Grad-CAM on both, occlusion: uint8 [height, width, 3] of one height."""
    prepared = explanation.prepared
    height = prepared.shape[0] * max(1, round(650 / prepared.shape[0]))
    panels = [np.repeat(original[..., None], 3, axis=2)]
    if explanation.heat is not None:
        heat = np.where(prepared > 0, np.maximum(explanation.heat, 0), 0)
        largest = float(np.percentile(heat[prepared > 0], 99)) if (prepared > 0).any() else 1.0
        warped = on_original(heat, explanation.prepared_to_original, original.shape[:2])
        panels += [over(original, warped, largest), over(prepared, heat, largest)]
    falls = np.where(prepared > 0, explanation.occlusion, 0)
    panels.append(over(prepared, falls, max(float(np.abs(falls).max()), 1.0)))
    scaled = [
        cv2.resize(
            p, (round(p.shape[1] * height / p.shape[0]), height), interpolation=cv2.INTER_AREA
        )
        for p in panels
    ]
    return np.hstack([np.pad(panel, ((0, 0), (0, 8), (0, 0))) for panel in scaled])[:, :-8]
