"""A data set that changed since it was written is an error that names the file."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from bone_age_tf.data.manifest import MANIFEST, load_data_set
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.atomic import written_whole


@pytest.fixture
def data_set(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the prepared data set that a test may damage."""
    return Path(shutil.copytree(prepared, tmp_path / "data"))


def _truncate(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:-7])


def _cut_at_a_record(shard: Path) -> None:
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(shard))]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in records[:-1]:
            writer.write(record)


def _flip_one_bit(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)


def _overwrite_by_another(shard: Path) -> None:
    other = next(path for path in shard.parent.glob("*.tfrecord-*") if path != shard)
    shutil.copyfile(other, shard)


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        _cut_at_a_record,
        _flip_one_bit,
        _overwrite_by_another,
        lambda shard: shard.write_bytes(b""),
        Path.unlink,
    ],
    ids=["truncated", "cut-at-a-record", "bit-flipped", "overwritten", "emptied", "deleted"],
)
def test_damaged_shard_is_rejected_by_name(data_set: Path, damage: Callable[[Path], None]) -> None:
    first, *others = sorted(data_set.glob("*.tfrecord-*"))
    damage(first)
    with pytest.raises(InputDataError) as caught:
        load_data_set(data_set)
    assert first.name in str(caught.value)
    assert not any(other.name in str(caught.value) for other in others)


@pytest.mark.parametrize(
    "name", ["bone_age-train.tfrecord-00000-of-00002 (1)", "bone_age-extra.tfrecord-00000-of-00001"]
)
def test_duplicated_shard_is_rejected_by_name(data_set: Path, name: str) -> None:
    shutil.copyfile(next(data_set.glob("*.tfrecord-*")), data_set / name)
    with pytest.raises(InputDataError) as caught:
        load_data_set(data_set)
    assert f"{name}: not in the manifest" in str(caught.value)


def test_every_damaged_shard_is_named(data_set: Path) -> None:
    shards = sorted(data_set.glob("*.tfrecord-*"))
    _flip_one_bit(shards[0])
    shards[1].unlink()
    with pytest.raises(InputDataError) as caught:
        load_data_set(data_set)
    assert all(shard.name in str(caught.value) for shard in shards[:2])


def test_untouched_data_set_holds(data_set: Path) -> None:
    manifest = load_data_set(data_set)
    assert sum(manifest.splits.values()) == 40
    assert {shard.name for shard in manifest.shards} == {
        path.name for path in data_set.glob("*.tfrecord-*")
    }


def test_split_that_is_not_there_is_rejected_with_those_that_are(data_set: Path) -> None:
    with pytest.raises(InputDataError, match=r"no split 'tests'.*train, validation, test"):
        load_data_set(data_set).shards_of("tests")


def test_folder_without_a_manifest_is_no_data_set(data_set: Path) -> None:
    (data_set / MANIFEST).unlink()
    with pytest.raises(InputDataError, match=MANIFEST):
        load_data_set(data_set)


@pytest.mark.parametrize("content", ["", "{", "{}", '{"schema": "bone-age-tf/data-set/0"}'])
def test_manifest_that_cannot_be_read_is_rejected_by_name(data_set: Path, content: str) -> None:
    (data_set / MANIFEST).write_text(content)
    with pytest.raises(InputDataError, match=MANIFEST):
        load_data_set(data_set)


def test_file_written_whole_stays_as_it_was_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), written_whole(path) as stream:
        stream.write("half")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
