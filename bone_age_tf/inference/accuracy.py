"""Errors of predictions whose true bone age is in the label table of `predict`."""

from typing import Any

import pandas as pd

from bone_age_tf.config.choices import TRAINED_ON
from bone_age_tf.data.leakage import TRAINED_ON_SPLIT, known_among
from bone_age_tf.metrics import bone_age as metrics
from bone_age_tf.metrics.baseline import constant_baseline
from bone_age_tf.metrics.predictions import OK, STATUS, TRUE_MONTHS
from bone_age_tf.record import BONE_AGE_MONTHS


def accuracy_of(table: pd.DataFrame, training_mean_months: float | None) -> dict[str, Any] | None:
    """Errors of the rows that have both a bone age and a true one, as `PredictReport.accuracy`; None: there is no such row."""
    known = table[(table[STATUS] == OK) & table[TRUE_MONTHS].notna()]
    known = known.sort_values(TRUE_MONTHS, kind="stable")  # as `evaluate`: the same intervals
    if known.empty:
        return None
    count = sum(TRAINED_ON in codes for codes in known["warning"].str.split())
    predicted, true = (known[name].to_numpy() for name in (BONE_AGE_MONTHS, TRUE_MONTHS))
    return {
        "overall": metrics.summarize(predicted - true),
        "constant": constant_baseline(predicted, true, training_mean_months),
        TRAINED_ON_SPLIT: count > 0,
        "leakage": known_among(count, len(known)),
    }
