"""Which row of a label table belongs to which radiograph, where the table is read for files: predict, explain, stress."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.joining import (
    How,
    Match,
    Place,
    identifiers_of,
    join,
    name_in,
    place_of,
)
from bone_age_tf.data.label_table import LabelTable, read_table
from bone_age_tf.data.labels import HEADER_ROW, LabelRow, parse_table
from bone_age_tf.data.problems import Problem, summary
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class FileLabels:
    """Rows of a label table by file, and the problems of those that cannot be used."""

    ids: Mapping[SourceFile, str]
    """The table's identifier, otherwise the file's name without ending, or its path where that is not unique."""
    rows: Mapping[SourceFile, LabelRow]
    problems: Mapping[SourceFile, Problem]
    without_file: tuple[Problem, ...] = ()
    """Rows that have no file."""

    @classmethod
    def none(cls, files: Sequence[SourceFile]) -> "FileLabels":
        """Without a table."""
        return cls(dict(zip(files, identifiers_of(files), strict=True)), {}, {})


def read_file_labels(
    path: str | None, options: LabelOptions, files: Sequence[SourceFile]
) -> FileLabels:
    """The rows of a table for these files; without a path, none.

    Raises `InputDataError` where the table as a whole cannot be used.
    """
    labels = FileLabels.none(files)
    if path is None:
        return labels
    table = read_table(SourceFile(Path(path).name, path), options)
    rows, problems = parse_table(table, options)
    of_the_table = [problem for problem in problems if problem.row == HEADER_ROW]
    if of_the_table:
        raise InputDataError(f"The label table cannot be used.\n{summary(of_the_table)}")
    joined = join_table(table, files)
    file_of = {row: files[match.place] for row, match in joined.items() if match.place is not None}
    ids = {file_of[row]: str(id) for row, id in table.ids().items() if row in file_of}
    missing = without_file(table, joined, files)
    unclear = {
        files[place]: problem
        for problem in reversed(missing)
        if joined[problem.row].how is not How.ELSEWHERE
        for place in joined[problem.row].others
        if files[place] not in ids
    }
    of_rows = {file_of[p.row]: p for p in reversed(problems) if p.row in file_of}
    return FileLabels(
        {**labels.ids, **ids},
        {file_of[row.row]: row for row in reversed(rows) if row.row in file_of},
        {**unclear, **of_rows},
        tuple(missing),
    )


def join_table(table: LabelTable, files: Sequence[SourceFile]) -> dict[int, Match]:
    """The file of each row by its number; says how many were joined in spite of leading zeros."""
    names, places = table.names(), [place_of(file) for file in files]
    matches = join(names, places)
    joined = dict(zip(table.table.rows.index.tolist(), matches, strict=True))
    zeros = [
        (name[-1], m.place) for name, m in zip(names, matches, strict=True) if m.how is How.ZEROS
    ]
    if zeros:
        name, place = zeros[0]
        log.warning(
            f"{table.name}: {len(zeros)} identifiers and file names were joined although they differ by leading "
            f"zeros, as {name} and {files[place or 0].name}."
        )
    if matches and not any(match.place is not None or match.others for match in matches):
        _say_better_column(table, places)
    return joined


def _say_better_column(table: LabelTable, places: Sequence[Place]) -> None:
    """Where no row has a file: name the column that holds names of files, if there is one."""
    found = {
        column: sum(match.place is not None for match in join([*map(name_in, cells)], places))
        for column, cells in table.table.rows.items()
    }
    best = max(found, key=lambda column: found[column])
    if found[best]:
        log.warning(
            f"{table.name}: the column {table.id_column!r} names no file, but {best!r} does, in {found[best]} rows: "
            f"pass --id-column {str(best)!r}."
        )


def without_file(
    table: LabelTable, joined: Mapping[int, Match], files: Sequence[SourceFile]
) -> list[Problem]:
    """A problem for each row that has an identifier, but no file for certain."""
    ids = table.ids()
    return [
        Problem(table.name, row, ids[row], "", *_why(ids[row], match, files))
        for row, match in joined.items()
        if ids[row] and match.place is None
    ]


def _why(identifier: str, match: Match, files: Sequence[SourceFile]) -> tuple[str, str]:
    """Code and message."""
    names = [files[place].name for place in match.others]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    if match.how is How.ZEROS_UNCLEAR:
        return "ambiguous_id", (
            f"no image is named {identifier}.*, and several identifiers or files differ from it by leading zeros only "
            f"({shown}). Write the identifier as the file is named"
        )
    if match.how is How.SEVERAL:
        return (
            "two_images",
            f"several images have this name ({shown}): name them by path in the table",
        )
    if match.how is How.ELSEWHERE:
        return "no_image", (
            f"no image has this path; the same file name is in other folders ({shown}). Expected a path that ends as "
            "that of the file does"
        )
    return "no_image", f"no image; expected a file named {identifier}.png, .jpg, .tif or alike"
