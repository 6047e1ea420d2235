"""Bone age from a radiograph of the left hand: prepare, train, evaluate, export, predict.

Names are loaded when first used, so that `import bone_age_tf` does not import TensorFlow.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "PrepareConfig": "bone_age_tf.config",
    "PreprocessingConfig": "bone_age_tf.config",
    "ExperimentConfig": "bone_age_tf.config",
    "PreparedRadiographs": "bone_age_tf.data.dataset",
    "prepare": "bone_age_tf.data_prep.prepare",
    "train": "bone_age_tf.training.train",
    "load_model": "bone_age_tf.ensembling.ensemble",
    "evaluate": "bone_age_tf.evaluation.evaluate",
    "export_saved_model": "bone_age_tf.export.export",
    "ExportedModel": "bone_age_tf.export.exported_model",
    "shipped_model": "bone_age_tf.export.shipped_model",
    "predict": "bone_age_tf.inference.predict",
    "predict_adult_height": "bone_age_tf.growth.adult_height",
    "chart_growth": "bone_age_tf.report.growth_charts",
}
__all__ = ["__version__", *_HOME]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
