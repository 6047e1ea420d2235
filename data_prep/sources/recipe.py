"""The layout of ml-recipe-bone-age: `train.csv` + `train/`, optionally `test.csv` + `test/`.

Its radiographs are registered and segmented already, in a frame of 2080 x 1600 pixels.
"""

import dataclasses
from collections.abc import Sequence

from bone_age_tf.config import FRAME_HEIGHT, FRAME_WIDTH, PrepareConfig
from bone_age_tf.data_prep.sources.source import LabelledImages, Source, base_name, read_tables
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile
from bone_age_tf.preprocessing.conversion import to_png
from bone_age_tf.preprocessing.decoding import image_size
from bone_age_tf.preprocessing.rejections import Rejection

_SPLITS = ("train", "test")


def recognise(config: PrepareConfig, files: Sequence[SourceFile]) -> Source | None:
    """This layout, where `train.csv` and images in `train/` lie in the source."""
    if config.labels or config.image_dir:
        return None
    tables = {base_name(table): table for table in read_tables(files, config.label_options)}
    parts = []
    for split in _SPLITS:
        images = tuple(
            file for file in files if file.name.split("/")[-2:-1] == [split] and file.is_image
        )
        if f"{split}.csv" in tables and images:
            parts.append(LabelledImages(tables[f"{split}.csv"], images, split))
    if not parts or parts[0].split != "train":
        return None
    if len(parts) == 1:
        parts = [dataclasses.replace(parts[0], split=None)]
    sizes = (_size(image) for part in parts for image in part.images)
    first = next((size for size in sizes if size is not None), None)
    return Source("recipe", tuple(parts), is_registered=first == (FRAME_HEIGHT, FRAME_WIDTH))


def _size(image: SourceFile) -> tuple[int, int] | None:
    """Height and width, None where the file cannot be read."""
    try:
        png = to_png(image.read())
    except InputDataError:
        return None
    return None if isinstance(png, Rejection) else image_size(png)
