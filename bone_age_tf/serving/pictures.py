"""Overlays of the page: outline, key points and heat map, in pixels of the displayed radiograph."""

import base64
import functools
import threading
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from bone_age_tf import config as configuration
from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.signatures import EXPLAIN, HEAT
from bone_age_tf.inference.saliency import on_frame, on_original
from bone_age_tf.preprocessing.grey import grey_levels
from bone_age_tf.preprocessing.rejections import EXPLANATIONS, Rejection

if TYPE_CHECKING:
    from bone_age_tf.preprocessing.examination import Examiner

LONGEST = 1000
"""Pixels of the longer side of the radiograph on the page."""
OUTLINE_ERROR = 1.2
"""Largest distance in pixels of the drawn outline from the real one."""
MIN_HEAT = 0.15
"""Values below this share of the largest heat are transparent."""
HOT, WARM = (40, 40, 235), (30, 170, 250)
"""Colours of the most and the least heat: blue, green, red."""


class Viewer:
    """Draws for one model. Its first picture imports TensorFlow's Python package, which nothing else of a server needs."""

    def __init__(self, model: ExportedModel) -> None:
        self._model = model
        self._one_at_a_time = threading.Lock()
        self._is_prepared = False

    def prepare(self, encoded: bytes, sex: str) -> None:
        """Draw a file once, so that later pictures are quick; nothing where that was done."""
        with self._one_at_a_time:
            if not self._is_prepared:
                self._is_prepared = True
                self.view(encoded, sex)

    @functools.cached_property
    def _examiner(self) -> "Examiner | None":
        return _examiner(self._model)

    def view(self, encoded: bytes, sex: str) -> dict[str, Any] | None:
        """What the page shows of a file: `radiograph`, `width`, `height`, `outline` and `points` ((x, y)
        lists), and `heat`, where the model has it. Of a rejected one what was detected as a hand, without
        heat; None where that is nothing.

        Raises `InputDataError` where OpenCV cannot read the file.
        """
        made = self._model.prepare_with_matrix(encoded)
        if isinstance(made, Rejection):
            return self._rejected(encoded) if made.reason in EXPLANATIONS else None
        image, to_original = made
        small, scale = _small(encoded)
        matrix = to_original * scale
        matrix[:, 2] += (scale - 1) / 2  # a pixel's centre, not its corner
        if self._examiner is None:
            hand = on_original((image[..., 0] > 0).astype(np.float32), matrix, small.shape) > 0.5
            points = np.zeros((0, 2))
        else:
            hand, points = _found(self._examiner, encoded, small.shape, scale)
        return _drawn(small, hand, points, self._heat(image, sex, matrix, small.shape))

    def _rejected(self, encoded: bytes) -> dict[str, Any] | None:
        if self._examiner is None:
            return None
        small, scale = _small(encoded)
        drawn = _drawn(small, *_found(self._examiner, encoded, small.shape, scale), None)
        return drawn if drawn["outline"] else None

    def _heat(
        self,
        image: np.ndarray,
        sex: str,
        matrix: np.ndarray,
        shape: tuple[int, int],
    ) -> str | None:
        """Grad-CAM as a PNG whose opacity is the heat."""
        signatures = self._model.signatures
        if EXPLAIN not in signatures:
            return None
        answer = signatures[EXPLAIN](image=image[None], sex=[sex])
        region = self._model.manifest["config"]["data"]["region"]
        heat = on_frame(answer[HEAT][0], image.shape[:2], region)
        is_hand = image[..., 0] > 0
        heat = np.where(is_hand, np.maximum(heat, 0), 0)
        largest = float(np.percentile(heat[is_hand], 99)) if is_hand.any() else 1.0
        share = np.clip(on_original(heat, matrix, shape) / max(largest, 1e-6), 0, 1)
        opacity = np.clip((share - MIN_HEAT) / (1 - MIN_HEAT), 0, 1)
        colours = share[..., None] * HOT + (1 - share[..., None]) * np.array(WARM)
        pixels = np.dstack([colours, 255 * opacity]).round().astype(np.uint8)
        return _address(pixels, ".png")


def preview(encoded: bytes) -> str:
    """The radiograph of a file as the page shows it. Raises `InputDataError` where OpenCV cannot read it."""
    return _address(_small(encoded)[0], ".jpg")


def _examiner(model: ExportedModel) -> "Examiner | None":
    """Finds what the model's own localizer finds; None where that is not the shipped one."""
    from bone_age_tf.preprocessing import pipeline  # they import TensorFlow
    from bone_age_tf.preprocessing.examination import Examiner
    from bone_age_tf.preprocessing.preprocessor import Preprocessor

    config = configuration.from_dict(PreprocessingConfig, dict(model.manifest["preprocessing"]))
    is_ours = config.method == "registered" and pipeline.fingerprint(config) == model.fingerprint
    return Examiner(Preprocessor(config)) if is_ours else None


def _small(encoded: bytes) -> tuple[np.ndarray, float]:
    """The page's picture, uint8 [height, width], and its scale."""
    grey = grey_levels(encoded)
    scale = min(1.0, LONGEST / max(grey.shape))
    size = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA), scale


def _found(
    examiner: "Examiner", encoded: bytes, shape: tuple[int, ...], scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mask of the hand, bool, and key points [N, 2], on the page's picture."""
    found = examiner(encoded)
    mask = cv2.resize(found.mask, shape[::-1], interpolation=cv2.INTER_AREA)
    return mask > 127, (found.points + 0.5) * scale - 0.5


def _drawn(
    small: np.ndarray, hand: np.ndarray, points: np.ndarray, heat: str | None
) -> dict[str, Any]:
    return {
        "width": small.shape[1],
        "height": small.shape[0],
        "radiograph": _address(small, ".jpg"),
        "outline": _outlines(hand),
        "points": np.round(points, 1).tolist(),
        "heat": heat,
    }


def _outlines(mask: np.ndarray) -> list[list[list[int]]]:
    """Closed lines around the hand."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    large = [one for one in found if cv2.contourArea(one) > mask.size * 0.005]
    return [cv2.approxPolyDP(one, OUTLINE_ERROR, True)[:, 0].tolist() for one in large]


def _address(pixels: np.ndarray, ending: str) -> str:
    kind = {".jpg": "jpeg", ".png": "png"}[ending]
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if ending == ".jpg" else []
    encoded = cv2.imencode(ending, pixels, options)[1].tobytes()
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"
