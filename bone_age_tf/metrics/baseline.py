"""The error of a constant prediction: what every error of a model is to be compared with."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bone_age_tf.metrics import bootstrap

OF_TRAINING, OF_LABELS = "training", "labels"
"""What the constant is the mean of: the bone ages of the training set; where these are unknown, the labels."""
CONSTANT_VALIDATION_MAE = "constant_validation_mae_months"
"""Key of a run's result: MAE of the training mean on the validation radiographs."""
SOURCES = {OF_TRAINING: "the mean of the training set", OF_LABELS: "the mean of these labels"}


def constant_baseline(
    predicted: np.ndarray, true: np.ndarray, training_mean_months: float | None
) -> dict[str, Any] | None:
    """MAE of a constant on the radiographs of a model's predictions and labels, [n] months each.

    `training_mean_months` None: the mean of the labels stands in, which favours the constant. `difference_months` is
    the MAE of the model minus that of the constant; the model is better where that is below 0, with its whole
    confidence interval where it has one. None for a single label, whose mean has no error.
    """
    if training_mean_months is None and len(true) < 2:
        return None
    months = float(true.mean()) if training_mean_months is None else training_mean_months
    constant = np.abs(true - months)
    difference = bootstrap.mean(np.abs(predicted - true) - constant)
    largest = difference["value"] if difference["high"] is None else difference["high"]
    assert largest is not None
    return {
        "months": months,
        "mean_of": OF_LABELS if training_mean_months is None else OF_TRAINING,
        "mae_months": bootstrap.mean(constant),
        "difference_months": difference,
        "model_is_better": largest < 0,
    }


def is_no_better(constant: Mapping[str, Any] | None) -> bool:
    """Whether an evaluation found that a model is no better than its constant."""
    return constant is not None and not constant["model_is_better"]
