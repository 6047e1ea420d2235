"""Problems of tables and files: all of them as CSV, and for people a count of each kind with examples."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from bone_age_tf.files.atomic import write_text

PROBLEMS = "problems.csv"
"""The file that lists every problem, in the folder of the results."""
EXAMPLES = 3
"""Problems of each kind that are shown."""

KINDS = {
    "age_in_years": "ages in years instead of months",
    "ages_differ": "ages that contradict dates",
    "ambiguous_id": "identifier of several files",
    "bad_age": "unusable bone age",
    "bad_birth_date": "unusable birth date",
    "bad_chronological_age": "unusable chronological age",
    "bad_height": "unusable height",
    "bad_parent_height": "unusable height of a parent",
    "bad_sex": "unclear or unknown sex",
    "bad_split": "unusable name of a split",
    "bad_study_date": "unusable study date",
    "bad_visit_date": "unusable date of a visit",
    "birth_after_visit": "birth date after the visit",
    "bone_age_falls": "bone age that falls",
    "duplicate_id": "repeated identifier",
    "group_in_two_splits": "patient in several splits",
    "height_falls": "height that falls",
    "height_jumps": "height that rises too fast",
    "height_unit": "heights in another unit than centimetres",
    "missing_column": "missing column",
    "missing_sex": "row without a sex",
    "no_age": "visit without an age",
    "no_id": "row without an identifier",
    "no_image": "row without a file",
    "no_measurement": "visit without bone age, radiograph and height",
    "no_row": "file without a row",
    "one_parent": "height of one parent alone",
    "other_sex": "other sex than --sex",
    "parents_differ": "different heights of a parent",
    "repeated_row": "repeated row",
    "same_date": "two visits on one date",
    "same_picture": "file with the content of another",
    "two_birth_dates": "child with two birth dates",
    "two_images": "file with the name of another",
    "two_sexes": "child with two sexes",
}
"""Code of a problem -> its kind in words. The others are reasons of rejection."""


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """A problem in a table or file: where it is, and what to do."""

    table: str
    """Name of the label table; empty where it is about a file without a row."""
    row: int
    """Row as a spreadsheet counts, the header being row 1; 0 where it is about no single row."""
    id: str
    file: str
    code: str
    """A stable name of the kind of problem."""
    message: str


def problems_csv(problems: Sequence[Problem]) -> str:
    """All problems as CSV text: table, row, id, file, code, message."""
    names = [field.name for field in dataclasses.fields(Problem)]
    table = pd.DataFrame(map(dataclasses.astuple, problems), columns=names)
    return table.to_csv(index=False, lineterminator="\n")


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Write the file, or remove an earlier one where there are none."""
    if problems:
        write_text(path, problems_csv(problems))
    else:
        path.unlink(missing_ok=True)


def summary(problems: Sequence[Problem]) -> str:
    """How many problems of each kind there are, most first, then examples of each on a line of their own."""
    counts = Counter(problem.code for problem in problems)
    if len(problems) == 1:
        return _line(problems[0])
    width = len(str(max(counts.values())))
    lines = [
        f"  {count:>{width}}  {KINDS.get(code, 'rejected radiograph')} [{code}]"
        for code, count in counts.most_common()
    ]
    shown = list(_examples(problems, counts))
    more = len(problems) - len(shown)
    title = "Examples:" if more else "In full:"
    return "\n".join([*lines, title, *map(_line, shown)])


def _examples(problems: Sequence[Problem], counts: Counter[str]) -> Iterator[Problem]:
    """All of a kind that has few, otherwise the first with different messages; in the order of the kinds."""
    for code, count in counts.most_common():
        found = [problem for problem in problems if problem.code == code]
        if count > EXAMPLES:
            first: dict[str, Problem] = {}
            for problem in found:
                first.setdefault(problem.message, problem)
            found = list(first.values())
        yield from found[:EXAMPLES]


def _line(problem: Problem) -> str:
    row = f"row {problem.row}" if problem.row else ""
    identifier = f"id {problem.id}" if problem.id else ""
    file = "" if problem.file == problem.id else problem.file  # DICOM
    where = ", ".join(part for part in (problem.table, row, identifier, file) if part)
    return f"  {where}: {problem.message} [{problem.code}]"
