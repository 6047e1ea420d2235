"""The manifest of a prepared data set: `manifest.json` with size and sha256 of every shard.

It is written last: a folder without it is incomplete. An exported model has a `manifest.json` of the
same kind (`export/exported_model.py`).
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bone_age_tf import config as configuration
from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.atomic import write_json
from bone_age_tf.files.hashing import FileEntry, find_faults

MANIFEST = "manifest.json"
SPLITS = "splits.csv"
"""In the folder of a data set: id, sex, bone age, split and patient of every radiograph."""
DATA_SET_SCHEMA = "bone-age-tf/data-set/1"


@dataclasses.dataclass(frozen=True)
class Shard(FileEntry):
    """One TFRecord file of a split."""

    split: str
    records: int


@dataclasses.dataclass(frozen=True)
class DataSetManifest:
    """What `prepare` wrote, from which source, and which rows and radiographs it left out."""

    fingerprint: str
    """Fingerprint of the preprocessing; models trained with another one cannot be used with this data set."""
    preprocessing: PreprocessingConfig
    shards: tuple[Shard, ...]
    labels: Mapping[str, Mapping[str, float]]
    """Per split: number of labelled records, mean and standard deviation of their bone age."""
    plan: str
    """sha256 of the rows, the files' sha256 and the settings; equal plans give equal data sets."""
    config: Mapping[str, Any]
    """The settings of `prepare` that decided the content."""
    source: Mapping[str, Any]
    """Layout and tables."""
    rejects: tuple[Mapping[str, Any], ...]
    """Every row or file that was left out, with the reason."""
    schema: str = DATA_SET_SCHEMA

    @property
    def splits(self) -> dict[str, int]:
        """Number of records of each split."""
        counts: dict[str, int] = {}
        for shard in self.shards:
            counts[shard.split] = counts.get(shard.split, 0) + shard.records
        return counts

    @property
    def encoding(self) -> str:
        """Of the records' images: `png` or `raw`. Data sets without this setting: `png`."""
        return self.config.get("encoding", "png")

    @property
    def variants(self) -> int:
        """Variants of each record's image, for training."""
        return self.config.get("variants", 0)

    def shards_of(self, split: str) -> list[Shard]:
        """The shards of a split in order. Raises `InputDataError` where there is no such split."""
        shards = [shard for shard in self.shards if shard.split == split]
        if not shards:
            raise InputDataError(
                f"The data set has no split {split!r}. It has: {', '.join(self.splits)}."
            )
        return shards

    def write(self, folder: Path) -> None:
        """Write `manifest.json`, after everything else in the data set."""
        write_json(folder / MANIFEST, dataclasses.asdict(self))


def load_data_set(folder: str | Path) -> DataSetManifest:
    """The manifest of a data set whose files are all present and unchanged.

    Raises `InputDataError` naming every file that is missing or has changed.
    """
    folder = Path(folder)
    values = _read(folder, "a complete data set, as written by `bone-age-tf prepare`")
    if values.get("schema") != DATA_SET_SCHEMA:
        raise InputDataError(
            f"{folder / MANIFEST}: expected schema {DATA_SET_SCHEMA}, received {values.get('schema')}. "
            "Prepare the data set again with this version."
        )
    preprocessing = configuration.from_dict(PreprocessingConfig, values["preprocessing"])
    values["preprocessing"] = preprocessing.resolved(folder)
    values["shards"] = tuple(Shard(**shard) for shard in values["shards"])
    values["rejects"] = tuple(values["rejects"])
    manifest = DataSetManifest(**values)
    faults = list(find_faults(folder, manifest.shards))
    named = {shard.name for shard in manifest.shards}
    faults += [
        f"{path.name}: not in the manifest"
        for path in sorted(folder.glob("*.tfrecord-*"))
        if path.name not in named
    ]
    if faults:
        raise InputDataError(
            f"{folder}: files of the data set are missing or have changed:\n  "
            + "\n  ".join(faults)
            + "\nPrepare it again into an empty folder, or copy it again."
        )
    return manifest


def _read(folder: Path, expected: str) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise InputDataError(f"{folder}: expected {expected}. There is no {MANIFEST} in it.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputDataError(f"{path}: not readable as JSON ({error}).") from error
