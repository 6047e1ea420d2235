"""`growth.csv` and `growth.json`: every row of a table of visits with its numbers, or with the reason why there are none."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from bone_age_tf.config.choices import SD_SCORE_CONVENTION
from bone_age_tf.data.problems import Problem
from bone_age_tf.growth.adult_height import SEX_UNKNOWN
from bone_age_tf.growth.assessment import ONE_PARENT, reason_text
from bone_age_tf.growth.bayley_pinneau import COLUMNS
from bone_age_tf.growth.series import Contradiction
from bone_age_tf.growth.visits import INCOMPLETE, OK, REJECTED, Assessment, said_rows
from bone_age_tf.inference.follow_up import Child, FollowUp

GROWTH_SCHEMA = "bone-age-tf/growth/1"
SEVERAL, FAULTS = "adult_height_columns", "faults"
"""The fields of a visit that are lists: in the CSV, two columns for each column of the table, and the column `reason`."""

LAST = ("status", "reason", "warning")
"""Of a row of the CSV."""


def result_of(found: FollowUp, table: str, reading_method: str | None) -> dict[str, Any]:
    """The content of `growth.json`; `table` is the name of the file."""
    statuses = Counter(one.visit.status for one in found.assessments)
    return {
        "schema": GROWTH_SCHEMA,
        "table": table,
        "coverage": found.coverage,
        "reading_method": reading_method,
        "sd_score_convention": SD_SCORE_CONVENTION,
        "model": None if found.model is None else found.model._asdict(),
        "counts": {
            "children": len(found.children),
            "rows": len(found.assessments),
            **{status: statuses[status] for status in (OK, INCOMPLETE, REJECTED)},
            "contradictions": sum(len(child.contradictions) for child in found.children),
        },
        "children": [_child(child) for child in found.children],
        "rows_without_child": [_visit(one, None) for one in found.assessments if not one.visit.id],
    }


def _child(child: Child) -> dict[str, Any]:
    target = child.target
    return {
        "id": child.id,
        "sex": "" if child.sex is None else child.sex.label,
        "father_height_cm": child.father_cm,
        "mother_height_cm": child.mother_cm,
        "target_height_cm": None if target is None else target.centimetres,
        "target_height_low_cm": None if target is None else target.low_cm,
        "target_height_high_cm": None if target is None else target.high_cm,
        "target_height_convention": "" if target is None else target.title,
        "target_height_reason": _why_no_target(child),
        "visits": [_visit(one, child) for one in child.assessments],
        "contradictions": [
            {**one._asdict(), "rows": list(one.rows)} for one in child.contradictions
        ],
    }


def _visit(one: Assessment, child: Child | None) -> dict[str, Any]:
    visit, compared, adult, interval = one.visit, one.comparison, one.adult_height, one.interval
    codes = [*visit.warnings, *(adult.warnings if adult else ())]
    codes += [found.code for found in _contradictions_of(visit.row, child)]
    return {
        "row": visit.row,
        "id": visit.id,
        "date": "" if visit.date is None else visit.date.isoformat(),
        "sex": "" if visit.sex is None else visit.sex.label,
        "chronological_age_months": visit.chronological_age_months,
        "height_cm": visit.height_cm,
        "height_velocity_cm_per_year": child and child.velocities.get(visit.row),
        "file": visit.file,
        "bone_age_months": visit.bone_age_months,
        "bone_age_low_months": visit.bone_age_low_months,
        "bone_age_high_months": visit.bone_age_high_months,
        "bone_age_from": visit.bone_age_from,
        "difference_months": compared and compared.difference_months,
        "sd_score": compared and compared.sd_score,
        "verdict": (compared and compared.verdict) or "",
        "verdict_probability": compared and compared.verdict_probability,
        "adult_height_cm": adult and adult.centimetres,
        "adult_height_low_cm": interval and interval.low_cm,
        "adult_height_high_cm": interval and interval.high_cm,
        "adult_height_column": (adult and adult.column) or "",
        "adult_height_percentage": adult and adult.percentage,
        SEVERAL: _columns(one),
        "adult_height_outside_probability": interval and interval.outside_probability,
        "adult_height_method_sd_cm": one.method_sd_cm,
        "adult_height_reason": _why(one),
        "status": visit.status,
        "warning": " ".join(dict.fromkeys(codes)),
        FAULTS: [
            {"code": fault.code, "message": fault.message} for fault in dict.fromkeys(visit.faults)
        ],
    }


def _why_no_target(child: Child) -> str:
    """Empty where there is one, and where no height of a parent is told."""
    told = [
        visit.visit
        for visit in child.assessments
        if visit.visit.father_cm is not None or visit.visit.mother_cm is not None
    ]
    differ = [one.message for one in child.contradictions if one.code == "parents_differ"]
    if child.target is not None or not (told or differ):
        return ""
    if differ:
        return f"parents_differ: {differ[0]}"
    return reason_text(SEX_UNKNOWN if child.father_cm and child.mother_cm else ONE_PARENT)


def _why(one: Assessment) -> str:
    """Why there is no adult height; empty where the whole row is rejected, which has its own reason."""
    return reason_text(one.reason) if one.reason and one.visit.status != REJECTED else ""


def _columns(one: Assessment) -> list[dict[str, Any]]:
    """Those that the interval of the bone age touches; without one, the other near one year's difference."""
    if one.adult_height is not None and one.adult_height.other is not None:
        other = one.adult_height.other
        return [{"column": other.column, "probability": None, "cm": other.centimetres}]
    return [
        {"column": column.column, "probability": column.probability, "cm": column.centimetres}
        for column in (one.interval.columns if one.interval else ())
    ]


def _contradictions_of(row: int, child: Child | None) -> Iterator[Contradiction]:
    yield from (one for one in (child.contradictions if child else ()) if row in one.rows)


# === growth.csv ===


def csv_of(result: Mapping[str, Any]) -> str:
    """A row for each row of the table, in its order, with the target height of the child."""
    rows = sorted(_rows(result), key=lambda row: row["row"])
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else ["row"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(name, value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def _rows(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    targets = tuple(
        f"target_height_{name}" for name in ("cm", "low_cm", "high_cm", "convention", "reason")
    )
    for child in result["children"]:
        for visit in child["visits"]:
            yield _flat(visit, {name: child[name] for name in targets})
    for visit in result["rows_without_child"]:
        yield _flat(visit, dict.fromkeys(targets))


def _flat(visit: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    """Without nesting, the status and what explains it last."""
    columns = {one["column"]: one for one in visit[SEVERAL]}
    flat = {name: value for name, value in visit.items() if name not in (*LAST, SEVERAL, FAULTS)}
    for name in COLUMNS:
        flat[f"adult_height_{name}_probability"] = columns.get(name, {}).get("probability")
        flat[f"adult_height_{name}_cm"] = columns.get(name, {}).get("cm")
    faults = (f"{fault['code']}: {fault['message']}".rstrip(".") for fault in visit[FAULTS])
    reason = "; ".join(faults)
    values = {**visit, "reason": reason}
    return {**flat, **target, **{name: values[name] for name in LAST}}


def _cell(name: str, value: object) -> str:
    if isinstance(value, float):
        return f"{value:z.4f}" if name.endswith("probability") else f"{value:z.2f}"
    return "" if value is None else str(value)


# === problems.csv ===


def problems_of(result: Mapping[str, Any]) -> list[Problem]:
    """Every fault of a row and every contradiction between rows, which stands at the last of them.

    Files are not named: the names of DICOM files are often those of patients.
    """
    table = result["table"]
    rows = [visit for child in result["children"] for visit in child["visits"]]
    found = [
        Problem(table, row["row"], row["id"], "", fault["code"], fault["message"])
        for row in [*rows, *result["rows_without_child"]]
        for fault in row[FAULTS]
    ]
    return sorted([*found, *_of_series(result)])


def _of_series(result: Mapping[str, Any]) -> Iterator[Problem]:
    for child in result["children"]:
        for one in child["contradictions"]:
            others = f"{said_rows(one['rows'])}: " if len(one["rows"]) > 1 else ""
            message = f"{others}{one['message']}"
            yield Problem(result["table"], max(one["rows"]), child["id"], "", one["code"], message)
