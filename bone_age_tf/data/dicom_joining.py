"""Rows of a label table and DICOM files by what headers say: SOP Instance UID, Accession Number, or Patient ID and study date.

A row may say several of these, in columns that `label_table.DICOM_HEADERS` names, or one in its identifier. What it says
has to fit one DICOM file alone. The name of a file goes before all that stands in the same column.
"""

import datetime
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bone_age_tf.data.joining import How, Match, Place, join
from bone_age_tf.data.label_table import LabelTable
from bone_age_tf.dicom.admission import fault_in
from bone_age_tf.dicom.header import Header

Headers = Mapping[int, Header]
"""By the number of the file."""
UID, ACCESSION, PATIENT = "SOP Instance UID", "Accession Number", "Patient ID and study date"


class _Said(NamedTuple):
    """What one attribute says in a row."""

    words: str
    match: Match
    is_identifier: bool
    """Whether it stands in the column of the identifier, which might be the name of a file as well."""

    @property
    def places(self) -> set[int]:
        """The files that it might be."""
        return set(self.match.others) if self.match.place is None else {self.match.place}


def join_headers(table: LabelTable, by_name: Sequence[Match], headers: Headers) -> list[Match]:
    """The DICOM file of each row; the match by the name of a file where no header has what the row says."""
    columns = [
        [_Said(words, match, is_identifier) for match in _matches(table, words, column, headers)]
        for words, column, is_identifier in _columns(table)
    ]
    matches = []
    for row, match in enumerate(by_name):
        said = [column[row] for column in columns if column[row].match.how is not How.NONE]
        if match.how is How.NAME and not table.is_identified_by_header:
            matches.append(_named(match, said, headers))
        else:
            found = _fitting(match, said) if said else match
            matches.append(_without_date(table, row, found))
    return _one_row_each(matches, table.ids().tolist())


def attributes_of(table: LabelTable) -> str:
    """The attributes that a row may have, in words."""
    return " or ".join(words for words, _, _ in _columns(table))


def _columns(table: LabelTable) -> Iterator[tuple[str, str, bool]]:
    """Each attribute, its own column or else that of the identifier, and whether it is the latter."""
    of_id = None if table.is_identified_by_header else table.id_column
    for words, own in (
        (UID, table.sop_instance_uid_column),
        (ACCESSION, table.accession_number_column),
        (PATIENT, table.patient_id_column),
    ):
        column = own or of_id
        has_date = table.study_date_column in table.table.columns
        if column in table.table.columns and (words != PATIENT or has_date):
            yield words, str(column), own is None or own == table.id_column


def _matches(table: LabelTable, words: str, column: str, headers: Headers) -> list[Match]:
    cells = table.table.rows[column].tolist()
    if words == UID:
        return _by_value(cells, {n: h.sop_instance_uid for n, h in headers.items()}, headers)
    if words == ACCESSION:
        return _by_value(cells, {n: h.accession_number for n, h in headers.items()}, headers)
    return _by_patient(cells, table.table.rows[table.study_date_column].tolist(), headers)


def _by_value(values: Sequence[str], own: Mapping[int, str], headers: Headers) -> list[Match]:
    """The files with these values of an attribute, as `join` finds names.

    What is no radiograph of a hand by its header, as the reports and the images For Processing of a study, counts only
    where nothing else has the value.
    """
    radiographs = {n for n in own if fault_in(headers[n]) is None}
    better = {own[n] for n in radiographs}
    numbers = [n for n, value in own.items() if value and (n in radiographs or value not in better)]
    places = [Place((own[number],), (own[number],)) for number in numbers]

    def numbered(match: Match) -> Match:
        place = None if match.place is None else numbers[match.place]
        return Match(match.how, place, tuple(numbers[other] for other in match.others))

    return [numbered(match) for match in join([(value,) for value in values], places)]


def _by_patient(patients: Sequence[str], dates: Sequence[str], headers: Headers) -> list[Match]:
    """The files of these patients on these dates."""
    found = [Match(How.NONE)] * len(patients)
    rows_on, own_on = defaultdict[str, list[int]](list), defaultdict[str, dict[int, str]](dict)
    for row, cell in enumerate(dates):
        rows_on[date_in(cell) or ""].append(row)
    for number, header in headers.items():
        own_on[date_in(header.study_date) or ""][number] = header.patient_id
    for date in rows_on.keys() & own_on.keys() - {""}:
        rows = rows_on[date]
        matches = _by_value([patients[row] for row in rows], own_on[date], headers)
        for row, match in zip(rows, matches, strict=True):
            found[row] = match
    return found


def _named(match: Match, said: Sequence[_Said], headers: Headers) -> Match:
    """A match by the name of a file, unless other columns say that it is another file."""
    others = [one for one in said if not one.is_identifier]
    if match.place not in headers or all(match.place in one.places for one in others):
        return match
    places = set[int]().union(*(one.places for one in others), {match.place})
    words = ", ".join(["file name", *(one.words for one in others)])
    return Match(How.CONTRADICTION, others=tuple(sorted(places)), words=words)


def _fitting(by_name: Match, said: Sequence[_Said]) -> Match:
    """The file that all attributes of a row fit."""
    words = ", ".join(one.words for one in said)
    common = set.intersection(*(one.places for one in said))
    if not common:
        places = set.union(*(one.places for one in said))
        return Match(How.CONTRADICTION, others=tuple(sorted(places)), words=words)
    if by_name.how is How.ZEROS and by_name.place is not None:
        common = common | {by_name.place}
    is_unclear = all(one.match.how is How.ZEROS_UNCLEAR for one in said)
    if len(common) == 1 and not is_unclear:
        has_zeros = all(one.match.how is How.ZEROS for one in said)
        return Match(How.HEADER_ZEROS if has_zeros else How.HEADER, common.pop(), words=words)
    how = How.ZEROS_UNCLEAR if is_unclear else How.SHARED
    return Match(how, others=tuple(sorted(common)), words=words)


def _without_date(table: LabelTable, row: int, match: Match) -> Match:
    """Says so where the study date of a row without a file cannot be read."""
    dates = table.table.rows.get(table.study_date_column)
    if match.how is not How.NONE or dates is None or table.patient_id_column is None:
        return match
    return match if date_in(dates.iloc[row]) else Match(How.NO_DATE, words=dates.iloc[row])


def _one_row_each(matches: Sequence[Match], ids: Sequence[str]) -> list[Match]:
    """Where rows of different identifiers mean one DICOM file, it is joined with none of them."""
    ids_of = defaultdict[int | None, set[str]](set)
    for match, id in zip(matches, ids, strict=True):
        ids_of[match.place].add(id)
    by_header = {m.place for m in matches if m.how in (How.HEADER, How.HEADER_ZEROS)}
    return [
        Match(How.TWO_ROWS, others=(match.place,))
        if match.place in by_header and match.place is not None and len(ids_of[match.place]) > 1
        else match
        for match in matches
    ]


def date_in(cell: str) -> str | None:
    """The date in a cell as YYYYMMDD; None where there is none, or more than one reading of it."""
    text = re.sub(r"[ T]\d\d:\d\d(:\d\d(\.\d+)?)?$", "", cell)  # of a spreadsheet's date
    if found := re.fullmatch(r"(\d{4})(\d\d)(\d\d)|(\d{4})([-./])(\d\d?)\5(\d\d?)", text):
        year, month, day = found.group(1, 2, 3) if found[1] else found.group(4, 6, 7)
        return _date(year, month, day)
    if found := re.fullmatch(r"(\d\d?)([-./])(\d\d?)\2(\d{4})", text):
        first, separator, second, year = found.groups()
        readings = {_date(year, second, first)}
        readings |= set() if separator == "." else {_date(year, first, second)}
        dates = readings - {None}
        return dates.pop() if len(dates) == 1 else None
    return None


def _date(year: str, month: str, day: str) -> str | None:
    try:
        return datetime.date(int(year), int(month), int(day)).strftime("%Y%m%d")
    except ValueError:
        return None
