from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf.data.tfrecords import RecordFiles

COUNTS = (5, 0, 1, 40)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of 5, 0, 1 and 40 records of any length, some empty, some ending in NUL."""
    folder = tmp_path_factory.mktemp("records")
    random = np.random.default_rng(0)
    paths = []
    for number, count in enumerate(COUNTS):
        paths.append(folder / f"{number}.tfrecord")
        with tf.io.TFRecordWriter(str(paths[-1])) as writer:
            for row in range(count):
                content = random.bytes(int(random.integers(0, 3000))) if row % 7 != 3 else b""
                writer.write(content + b"\0" * (row % 3))
    return paths


@pytest.fixture(scope="module")
def expected(paths: list[Path]) -> list[Any]:
    """What TensorFlow reads."""
    names = [str(path) for path in paths]
    return list(tf.data.TFRecordDataset(names).as_numpy_iterator())


@pytest.fixture(params=[False, True], ids=["disk", "memory"])
def files(request: pytest.FixtureRequest, paths: list[Path]) -> RecordFiles:
    return RecordFiles(paths, in_memory=request.param)


def test_records_are_those_of_tensorflow(files: RecordFiles, expected: list[bytes]) -> None:
    assert len(files) == len(expected) == sum(COUNTS)
    assert files.read(np.arange(len(files))).tolist() == expected


def test_records_come_in_the_order_that_is_asked_for(
    files: RecordFiles, expected: list[bytes]
) -> None:
    numbers = np.array([45, 0, 7, 7, 3, 5, 45])
    assert files.read(numbers).tolist() == [expected[number] for number in numbers]
    nothing = files.read(np.array([], int))
    assert nothing.shape == (0,)
    assert nothing.dtype == object


def test_first_is_the_number_of_each_file_s_first_record(
    files: RecordFiles, paths: list[Path]
) -> None:
    assert files.first.tolist() == [0, 5, 5, 6]
    for path, first, count in zip(paths, files.first, COUNTS, strict=True):
        alone = RecordFiles([path])
        assert len(alone) == count
        numbers = np.arange(count)
        assert alone.read(numbers).tolist() == files.read(first + numbers).tolist()


def test_only_an_empty_file(paths: list[Path]) -> None:
    for in_memory in (False, True):
        files = RecordFiles([paths[1]], in_memory=in_memory)
        assert len(files) == 0
        assert files.first.tolist() == [0]


def test_a_number_that_there_is_not(files: RecordFiles) -> None:
    with pytest.raises(IndexError):
        files.read(np.array([len(files)]))


def test_threads_may_read_at_the_same_time(files: RecordFiles, expected: list[bytes]) -> None:
    orders = [np.random.default_rng(seed).permutation(len(files)) for seed in range(200)]
    with ThreadPoolExecutor(8) as pool:
        for order, records in zip(orders, pool.map(files.read, orders), strict=True):
            assert records.tolist() == [expected[number] for number in order]


def test_bytes_arrive_whole_in_tf_data(files: RecordFiles, expected: list[bytes]) -> None:
    numbers = tf.data.Dataset.range(len(files)).batch(5)
    records = numbers.map(
        lambda rows: tf.numpy_function(files.read, [rows], tf.string), num_parallel_calls=4
    )
    assert [one for batch in records.as_numpy_iterator() for one in batch] == expected
