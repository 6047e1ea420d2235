"""Which row of a label table belongs to which radiograph, where the table is read for files: predict, explain, stress."""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.dicom_headers import names_of, read_headers
from bone_age_tf.data.dicom_joining import attributes_of, join_headers
from bone_age_tf.data.header_values import UNKNOWN
from bone_age_tf.data.height_columns import unread_heights
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
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import Header
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile
from bone_age_tf.sex import sex_from_label

log = logging.getLogger(__name__)

NO_HEADERS: Mapping[SourceFile, Header] = MappingProxyType({})
"""Where no file is DICOM."""
ZEROS = (How.ZEROS, How.HEADER_ZEROS)


@dataclasses.dataclass(frozen=True)
class FileLabels:
    """Rows of a label table by file, and the problems of those that cannot be used."""

    ids: Mapping[SourceFile, str]
    """The table's identifier, otherwise the file's name without ending, or its path where that is not unique. For
    predictions alone."""
    rows: Mapping[SourceFile, LabelRow]
    problems: Mapping[SourceFile, Problem]
    without_file: tuple[Problem, ...] = ()
    """Rows that have no file."""
    headers: Mapping[SourceFile, Header | Fault] = dataclasses.field(default_factory=dict)
    """Of the DICOM files."""
    names: Mapping[SourceFile, str] = dataclasses.field(default_factory=dict)
    """What these are called where their own name, and the table's identifier, must not be seen."""

    @classmethod
    def none(cls, files: Sequence[SourceFile]) -> "FileLabels":
        """Without a table; the identifiers of DICOM files are their `names`."""
        headers = read_headers(files)
        names = names_of(files, headers)
        others = [file for file in files if file not in headers]
        ids = dict(zip(others, identifiers_of(others), strict=True))
        return cls({**ids, **names}, {}, {}, headers=headers, names=names)

    def header(self, file: SourceFile) -> Header | None:
        """Of a DICOM file whose header can be read."""
        header = self.headers.get(file)
        return header if isinstance(header, Header) else None


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
    _say_unread_heights(table)
    headers = {file: one for file, one in labels.headers.items() if isinstance(one, Header)}
    joined = join_table(table, files, headers) if table.has_ids else {}
    file_of = {row: files[match.place] for row, match in joined.items() if match.place is not None}
    header_of = {row: headers[file] for row, file in file_of.items() if file in headers}
    rows, problems = _parse_with_headers(table, options, header_of if headers else None)
    of_the_table = [problem for problem in problems if problem.row == HEADER_ROW]
    if of_the_table:
        raise InputDataError(f"The label table cannot be used.\n{summary(of_the_table)}")
    ids = {file_of[row]: str(id) for row, id in table.ids().items() if row in file_of}
    missing = without_file(table, joined, files, headers)
    unclear = {
        files[place]: problem
        for problem in reversed(missing)
        if joined[problem.row].how is not How.ELSEWHERE
        for place in joined[problem.row].others
        if files[place] not in ids and not _tells_sex(headers.get(files[place]))
    }
    of_rows = {file_of[p.row]: p for p in reversed(problems) if p.row in file_of}
    return dataclasses.replace(
        labels,
        ids={**labels.ids, **ids},
        rows={file_of[row.row]: row for row in reversed(rows) if row.row in file_of},
        problems={**unclear, **of_rows},
        without_file=tuple(missing),
    )


def _tells_sex(header: Header | None) -> bool:
    """Such a radiograph is predicted without the row that might be another's."""
    return header is not None and header.sex is not None


def join_table(
    table: LabelTable,
    files: Sequence[SourceFile],
    headers: Mapping[SourceFile, Header] = NO_HEADERS,
) -> dict[int, Match]:
    """The file of each row by its number, by names and by the headers of DICOM files; says how many were joined in
    spite of leading zeros."""
    names, places = table.names(), [place_of(file) for file in files]
    matches = join(names, places)
    numbered = {number: headers[file] for number, file in enumerate(files) if file in headers}
    if numbered:
        matches = join_headers(table, matches, numbered)
    _say_zeros(
        table, [(name[-1], m) for name, m in zip(names, matches, strict=True)], files, headers
    )
    if matches and not any(match.place is not None or match.others for match in matches):
        _say_better_column(table, places, headers)
    return dict(zip(table.table.rows.index.tolist(), matches, strict=True))


def _say_unread_heights(table: LabelTable) -> None:
    columns = unread_heights(table)
    if columns:
        # As an error, since --quiet would hide a warning, and these children have no adult height.
        log.error(
            f"{table.name}: not read, since the name does not say that it is a height in cm, m or in: "
            f"{', '.join(map(repr, columns))}. For the predicted adult height name the columns with --height-column, "
            "--mother-height-column and --father-height-column (centimetres; --height-unit m or in for others)."
        )


def _say_zeros(
    table: LabelTable,
    matches: Sequence[tuple[str, Match]],
    files: Sequence[SourceFile],
    headers: Mapping[SourceFile, Header],
) -> None:
    zeros = [(name, files[m.place or 0]) for name, m in matches if m.how in ZEROS]
    shown = [f", as {name} and {file.name}" for name, file in zeros if file not in headers]
    if zeros:
        log.warning(
            f"{table.name}: {len(zeros)} identifiers and file names were joined although they differ by leading "
            f"zeros{''.join(shown[:1])}."
        )


def _say_better_column(
    table: LabelTable, places: Sequence[Place], headers: Mapping[SourceFile, Header]
) -> None:
    """Where no row has a file: name the column that holds names of files, UIDs or Accession Numbers, if there is one."""
    in_headers = {h.sop_instance_uid for h in headers.values()}
    in_headers |= {h.accession_number for h in headers.values()} - {""}
    found = {
        column: sum(
            match.place is not None or cell in in_headers
            for cell, match in zip(cells, join([*map(name_in, cells)], places), strict=True)
        )
        for column, cells in table.table.rows.items()
    }
    best = max(found, key=lambda column: found[column])
    if found[best]:
        log.warning(
            f"{table.name}: the column {table.id_column!r} names no file, but {best!r} does, in {found[best]} rows: "
            f"pass --id-column {str(best)!r}."
        )


def without_file(
    table: LabelTable,
    joined: Mapping[int, Match],
    files: Sequence[SourceFile],
    headers: Mapping[SourceFile, Header] = NO_HEADERS,
) -> list[Problem]:
    """A problem for each row that has an identifier, but no file for certain."""
    ids = table.ids()
    attributes = attributes_of(table) if headers else ""
    return [
        Problem(table.name, row, ids[row], "", *_why(ids[row], match, shown, attributes))
        for row, match in joined.items()
        if ids[row] and match.place is None
        for shown in [_shown([files[place] for place in match.others], headers)]
    ]


def _shown(files: Sequence[SourceFile], headers: Mapping[SourceFile, Header]) -> str:
    """Some of the files by name, unless one is DICOM: names of these files are often those of patients."""
    if any(file in headers for file in files):
        return f"{len(files)} files"
    names = [file.name for file in files]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _why(identifier: str, match: Match, shown: str, attributes: str) -> tuple[str, str]:
    """Code and message; `shown` are the files that it might be, `attributes` those of DICOM that the table has."""
    if match.words or match.how in (How.TWO_ROWS, How.NO_DATE):
        return _why_not_by_header(match)
    if match.how is How.ZEROS_UNCLEAR:
        return "ambiguous_id", (
            "no image has the identifier as its name, and several identifiers or files differ from it by leading zeros only "
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
    or_header = f", or a DICOM file with this {attributes}" if attributes else ""
    text = f"no image; expected a file named {identifier}.png, .jpg, .tif or alike{or_header}"
    return "no_image", text


def _why_not_by_header(match: Match) -> tuple[str, str]:
    """The same for a row that headers of DICOM files have; nothing that stands in them is named."""
    count, words = len(match.others), match.words
    if match.how is How.TWO_ROWS:
        return "ambiguous_id", "another row means the same DICOM file; expected one row for each"
    if match.how is How.NO_DATE:
        return "bad_study_date", (
            f"the study date {words!r} is empty, or cannot be read with certainty; expected it as in 2024-01-31"
        )
    if match.how is How.CONTRADICTION:
        return "ambiguous_id", (
            f"the row means {count} different DICOM files, by {words}. Correct the row, or empty what is wrong"
        )
    if match.how is How.ZEROS_UNCLEAR:
        return "ambiguous_id", (
            f"several DICOM files or rows differ from this {words} by leading zeros only. Write it as in the DICOM file"
        )
    return "two_images", (
        f"{count} radiographs have this {words}: name the right one by its file's name or SOP Instance UID in the table"
    )


def _parse_with_headers(
    table: LabelTable, options: LabelOptions, header_of: Mapping[int, Header] | None
) -> tuple[list[LabelRow], list[Problem]]:
    """As `parse_table`; where the table is silent, sex and chronological age are those of the header of the row's
    radiograph, by the number of the row. The sex of the options is for rows of which neither tells it; without that it
    is unknown where there is a header.
    """
    if header_of is None:
        return parse_table(table, options)
    sexes = {
        row: sex_from_label(header.sex or options.sex or UNKNOWN)
        for row, header in header_of.items()
    }
    rows, problems = parse_table(table, options, sexes)
    return [_with_age(row, header_of.get(row.row)) for row in rows], problems


def _with_age(row: LabelRow, header: Header | None) -> LabelRow:
    if header is None or not math.isnan(row.chronological_age_months):
        return row
    return dataclasses.replace(row, chronological_age_months=header.chronological_age_months)
