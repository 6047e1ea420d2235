"""DICOM files as a data set knows them: by salted ids, without names of files or patients."""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bone_age_tf.data.joining import identifiers_of
from bone_age_tf.data.problems import Problem
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import Header
from bone_age_tf.dicom.salt import Salt
from bone_age_tf.dicom.warnings import SEX_DIFFERS, SEX_OTHER
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile
from bone_age_tf.sex import Sex, sex_from_label

_WITHOUT_FILE = {
    "no_image": "no file for this row, by file name, SOP Instance UID, Accession Number, or Patient ID and study date",
    "ambiguous_id": "several images or rows differ in what this row says by leading zeros only, or not at all",
    "two_images": "several images may be this one: name one by its SOP Instance UID or its file",
    "bad_study_date": "the study date is empty, or cannot be read with certainty; expected it as in 2024-01-31",
}
"""Code of the problem of a row without a file -> message without the row's cells."""


@dataclasses.dataclass(frozen=True)
class DicomFile:
    """A DICOM file with its salted id."""

    original: SourceFile
    header: Header | Fault
    id: str
    """Of the SOP Instance UID; of the content where there is none."""
    group: str
    """Of the Patient ID; empty where there is none."""

    @classmethod
    def of(cls, file: SourceFile, header: Header | Fault, salt: Salt) -> "DicomFile":
        """What a file is called."""
        if isinstance(header, Fault):
            return cls(file, header, salt.radiograph(_content_of(file)), "")
        name = header.sop_instance_uid or _content_of(file)
        return cls(file, header, salt.radiograph(name), salt.patient(header.patient_id))

    @property
    def file(self) -> SourceFile:
        """The same file, named by its id: no message about it can name another."""
        return dataclasses.replace(self.original, name=self.id)

    @property
    def sop_instance_uid(self) -> str:
        """Empty where there is none."""
        return self.header.sop_instance_uid if isinstance(self.header, Header) else ""

    @property
    def place(self) -> str:
        """Path of the file on this machine; that of a member of a zip goes on inside it."""
        place = Path(self.original.path).absolute() / (self.original.member or "")
        return str(place).encode("utf-8", "backslashreplace").decode()  # names of other encodings


def _content_of(file: SourceFile) -> str:
    try:
        return hashlib.sha256(file.read()).hexdigest()
    except InputDataError:
        return f"{file.path}/{file.member}"


@dataclasses.dataclass(frozen=True)
class Pseudonyms:
    """The DICOM files of a source, by the files that are named by their ids."""

    salt: Salt = dataclasses.field(default_factory=lambda: Salt(b""))
    files: Mapping[SourceFile, DicomFile] = dataclasses.field(default_factory=dict)

    def original(self, file: SourceFile) -> SourceFile:
        """The file by its own name; one that is no DICOM file is as it is."""
        found = self.files.get(file)
        return found.original if found else file

    def header(self, file: SourceFile) -> Header | None:
        """None where it is no DICOM file, or has no header that can be read."""
        found = self.files.get(file)
        return found.header if found and isinstance(found.header, Header) else None

    def headers(self, files: Iterable[SourceFile]) -> dict[SourceFile, Header]:
        """Those that can be read, by the files' own names."""
        found = ((self.original(file), self.header(file)) for file in files)
        return {file: header for file, header in found if header is not None}

    def sexes(self, file_of: Mapping[int, SourceFile | None], sex: str | None) -> dict[int, Sex]:
        """By row, what DICOM files say that are `file_of` a row; where they do not, `sex`, or else unknown.

        So it is of a row without a file, which has that problem already.
        """
        if not self.files:
            return {}
        told = {
            row: file and self.header(file)
            for row, file in file_of.items()
            if file is None or file in self.files
        }
        return {
            row: sex_from_label((header and header.sex) or sex or "unknown")
            for row, header in told.items()
        }

    def named(self, row: CheckedRow, sex: str | None) -> CheckedRow:
        """A row by its ids instead of what its table says, with the warnings of its header.

        `sex` is what was given for all rows.
        """
        found, group = self.files.get(row.file), row.label.group
        if found is None:
            group = self.salt.patient(group) if self.files else group
            return dataclasses.replace(row, label=dataclasses.replace(row.label, group=group))
        group = self.salt.patient(group) or found.group
        label = dataclasses.replace(row.label, id=found.id, group=group)
        header = self.header(row.file)
        warnings = () if header is None else _warnings(header, {row.label.sex.label, sex})
        return dataclasses.replace(row, label=label, warnings=warnings)

    def identifiers(self, files: Sequence[SourceFile]) -> list[str]:
        """What files without a table are called: DICOM files by their ids, others as `joining` says."""
        own = [file for file in files if file not in self.files]
        names = dict(zip(own, identifiers_of(own), strict=True))
        return [names.get(file, file.name) for file in files]

    def without_identity(self, problem: Problem, file: SourceFile | None) -> Problem:
        """The problem of a table's row by the id of its file, if it has one, and without what the row says of it.

        The row of another image, as of a PNG, keeps its identifier.
        """
        if file is not None:
            return dataclasses.replace(problem, id=file.name) if file in self.files else problem
        return dataclasses.replace(
            problem, id="", message=_WITHOUT_FILE.get(problem.code, problem.message)
        )


def _warnings(header: Header, sexes: set[str | None]) -> tuple[str, ...]:
    """Those of the header, but for a sex that was given; and that one of these is not its sex."""
    known = sexes & {"F", "M"}
    own = [code for code in header.warnings if not (known and code == SEX_OTHER)]
    differs = header.sex is not None and bool(known - {header.sex})
    return (*own, *([SEX_DIFFERS] if differs else []))
