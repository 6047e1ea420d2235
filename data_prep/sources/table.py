"""Any folder of radiographs with a label table, or with none where the data are for prediction."""

from collections.abc import Sequence
from pathlib import Path

from bone_age_tf.config import PrepareConfig
from bone_age_tf.data.label_table import LabelTable, read_table
from bone_age_tf.data_prep.sources.source import (
    LabelledImages,
    Source,
    images_of,
    read_tables,
    why_no_table,
)
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile


def recognise(config: PrepareConfig, files: Sequence[SourceFile]) -> Source | None:
    """The given table, the only table in the source, or images alone."""
    images = images_of(config, files)
    if not images:
        return None
    if config.labels:
        named = SourceFile(Path(config.labels).name, config.labels)
        return Source("table", (LabelledImages(read_table(named, config.label_options), images),))
    tables = read_tables(files, config.label_options)
    if not tables and not config.label_options.unlabelled:
        raise InputDataError(_no_table(config, why_no_table(files, config.label_options)))
    return Source("table", (LabelledImages(_only(tables, config), images),))


def _only(tables: Sequence[LabelTable], config: PrepareConfig) -> LabelTable | None:
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables)
        raise InputDataError(
            f"{config.source}: more than one label table ({names}). Name the right one with --labels."
        )
    return tables[0] if tables else None


def _no_table(config: PrepareConfig, not_taken: Sequence[str]) -> str:
    return (
        f"{config.source}: radiographs but no label table found. Expected a CSV or Excel table with an "
        "identifier (the file's name without its ending; of DICOM files also SOP Instance UID, Accession Number, or "
        "Patient ID and Study Date), bone age in months and, but for DICOM files, sex. Name it with --labels, and its "
        "columns with --id-column, --age-column and --sex-column; or pass --unlabelled if the data are only for "
        "prediction." + "".join(f"\nNot used: {reason}" for reason in not_taken)
    )
