"""What a reader must know before the errors of an evaluation, as sentences for the terminal and the report."""

from collections.abc import Mapping
from typing import Any

from bone_age_tf.data.leakage import TRAINED_ON_SPLIT
from bone_age_tf.metrics.baseline import SOURCES, is_no_better


def notices(result: Mapping[str, Any]) -> list[str]:
    """Data leakage, radiographs without a prediction, and a model that is no better than a constant; of an `evaluation.json`."""
    found = [_leakage(result), _left_out(result.get("left_out")), _constant(result.get("constant"))]
    return [sentence for sentence in found if sentence]


def named(constant: Mapping[str, Any]) -> str:
    """A constant prediction: its months, and what they are the mean of."""
    return f"{constant['months']:.1f} months ({SOURCES[constant['mean_of']]})"


def _leakage(result: Mapping[str, Any]) -> str:
    if not result.get(TRAINED_ON_SPLIT):
        return ""
    return result.get("leakage") or (
        "The model was trained on or fitted to some or all of these radiographs: its errors are optimistically "
        "biased (data leakage)."
    )


def _left_out(left_out: Mapping[str, Any] | None) -> str:
    if not left_out:
        return ""
    reasons = ", ".join(f"{name} {count}" for name, count in left_out["reasons"].items())
    if "by_prepare" in left_out:
        count = left_out["by_prepare"]
        text = f"prepare left out {_radiographs(count)} of this data set"
    else:
        count = left_out["labels_without_prediction"]
        text = f"No prediction for {count} of {left_out['labels']} labels"
    return f"{text} ({reasons}): not in the errors." if count else ""


def _constant(constant: Mapping[str, Any] | None) -> str:
    if constant is None or not is_no_better(constant):
        return ""
    difference = constant["difference_months"]
    low, high = difference["low"], difference["high"]
    ends = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return (
        f"The model is no better than a constant prediction of {named(constant)}, whose MAE is "
        f"{constant['mae_months']['value']:.2f} (difference {difference['value']:+.2f}{ends} months)."
    )


def _radiographs(count: int) -> str:
    return f"{count} radiograph{'s' * (count != 1)}"
