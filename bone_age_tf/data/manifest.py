"""Manifests: what a folder must hold, and whether it does.

A data set and an exported model each have a `manifest.json` with the bytes and sha256 of every
file, written last: a folder without it is not finished.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bone_age_tf import config as configuration
from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.atomic import write_json, write_text, written_whole  # noqa: F401
from bone_age_tf.files.versions import versions  # noqa: F401

MANIFEST = "manifest.json"
SPLITS = "splits.csv"
"""Beside a data set's manifest: id, sex, bone age, split and patient of every radiograph."""
DATA_SET_SCHEMA = "bone-age-tf/data-set/1"


@dataclasses.dataclass(frozen=True)
class FileEntry:
    """One file that a manifest vouches for."""

    name: str
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Shard(FileEntry):
    """One TFRecord file of a split."""

    split: str
    records: int


@dataclasses.dataclass(frozen=True)
class DataSetManifest:
    """What `prepare` made, from what, and what it refused."""

    fingerprint: str
    """Fingerprint of the preprocessing; a model made for another one is refused."""
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
        """Of the records' images: `png` or `raw`. Data sets of before there was a choice: `png`."""
        return self.config.get("encoding", "png")

    def shards_of(self, split: str) -> list[Shard]:
        """The shards of a split in order. Raises `InputDataError` where there is no such split."""
        shards = [shard for shard in self.shards if shard.split == split]
        if not shards:
            raise InputDataError(
                f"The data set has no split {split!r}. It has: {', '.join(self.splits)}."
            )
        return shards

    def write(self, folder: Path) -> None:
        """Write `manifest.json`; the last thing that a data set gets."""
        write_json(folder / MANIFEST, dataclasses.asdict(self))


def load_data_set(folder: str | Path) -> DataSetManifest:
    """The manifest of a data set, every file of which is there, whole and unchanged.

    Raises `InputDataError` naming every file that is not.
    """
    folder = Path(folder)
    values = _read(folder, "a data set that `bone-age-tf prepare` finished")
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
            f"{folder}: the data set is not as it was written:\n  "
            + "\n  ".join(faults)
            + "\nPrepare it again into an empty folder, or copy it again."
        )
    return manifest


def find_faults(folder: Path, entries: tuple[FileEntry, ...]) -> Iterator[str]:
    """A line for every file that is missing, of another size, or of other content."""
    for entry in entries:
        path = folder / entry.name
        if not path.is_file():
            yield f"{entry.name}: missing"
        elif path.stat().st_size != entry.bytes:
            yield f"{entry.name}: {path.stat().st_size} bytes, expected {entry.bytes}"
        elif sha256_of(path) != entry.sha256:
            yield f"{entry.name}: content changed (sha256)"


def sha256_of(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def describe_file(folder: Path, name: str) -> FileEntry:
    """Size and sha256 of a file as they are now."""
    path = folder / name
    return FileEntry(name, path.stat().st_size, sha256_of(path))


def _read(folder: Path, expected: str) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise InputDataError(f"{folder}: expected {expected}. There is no {MANIFEST} in it.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputDataError(f"{path}: not readable as JSON ({error}).") from error
