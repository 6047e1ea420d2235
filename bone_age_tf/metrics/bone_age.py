"""How far predicted bone ages are from the labels, in months, each number with its interval."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from bone_age_tf.record import Sex

RESAMPLES = 2000
COVERAGE = 0.95
SMALLEST_SAMPLE = 2

LIMITS_OF_AGREEMENT_SD = 1.96
"""Half the width of the limits of agreement, in standard deviations of the errors (Bland and Altman 1986)."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""Errors [..., n] (predicted - true, months) -> [...]."""

STATISTICS: dict[str, Statistic] = {
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

AGE_BANDS = {
    "0-4 years": (0.0, 48.0),
    "4-8 years": (48.0, 96.0),
    "8-12 years": (96.0, 144.0),
    "12-16 years": (144.0, 192.0),
    "16-20 years": (192.0, 241.0),
}
"""Bands of the true bone age: lower end included, upper not."""

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
    """`n`, and every statistic with its bootstrap interval (percentiles, over the radiographs).

    An interval is None where there are fewer than two radiographs.
    """
    summary: dict[str, object] = {"n": len(errors)}
    if not len(errors):
        return summary
    drawn = errors[resamples(len(errors), seed)]
    for name, statistic in STATISTICS.items():
        low, high = interval(statistic(drawn))
        has_interval = len(errors) >= SMALLEST_SAMPLE
        summary[name] = {
            "value": float(statistic(errors)),
            "low": float(low) if has_interval else None,
            "high": float(high) if has_interval else None,
        }
    return summary


def resamples(n: int, seed: int = 0) -> np.ndarray:
    """Rows of the bootstrap's resamples of `n` radiographs, int [RESAMPLES, n]."""
    return np.random.default_rng(seed).integers(0, max(n, 1), (RESAMPLES, n))


def interval(drawn: np.ndarray) -> tuple[float, float]:
    """The ends of the interval from a statistic of each resample, [RESAMPLES]; NaN does not count."""
    tail = 100 * (1 - COVERAGE) / 2
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


def mean_with_interval(values: np.ndarray, seed: int = 0) -> dict[str, float | None]:
    """Mean of numbers over radiographs, [n], n at least 1, with its interval."""
    low = high = None
    if len(values) >= SMALLEST_SAMPLE:
        low, high = interval(values[resamples(len(values), seed)].mean(-1))
    return {"value": float(values.mean()), "low": low, "high": high}


def share(holds: np.ndarray) -> dict[str, float | None]:
    """Share of True among radiographs, bool [n], n at least 1, with Wilson's interval (1927).

    Unlike a bootstrap, it tells that 20 of 20 are no proof of all.
    """
    n, value = len(holds), float(np.mean(holds))
    z = NormalDist().inv_cdf((1 + COVERAGE) / 2)
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n))
    return {"value": value, "low": max(0.0, centre - half), "high": min(1.0, centre + half)}


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


def agreement(predicted: np.ndarray, true: np.ndarray, seed: int = 0) -> dict[str, object]:
    """The straight line true = intercept + slope * predicted, [n] months each, with intervals.

    Calibrated answers have the slope 1 and the intercept 0; a slope above 1: they lie too near to the
    mean. None where all predictions are the same.
    """
    lines = _lines(predicted[None], true[None])[0]
    summary: dict[str, object] = {"n": len(true)}
    rows = resamples(len(true), seed)
    drawn = _lines(predicted[rows], true[rows])
    for column, name in enumerate(("calibration_slope", "calibration_intercept_months")):
        low = high = None
        if len(true) > SMALLEST_SAMPLE and np.isfinite(lines[column]):
            low, high = interval(drawn[:, column])
        value = float(lines[column]) if np.isfinite(lines[column]) else None
        summary[name] = {"value": value, "low": low, "high": high}
    return summary


def _lines(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Slope and intercept of each row, [rows, n] -> [rows, 2]; NaN where predictions are the same."""
    centre, target = predicted.mean(-1, keepdims=True), true.mean(-1, keepdims=True)
    spread = np.square(predicted - centre).sum(-1)
    together = ((predicted - centre) * (true - target)).sum(-1)
    slope = np.divide(together, spread, out=np.full(len(spread), np.nan), where=spread > 1e-6)
    return np.stack([slope, target[:, 0] - slope * centre[:, 0]], axis=1)


# === The sex ===


def accuracy(boy_probability: np.ndarray, is_boy: np.ndarray) -> float:
    """Share of hands, [n], whose more probable sex is the right one."""
    return float(((boy_probability >= 0.5) == is_boy).mean())


def cross_entropy(boy_probability: np.ndarray, is_boy: np.ndarray) -> float:
    """Mean over hands, [n], of -log(probability of the right sex), in nats."""
    right = np.where(is_boy, boy_probability, 1 - boy_probability)
    return float(-np.log(np.clip(right, 1e-7, 1)).mean())


def auroc(boy_probability: np.ndarray, is_boy: np.ndarray) -> float:
    """Share of pairs of a boy's and a girl's hand, [n], in which the boy's has the higher probability.

    Ties count half; NaN where there are only boys or only girls. Hanley and McNeil 1982.
    """
    _, place, counts = np.unique(boy_probability, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    boys, girls = int(is_boy.sum()), int((~is_boy).sum())
    if not boys or not girls:
        return float("nan")
    return float((ranks[is_boy].sum() - boys * (boys + 1) / 2) / (boys * girls))


def summarize_sex(
    boy_probability: np.ndarray, is_boy: np.ndarray, seed: int = 0
) -> dict[str, object]:
    """`n`, accuracy and AUROC, each with its bootstrap interval, as `summarize`.

    None where a number does not exist; resamples of one sex alone do not count for the AUROC.
    """
    n = len(is_boy)
    draws = resamples(n, seed)
    summary: dict[str, object] = {"n": n}
    for statistic in (accuracy, auroc) if n else ():
        value = statistic(boy_probability, is_boy)
        low = high = None
        if n >= SMALLEST_SAMPLE and np.isfinite(value):
            drawn = [statistic(boy_probability[rows], is_boy[rows]) for rows in draws]
            low, high = interval(np.array(drawn))
        found = {"value": value if np.isfinite(value) else None, "low": low, "high": high}
        summary[statistic.__name__] = found
    return summary
