"""Result of every layout: label tables and the image files that belong to each."""

import contextlib
import dataclasses
from collections.abc import Sequence

from bone_age_tf.config import LabelOptions, PrepareConfig
from bone_age_tf.data.label_table import LabelTable, read_table
from bone_age_tf.data_prep.pseudonyms import Pseudonyms
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile, list_files
from bone_age_tf.files.tables import TABLE_SUFFIXES


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """One label table (None: no labels) and its images."""

    table: LabelTable | None
    images: tuple[SourceFile, ...]
    split: str | None = None
    """The split that the layout gives to these radiographs; None where there is no other part."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Raw data in a recognised layout."""

    layout: str
    parts: tuple[LabelledImages, ...]
    is_registered: bool = False
    """Whether the radiographs lie in the 2080 x 1600 frame already."""
    pseudonyms: Pseudonyms = dataclasses.field(default_factory=Pseudonyms)
    """Of its DICOM files."""


def read_tables(files: Sequence[SourceFile], options: LabelOptions) -> list[LabelTable]:
    """The tables in the source's top folders, those whose header is known."""
    tables = []
    for file in _near_tables(files):
        with contextlib.suppress(InputDataError):  # unrelated files
            tables.append(read_table(file, options))
    known = [t for t in tables if t.id_column and (t.age_column or t.sex_column)]
    return [table for table in known if not table.is_identified_by_header] or known


def why_no_table(files: Sequence[SourceFile], options: LabelOptions) -> list[str]:
    """For each candidate for a label table, why it was not used."""
    reasons = []
    for file in _near_tables(files):
        try:
            columns = read_table(file, options).table.columns
            reasons.append(
                f"{file.name}: no known identifier with bone age or sex in {', '.join(columns)}."
            )
        except InputDataError as error:
            reasons.append(str(error))
    return reasons


def _near_tables(files: Sequence[SourceFile]) -> list[SourceFile]:
    return [file for file in files if file.suffix in TABLE_SUFFIXES and file.name.count("/") <= 2]


def images_of(config: PrepareConfig, files: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    """The images of `--image-dir`, or of the source."""
    searched = list_files(config.image_dir) if config.image_dir else files
    return tuple(file for file in searched if file.is_image)


def base_name(table: LabelTable) -> str:
    """File name of a table in lower case."""
    return table.name.rsplit("/", 1)[-1].lower()
