"""Metrics of the sex classifier."""

import numpy as np
from scipy.stats import rankdata

from bone_age_tf.metrics.bootstrap import estimates, proportion


def accuracy(boy_probability: np.ndarray, is_boy: np.ndarray) -> np.ndarray:
    """Share of hands, [..., n] -> [...], whose more probable sex is the right one."""
    return ((boy_probability >= 0.5) == is_boy).mean(-1)


def cross_entropy(boy_probability: np.ndarray, is_boy: np.ndarray) -> np.ndarray:
    """Mean over hands, [..., n] -> [...], of -log(probability of the right sex), in nats."""
    right = np.where(is_boy, boy_probability, 1 - boy_probability)
    return -np.log(np.clip(right, 1e-7, 1)).mean(-1)


def auroc(boy_probability: np.ndarray, is_boy: np.ndarray) -> np.ndarray:
    """Share of pairs of a boy's and a girl's hand, [..., n] -> [...], in which the boy's has the higher probability.

    Ties count half; NaN where there are only boys or only girls. Hanley and McNeil 1982. It is
    Mann and Whitney's U as a share of all pairs; `scipy.stats.mannwhitneyu` gives the same number, but takes
    one resample at a time, ten times as long.
    """
    boys = is_boy.sum(-1)
    girls = is_boy.shape[-1] - boys
    u = np.where(is_boy, rankdata(boy_probability, axis=-1), 0).sum(-1) - boys * (boys + 1) / 2
    pairs = np.asarray(boys * girls, float)
    return np.divide(u, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)


def summarize_sex(boy_probability: np.ndarray, is_boy: np.ndarray) -> dict[str, object]:
    """`n`, accuracy and AUROC of hands [n], each with its confidence interval.

    Resamples of a single sex are ignored for the AUROC.
    """
    if not len(is_boy):
        return {"n": 0}
    return {
        "n": len(is_boy),
        "accuracy": proportion((boy_probability >= 0.5) == is_boy),
        **estimates({"auroc": auroc}, boy_probability, is_boy),
    }
