"""Tables of metrics for an evaluation: overall, by sex, age band and stage of maturation."""

from typing import Any

import numpy as np

from bone_age_tf.metrics import bone_age as metrics
from bone_age_tf.metrics import bootstrap
from bone_age_tf.metrics.predictions import TRUE_MONTHS, LabelledPredictions
from bone_age_tf.metrics.sex import summarize_sex
from bone_age_tf.record import BONE_AGE_MONTHS, ID, MAX_BONE_AGE_MONTHS, SEX

AGE_LIMIT_MONTHS = 120
"""Below this bone age, the sex is harder to classify."""


def tables(predictions: LabelledPredictions) -> dict[str, Any]:
    """Every metric overall, by sex, age band, both and stage; agreement; the largest and the smallest errors.

    Each number has its confidence interval.
    """
    order = np.argsort(predictions.true_months, kind="stable")
    by_age = predictions.select(order)
    errors, true = by_age.errors, by_age.true_months
    sexes = by_age.table[SEX].to_numpy(str)
    bands = np.array([metrics.age_band(age) for age in true])
    both = np.array([f"{sex}, {band}" for sex, band in zip(sexes, bands, strict=True)])
    stages = np.array(
        [metrics.stage(age, sex) or "" for age, sex in zip(true, by_age.sex, strict=True)]
    )
    known = stages != ""
    return {
        "overall": metrics.summarize(errors),
        "by_sex": metrics.by_group(errors, sexes),
        "by_age_band": metrics.by_group(errors, bands),
        "by_sex_and_age_band": metrics.by_group(errors, both),
        "by_stage": metrics.by_group(errors[known], stages[known]),
        "agreement": metrics.agreement(predictions.predicted, predictions.true_months),
        "prediction_intervals": _coverage(by_age, sexes, bands),
        "worst": [_listed(predictions, row) for row in worst(predictions)],
        "best": [_listed(predictions, row) for row in best(predictions)],
    }


def _coverage(
    predictions: LabelledPredictions, sexes: np.ndarray, bands: np.ndarray
) -> dict[str, Any] | None:
    """How often prediction intervals cover the label, overall, by sex and by age band; None: there are none."""
    if predictions.interval_months is None:
        return None
    low, high = predictions.interval_months
    covered = (low <= predictions.true_months) & (predictions.true_months <= high)

    def summary(rows: np.ndarray) -> dict[str, Any]:
        return {
            "n": int(rows.sum()),
            "coverage": bootstrap.proportion(covered[rows]),
            "mean_width_months": float((high - low)[rows].mean()),
        }

    return {
        "overall": summary(np.full(len(predictions), True)),
        "by_sex": {str(name): summary(sexes == name) for name in dict.fromkeys(sexes.tolist())},
        "by_age_band": {
            str(name): summary(bands == name) for name in dict.fromkeys(bands.tolist())
        },
    }


def bias_by_age(predicted: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    """Bias and MAE by band of the true and of the predicted age, of months [n].

    The true one tells what a child of that age gets; it is biased towards the middle wherever predictions have errors. The predicted one
    tells what an answer of that age is worth.
    """
    ages = {"by_true_age": true, "by_predicted_age": predicted}
    return {name: _biases(predicted, true, of) for name, of in ages.items()}


def _biases(predicted: np.ndarray, true: np.ndarray, ages: np.ndarray) -> dict[str, Any]:
    bands = np.array([metrics.age_band(age) for age in np.clip(ages, 0, MAX_BONE_AGE_MONTHS)])
    kinds = {name: metrics.METRICS[name] for name in ("bias_months", "mae_months")}
    errors = {name: (predicted - true)[bands == name] for name in metrics.AGE_BANDS}
    return {
        name: {"n": len(of), **bootstrap.estimates(kinds, of)}
        for name, of in errors.items()
        if len(of)
    }


def _listed(predictions: LabelledPredictions, row: int) -> dict[str, Any]:
    return predictions.table.loc[row, [ID, SEX, TRUE_MONTHS, BONE_AGE_MONTHS]].to_dict()


def worst(predictions: LabelledPredictions, count: int = 20) -> list[int]:
    """Rows with the largest errors, the largest first."""
    return np.argsort(-np.abs(predictions.errors), kind="stable")[:count].tolist()


def best(predictions: LabelledPredictions, count: int = 8) -> list[int]:
    """Rows with the smallest errors, the smallest first; none that is among the worst."""
    others = np.argsort(np.abs(predictions.errors), kind="stable")[: max(0, len(predictions) - 20)]
    return others[:count].tolist()


def sex_tables(predictions: LabelledPredictions) -> dict[str, Any]:
    """Accuracy and AUROC overall, below and from ten years, and by age band."""
    bands = np.array([metrics.age_band(age) for age in predictions.true_months])
    is_young = predictions.true_months < AGE_LIMIT_MONTHS
    probability, is_boy = predictions.predicted, predictions.is_boy

    def summaries(groups: dict[str, np.ndarray]) -> dict[str, Any]:
        return {
            name: summarize_sex(probability[rows], is_boy[rows])
            for name, rows in groups.items()
            if rows.any()
        }

    return {
        **summaries({"overall": np.full(len(bands), True)}),
        "by_age": summaries({"below 10 years": is_young, "10 years and above": ~is_young}),
        "by_age_band": summaries({name: bands == name for name in metrics.AGE_BANDS}),
    }
