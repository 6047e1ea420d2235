"""Results as text for the terminal: tables of at most 80 columns; the JSON files hold more.

A statistic is followed by its 95 % confidence interval in brackets.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from bone_age_tf.cli import console
from bone_age_tf.config import AGE_BANDS

LONGEST_NAME = 28
"""Characters of a file's name in a table."""
_SEXES = ("F", "M", "unknown")


def evaluation_table(result: dict[str, Any]) -> str:
    """Errors overall, by sex and by age band."""
    rows = [["months", "n", "MAE", "RMSE", "bias", "≤6", "≤12", "≤24"]]
    groups = {**result["by_sex"], **result["by_age_band"]}
    for name, group in {"overall": result["overall"], **groups}.items():
        rmse = _number(group["rmse_months"]["value"], ".2f")
        shares = [_percent(group[f"within_{months}_months"]) for months in (6, 12, 24)]
        mae, bias = (_statistic(group[f"{metric}_months"]) for metric in ("mae", "bias"))
        rows.append([name, str(group["n"]), mae, rmse, bias, *shares])
    constant = result.get("constant")
    if constant is not None:
        mae = _number(constant["mae_months"]["value"], ".2f")
        rows.insert(2, ["constant", str(result["overall"]["n"]), mae, *[""] * 5])
    lines = [
        *_warnings(result),
        console.table(rows),
        "≤6, ≤12, ≤24: % of radiographs with an error of at most that many months",
        *_constant(constant),
        _caption(result),
    ]
    return "\n".join(lines)


def accuracy_text(accuracy: dict[str, Any]) -> str:
    """MAE of the predictions with a true bone age, and that of a constant."""
    overall = accuracy["overall"]
    radiographs = f"{overall['n']} radiograph{'s' * (overall['n'] != 1)} with a true bone age"
    lines = [
        *_warnings(accuracy),
        f"{radiographs}:",
        f"MAE  {_statistic(overall['mae_months'])} months",
        f"bias {_statistic(overall['bias_months'])} months",
        *_mae_of_constant(accuracy["constant"]),
    ]
    return "\n".join(lines)


def _warnings(result: Mapping[str, Any]) -> list[str]:
    from bone_age_tf.evaluation.notices import notices

    return [_wrapped(f"Warning: {sentence}") for sentence in notices(result)]


def _constant(constant: Mapping[str, Any] | None) -> list[str]:
    """What the row of a constant in a table means."""
    from bone_age_tf.evaluation.notices import named

    return [] if constant is None else [f"constant: always {named(constant)}"]


def _mae_of_constant(constant: Mapping[str, Any] | None) -> list[str]:
    """A constant and its MAE."""
    if constant is None:
        return []
    mae = f"MAE of a constant {_statistic(constant['mae_months'])} months"
    return [mae, *_constant(constant)]


def _wrapped(sentence: str) -> str:
    return textwrap.fill(sentence, 80, break_long_words=False, break_on_hyphens=False)


def sex_table(result: dict[str, Any]) -> str:
    """Accuracy and AUROC by age."""
    rows = [["sex", "n", "accuracy %", "AUROC"]]
    groups = {"overall": result["overall"], **result["by_age"], **result["by_age_band"]}
    for name, group in groups.items():
        accuracy = _statistic(group["accuracy"], 100, 1)
        rows.append([name, str(group["n"]), accuracy, _statistic(group["auroc"], digits=3)])
    return "\n".join([*_warnings(result), console.table(rows), _caption(result)])


def comparison_text(result: dict[str, Any]) -> str:
    """MAE of both, the difference by group, and the conclusion."""
    names = {place: result[place] for place in ("first", "second")}
    maes = [f"{p}: {name}, MAE {_statistic(result['mae_months'][p])}" for p, name in names.items()]
    rows = [["MAE of the second minus MAE of the first", "n", "months"]]
    groups = {"overall": {"n": result["n"], **result["difference_months"]}}
    groups |= result["by_sex"] | result["by_age_band"]
    rows += [[name, str(group["n"]), _statistic(group)] for name, group in groups.items()]
    conclusion = {
        **{place: f"{name} is better." for place, name in names.items()},
        "undecided": "No significant difference on these radiographs.",
    }[result["verdict"]]
    months = f"{result['notable_months']:g} months"
    lines = [
        *_leakage_warnings(result, names.values()),
        *maes,
        console.table(rows),
        conclusion,
        f"The error falls by more than {months} for {result['notably_better']} of {result['n']} "
        f"radiographs,\nand rises by more for {result['notably_worse']}.",
        f"[ ]: {result['confidence_interval']}",
    ]
    return "\n".join(lines)


def _leakage_warnings(result: dict[str, Any], names: Any) -> list[str]:
    flags = result.get("trained_on_split", ())
    return [
        f"Warning: {name} was trained or fitted on these radiographs: its error\n"
        "is optimistically biased (data leakage)."
        for name, is_leaky in zip(names, flags, strict=False)
        if is_leaky
    ]


def ensemble_table(description: dict[str, Any]) -> str:
    """Held-out MAE of the families and of the ensemble."""
    result, correction = description["result"], description["correction"]
    weights = {family["name"]: f"{family['weight']:.2f}" for family in description["families"]}
    rows = [["held-out MAE, months", "weight", "all", *_SEXES]]
    groups = {**result["families"], "ensemble": result["before_correction"]}
    if correction["kept"]:
        groups["ensemble, recalibrated"] = result["after_correction"]
    for name, group in groups.items():
        by_sex = [_value(group["by_sex"].get(sex)) for sex in _SEXES]
        rows.append(
            [name, weights.get(name, ""), _statistic(group["overall"]["mae_months"]), *by_sex]
        )
    held_out = description["held_out"]
    return (
        f"{console.table(rows)}\n[ ]: {result['confidence_interval']}\n{held_out['radiographs']} of {held_out['of']} "
        f"radiographs have a held-out prediction of every family\n{_recalibration(correction)}\n"
        f"{_by_age(result, correction['kept'])}{_cross_validated_coverage(result)}\n"
        + "\n".join([*_mae_of_constant(result.get("constant")), *_warnings(result)])
    )


def calibration_table(section: dict[str, Any]) -> str:
    """MAE and bias before and after a recalibration, what it is, and the prediction intervals."""
    result = section["result"]
    before, after = result["before"], result["after_cross_validated"]
    rows = [["MAE, months", "n", "before", "after (cross-validated)"]]
    groups = {"all": (before["overall"], after["overall"])}
    groups |= {sex: (group, after["by_sex"][sex]) for sex, group in before["by_sex"].items()}
    for name, (old, new) in groups.items():
        maes = [_statistic(group["mae_months"]) for group in (old, new)]
        rows.append([name, str(old["n"]), *maes])
    return (
        f"{console.table(rows)}\n[ ]: {result['confidence_interval']}\n{_recalibration(section['correction'])}\n\n"
        f"{_by_age(result, section['correction']['kept'])}\n\n"
        f"{_interval_widths(section['intervals'])}{_cross_validated_coverage(result)}"
    )


def _recalibration(correction: dict[str, Any]) -> str:
    """What a recalibration does, or why it was left out."""
    if correction["method"] == "none":
        return "recalibration: none"
    if not correction["kept"]:
        return "recalibration: left out, as it does not lower the error in cross-validation"
    if "slope" in correction[_SEXES[0]]:
        return "\n".join(f"recalibration {sex} {_line(correction[sex])}" for sex in _SEXES)
    return f"recalibration, months\n{console.table(_curves(correction))}"


def _line(line: dict[str, Any]) -> str:
    return f"{line['intercept_months']:+.2f} months + {line['slope']:.3f} x months"


def _curves(correction: dict[str, Any]) -> list[list[str]]:
    """The points of the curves, within 0 and 240 months, a row for each sex."""
    rows = [["from", *(f"{months:.0f}" for months in correction["F"]["predicted_months"])]]
    for sex in _SEXES:
        answers = (min(max(months, 0.0), 240.0) for months in correction[sex]["months"])
        rows.append([f"to, {sex}", *(f"{months:.1f}" for months in answers)])
    return rows


def _by_age(result: dict[str, Any], kept: bool) -> str:
    """Bias by band of the true and of the predicted age in cross-validation, and coverage by the latter."""
    biases = result["bias_by_age"]["after" if kept else "before"]
    rows = [["by age", *AGE_BANDS]]
    for name in ("true", "predicted"):
        bands = [biases[f"by_{name}_age"].get(band) for band in AGE_BANDS]
        cells = [f"{b['bias_months']['value']:+.1f} ({b['n']})" if b else "-" for b in bands]
        rows.append([f"bias, {name}", *cells])
    covered = result["coverage_cross_validated"].get("by_predicted_age", {})
    if covered:
        shares = [covered.get(band) for band in AGE_BANDS]
        cells = [f"{100 * b['coverage']['value']:.0f}" if b else "-" for b in shares]
        rows.append(["covered, %", *cells])
    return f"bias (n) in months, and coverage by predicted age, in cross-validation\n{console.table(rows)}"


def _interval_widths(intervals: dict[str, Any]) -> str:
    bands = intervals["by_predicted_age"]
    rows = [["months", *bands["F"]]]
    for sex, cells in bands.items():
        ends = [f"{c['low_months']:+.1f} {c['high_months']:+.1f}" for c in cells.values()]
        rows.append([sex, *ends])
    return (
        f"{intervals['coverage']:.0%} prediction intervals, from the estimate, by predicted age\n"
        f"{console.table(rows)}"
    )


def _cross_validated_coverage(result: dict[str, Any]) -> str:
    coverage = result["coverage_cross_validated"]["coverage"]
    if coverage is None:
        return ""
    return f"\ncoverage in cross-validation: {_statistic(coverage, 100, 0)} %"


def composition_table(
    splits: Mapping[str, int], composition: Mapping[str, Mapping[str, int]]
) -> str:
    """Radiographs of each split, by sex and by four-year band of the bone age; empty columns are left out."""
    optional = ("unknown", "no age")
    names = dict.fromkeys(name for counts in composition.values() for name in counts)
    shown = [
        name
        for name in names
        if name not in optional or any(composition[split][name] for split in splits)
    ]
    heads = [name.removesuffix(" years") for name in shown]
    rows = [
        [split, str(count), *(str(composition[split][name]) for name in shown)]
        for split, count in splits.items()
    ]
    title = [] if not rows else ["F and M: sexes; 0-4 to 16-20: bone age in years"]
    return "\n".join([console.table([["split", "radiographs", *heads], *rows]), *title])


def prediction_table(report: Any) -> str:
    """The first predictions, and how many more there are."""
    shown = report.first
    columns: dict[str, list[str]] = {
        "file": [_shortened(row.file) for row in shown],
        "sex": [row.sex for row in shown],
        "months": [_number(row.bone_age_months, ".1f") for row in shown],
    }
    if any(row.bone_age_low_months is not None for row in shown):
        columns["interval"] = [_ends(row) for row in shown]
    if any(row.bone_age_months_true is not None for row in shown):
        columns["true"] = [_number(row.bone_age_months_true, ".1f") for row in shown]
        columns["error"] = [_error(row) for row in shown]
    columns["years"] = [_years(row.bone_age_months) for row in shown]
    if any(row.chronological_age_months is not None for row in shown):
        columns["age"] = [_number(row.chronological_age_months, ".1f") for row in shown]
        columns["difference"] = [_number(row.difference_months, "+.1f") for row in shown]
    if any(row.verdict for row in shown):
        columns["verdict"] = [row.verdict for row in shown]
    if any(row.growth for row in shown):
        columns["adult cm"] = [_adult_height(row) for row in shown]
    columns["status"] = [_code(row.reason) or _first_of(row.warning) or row.status for row in shown]
    more = report.predicted + report.rejected - len(shown)
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    lines = [console.table(rows), *([f"... and {more} more"] if more else []), *_reasons(shown)]
    lines += _heights_in_words(shown)
    return "\n".join([*lines, *_warnings_in_words(shown)])


def _reasons(rows: Sequence[Any]) -> list[str]:
    """Each reason, which is too long for a column, and the first file with it."""
    first: dict[str, str] = {}
    for row in filter(lambda row: ":" in row.reason, rows):
        first.setdefault(row.reason, _shortened(row.file))
    return [f"{file}: {reason}" for reason, file in first.items()]


def _heights_in_words(rows: Sequence[Any]) -> list[str]:
    """Each reason for which there is no adult height, and the first file with it; each warning of one, once."""
    from bone_age_tf.growth.wording import adult_height_warnings

    first: dict[str, str] = {}
    for row in rows:
        reason = row.growth.adult_height_reason if row.growth else ""
        if reason and row.bone_age_months is not None:
            first.setdefault(reason, _shortened(row.file))
    warned = dict.fromkeys(
        sentence
        for row in rows
        if row.growth
        for sentence in adult_height_warnings(row.growth, row.difference_months)
    )
    return [
        *(_wrapped(f"{file}: {reason}") for reason, file in first.items()),
        *map(_wrapped, warned),
    ]


def _warnings_in_words(rows: Sequence[Any]) -> list[str]:
    """Each warning, once."""
    from bone_age_tf.inference.sentences import warning_sentences

    codes = dict.fromkeys(code for row in rows for code in row.warning.split())
    return [
        _wrapped(f"{code}: {sentence}") for code in codes for sentence in warning_sentences(code)
    ]


def _adult_height(row: Any) -> str:
    found = row.growth
    return (
        ""
        if found is None
        else _number(found.adult_height_cm, ".1f") or _code(found.adult_height_reason)
    )


def _first_of(codes: str) -> str:
    """The first, and how many more there are."""
    first, *others = codes.split() or [""]
    return f"{first} +{len(others)}" if others else first


def _code(reason: str) -> str:
    return reason.partition(":")[0]


def _shortened(name: str) -> str:
    """A file's name, without its middle where it is long; `predictions.csv` has it whole."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 13]}…{name[-12:]}"


def _error(row: Any) -> str:
    if row.bone_age_months is None or row.bone_age_months_true is None:
        return ""
    return f"{row.bone_age_months - row.bone_age_months_true:+.1f}"


def _ends(row: Any) -> str:
    low, high = row.bone_age_low_months, row.bone_age_high_months
    return "" if low is None or high is None else f"{low:.0f} to {high:.0f}"


def _years(months: float | None) -> str:
    return "" if months is None else "{}y {}m".format(*divmod(round(months), 12))


# === Cells ===


def _statistic(summary: Mapping[str, Any], factor: float = 1, digits: int = 2) -> str:
    """A value with its confidence interval, where they exist."""
    value, *interval = (
        _number(summary[key], f".{digits}f", factor) for key in ("value", "low", "high")
    )
    return f"{value} [{', '.join(interval)}]" if value and all(interval) else value


def _percent(share: Mapping[str, Any] | None) -> str:
    return "" if share is None else _number(share["value"], ".0f", 100)


def _value(group: Mapping[str, Any] | None) -> str:
    return "" if group is None else _number(group["mae_months"]["value"], ".2f")


def _number(value: float | None, form: str, factor: float = 1) -> str:
    return "" if value is None else format(value * factor, form)


def _caption(result: dict[str, Any]) -> str:
    return f"[ ]: {result['confidence_interval']}\nsplit {result['data']['split']}"
