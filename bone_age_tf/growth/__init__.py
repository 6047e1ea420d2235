"""Growth: bone age against chronological age, adult height, height of the parents. Without TensorFlow."""

from bone_age_tf.growth.adult_height import REASONS, WARNINGS, AdultHeight, predict_adult_height
from bone_age_tf.growth.adult_height_interval import (
    AdultHeightInterval,
    ColumnHeight,
    predict_adult_height_interval,
)
from bone_age_tf.growth.assessment import (
    GROWTH_COLUMNS,
    GROWTH_TEXT,
    GrowthAssessment,
    Heights,
    assess,
)
from bone_age_tf.growth.parental_height import (
    BRITISH_ADULTS,
    CONVENTIONS,
    Adults,
    TargetHeight,
    mid_parental_height,
)
from bone_age_tf.growth.published_errors import LATER_STUDIES, method_sd_cm
from bone_age_tf.growth.reference_standards import Comparison, compare_with_age, sd_at

__all__ = [
    "BRITISH_ADULTS",
    "CONVENTIONS",
    "GROWTH_COLUMNS",
    "GROWTH_TEXT",
    "LATER_STUDIES",
    "REASONS",
    "WARNINGS",
    "AdultHeight",
    "AdultHeightInterval",
    "Adults",
    "ColumnHeight",
    "Comparison",
    "GrowthAssessment",
    "Heights",
    "TargetHeight",
    "assess",
    "compare_with_age",
    "method_sd_cm",
    "mid_parental_height",
    "predict_adult_height",
    "predict_adult_height_interval",
    "sd_at",
]
