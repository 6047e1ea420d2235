"""A label table and its columns.

Known headers are recognised whatever their case; others are named by `LabelOptions`.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import pandas as pd

from bone_age_tf.config import LabelOptions
from bone_age_tf.data import sex_column
from bone_age_tf.data.joining import Name, identifiers, name_in
from bone_age_tf.data.sex_column import SexColumn
from bone_age_tf.files.images import SourceFile
from bone_age_tf.files.tables import Table, read_text_table

ID_HEADERS = (
    *("id", "image id", "case id", "image_id", "file", "filename", "file name"),
    *("path", "image_path", "image path", "file_path", "file path", "filepath"),
    *("image", "bild", "bild-id", "datei", "dateiname", "imagen", "archivo", "fichier"),
)
AGE_HEADERS = (
    "boneage",
    "bone age (months)",
    "ground truth bone age (months)",
    "bone_age_months",
    "bone age",
    "bone_age",
    *("edad ósea", "edad osea", "edad_osea", "edad_osea_meses", "âge osseux", "age osseux"),
)
CHRONOLOGICAL_AGE_HEADERS = ("chronological_age_months", "chronological age (months)")
_UNIT_NAMES = {
    "cm": ("cm", "centimetres", "centimeters"),
    "m": ("m", "metres", "meters"),
    "in": ("in", "inch", "inches"),
}
_WITH_UNIT = ("{}_{}", "{} ({})", "{} {}", "{} [{}]")
HEIGHT_NAMES = {
    "height_column": (
        *("height", "body height", "body_height", "standing height", "standing_height", "stature"),
        *("child_height", "child height", "größe", "groesse", "körpergröße", "koerpergroesse"),
        *("talla", "estatura", "taille"),
    ),
    "mother_height_column": (
        *("mother_height", "mother height", "mother's height", "maternal_height"),
        *("maternal height", "height_mother", "height mother", "größe_mutter", "groesse_mutter"),
        *("talla_madre", "taille_mère", "taille_mere"),
    ),
    "father_height_column": (
        *("father_height", "father height", "father's height", "paternal_height"),
        *("paternal height", "height_father", "height father", "größe_vater", "groesse_vater"),
        *("talla_padre", "taille_père", "taille_pere"),
    ),
}
"""Names of the heights of the child and its parents, without a unit, by the names of `LabelOptions`."""


def _with_units(names: Sequence[str]) -> dict[str, str]:
    return {
        form.format(name, word): unit
        for unit, words in _UNIT_NAMES.items()
        for name in names
        for word in words
        for form in _WITH_UNIT
    }


HEIGHT_HEADERS = {column: _with_units(names) for column, names in HEIGHT_NAMES.items()}
"""Header -> unit, one of `config.HEIGHT_UNITS`. With it, since a height may be in others (or that of a picture)."""
DICOM_HEADERS = {
    "sop_instance_uid_column": ("sop instance uid", "sopinstanceuid", "sop_instance_uid"),
    "accession_number_column": (
        *("accession number", "accessionnumber", "accession_number", "accession"),
        *("anforderungsnummer", "auftragsnummer"),
    ),
    "patient_id_column": (
        "patient id",
        "patientid",
        "patient_id",
        "patienten-id",
        "patientennummer",
    ),
    "study_date_column": (
        *("study date", "studydate", "study_date", "date of study", "exam date", "exam_date"),
        *("untersuchungsdatum", "aufnahmedatum", "fecha de estudio", "date de l'examen"),
    ),
}
"""Columns that join a row with the header of a DICOM file; the first three name the radiographs of a table that has none
of `ID_HEADERS`."""
_IDENTIFYING = [header for headers in list(DICOM_HEADERS.values())[:3] for header in headers]
_KNOWN = {
    *(*ID_HEADERS, *AGE_HEADERS, *CHRONOLOGICAL_AGE_HEADERS, *sex_column.HEADERS),
    *(header for headers in DICOM_HEADERS.values() for header in headers),
    *(header for headers in HEIGHT_HEADERS.values() for header in headers),
}


@dataclasses.dataclass(frozen=True)
class LabelTable:
    """A table and the names of its columns (None: no such column)."""

    table: Table
    id_column: str | None
    age_column: str | None
    sex_column: str | None
    chronological_age_column: str | None
    group_column: str | None
    split_column: str | None
    sop_instance_uid_column: str | None = None
    accession_number_column: str | None = None
    patient_id_column: str | None = None
    study_date_column: str | None = None
    height_column: str | None = None
    mother_height_column: str | None = None
    father_height_column: str | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.table.name

    @property
    def has_ids(self) -> bool:
        """Whether the column of the identifier is there."""
        return self.id_column in self.table.columns

    @property
    def is_identified_by_header(self) -> bool:
        """Whether the identifier is an attribute of DICOM, by the name of its column."""
        return self.id_column is not None and self.id_column in (
            self.sop_instance_uid_column,
            self.accession_number_column,
            self.patient_id_column,
        )

    def ids(self) -> pd.Series:
        """Identifiers, as `joining.identifiers` makes them; the index is the row number."""
        cells = self._identifying_cells()
        return pd.Series(identifiers(cells.tolist()), cells.index, object)

    def names(self) -> list[Name]:
        """Names of the files with the folders that the table gives, in the order of the rows."""
        return [name_in(cell) for cell in self._identifying_cells()]

    def _identifying_cells(self) -> pd.Series:
        """Those of the identifier; of patients with several rows, the patient's and the study date."""
        cells = self.table.rows[self.id_column]
        dates = self.table.rows.get(self.study_date_column)
        if dates is None or self.id_column != self.patient_id_column or cells.is_unique:
            return cells
        return (cells + " " + dates).str.strip().where(cells != "", "")

    def sexes(self, options: LabelOptions) -> SexColumn:
        """How the column of the sex is read."""
        cells = self.table.rows.get(self.sex_column, ())
        return SexColumn.of(self.sex_column or "", cells, options.sex_map)


def read_table(file: SourceFile, options: LabelOptions) -> LabelTable:
    """Read a CSV or Excel table and find its columns."""
    named = {
        name: text
        for name, text in dataclasses.asdict(options).items()
        if name.endswith("_column") and text is not None
    }
    table = read_text_table(file, {*_KNOWN, *(text.strip().lower() for text in named.values())})
    known: dict[str, Iterable[str]] = {
        "id_column": (*ID_HEADERS, *_IDENTIFYING),
        "age_column": AGE_HEADERS,
        "sex_column": sex_column.HEADERS,
        **DICOM_HEADERS,
    }
    if options.unlabelled:
        known |= {"chronological_age_column": CHRONOLOGICAL_AGE_HEADERS}
        for name, headers in HEIGHT_HEADERS.items():  # of two columns that of the unit in use
            known[name] = sorted(headers, key=lambda one: headers[one] != options.height_unit)
    else:
        for name in ("chronological_age_column", *HEIGHT_HEADERS):
            named.pop(name, None)
    columns = [field.name for field in dataclasses.fields(LabelTable) if field.name != "table"]
    return LabelTable(
        table,
        **{name: _find(table.columns, named.get(name), known.get(name, ())) for name in columns},
    )


def column_named(columns: Iterable[str], name: str) -> str | None:
    """The column of that name, or the only one whose name differs by its case or the blanks around it."""
    if name in columns:
        return name
    alike = [column for column in columns if column.strip().lower() == name.strip().lower()]
    return alike[0] if len(alike) == 1 else None


def _find(columns: Iterable[str], named: str | None, known: Iterable[str]) -> str | None:
    if named is not None:
        return column_named(columns, named) or named
    by_header = {column.strip().lower(): column for column in columns}
    return next((by_header[header] for header in known if header in by_header), None)
