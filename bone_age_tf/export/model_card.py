"""The card of an exported model, in the format of Hugging Face's hub: what it is, knows, and is worth.

Mitchell et al. 2019. It says what the manifest holds and nothing else: whoever trained the model adds
where the radiographs come from, and the terms.
"""

from collections.abc import Mapping
from typing import Any

from bone_age_tf.config import RESEARCH_ONLY

CARD = "README.md"
HELD_OUT = "held-out folds"


def card(manifest: Mapping[str, Any]) -> str:
    """Markdown with YAML in front, from an exported model's manifest."""
    return "\n".join(
        [
            *_front_matter(manifest),
            "# Bone age from a radiograph of the left hand",
            "",
            f"A SavedModel of bone-age-tf {manifest['exported_with']['bone_age_tf']}: the bytes of a PNG or JPEG "
            "file and the sex (`F`, `M`, `unknown`) in, bone age in months out, with preprocessing and refusal "
            f"inside. {RESEARCH_ONLY}",
            "",
            "## Use",
            "",
            "```",
            "bone-age-tf predict hand.png --sex F --model MODEL --output predictions/1",
            "```",
            "",
            "or TensorFlow Serving, signature `serving_default`.",
            "",
            "## What it learnt from",
            "",
            *_data(manifest),
            "",
            "## What it is worth",
            "",
            *_worth(manifest["metrics"]),
            "",
            *_recalibrated(manifest.get("calibration")),
            *_intervals(manifest.get("intervals")),
            "",
            "## Limits",
            "",
            "- Not for a decision about a child, nor for hands with disease, casts or metal.",
            "- It answers for the readers, the standard and the children that it learnt from; elsewhere, calibrate "
            "it on local radiographs (`bone-age-tf calibrate`) and judge it there (`evaluate`, `stress`).",
            "- The terms are those of the radiographs that it learnt from.",
            "",
        ]
    )


def in_short(manifest: Mapping[str, Any]) -> str:
    """How many radiographs it learnt from and its mean absolute error, or that nobody has judged it."""
    data = manifest["data"]
    splits = ", ".join(f"{name} {count}" for name, count in data["splits"].items())
    count = data.get("training")
    learnt = f"folds of {splits}" if count is None else str(count)
    recalibrated = "".join(_recalibrated(manifest.get("calibration")))
    return " ".join(
        filter(None, [f"Learnt from {learnt} radiographs.", _error(manifest), recalibrated])
    )


def _error(manifest: Mapping[str, Any]) -> str:
    found = _judged(manifest["metrics"])
    if found is None:
        return "Not evaluated: nothing is known of its errors."
    name, summary = found
    value, low, high = (summary["mae_months"][end] for end in ("value", "low", "high"))
    ends = "" if low is None else f" (95 % interval {low:.1f} to {high:.1f})"
    others = (
        ""
        if name != HELD_OUT
        else ", by networks of the same settings that had not learnt from them"
    )
    return f"Mean absolute error {value:.1f} months{ends} on {summary['n']} radiographs ({name}{others})."


def _front_matter(manifest: Mapping[str, Any]) -> list[str]:
    lines = [
        "---",
        "library_name: tensorflow",
        "pipeline_tag: image-classification",
        "license: other",
        "license_name: terms-of-the-training-radiographs",
        "tags: [medical-imaging, radiograph, bone-age, regression]",
    ]
    found = _judged(manifest["metrics"])
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


def _judged(metrics: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """On what, and the summary of the errors there; the strongest evidence that there is."""
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
        f"(fingerprint `{manifest['fingerprint'][:12]}`): {splits}{fold}. Data set `{data['plan'][:12]}`."
    ]


def _worth(metrics: Mapping[str, Any]) -> list[str]:
    found = _judged(metrics)
    if found is None:
        return [
            "Not evaluated at export: `bone-age-tf evaluate`, then `export --evaluation`. Nothing may be said of its "
            "errors until then."
        ]
    name, summary = found
    rows = [
        f"On {summary['n']} radiographs ({name}), with 95 % intervals:",
        "",
        "| | |",
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
    if name == HELD_OUT:
        rows += [
            "",
            "Of networks of the same settings that did not learn from these; the exported one learnt from all.",
        ]
    return rows


def _recalibrated(section: Mapping[str, Any] | None) -> list[str]:
    """What `calibrate` did after the numbers above were measured."""
    if section is None:
        return []
    result, count = section["result"], sum(section["radiographs"]["n"].values())
    if not section["correction"]["kept"]:
        return [f"Intervals of its own come from {count} other radiographs; no recalibration.", ""]
    before, after = (
        result[name]["overall"]["mae_months"]["value"] for name in ("before", "after_leave_one_out")
    )
    return [
        f"Recalibrated on {count} other radiographs: MAE {before:.1f} months there before, {after:.1f} after "
        "(leave-one-out).",
        "",
    ]


def _intervals(intervals: Mapping[str, Any] | None) -> list[str]:
    if intervals is None:
        return ["It gives no interval around its answers: `bone-age-tf calibrate` adds one."]
    return [
        f"Its intervals (`bone_age_low_months`, `bone_age_high_months`) are made to hold {intervals['coverage']:.0%} of the "
        "labels of radiographs like those that they were fitted on."
    ]
