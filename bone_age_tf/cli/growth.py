"""`bone-age-tf growth`."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import click

from bone_age_tf.cli import SOME_REJECTED, console, options
from bone_age_tf.config import RESEARCH_ONLY

log = logging.getLogger(__name__)

COLUMNS = {
    "id": "child",
    "date": "date of the visit",
    "birth-date": "birth date",
    "chronological-age": "chronological age, in place of the dates",
    "sex": "sex",
    "height": "height in centimetres",
    "age": "bone age",
    "file": "radiograph's file",
    "father-height": "father's height in centimetres",
    "mother-height": "mother's height in centimetres",
}
CONVENTIONS = ("tanner", "luo", "hermanussen_cole", "van_dommelen", "wright")
"""`growth.CONVENTIONS`, without its import."""
LONGEST_ID = 20
"""Characters of an identifier in the printed table."""
METHODS = ("greulich_pyle", "other")


def _column_options(command: options.Command) -> options.Command:
    """An option for each column, whose known names are in docs/growth.md."""
    for name, what in reversed(COLUMNS.items()):
        command = click.option(f"--{name}-column", help=f"Column of the {what}.")(command)
    return command


def _unit_option(flag: str, meaning: str) -> options.Decorator:
    text = f"Unit of the {meaning}. [as its column's name says]"
    return click.option(flag, type=click.Choice(options.AGE_UNITS), help=text)


@click.command()
@click.argument("table", type=options.EXISTING_FILE)
@click.option(
    "--model",
    type=options.MODEL_FOLDER,
    show_default="saved_models/bone_age, or else shipped",
    help="Exported model for radiographs whose bone age is not in the table.",
)
@click.option(
    "--radiographs",
    type=click.Path(exists=True),
    help="Folder or zip of the radiographs. [the folder of TABLE]",
)
@_column_options
@options.sex_map_option
@_unit_option("--chronological-age-unit", "chronological age")
@_unit_option("--age-unit", "bone age")
@click.option(
    "--reading-method",
    type=click.Choice(METHODS),
    default="greulich_pyle",
    show_default=True,
    help="How the bone ages in TABLE were read. other: no adult heights, whose table is for Greulich and Pyle.",
)
@click.option(
    "--convention",
    type=click.Choice(CONVENTIONS),
    default="tanner",
    show_default=True,
    help="Formula of the target height from the parents' heights.",
)
@options.results_folder_options
@options.json_option
@options.accept_dicom_option
@options.without_tensorflow
def growth(*, progress: console.ProgressDisplay, table: str, as_json: bool, **settings: Any) -> int:
    """Chart bone age, height and predicted adult height over time.

    TABLE (CSV, TSV or Excel) has a row for each visit: child, sex, date of visit and birth date or the chronological age,
    height, bone age or the file of a radiograph, parents' heights. Each child gets a page with two charts, which prints
    on one side of A4. Contradictory rows are named; nothing is smoothed.

    \b
    Examples:
      bone-age-tf growth visits.csv --output growth/1
      bone-age-tf growth visits.csv --radiographs radiographs --model saved_models/bone_age --output growth/2
    """
    from bone_age_tf.config import VisitOptions
    from bone_age_tf.data.problems import summary
    from bone_age_tf.report.growth_charts import chart_growth
    from bone_age_tf.report.growth_tables import problems_of

    names = [name for name in VisitOptions.__dataclass_fields__ if name in settings]
    visit_options = VisitOptions(**{name: settings.pop(name) for name in names})
    with progress:
        result = chart_growth(
            table, options=visit_options, on_progress=_starting_tensorflow(progress), **settings
        )
    counts, output = result["counts"], settings["output"]
    click.echo(json.dumps(result, indent=2) if as_json else _table(result))
    problems = problems_of(result)
    if problems:
        log.warning(f"{summary(problems)}\nAll of them: {output}/problems.csv")
    log.info(
        f"{counts['rows']} rows: {counts['ok']} used, {counts['incomplete']} in part, {counts['rejected']} not. "
        f"All rows: {output}/growth.csv. Pages: {output}/reports/index.html\n{RESEARCH_ONLY}"
    )
    return SOME_REJECTED if counts["incomplete"] or counts["rejected"] else 0


def _starting_tensorflow(progress: console.ProgressDisplay) -> Callable[[str, int, int], None]:
    """Progress whose first call, with which the first radiograph begins, loads TensorFlow without its messages."""
    is_debug = click.get_current_context().params["debug"]

    def notify(stage: str, done: int, total: int) -> None:
        if done == 0 and not is_debug:
            console.load_tensorflow_silently()
        progress(stage, done, total)

    return notify


def _table(result: dict[str, Any]) -> str:
    """The last usable visit of each child."""
    from bone_age_tf.report.growth_figures import drawn_visits

    rows = [["child", "visits", "age", "bone age", "height", "adult height", "interval", "target"]]
    for child in result["children"]:
        visits = drawn_visits(child)
        last = visits[-1] if visits else {}
        ends = [_number(last.get(f"adult_height_{end}_cm")) for end in ("low", "high")]
        rows.append(
            [
                child["id"][:LONGEST_ID],
                f"{len(visits)} of {len(child['visits'])}",
                _number(last.get("chronological_age_months")),
                _number(last.get("bone_age_months")),
                _number(last.get("height_cm")),
                _number(last.get("adult_height_cm"))
                or last.get("adult_height_reason", "").partition(":")[0],
                " to ".join(ends) if all(ends) else _other(last),
                _number(child["target_height_cm"]),
            ]
        )
    return f"{console.table(rows)}\nThe last visit of each child; ages in months, heights in cm."


def _other(visit: Mapping[str, Any]) -> str:
    """Near one year's difference, the height by the other column."""
    others = [one for one in visit.get("adult_height_columns", ()) if one["probability"] is None]
    return f"or {_number(others[0]['cm']) or 'none'} ({others[0]['column']})" if others else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
