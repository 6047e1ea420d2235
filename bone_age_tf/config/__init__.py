"""Every setting of every stage: frozen dataclasses, checked when they are made.

`to_dict` and `from_dict` round-trip through JSON, `override` applies `--set train.epochs=3`.
The choices are loaded at once, the rest when first used: `--help` needs no Pydantic.
"""

import importlib
from typing import TYPE_CHECKING, Any

from bone_age_tf.config.choices import (
    ACTIVATIONS,
    AGE_BANDS,
    AGE_UNITS,
    CACHES,
    CHECKPOINTS,
    CORRECTIONS,
    DEFAULT_ENGINE,
    DEFAULT_SPLIT,
    DICOM_OBJECTS,
    DICOM_REASONS,
    ENCODINGS,
    ENGINES,
    FOLD_SPLIT,
    HEADS,
    HEIGHT_UNITS,
    LOOPBACK,
    NORMALIZATIONS,
    OWN_LOCALIZER,
    PHANTOM_FORMATS,
    PHANTOM_STYLES,
    POOLINGS,
    PRECISIONS,
    PREPROCESSING_METHODS,
    READING_METHODS,
    RESEARCH_ONLY,
    RUNNERS,
    SCHEDULES,
    SEX_CHOICES,
    SEX_LABELS,
    SHIPPED_LOCALIZER,
    SR_CLASSES,
    TARGETS,
    TEST_SPLIT,
    TRAINING_SPLIT,
    TTA_VIEWS,
    VALIDATION_SPLIT,
    WEIGHTINGS,
    WEIGHTS_DTYPES,
)

if TYPE_CHECKING:
    from bone_age_tf.config.dicom_output import DicomOutputConfig
    from bone_age_tf.config.experiment import (
        AugmentationConfig,
        DataConfig,
        ExperimentConfig,
        LocalizerConfig,
        LoggingConfig,
        ModelConfig,
        TrainConfig,
    )
    from bone_age_tf.config.node import (
        NodeConfig,
        NodeSection,
        Rule,
        StoreDestination,
        TlsSection,
        WebDestination,
    )
    from bone_age_tf.config.parsing import from_dict, override, to_dict
    from bone_age_tf.config.prepare import (
        FRAME_HEIGHT,
        FRAME_WIDTH,
        LabelOptions,
        PhantomConfig,
        PrepareConfig,
        PreprocessingConfig,
    )
    from bone_age_tf.config.serving import CalibrationConfig, ServeConfig
    from bone_age_tf.config.visits import VisitOptions

__all__ = [
    "ACTIVATIONS",
    "AGE_BANDS",
    "AGE_UNITS",
    "CACHES",
    "CHECKPOINTS",
    "CORRECTIONS",
    "DEFAULT_ENGINE",
    "DEFAULT_SPLIT",
    "DICOM_OBJECTS",
    "DICOM_REASONS",
    "ENCODINGS",
    "ENGINES",
    "FOLD_SPLIT",
    "FRAME_HEIGHT",
    "FRAME_WIDTH",
    "HEADS",
    "HEIGHT_UNITS",
    "LOOPBACK",
    "NORMALIZATIONS",
    "OWN_LOCALIZER",
    "PHANTOM_FORMATS",
    "PHANTOM_STYLES",
    "POOLINGS",
    "PRECISIONS",
    "PREPROCESSING_METHODS",
    "READING_METHODS",
    "RESEARCH_ONLY",
    "RUNNERS",
    "SCHEDULES",
    "SEX_CHOICES",
    "SEX_LABELS",
    "SHIPPED_LOCALIZER",
    "SR_CLASSES",
    "TARGETS",
    "TEST_SPLIT",
    "TRAINING_SPLIT",
    "TTA_VIEWS",
    "VALIDATION_SPLIT",
    "WEIGHTINGS",
    "WEIGHTS_DTYPES",
    "AugmentationConfig",
    "CalibrationConfig",
    "DataConfig",
    "DicomOutputConfig",
    "ExperimentConfig",
    "LabelOptions",
    "LocalizerConfig",
    "LoggingConfig",
    "ModelConfig",
    "NodeConfig",
    "NodeSection",
    "PhantomConfig",
    "PrepareConfig",
    "PreprocessingConfig",
    "Rule",
    "ServeConfig",
    "StoreDestination",
    "TlsSection",
    "TrainConfig",
    "VisitOptions",
    "WebDestination",
    "from_dict",
    "override",
    "to_dict",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # otherwise every misspelt name would be `Any`

    def __getattr__(name: str) -> Any:
        for module in (
            ("dicom_output", "experiment", "node", "prepare", "serving", "visits", "parsing")
            if name in __all__
            else ()
        ):
            home = importlib.import_module(f"{__name__}.{module}")
            if hasattr(home, name):
                return getattr(home, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
