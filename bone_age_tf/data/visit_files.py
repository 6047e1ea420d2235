"""The radiographs of a table of visits: where they are, what their DICOM headers tell, and which is named twice."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bone_age_tf.data.joining import join, name_in, place_of
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import Header
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile, radiographs_in
from bone_age_tf.growth.children import Told
from bone_age_tf.growth.visits import REJECTED, Visit, VisitFault, said_rows
from bone_age_tf.sex import Sex, sex_from_label


def locate(visits: Sequence[Visit], table: str, radiographs: str | None) -> dict[int, SourceFile]:
    """The file of each row that names one, where it is found.

    A path is absolute, or relative to the folder of the table; with `radiographs`, a folder or zip, names are joined as those
    of a label table.
    """
    named = [visit for visit in visits if visit.file]
    if radiographs is None:
        paths = {visit.row: Path(table).parent / visit.file.replace("\\", "/") for visit in named}
        return {
            row: SourceFile(path.name, str(path)) for row, path in paths.items() if _is_file(path)
        }
    files = radiographs_in(radiographs)
    matches = join([name_in(visit.file) for visit in named], [*map(place_of, files)])
    return {
        visit.row: files[match.place]
        for visit, match in zip(named, matches, strict=True)
        if match.place is not None
    }


def _is_file(path: Path) -> bool:
    """False, too, where the system refuses the name, as one that is too long."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def told_by(
    files: Mapping[int, SourceFile], headers: Mapping[SourceFile, Header | Fault]
) -> dict[int, Told]:
    """Sex and age of the DICOM files, by row; the sex is unknown where a header does not tell it."""
    found = {row: headers[file] for row, file in files.items() if file in headers}
    return {
        row: Told(
            sex_from_label(header.sex) if header.sex else Sex.UNKNOWN,
            None
            if math.isnan(header.chronological_age_months)
            else header.chronological_age_months,
        )
        for row, header in found.items()
        if isinstance(header, Header)
    }


def needs_model(visit: Visit) -> bool:
    """Whether the row has a radiograph, and nothing in place of its bone age."""
    has_bone_age = visit.bone_age_months is not None or any(
        fault.code == "bad_age" for fault in visit.faults
    )
    return bool(visit.file) and not has_bone_age and visit.status != REJECTED


def with_file_faults(
    visits: Sequence[Visit], files: Mapping[int, SourceFile], radiographs: str | None
) -> list[Visit]:
    """The visits, with a fault where the radiograph that is needed is missing, or is that of another row."""
    repeated = _repeated(visits, files)
    where = (
        f"in {radiographs}"
        if radiographs
        else "at its path, absolute or from the folder of the table; or give --radiographs"
    )

    def one(visit: Visit) -> Visit:
        if not needs_model(visit):
            return visit
        if visit.row not in files:
            message = f"the file of the radiograph is not there; expected it {where}"
            return visit.with_fault(VisitFault("no_image", message))
        others = repeated.get(visit.row)
        if others:
            message = f"the same radiograph is in {said_rows(others)}; it can be of one visit only, so that it has no bone age here"
            return visit.with_fault(VisitFault("same_picture", message))
        return visit

    return [one(visit) for visit in visits]


def _repeated(
    visits: Sequence[Visit], files: Mapping[int, SourceFile]
) -> dict[int, tuple[int, ...]]:
    """Row -> the other rows with the same radiograph, by path, or by content where it is read anyway."""
    rows_of = defaultdict[object, set[int]](set)
    for visit in visits:
        if visit.row in files and visit.status != REJECTED:
            for key in _keys(visit, files[visit.row]):
                rows_of[key].add(visit.row)
    return {row: tuple(rows - {row}) for rows in rows_of.values() if len(rows) > 1 for row in rows}


def _keys(visit: Visit, file: SourceFile) -> Iterator[object]:
    yield Path(file.path).resolve(), file.member
    if needs_model(visit):
        try:
            yield hashlib.sha256(file.read()).hexdigest()
        except InputDataError:  # rejected when it is predicted
            return
