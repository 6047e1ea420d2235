"""`growth.json` as HTML: a page for each child, which prints on one side of A4, and an index. No script, nothing from elsewhere."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bone_age_tf.files.atomic import written_whole
from bone_age_tf.files.images import safe_name
from bone_age_tf.growth.adult_height import WARNINGS as ADULT_HEIGHT_WARNINGS
from bone_age_tf.growth.adult_height import near_sentence
from bone_age_tf.growth.published_errors import LATER_STUDIES
from bone_age_tf.growth.visits import MODEL, READING, said_rows
from bone_age_tf.inference.sentences import WARNINGS, years
from bone_age_tf.report.growth_figures import bone_age_chart, drawn_visits, height_chart, is_shown
from bone_age_tf.report.page import render, signed, write_page

REPORTS, INDEX = "reports", "index.html"
SEXES = {"F": "girl", "M": "boy", "unknown": "sex unknown", "": "sex unknown"}
WHY_NOT = {
    "": "",
    "no_bone_age": "no bone age",
    "no_height": "no height",
    "bad_height": "unusable height",
    "below_table": "below the table",
    "above_table": "above the table",
    "no_chronological_age": "no age",
    "sex_unknown": "sex unknown",
    "not_greulich_pyle": "not Greulich-Pyle",
}
"""Codes of `adult_height_reason`, short enough for a cell."""
MANY_VISITS = 7
"""From here on the table is set smaller, so that the page stays one side."""
MOST_VISITS = 24
"""The last ones; more do not fit on the side."""
MOST_PROBLEMS = 5


def write_growth_reports(result: Mapping[str, Any], folder: Path) -> Path:
    """The pages of a `growth.json` in `folder/reports`; returns the index.

    A page holds one child, so that it can be given away without the others.
    """
    reports = folder / REPORTS
    reports.mkdir(exist_ok=True)
    listed = []
    for number, child in enumerate(result["children"], start=1):
        name = f"{number:04d}-{safe_name(child['id'])}.html"
        with written_whole(reports / name) as stream:
            stream.write(child_page(result, child))
        listed.append(_listed(child, name))
    write_page(
        reports / INDEX,
        "growth_index.html",
        children=listed,
        counts=result["counts"],
        table=result["table"],
        lost=[
            f"Row {row['row']}: {fault['message']}".rstrip(".")
            for row in result["rows_without_child"]
            for fault in row["faults"]
        ],
    )
    return reports / INDEX


def child_page(result: Mapping[str, Any], child: Mapping[str, Any]) -> str:
    """The HTML of one child."""
    visits = [{**visit, **_columns(visit)} for visit in drawn_visits(child)]
    problems, warnings = [*problem_sentences(child)], [*_warnings(visits)]
    sources = {visit["bone_age_from"] for visit in visits}
    is_long = len(visits) > MANY_VISITS
    tiles = [*_tiles(child, visits, result["coverage"])]
    return render(
        "growth.html",
        child=child,
        sex=SEXES[child["sex"]],
        visits=visits,
        shown=visits[-_most_visits(problems, warnings) :],
        is_long=is_long,
        chart_mm=68 if is_long or problems else 92,
        span=_span(visits),
        tiles=tiles,
        tile_widths=" ".join("1.5fr" if len(tile["lines"]) > 2 else "1fr" for tile in tiles),
        problems=problems,
        most_problems=MOST_PROBLEMS,
        charts=[bone_age_chart(child), height_chart(child)] if visits else [],
        has_dates=any(visit["date"] for visit in visits),
        has_intervals=any(visit["bone_age_low_months"] is not None for visit in visits),
        has_adult_heights=any(visit["adult_height_cm"] is not None for visit in visits),
        has_near=any(visit["near"] for visit in visits),
        has_model=MODEL in sources,
        has_given=READING in sources,
        percent=f"{100 * result['coverage']:.0f}",
        why_not=_why_not,
        warnings=warnings,
        later_studies=LATER_STUDIES,
        model=result["model"],
        table=result["table"],
        rows=said_rows(visit["row"] for visit in child["visits"]) if child["visits"] else "",
        made_at=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def _most_visits(problems: Sequence[str], warnings: Sequence[str]) -> int:
    """How many fit on the side beside these sentences, which take two lines each."""
    return MOST_VISITS - 2 * min(len(problems), MOST_PROBLEMS) - len(warnings)


def problem_sentences(child: Mapping[str, Any]) -> Iterator[str]:
    """Contradictions between rows, then what cannot be used, each once with its rows."""
    for one in child["contradictions"]:
        yield _sentence(one["rows"], one["message"])
    rows_of: dict[str, list[int]] = {}
    for visit in child["visits"]:
        for fault in visit["faults"]:
            rows_of.setdefault(fault["message"], []).append(visit["row"])
    for message, rows in rows_of.items():
        yield _sentence(rows, message)


def _sentence(rows: Sequence[int], message: str) -> str:
    text = f"{said_rows(rows)}: {message}"
    return f"{text[0].upper()}{text[1:]}"


def _columns(visit: Mapping[str, Any]) -> dict[str, Any]:
    """The probability of the column that applies, and the others that the interval reaches."""
    columns = [one for one in visit["adult_height_columns"] if is_shown(one)]
    own = [one for one in columns if one["column"] == visit["adult_height_column"]]
    others = [one for one in columns if one not in own and one["cm"] is not None]
    return {
        "column_probability": own[0]["probability"] if own and others else None,
        "near": _near(visit),
        "other_columns": others,
    }


def _near(visit: Mapping[str, Any]) -> str:
    """The other column's answer, where a bone age without an interval is near one year's difference."""
    for one in visit["adult_height_columns"]:
        if one["probability"] is None:
            return near_sentence(one["column"], visit["difference_months"], one["cm"])
    return ""


def _span(visits: Sequence[Mapping[str, Any]]) -> str:
    if not visits:
        return ""
    first, last = (visits[n]["chronological_age_months"] for n in (0, -1))
    return f"age {years(first)}" + (f" to {years(last)}" if len(visits) > 1 else "")


# === The numbers of the last visit ===


def _last(visits: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    return next((visit for visit in reversed(visits) if visit[name] is not None), None)


def _tiles(
    child: Mapping[str, Any], visits: Sequence[Mapping[str, Any]], coverage: float
) -> Iterator[dict[str, Any]]:
    """Each with the age at which it was the last one."""
    interval = f"{100 * coverage:.0f} % interval"
    if bone := _last(visits, "bone_age_months"):
        lines = [f"bone age at {_age(bone)}"]
        if bone["bone_age_low_months"] is not None:
            ends = years(bone["bone_age_low_months"]), years(bone["bone_age_high_months"])
            lines.append(f"{interval}: {ends[0]} to {ends[1]}")
        yield {"value": years(bone["bone_age_months"]), "unit": "", "lines": lines}
    if bone and bone["sd_score"] is not None:
        yield _sd_tile(bone)
    if tall := _last(visits, "height_cm"):
        lines = [f"height at {_age(tall)}"]
        yield {"value": f"{tall['height_cm']:.1f}", "unit": "cm", "lines": lines}
    if adult := _last(visits, "adult_height_cm"):
        lines = [f"predicted adult height at {_age(adult)}"]
        if bone and bone["row"] != adult["row"] and bone["height_cm"] is not None:
            lines[0] += f" (none at {_age(bone)}: {_why_not(bone)})"
        if adult["near"]:
            lines.append(adult["near"])
        if adult["adult_height_low_cm"] is not None:
            ends = adult["adult_height_low_cm"], adult["adult_height_high_cm"]
            lines.append(f"{interval} of the bone age: {ends[0]:.1f} to {ends[1]:.1f} cm")
        if adult["adult_height_method_sd_cm"] is not None:
            lines.append(f"the method’s own SD: {adult['adult_height_method_sd_cm']:.1f} cm")
        yield {"value": f"{adult['adult_height_cm']:.1f}", "unit": "cm", "lines": lines}
    if child["target_height_cm"] is not None:
        yield _target_tile(child)


def _age(visit: Mapping[str, Any]) -> str:
    return years(visit["chronological_age_months"])


def _why_not(visit: Mapping[str, Any]) -> str:
    """Why a visit has no adult height, in a few words."""
    return WHY_NOT[visit["adult_height_reason"].partition(":")[0]]


def _sd_tile(visit: Mapping[str, Any]) -> dict[str, Any]:
    lines = [f"SD score of the bone age: {visit['verdict']}"]
    if visit["verdict_probability"] is not None:
        lines.append(f"with a probability of {100 * visit['verdict_probability']:.0f} %")
    return {"value": signed(visit["sd_score"]), "unit": "SD", "lines": lines}


def _target_tile(child: Mapping[str, Any]) -> dict[str, Any]:
    lines = ["target height by the parents’ heights"]
    if child["target_height_low_cm"] is not None:
        ends = child["target_height_low_cm"], child["target_height_high_cm"]
        lines.append(f"range: {ends[0]:.1f} to {ends[1]:.1f} cm")
    return {"value": f"{child['target_height_cm']:.1f}", "unit": "cm", "lines": lines}


def _warnings(visits: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The codes of the visits in words, each once with its rows; contradictions are said elsewhere."""
    texts = {
        **WARNINGS,
        **{code: f"{_capital(text)}." for code, text in ADULT_HEIGHT_WARNINGS.items()},
    }
    rows_of: dict[str, list[int]] = {}
    for visit in visits:
        for code in visit["warning"].split():
            rows_of.setdefault(code, []).append(visit["row"])
    for code, rows in rows_of.items():
        if code in texts:
            yield f"{texts[code].removesuffix('.')} ({said_rows(rows)})."


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


# === The index ===


def _listed(child: Mapping[str, Any], page: str) -> dict[str, Any]:
    visits = drawn_visits(child)
    return {
        "page": page,
        "id": child["id"],
        "sex": SEXES[child["sex"]],
        "visits": f"{len(visits)} of {len(child['visits'])}",
        "last": visits[-1] if visits else None,
        "target": child["target_height_cm"],
        "problems": [text.rstrip(".") for text in problem_sentences(child)],
    }
