"""Results as text for the terminal."""

from typing import Any

from bone_age_tf.cli import console

_SEXES = ("F", "M", "unknown")


def comparison_text(result: dict[str, Any]) -> str:
    """MAE of both, the difference by group, and what it means."""
    first, second = result["first"], result["second"]
    mae = {name: _cell(result["mae_months"], name) for name in ("first", "second")}
    rows = [["MAE of the second minus that of the first", "n", "months"]]
    groups = {"overall": {"n": result["n"], **result["difference_months"]}}
    groups |= result["by_sex"] | result["by_age_band"]
    rows += [[name, str(group["n"]), _cell({"": group}, "")] for name, group in groups.items()]
    verdicts = {
        "first": f"{first} is better.",
        "second": f"{second} is better.",
        "undecided": "These radiographs do not tell which is better.",
    }
    learnt = [
        f"{name} has learnt from these radiographs or was fitted to them: no fair comparison.\n"
        for name, is_learnt in zip(
            (first, second), result.get("has_learnt_from_split", ()), strict=False
        )
        if is_learnt
    ]
    months = f"{result['notable_months']:g} months"
    return (
        f"{''.join(learnt)}first: {first}, MAE {mae['first']}\nsecond: {second}, MAE {mae['second']}\n{console.table(rows)}\n"
        f"{verdicts[result['verdict']]} The error falls by more than {months} for {result['notably_better']} of "
        f"{result['n']} radiographs, rises by more for {result['notably_worse']}.\n[ ]: {result['interval']}"
    )


def _cell(summary: dict[str, Any], name: str, factor: float = 1, digits: int = 2) -> str:
    """A statistic with its interval, where there are these."""
    numbers = [summary[name][key] for key in ("value", "low", "high")]
    if numbers[0] is None:
        return ""
    value, *interval = ("" if n is None else f"{n * factor:.{digits}f}" for n in numbers)
    return f"{value} [{', '.join(interval)}]" if all(interval) else value


def sex_table(result: dict[str, Any]) -> str:
    """Accuracy and AUROC by age."""
    rows = [["sex", "n", "accuracy %", "AUROC"]]
    groups = {"overall": result["overall"], **result["by_age"], **result["by_age_band"]}
    for name, summary in groups.items():
        accuracy, auroc = _cell(summary, "accuracy", 100, 1), _cell(summary, "auroc", digits=3)
        rows.append([name, str(summary["n"]), accuracy, auroc])
    return f"{console.table(rows)}\n[ ]: {result['interval']}; split {result['data']['split']}"


def evaluation_table(result: dict[str, Any]) -> str:
    """Errors overall, by sex and by age band."""
    rows = [["months", "n", "MAE", "RMSE", "bias", "within 6 %", "within 12 %", "within 24 %"]]
    groups = {"overall": result["overall"], **result["by_sex"], **result["by_age_band"]}
    for name, summary in groups.items():
        shares = [_cell(summary, f"within_{m}_months", 100, 0) for m in (6, 12, 24)]
        errors = [_cell(summary, f"{m}_months") for m in ("mae", "rmse", "bias")]
        rows.append([name, str(summary["n"]), *errors, *shares])
    return f"{console.table(rows)}\n[ ]: {result['interval']}; split {result['data']['split']}"


def ensemble_table(description: dict[str, Any]) -> str:
    """Held-out MAE of the families and of the ensemble."""
    result, correction = description["result"], description["correction"]
    weights = {family["name"]: f"{family['weight']:.2f}" for family in description["families"]}
    rows = [["MAE in months, held out", "weight", "all", "F", "M", "unknown"]]
    groups = {**result["families"], "ensemble": result["before_correction"]}
    if correction["kept"]:
        groups["ensemble, corrected"] = result["after_correction"]
    for name, judged in groups.items():
        by_sex = [_mae(judged["by_sex"].get(sex)) for sex in _SEXES]
        rows.append([name, weights.get(name, ""), _mae(judged["overall"]), *by_sex])
    held_out = description["held_out"]
    lines = "; ".join(f"{sex} {_line(correction[sex])}" for sex in _SEXES)
    none = "none" if correction["method"] == "none" else "none, it would not help"
    return (
        f"{console.table(rows)}\n[ ]: {result['interval']}; {held_out['radiographs']} radiographs "
        f"(of {held_out['of']}) that every family holds a prediction for\n"
        f"correction: {lines if correction['kept'] else none}"
    )


def calibration_table(section: dict[str, Any]) -> str:
    """MAE before and after a recalibration, with the line, for all and each sex."""
    judged = section["result"]
    rows = [["MAE in months", "n", "before", "after (leave-one-out)", "line"]]
    names = {"all": "unknown", **{sex: sex for sex in judged["before"]["by_sex"]}}
    for name, key in names.items():
        before, after = (
            judged[time]["overall"] if name == "all" else judged[time]["by_sex"][name]
            for time in ("before", "after_leave_one_out")
        )
        line = _line(section["correction"][key])
        rows.append([name, str(before["n"]), _mae(before), _mae(after), line])
    left_out = section["correction"]["method"] != "none" and not section["correction"]["kept"]
    line = "\nThe lines would not help and are left out." if left_out else ""
    intervals = section["intervals"]
    widths = [["half-width in months, by predicted age", *intervals["by_predicted_age"]["F"]]]
    for sex, bands in intervals["by_predicted_age"].items():
        widths.append([sex, *(f"{cell['half_width_months']:.1f}" for cell in bands.values())])
    held = judged["coverage_cross_validated"]
    found = (
        "" if held["held"] is None else f", in a cross-validation {_cell(held, 'held', 100, 0)} %"
    )
    return (
        f"{console.table(rows)}\n[ ]: {judged['interval']}{line}\n\n{console.table(widths)}\n"
        f"coverage {intervals['coverage']:.0%}{found}"
    )


def _line(line: dict[str, Any]) -> str:
    return f"{line['intercept_months']:+.2f} months + {line['slope']:.3f} x months"


def _mae(summary: dict[str, Any] | None) -> str:
    return "" if summary is None else _cell(summary, "mae_months")


def stress_table(result: dict[str, Any]) -> str:
    """What each change does."""
    rows = [["change", "n", "refused", "MAE shift", "mean change", "largest", "significant %"]]
    for name, change in result["changes"].items():
        cells = [str(change["n"]), str(change["refused"])]
        if change["n"]:
            cells += [_cell(change, f"{m}_months") for m in ("mae_shift", "mean_change")]
            cells.append(f"{change['largest_change_months']:.1f}")
            turned = change["significant_changes"]
            cells.append("" if turned is None else _cell({"": turned}, "", 100, 0))
        rows.append([name, *cells, *[""] * (6 - len(cells))])
    n, refused = (result["radiographs"][name] for name in ("n", "refused_as_they_are"))
    return (
        f"{console.table(rows)}\nmonths; {n} radiographs, {refused} refused as they are; MAE of the others "
        f"{_cell(result, 'mae_months')}\n[ ]: {result['interval']}"
    )


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def prediction_table(report: Any) -> str:
    """The first predictions, and how many more there are."""
    has_ends = any(row.bone_age_low_months is not None for row in report.first)
    has_age = any(row.chronological_age_months is not None for row in report.first)
    has_verdict = any(row.verdict for row in report.first)
    rows = [["file", "sex", "months", *["interval"] * has_ends, "years + months"]]
    rows[0] += [*["age", "difference"] * has_age, *["verdict"] * has_verdict, "status"]
    for row in report.first:
        months = row.bone_age_months
        years = "" if months is None else "{} + {}".format(*divmod(round(months), 12))
        low, high = row.bone_age_low_months, row.bone_age_high_months
        ends = "" if low is None or high is None else f"{low:.0f} to {high:.0f}"
        age = [_number(row.chronological_age_months, ".1f"), _number(row.difference_months, "+.1f")]
        status = row.reason or row.warning or row.status
        cells = [row.file, row.sex, _number(months, ".1f"), *[ends] * has_ends, years]
        rows.append([*cells, *age * has_age, *[row.verdict] * has_verdict, status])
    more = report.predicted + report.refused - len(report.first)
    return console.table(rows) + (f"\n... and {more} more" if more else "")
