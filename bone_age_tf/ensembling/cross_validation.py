"""Fit weights and a correction on the held-out predictions of several families of networks (`family_months`)."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls

from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.metrics.predictions import LabelledPredictions
from bone_age_tf.postprocessing.bias_correction import (
    NO_CORRECTION,
    SexSpecificRecalibration,
    fit_lines,
    parts_of,
)
from bone_age_tf.postprocessing.monotone import fit_curves
from bone_age_tf.sex import Sex


def complete(held_out: LabelledPredictions) -> LabelledPredictions:
    """Only the radiographs that every family has a prediction for."""
    return held_out.select(np.isfinite(held_out.family_months).all(axis=1))


def fit_weights(held_out: LabelledPredictions, method: str) -> np.ndarray:
    """Weight of each family, [families]: equal, or non-negative least squares; they add up to 1."""
    count = len(held_out.family_names)
    if method == "mean" or count == 1:
        return np.full(count, 1 / count)
    weights, _ = nnls(held_out.family_months, held_out.true_months)
    if weights.sum() == 0:
        raise ModelRefusedError(
            "No weights fit: every family's predictions are negatively correlated with the labels. Train longer, or use "
            "--weighting mean."
        )
    return weights / weights.sum()


def fit_correction(
    held_out: LabelledPredictions, shares: np.ndarray, method: str
) -> SexSpecificRecalibration:
    """Sex-specific correction of the weighted families: `linear`, `monotone`; `none`: identity."""
    if method == "none":
        return NO_CORRECTION
    fit = fit_curves if method == "monotone" else fit_lines
    months = held_out.family_months @ shares
    return fit(held_out.sex, months, held_out.true_months)


def cross_validate(
    held_out: LabelledPredictions, weighting: str, correction: str
) -> tuple[np.ndarray, np.ndarray]:
    """Months before and after the correction, [n] each; each part from a fit on the others."""
    before, after = np.zeros((2, len(held_out)))
    if weighting == "mean" and correction == "none":
        before = held_out.family_months @ fit_weights(held_out, weighting)
        return before, before
    parts, months, sex = parts_of(len(held_out)), held_out.family_months, held_out.sex
    for part in range(parts.max() + 1):
        out, rest = parts == part, np.flatnonzero(parts != part)
        others = held_out.select(rest)
        shares = fit_weights(others, weighting)
        lines = fit_correction(others, shares, correction)
        before[out] = months[out] @ shares
        after[out] = lines(before[out], sex[out])
    return before, after


def family_predictions(
    predicted: np.ndarray, sexes: Sequence[str], families: Sequence[int], sex: np.ndarray
) -> np.ndarray:
    """Held-out predictions of the families, [n, families], NaN where there is none.

    `predicted` [members, n] holds months where a radiograph was held out from a member, else NaN;
    `sexes` are the members' `data.sex`, `sex` the radiographs' codes [n].
    """
    answers = np.full((predicted.shape[1], max(families) + 1), np.nan)
    for family in range(max(families) + 1):
        by_sex = []
        for code in (Sex.F, Sex.M):
            rows = [
                row
                for row, known in enumerate(sexes)
                if families[row] == family and known in ("both", code.label)
            ]
            there = np.isfinite(predicted[rows])
            count = there.sum(axis=0)
            total = np.where(there, predicted[rows], 0.0).sum(axis=0)
            by_sex.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
        girls, boys = by_sex
        unknown = (girls + boys) / 2
        answers[:, family] = np.choose(sex, [girls, boys, unknown])
    return answers
