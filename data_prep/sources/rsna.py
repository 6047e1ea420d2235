"""RSNA Pediatric Bone Age Challenge 2017: Kaggle's layout and the files of RSNA itself.

| set        | table                                                   | columns                                         |
|------------|---------------------------------------------------------|-------------------------------------------------|
| training   | `boneage-training-dataset.csv`, or RSNA's `train.csv`   | id, boneage, male                               |
| validation | `Validation Dataset.csv`                                | Image ID, male, Bone Age (months)               |
| test       | `Bone age ground truth.xlsx`, or the same as CSV        | Case ID, Sex, Ground truth bone age (months)    |

The images lie in folders or unopened zips whose names hold `training`, `validation` or `test`.
Halabi SS et al., Radiology 2018;290(2):498-503.
"""

import dataclasses
from collections.abc import Sequence

from bone_age_tf.config import PrepareConfig
from bone_age_tf.data_prep.sources.source import LabelledImages, Source, images_of, read_tables
from bone_age_tf.files.images import SourceFile

_SETS = {
    frozenset({"id", "boneage", "male"}): ("training", "train"),
    frozenset({"image id", "male", "bone age (months)"}): ("validation", "validation"),
    frozenset({"case id", "sex", "ground truth bone age (months)"}): ("test", "test"),
}


def recognise(config: PrepareConfig, files: Sequence[SourceFile]) -> Source | None:
    """The challenge's files, where a table has exactly the columns of one of its sets."""
    if config.labels:
        return None
    images = images_of(config, files)
    parts = []
    for table in read_tables(files, config.label_options):
        found = _SETS.get(frozenset(header.strip().lower() for header in table.table.columns))
        if found:
            name, split = found
            parts.append(LabelledImages(table, _images_of_set(name, images), split))
    if len({part.split for part in parts}) < len(parts):
        return None  # two tables for one set: the user has to name one
    if len(parts) == 1:
        parts = [dataclasses.replace(parts[0], split=None)]
    return Source("rsna", tuple(parts)) if parts and images else None


def _images_of_set(name: str, images: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    """The images below a folder or zip named for the set; all of them where none is."""
    inside = tuple(file for file in images if name in file.name.rsplit("/", 1)[0].lower())
    return inside or tuple(images)
