"""Tables of visits: child, dates or age, sex, height, bone age or radiograph, parents' heights; a row for each visit.

Known headers are recognised whatever their case; others are named by `VisitOptions`. Nothing is guessed: a cell that cannot be read
with certainty is a fault of its row, a unit that is not told one of the table.
"""

import dataclasses
import datetime
import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path

from bone_age_tf.config import VisitOptions
from bone_age_tf.data import sex_column
from bone_age_tf.data.dicom_joining import date_in
from bone_age_tf.data.label_table import (
    AGE_HEADERS,
    CHRONOLOGICAL_AGE_HEADERS,
    DICOM_HEADERS,
    column_named,
)
from bone_age_tf.data.sex_column import SexColumn
from bone_age_tf.errors import ArgumentValueError, InputDataError
from bone_age_tf.files.images import SourceFile
from bone_age_tf.files.tables import Table, number_in, read_text_table
from bone_age_tf.growth.inputs import ADULT_CM, MAX_BONE_AGE_MONTHS, bone_age_of, centimetres_of
from bone_age_tf.growth.visits import READING, Visit, VisitFault

log = logging.getLogger(__name__)

MAX_AGE_IN_YEARS = 21.0
"""Ages whose unit is not told are months only where one is above this."""
HEADERS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "child", "child_id", "child id", "kind", *DICOM_HEADERS["patient_id_column"]),
    "date": (
        *("date", "visit_date", "visit date", "date_of_visit", "date of visit", "datum"),
        *("fecha", *DICOM_HEADERS["study_date_column"]),
    ),
    "birth_date": (
        *("birth_date", "birth date", "birthdate", "date_of_birth", "date of birth", "dob", "born"),
        *("geburtsdatum", "fecha de nacimiento", "fecha_de_nacimiento", "date de naissance"),
    ),
    "chronological_age": (
        *CHRONOLOGICAL_AGE_HEADERS,
        *("chronological_age", "chronological age", "chronological_age_years"),
        *("chronological age (years)", "age", "age_months", "age (months)", "age_years"),
        "age (years)",
    ),
    "sex": sex_column.HEADERS,
    "height": (
        *("height_cm", "height (cm)", "height", "stature_cm", "stature (cm)", "stature"),
        *("größe (cm)", "größe", "körpergröße", "körpergröße (cm)", "talla (cm)", "talla"),
    ),
    "age": (*AGE_HEADERS, "bone_age_years", "bone age (years)"),
    "file": ("file", "filename", "file_name", "file name", "radiograph", "image", "path", "datei"),
    "father_height": (
        *("father_height_cm", "father_cm", "father (cm)", "father", "father's height (cm)"),
        *("father_height", "father's height"),
    ),
    "mother_height": (
        *("mother_height_cm", "mother_cm", "mother (cm)", "mother", "mother's height (cm)"),
        *("mother_height", "mother's height"),
    ),
}
"""Of each column of `VisitOptions`, in lower case; the first that a table has is taken."""
_WHAT = {
    "id": "child's identifier",
    "date": "date of the visit",
    "birth_date": "birth date",
    "chronological_age": "chronological age",
    "sex": "sex",
    "height": "height",
    "age": "bone age",
    "file": "radiograph",
    "father_height": "height of the father",
    "mother_height": "height of the mother",
}
_OTHER_UNIT = re.compile(
    r"(height|stature|father|mother)[\w' ]*[ _(]\(?(m|mm|in|inch|inches|ft|feet|metres|meters)\)?"
)


def read_visits(path: str, options: VisitOptions) -> list[Visit]:
    """The rows of a CSV, TSV or Excel table, each with its own faults.

    Raises `InputDataError` where columns or rows are missing, or a unit is not told or cannot be used.
    """
    table = read_text_table(SourceFile(Path(path).name, path), _known(options))
    if table.rows.empty:
        raise InputDataError(
            f"{table.name}: expected a row for each visit. Received a header alone."
        )
    columns = _columns(table, options)
    _require_columns(table, columns)
    units = {
        name: _unit(table, columns[name], name, getattr(options, f"{name}_unit"))
        for name in ("age", "chronological_age")
        if columns[name]
    }
    _require_centimetres(table)
    unused = [name for name in table.columns if name not in columns.values()]
    if unused:
        log.info(f"{table.name}: columns that are not used: {', '.join(unused)}")
    sexes = SexColumn.of(columns["sex"], table.rows.get(columns["sex"], ()), options.sex_map)
    reader = _Reader(columns, units, sexes)
    return [
        reader.visit(int(row), cells) for row, cells in table.rows.to_dict(orient="index").items()
    ]


def _known(options: VisitOptions) -> set[str]:
    named = [getattr(options, f"{name}_column") for name in HEADERS]
    known = [header for headers in HEADERS.values() for header in headers]
    return {*known, *(name.strip().lower() for name in named if name)}


def _columns(table: Table, options: VisitOptions) -> dict[str, str]:
    """The header of each column; empty where there is none. Raises `InputDataError` for one that was named in vain."""
    by_header = {column.strip().lower(): column for column in table.columns}
    found = {}
    for name, headers in HEADERS.items():
        named = getattr(options, f"{name}_column")
        known = [by_header[header] for header in headers if header in by_header]
        column = column_named(table.columns, named) if named else next(iter(known), "")
        if column is None:
            flag = f"--{name.replace('_', '-')}-column"
            raise InputDataError(
                f"{table.name}: {flag}: no column is named {named!r}. Received the columns {', '.join(table.columns)}."
            )
        found[name] = column
    return found


def _require_columns(table: Table, columns: Mapping[str, str]) -> None:
    """Raises `InputDataError`, which names all that is missing."""
    has_file = bool(columns["file"])  # a DICOM file tells sex and age
    is_dated = bool(columns["date"] and columns["birth_date"])
    missing = [
        what
        for what, is_there in (
            (_column("id"), columns["id"]),
            (_column("sex"), columns["sex"] or has_file),
            (
                f"{_column('chronological_age')}; or both {_column('date')} and {_column('birth_date')}",
                columns["chronological_age"] or is_dated or has_file,
            ),
            (
                f"one of {_column('age')}, {_column('file')} and {_column('height')}",
                columns["age"] or has_file or columns["height"],
            ),
        )
        if not is_there
    ]
    if missing:
        raise InputDataError(
            f"{table.name}: columns are missing. Expected {'; '.join(missing)}. Received the columns "
            f"{', '.join(table.columns)}. Other names are given with --id-column, --date-column and so on."
        )


def _column(name: str) -> str:
    return f"the {_WHAT[name]} (as {HEADERS[name][0]})"


def _unit(table: Table, column: str, name: str, given: str | None) -> str:
    """`months` or `years`, by the option, the header, or a number that is no age in years. Raises `InputDataError`."""
    header = column.lower()
    if given is not None:
        return given
    if "month" in header or "meses" in header:
        return "months"
    numbers = [number for number in map(number_in, table.rows[column]) if number is not None]
    if "year" in header:
        log.info(f"{table.name}: the column {column!r} is in years by its name, and is converted.")
        return "years"
    if numbers and max(numbers) <= MAX_AGE_IN_YEARS:
        flag = f"--{name.replace('_', '-')}-unit"
        raise InputDataError(
            f"{table.name}: the unit of the column {column!r} is not told, and its numbers (largest "
            f"{max(numbers):g}) may be years or months. Pass {flag} years or {flag} months."
        )
    return "months"


def _require_centimetres(table: Table) -> None:
    """Raises `InputDataError` where a header names a height in another unit."""
    for column in table.columns:
        if _OTHER_UNIT.fullmatch(column.strip().lower()):
            raise InputDataError(
                f"{table.name}: the column {column!r} is not in centimetres by its name. Nothing is converted: expected "
                "centimetres, in a column such as height_cm, father_height_cm or mother_height_cm."
            )


@dataclasses.dataclass(frozen=True)
class _Reader:
    """How the cells of a table are read."""

    columns: Mapping[str, str]
    units: Mapping[str, str]
    sexes: SexColumn

    def visit(self, row: int, cells: Mapping[str, str]) -> Visit:
        """The visit of a row, with the faults of its cells."""
        text = {name: cells.get(column, "") for name, column in self.columns.items()}
        faults: list[VisitFault] = []
        if not text["id"]:
            faults.append(
                VisitFault("no_id", "the identifier of the child is empty", is_fatal=True)
            )
        sex = self.sexes.sex_of(text["sex"]) if text["sex"] else None
        if text["sex"] and sex is None:
            faults.append(VisitFault("bad_sex", self.sexes.fault(text["sex"]), is_fatal=True))
        bone_age = self._bone_age(text["age"], faults)
        if bone_age is None and not (text["age"] or text["file"] or text["height"]):
            message = "there is neither a bone age nor a radiograph nor a height"
            faults.append(VisitFault("no_measurement", message, is_fatal=True))
        return Visit(
            row,
            text["id"],
            date=_date(text["date"], "date of the visit", "bad_visit_date", faults),
            birth_date=_date(text["birth_date"], "birth date", "bad_birth_date", faults),
            sex=sex,
            chronological_age_months=self._age(text["chronological_age"], faults),
            is_age_in_years=self.units.get("chronological_age") == "years",
            height_cm=_height(text["height"], faults),
            bone_age_months=bone_age,
            bone_age_from="" if bone_age is None else READING,
            file=text["file"],
            father_cm=_parent(text["father_height"], "father", faults),
            mother_cm=_parent(text["mother_height"], "mother", faults),
            faults=tuple(faults),
        )

    def _bone_age(self, cell: str, faults: list[VisitFault]) -> float | None:
        number = self._months(cell, "age")
        expected = f"expected months between 0 and {MAX_BONE_AGE_MONTHS:g}"
        if cell and number is None:
            faults.append(
                VisitFault("bad_age", f"the bone age {cell!r} is not a number; {expected}")
            )
        try:
            return None if number is None else bone_age_of(number)
        except ArgumentValueError:
            message = f"the bone age {cell!r} is outside the range; {expected}"
            faults.append(VisitFault("bad_age", message))
            return None

    def _age(self, cell: str, faults: list[VisitFault]) -> float | None:
        number = self._months(cell, "chronological_age")
        if cell and number is None:
            message = f"the chronological age {cell!r} is not a number"
            faults.append(VisitFault("bad_chronological_age", message, is_fatal=True))
        return number

    def _months(self, cell: str, name: str) -> float | None:
        """None where there is no number, or one too large."""
        number = number_in(cell)
        if number is not None and self.units.get(name) == "years":
            number *= 12
        return number if number is None or math.isfinite(number) else None


def _date(cell: str, what: str, code: str, faults: list[VisitFault]) -> datetime.date | None:
    found = date_in(cell) if cell else None
    if cell and found is None:
        message = f"the {what} {cell!r} cannot be read with certainty; expected it as in 2024-01-31"
        faults.append(VisitFault(code, message, is_fatal=True))
    return None if found is None else datetime.date.fromisoformat(found)


def _height(cell: str, faults: list[VisitFault]) -> float | None:
    """The number; whether it can be in centimetres depends on the age."""
    number = number_in(cell)
    if cell and number is None:
        faults.append(
            VisitFault("bad_height", f"the height {cell!r} is not a number of centimetres")
        )
    return number


def _parent(cell: str, who: str, faults: list[VisitFault]) -> float | None:
    number = number_in(cell)
    if cell and number is None:
        message = f"the height of the {who}, {cell!r}, is not a number of centimetres"
        faults.append(VisitFault("bad_parent_height", message))
    try:
        return None if number is None else centimetres_of(f"height of the {who}", number, ADULT_CM)
    except ArgumentValueError as error:
        faults.append(VisitFault("bad_parent_height", str(error)))
        return None
