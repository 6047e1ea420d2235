"""The model card of an exported model (Mitchell et al. 2019), in the format of the Hugging Face Hub.

It is generated from the manifest alone: use, training data, performance, limitations. The origin of the
radiographs and the license terms are for the author of the model to add.
"""

from collections.abc import Mapping
from typing import Any

from bone_age_tf.config import RESEARCH_ONLY
from bone_age_tf.metrics.baseline import CONSTANT_VALIDATION_MAE, SOURCES, is_no_better

CARD = "README.md"
HELD_OUT = "held-out folds"
NO_BETTER = "**It is no better than a constant prediction. Do not use it.**"


def card(manifest: Mapping[str, Any]) -> str:
    """Markdown with YAML front matter, from the manifest of an exported model."""
    return "\n".join(
        [
            *_front_matter(manifest),
            "# Bone age from a radiograph of the left hand",
            "",
            f"A SavedModel exported by bone-age-tf {manifest['exported_with']['bone_age_tf']}. Input: the bytes of a "
            "PNG or JPEG file and the sex (`F`, `M`, `unknown`). Output: bone age in months. Preprocessing and the "
            f"rejection of unsuitable images are part of the graph. {RESEARCH_ONLY}",
            "",
            "## Use",
            "",
            "```",
            "bone-age-tf predict hand.png --sex F --model MODEL --output predictions/1",
            "```",
            "",
            "or TensorFlow Serving, signature `serving_default`.",
            "",
            "## Training data",
            "",
            *_data(manifest),
            "",
            "## Performance",
            "",
            *_performance(manifest["metrics"]),
            *_no_better(manifest["metrics"]),
            "",
            *_recalibrated(manifest.get("calibration")),
            *_intervals(manifest.get("intervals")),
            "",
            "## Limitations",
            "",
            "- Not for clinical decisions. Not intended for hands with disease, casts or metal.",
            "- The model reproduces the readers, the reference standard and the population of its training set. For "
            "another site, recalibrate it on local radiographs (`bone-age-tf calibrate`) and evaluate it there "
            "(`evaluate`, `stress`).",
            "- The license terms are those of the training radiographs.",
            "",
        ]
    )


def performance_summary(manifest: Mapping[str, Any]) -> str:
    """One line: the size of the training set and the mean absolute error, if it was evaluated."""
    data = manifest["data"]
    splits = ", ".join(f"{name} {count}" for name, count in data["splits"].items())
    count = data.get("training")
    trained_on = f"folds of {splits}" if count is None else str(count)
    recalibrated = "".join(_recalibrated(manifest.get("calibration")))
    constant = NO_BETTER.strip("*") if no_better_than_constant(manifest["metrics"]) else ""
    return " ".join(
        filter(
            None,
            [f"Trained on {trained_on} radiographs.", _error(manifest), constant, recalibrated],
        )
    )


def no_better_than_constant(metrics: Mapping[str, Any]) -> bool:
    """Whether a manifest's `metrics` show that of the model: its evaluation, its cross-validation or its training."""
    training = metrics.get("training") or {}
    best = training.get("best_validation_mae_months")
    constant = training.get(CONSTANT_VALIDATION_MAE)
    constants = [training.get("constant"), *filter(None, [_constant(metrics)])]
    return any(map(is_no_better, constants)) or bool(best and constant and best >= constant)


def _constant(metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The constant that the strongest evidence is compared with."""
    if "cross_validation" in metrics:
        return metrics["cross_validation"]["result"].get("constant")
    return metrics.get("evaluation", {}).get("constant")


def _no_better(metrics: Mapping[str, Any]) -> list[str]:
    return ["", NO_BETTER] if no_better_than_constant(metrics) else []


def _error(manifest: Mapping[str, Any]) -> str:
    found = _evaluated(manifest["metrics"])
    if found is None:
        return "Not evaluated: its error is unknown."
    name, summary = found
    value, low, high = (summary["mae_months"][end] for end in ("value", "low", "high"))
    ends = "" if low is None else f" (95 % confidence interval {low:.1f} to {high:.1f})"
    source = "" if name != HELD_OUT else ", by networks with the same settings not trained on them"
    return f"Mean absolute error {value:.1f} months{ends} on {summary['n']} radiographs ({name}{source})."


def _front_matter(manifest: Mapping[str, Any]) -> list[str]:
    lines = [
        "---",
        "library_name: tensorflow",
        "pipeline_tag: image-classification",
        "license: other",
        "license_name: terms-of-the-training-radiographs",
        "tags: [medical-imaging, radiograph, bone-age, regression]",
    ]
    found = _evaluated(manifest["metrics"])
    if found is not None:
        name, summary = found
        lines += [
            "model-index:",
            "  - name: bone-age-tf",
            "    results:",
            "      - task: {type: image-regression, name: bone age}",
            f"        dataset: {{type: radiographs, name: {name}}}",
            "        metrics:",
            f"          - {{type: mae, name: MAE in months, value: {summary['mae_months']['value']:.2f}}}",
        ]
    return [*lines, "---", ""]


def _evaluated(metrics: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The strongest evidence available: the name of the evaluation data, and the errors on them."""
    if "cross_validation" in metrics:
        result = metrics["cross_validation"]["result"]
        return HELD_OUT, result[_kept(metrics["cross_validation"])]["overall"]
    if "evaluation" in metrics:
        return f"split {metrics['evaluation']['data']['split']}", metrics["evaluation"]["overall"]
    return None


def _kept(validation: Mapping[str, Any]) -> str:
    return "after_correction" if validation["correction"]["kept"] else "before_correction"


def _data(manifest: Mapping[str, Any]) -> list[str]:
    data = manifest["data"]
    splits = ", ".join(f"{name} {count}" for name, count in data.get("splits", {}).items())
    fold = f"; fold {data['fold']}" if data.get("fold") else ""
    return [
        f"Radiographs prepared as `{manifest['preprocessing']['method']}` at scale {manifest['preprocessing']['scale']:g} "
        f"(fingerprint `{manifest['fingerprint'][:12]}`): {splits}{fold}. Data set: `{data['plan'][:12]}`."
    ]


def _performance(metrics: Mapping[str, Any]) -> list[str]:
    found = _evaluated(metrics)
    if found is None:
        return [
            "Not evaluated at export, so its error is unknown. Run `bone-age-tf evaluate`, then "
            "`bone-age-tf export --evaluation`."
        ]
    name, summary = found
    rows = [
        f"On {summary['n']} radiographs ({name}), with 95 % confidence intervals:",
        "",
        "| metric | value |",
        "|---|---|",
    ]
    for label, key, factor, unit in (
        ("MAE", "mae_months", 1, " months"),
        ("RMSE", "rmse_months", 1, " months"),
        ("bias", "bias_months", 1, " months"),
        ("within 12 months", "within_12_months", 100, " %"),
    ):
        value, low, high = (summary[key][end] for end in ("value", "low", "high"))
        ends = "" if low is None else f" [{low * factor:.1f}, {high * factor:.1f}]"
        rows.append(f"| {label} | {value * factor:.1f}{ends}{unit} |")
    constant = _constant(metrics)
    if constant is not None:
        mae = constant["mae_months"]["value"]
        what = f"{constant['months']:.1f} months, {SOURCES[constant['mean_of']]}"
        rows.append(f"| MAE of a constant prediction ({what}) | {mae:.1f} months |")
    if name == HELD_OUT:
        rows += [
            "",
            "Measured by cross-validation: each radiograph was predicted by a network with the same settings that was "
            "not trained on it. The exported network was trained on all of them.",
        ]
    return rows


def _recalibrated(section: Mapping[str, Any] | None) -> list[str]:
    """What `calibrate` changed after the errors above were measured."""
    if section is None:
        return []
    result, count = section["result"], sum(section["radiographs"]["n"].values())
    if not section["correction"]["kept"]:
        return [
            f"Prediction intervals were fitted on {count} other radiographs; no recalibration.",
            "",
        ]
    before, after = (
        result[name]["overall"]["mae_months"]["value"]
        for name in ("before", "after_cross_validated")
    )
    return [
        f"Sex-specific recalibration ({section['correction']['method']}) on {count} other radiographs: MAE on these "
        f"{before:.1f} months before, {after:.1f} after (cross-validated).",
        "",
    ]


def _intervals(intervals: Mapping[str, Any] | None) -> list[str]:
    if intervals is None:
        return ["The model gives no prediction intervals; `bone-age-tf calibrate` adds them."]
    return [
        f"Prediction intervals (`bone_age_low_months`, `bone_age_high_months`) have a nominal coverage of "
        f"{intervals['coverage']:.0%} for radiographs like those that they were fitted on."
    ]
