"""From a model and a file to the result that objects are made of."""

from pathlib import Path

import numpy as np

from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.dicom.source import read_source
from bone_age_tf.dicom_output.outline import border_of, outline_of
from bone_age_tf.dicom_output.result import ModelIdentity, Result
from bone_age_tf.export.exported_model import read_manifest
from bone_age_tf.export.model_card import performance_summary
from bone_age_tf.export.versions import latest_version
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.inference.predict import Predicted
from bone_age_tf.preprocessing.conversion import to_png


def identity_of(model: str | Path) -> ModelIdentity:
    """What names an exported model in the objects, by its manifest alone. Raises `ModelRefusedError` without one."""
    folder = latest_version(Path(model))
    manifest = read_manifest(folder)
    intervals = manifest.get("intervals")
    return ModelIdentity(
        name=folder.resolve().parent.name,
        version=folder.name,
        fingerprint=manifest["fingerprint"],
        manifest_sha256=sha256_of(folder / MANIFEST),
        coverage=None if intervals is None else float(intervals["coverage"]),
        statement=performance_summary(manifest),
        reading_method=manifest.get("reading_method"),
        is_registered=manifest["preprocessing"]["method"] == "registered",
    )


def result_of(
    predicted: Predicted, model: ModelIdentity, *, with_radiograph: bool = True
) -> Result | None:
    """The result for a DICOM file, also a rejected one; None of a file without a header that could be read.

    `with_radiograph` decodes the pixels for display, which costs as much as reading them did. Raises `InputDataError`
    where the file can no longer be read.
    """
    if predicted.header is None:
        return None
    encoded = predicted.encoded or predicted.file.read()
    png = to_png(encoded) if with_radiograph else None
    return Result(
        source=read_source(encoded),
        prediction=predicted.prediction,
        model=model,
        outline=_outline(predicted, model),
        png=png if isinstance(png, bytes) else None,
    )


def _outline(predicted: Predicted, model: ModelIdentity) -> np.ndarray | None:
    if predicted.prepared is None or predicted.prepared_to_original is None:
        return None
    if model.is_registered and predicted.prepared.any():
        return outline_of(predicted.prepared, predicted.prepared_to_original)
    assert predicted.header is not None
    return border_of(predicted.header.rows, predicted.header.columns)
