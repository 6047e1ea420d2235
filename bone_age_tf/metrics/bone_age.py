"""Metrics of predicted bone ages against the labels, in months."""

import numpy as np

from bone_age_tf.config import AGE_BANDS
from bone_age_tf.metrics.bootstrap import Metric, estimates, proportion
from bone_age_tf.sex import Sex

LIMITS_OF_AGREEMENT_SD = 1.96
"""Half the width of the limits of agreement, in standard deviations of the errors (Bland and Altman 1986)."""

METRICS: dict[str, Metric] = {
    "mae_months": lambda errors: np.abs(errors).mean(-1),
    "rmse_months": lambda errors: np.sqrt(np.square(errors).mean(-1)),
    "bias_months": lambda errors: errors.mean(-1),
    "agreement_low_months": lambda errors: (
        errors.mean(-1) - LIMITS_OF_AGREEMENT_SD * errors.std(-1)
    ),
    "agreement_high_months": lambda errors: (
        errors.mean(-1) + LIMITS_OF_AGREEMENT_SD * errors.std(-1)
    ),
    "within_6_months": lambda errors: (np.abs(errors) <= 6).mean(-1),
    "within_12_months": lambda errors: (np.abs(errors) <= 12).mean(-1),
    "within_24_months": lambda errors: (np.abs(errors) <= 24).mean(-1),
}
"""Of errors [..., n], predicted - true in months, -> [...]."""
WITHIN_MONTHS = {"within_6_months": 6, "within_12_months": 12, "within_24_months": 24}
"""Those that are shares, whose confidence interval is Wilson's."""

STAGES = {
    "infancy": (10, 14),
    "toddlers": (24, 36),
    "pre-puberty": (84, 108),
    "early and mid puberty": (156, 168),
    "late puberty": (180, 192),
    "post-puberty": (241, 241),
}
"""Stages of maturation: below this bone age in months, for girls and boys (Gilsanz and Ratib 2005)."""


def summarize(errors: np.ndarray, seed: int = 0) -> dict[str, object]:
    """`n`, and every metric of errors [n] with its confidence interval; of none, `n` alone."""
    if not len(errors):
        return {"n": 0}
    means = {name: metric for name, metric in METRICS.items() if name not in WITHIN_MONTHS}
    return {
        "n": len(errors),
        **estimates(means, errors, seed=seed),
        **{name: proportion(np.abs(errors) <= limit) for name, limit in WITHIN_MONTHS.items()},
    }


def summarize_by_sex(errors: np.ndarray, sex: np.ndarray) -> dict[str, dict]:
    """`summarize` of errors [n] over all (`overall`) and for each sex (`by_sex`; codes int [n])."""
    order = np.argsort(sex, kind="stable")
    names = np.array([Sex(code).label for code in sex[order]])
    return {"overall": summarize(errors), "by_sex": by_group(errors[order], names)}


def by_group(errors: np.ndarray, groups: np.ndarray) -> dict[str, dict[str, object]]:
    """`summarize` for each distinct group name, in the order of first appearance in `groups`."""
    return {str(name): summarize(errors[groups == name]) for name in dict.fromkeys(groups.tolist())}


def age_band(bone_age_months: float) -> str:
    """Name of the band of a true bone age."""
    for name, (low, high) in AGE_BANDS.items():
        if low <= bone_age_months < high:
            return name
    raise ValueError(f"bone age must be between 0 and 240 months, received {bone_age_months}")


def stage(bone_age_months: float, sex: int) -> str | None:
    """Name of the stage of maturation; None where the sex is unknown."""
    if sex == Sex.UNKNOWN:
        return None
    column = 0 if sex == Sex.F else 1
    return next(name for name, ends in STAGES.items() if bone_age_months < ends[column])


def agreement(predicted: np.ndarray, true: np.ndarray) -> dict[str, object]:
    """The straight line true = intercept + slope * predicted, [n] months each, with confidence intervals.

    Calibrated answers have the slope 1 and the intercept 0; a slope above 1: they are biased
    towards the mean. None where all predictions are the same.
    """
    line = {
        "calibration_slope": lambda x, y: _line(x, y)[0],
        "calibration_intercept_months": lambda x, y: _line(x, y)[1],
    }
    found = estimates(line, predicted, true)
    return {"n": len(true), **found}


def _line(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept, [..., n] -> [...] each; NaN where all predictions are the same."""
    centre, target = predicted.mean(-1, keepdims=True), true.mean(-1, keepdims=True)
    spread = np.square(predicted - centre).sum(-1)
    together = ((predicted - centre) * (true - target)).sum(-1)
    slope = np.divide(together, spread, out=np.full(spread.shape, np.nan), where=spread > 1e-6)
    return slope, target[..., 0] - slope * centre[..., 0]
