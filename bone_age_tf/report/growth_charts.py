"""Chart the growth of children: a table of visits to a chart of each child, a CSV, a JSON and HTML pages."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bone_age_tf.config import VisitOptions
from bone_age_tf.data.problems import PROBLEMS, write_problems
from bone_age_tf.files.atomic import write_json, write_text
from bone_age_tf.files.outputs import claim_output, require_free
from bone_age_tf.files.provenance import write_provenance
from bone_age_tf.growth.adult_height import GREULICH_PYLE
from bone_age_tf.growth.parental_height import DEFAULT_CONVENTION
from bone_age_tf.inference.follow_up import follow_up
from bone_age_tf.report.growth_report import REPORTS, write_growth_reports
from bone_age_tf.report.growth_tables import csv_of, problems_of, result_of

COMMAND = "growth"
TABLE, RESULT = "growth.csv", "growth.json"
RESULTS = (TABLE, RESULT, REPORTS, PROBLEMS)


def chart_growth(  # noqa: PLR0913 - one for each option
    table: str,
    *,
    output: str,
    model: str | None = None,
    radiographs: str | None = None,
    options: VisitOptions | None = None,
    reading_method: str | None = GREULICH_PYLE,
    convention: str = DEFAULT_CONVENTION,
    accept_dicom: Sequence[str] = (),
    overwrite: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Chart a table of visits; writes `growth.csv`, `growth.json`, `problems.csv` and `reports/`, and returns what the JSON holds.

    `table` is a CSV, TSV or Excel file with a row for each visit, in the columns of `data.visit_table.HEADERS`. A bone age that the table does not
    give is predicted from its radiograph with `model` (None: `default_model()`), whose path is absolute or starts at the
    table's folder, or whose name is in the folder or zip `radiographs`. `reading_method` is that of the bone ages in the table; other than `greulich_pyle`
    gives no adult height. `convention` of the target height is a key of `growth.CONVENTIONS`.

    For research and education; not a medical device. Raises `UsageError` where `output` holds results, and
    `InputDataError` where the table cannot be used.
    """
    start = time.monotonic()
    require_free(Path(output), COMMAND, RESULTS, overwrite=overwrite)
    found = follow_up(
        table,
        model=model,
        radiographs=radiographs,
        options=options,
        reading_method=reading_method,
        convention=convention,
        accept_dicom=accept_dicom,
        on_progress=on_progress,
    )
    result = result_of(found, Path(table).name, reading_method)
    folder = claim_output(output, COMMAND, RESULTS, overwrite=overwrite)
    write_problems(folder / PROBLEMS, problems_of(result))
    write_text(folder / TABLE, csv_of(result))
    write_growth_reports(result, folder)
    write_json(folder / RESULT, result)
    write_provenance(
        folder,
        COMMAND,
        model=result["model"],
        counts=result["counts"],
        convention=convention,
        reading_method=reading_method,
        seconds=round(time.monotonic() - start, 3),
    )
    return result
