"""One shard: a pure function of its rows and the preprocessing configuration.

So a killed run can be resumed, shards can be written in parallel, and Dask or Apache Beam can map
`write_shard` over the tasks on many machines: the bytes are the same.
"""

import dataclasses
import functools
import hashlib
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.data.manifest import Shard
from bone_age_tf.data.problems import Problem
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.data_prep.variants import Variants
from bone_age_tf.dicom import admission
from bone_age_tf.errors import EnvironmentFaultError, InputDataError
from bone_age_tf.files.atomic import write_json
from bone_age_tf.files.hashing import FileEntry, describe_file, find_faults
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.preprocessing.rejections import EXPLANATIONS, OK, rejection_from

DATA_SET_NAME = "bone_age"

PNG_COMPRESSION = 1
"""zlib level: 3.3 ms for a radiograph instead of 33 ms at the default of 6, files a sixth larger."""


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """Everything needed to write one shard, on any machine with access to the files."""

    split: str
    name: str
    folder: str
    rows: tuple[CheckedRow, ...]
    preprocessing: PreprocessingConfig
    encoding: str = "png"
    """Of the records' images, one of `record.ENCODINGS`."""
    accept_dicom: tuple[str, ...] = ()
    """Reasons for which the header of a DICOM file does not reject it."""
    variants: int = 0
    """Of each radiograph, in its record."""


@dataclasses.dataclass(frozen=True)
class ShardResult:
    """A finished shard and the rows that preprocessing rejected."""

    shard: Shard
    rejects: tuple[Problem, ...]


def write_shard(task: ShardTask, on_record: Callable[[], None] | None = None) -> ShardResult:
    """Write the shard, or reuse it if it was finished before.

    The file appears whole or not at all; `NAME.json` marks it as finished. Two processes may write the
    same shard at the same time, as they do where a cluster believes one of them dead. Raises
    `EnvironmentFaultError` where the folder cannot be written to.
    """
    on_record = on_record or _say_nothing
    finished = read_result(task)
    if finished is not None:
        for _ in task.rows:
            on_record()
        return finished
    admission.accept(*task.accept_dicom)  # this may be another machine
    aside = Path(task.folder) / f".{task.name}.{uuid.uuid4().hex}"
    try:
        result = _write(task, aside, on_record)
    except _NOT_WRITTEN as error:
        raise EnvironmentFaultError(
            f"{task.folder}: {task.name} cannot be written ({error.message.rsplit('; ', 1)[-1]}). Free space or "
            "mend the folder, then run the same command again: it resumes."
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return result


_NOT_WRITTEN = (
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
    tf.errors.PermissionDeniedError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,
)
"""What TensorFlow makes of errors of the file system."""


def _say_nothing() -> None:
    """Progress that nobody watches."""


def _write(task: ShardTask, aside: Path, on_record: Callable[[], None]) -> ShardResult:
    folder = Path(task.folder)
    rejects = []
    records = 0
    with tf.io.TFRecordWriter(str(aside)) as writer:
        for row in task.rows:
            serialized = _prepare_record(row, task)
            if isinstance(serialized, Problem):
                rejects.append(serialized)
            else:
                writer.write(serialized)
                records += 1
            on_record()
    with aside.open("rb") as stream:
        os.fsync(stream.fileno())
    entry = describe_file(folder, aside.name)
    shard = Shard(task.name, entry.bytes, entry.sha256, task.split, records)
    result = ShardResult(shard, tuple(rejects))
    aside.replace(folder / task.name)
    write_json(aside, dataclasses.asdict(result))
    aside.replace(_note(task))
    return result


def read_result(task: ShardTask) -> ShardResult | None:
    """The result of an earlier run for this task; None where the file is missing or incomplete."""
    try:
        values = json.loads(_note(task).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    shard = Shard(**values["shard"])
    rejects = tuple(Problem(**problem) for problem in values["rejects"])
    entry = FileEntry(shard.name, shard.bytes, shard.sha256)
    if any(find_faults(Path(task.folder), (entry,))):
        return None
    return ShardResult(shard, rejects)


def _note(task: ShardTask) -> Path:
    return Path(task.folder) / f"{task.name}.json"


def _prepare_record(row: CheckedRow, task: ShardTask) -> bytes | Problem:
    try:
        reason, pictures = _pictures(row, task)
    except InputDataError as error:
        return _reject(row, "unreadable", str(error))
    except tf.errors.InvalidArgumentError as error:
        return _reject(row, *rejection_from(error))
    if reason != OK:
        return _reject(row, reason, EXPLANATIONS[reason])
    image, *variants = (_encode(picture, task.encoding) for picture in pictures)
    return record.serialize(
        id=row.id,
        image=image,
        sex=row.label.sex,
        bone_age_months=row.label.bone_age_months,
        variants=variants,
    )


def _pictures(row: CheckedRow, task: ShardTask) -> tuple[str, list[tf.Tensor]]:
    """Status; the prepared radiograph, and its variants where it is not rejected, uint8 [*frame, 1]."""
    encoded = row.file.read()
    if row.sha256 and hashlib.sha256(encoded).hexdigest() != row.sha256:
        raise InputDataError(f"{row.file.name}: the file has changed since it was checked.")
    if not task.variants:
        prepared = _preprocessor(task.preprocessing).graph(encoded)
        return prepared.status.numpy().decode(), [prepared.image]
    maker = _variants(task.preprocessing)
    found = maker.find(encoded)
    status = found.status.numpy().decode()
    made = maker.make(found, row.sha256, task.variants) if status == OK else ()
    return status, [found.image, *made]


# A task names its configuration alone, and a worker process makes many shards.
_preprocessor = functools.cache(Preprocessor)
_variants = functools.cache(Variants)


def _encode(picture: tf.Tensor, encoding: str) -> bytes:
    if encoding == "raw":
        return picture.numpy().tobytes()
    return tf.io.encode_png(picture, compression=PNG_COMPRESSION).numpy()


def _reject(row: CheckedRow, code: str, message: str) -> Problem:
    return Problem(row.label.table, row.label.row, row.id, row.file.name, code, message)
