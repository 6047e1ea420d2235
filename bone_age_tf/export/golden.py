"""The golden hand of the manifest: a model that answers otherwise than at export is not used."""

import base64
from pathlib import Path

from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.preprocessing.rejections import OK, Rejection
from bone_age_tf.record import BONE_AGE_HIGH, BONE_AGE_LOW, BONE_AGE_MONTHS

GOLDEN_HAND = Path(__file__).parents[1] / "assets" / "golden_hand.png"
"""A phantom of ten years."""
TOLERANCE_MONTHS = 0.05


def require_golden(model: ExportedModel) -> None:
    """Raises `ModelRefusedError` where the model's answer for the golden hand is not that of its manifest."""
    golden = model.manifest["golden"]
    prepared = model.prepare(base64.b64decode(golden["image_png_base64"]))
    if isinstance(prepared, Rejection):
        if set(golden["status"]) != {OK}:
            return  # that of a poor localizer
        raise ModelRefusedError(
            f"{model.folder}: it rejects the golden hand ({prepared.reason}). Export it again."
        )
    for number, sex in enumerate(golden["sex"]):
        answers = model.answers_of_prepared(prepared[None], [sex])
        for name in (BONE_AGE_MONTHS, BONE_AGE_LOW, BONE_AGE_HIGH):
            if name in golden:
                _require_close(model, name, float(answers[name][0]), golden[name][number])


def _require_close(model: ExportedModel, name: str, got: float, expected: float) -> None:
    if not abs(got - expected) <= TOLERANCE_MONTHS:  # NaN, too
        raise ModelRefusedError(
            f"{model.folder}: for the golden hand it returns {name} {got:.2f}; its manifest expects {expected:.2f}. "
            "It is not used. Export it again."
        )
