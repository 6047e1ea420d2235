"""What every layout yields: label tables and the image files that belong to each."""

import dataclasses
import logging
from collections.abc import Sequence

from bone_age_tf.config import LabelOptions, PrepareConfig
from bone_age_tf.errors import InputDataError
from bone_age_tf.image_files import SourceFile, list_files
from bone_age_tf.labels import LabelTable, read_table
from bone_age_tf.tables import TABLE_SUFFIXES

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """One label table (None: no labels) and the images that it speaks of."""

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


def read_tables(files: Sequence[SourceFile], options: LabelOptions) -> list[LabelTable]:
    """The tables in the source's top folders, those whose header is known."""
    near = [file for file in files if file.suffix in TABLE_SUFFIXES and file.name.count("/") <= 2]
    tables = []
    for file in near:
        try:
            tables.append(read_table(file, options))
        except InputDataError as error:  # notes, drafts, other people's files
            log.info("%s is not taken as a label table: %s", file.name, error)
    return [table for table in tables if table.id_column and (table.age_column or table.sex_column)]


def images_of(config: PrepareConfig, files: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    """The images of `--image-dir`, or of the source."""
    searched = list_files(config.image_dir) if config.image_dir else files
    return tuple(file for file in searched if file.is_image)


def base_name(table: LabelTable) -> str:
    """File name of a table in lower case."""
    return table.name.rsplit("/", 1)[-1].lower()
