"""Layouts of raw data. One module each, which recognises its layout and returns tables and images."""

from bone_age_tf.config import PrepareConfig
from bone_age_tf.data_prep.sources import recipe, rsna, table
from bone_age_tf.data_prep.sources.source import Source
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import kinds, list_files
from bone_age_tf.preprocessing.conversion import READ_FORMATS

_LAYOUTS = (recipe, rsna, table)


def find_source(config: PrepareConfig) -> Source:
    """The source in its own layout. Raises `InputDataError` where no layout fits."""
    files = list_files(config.source)
    for layout in _LAYOUTS:
        source = layout.recognise(config, files)
        if source is not None:
            return source
    raise InputDataError(
        f"{config.source}: no radiographs found. Expected {READ_FORMATS} files in the folder, in its "
        f"subfolders or in a zip. Received {kinds(files)}. "
        "Name the folder of the radiographs with --image-dir where it is elsewhere."
    )
