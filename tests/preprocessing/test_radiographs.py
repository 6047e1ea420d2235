import dataclasses
import threading
from pathlib import Path

import pytest
import tensorflow as tf

from bone_age_tf.errors import InputDataError
from bone_age_tf.preprocessing import radiographs
from bone_age_tf.preprocessing.radiographs import (
    find_radiographs,
    prepare_file,
    prepare_files,
    read_radiograph,
)
from bone_age_tf.preprocessing.rejections import Rejection, rejection_from


@dataclasses.dataclass(frozen=True)
class Written:
    """A file whose content is its name."""

    name: str

    def read(self) -> bytes:
        if self.name == "lost":
            raise InputDataError("lost: cannot be read.")
        return self.name.encode()


def length(encoded: bytes) -> int | Rejection:
    if encoded == b"bad":
        return Rejection("too_small", "it is")
    return Rejection("blank", "nothing in it") if encoded == b"blank" else len(encoded)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("abc", 3),
        ("blank", Rejection("blank", "nothing in it")),
        ("bad", Rejection("too_small", "it is")),
        ("lost", Rejection("unreadable", "lost: cannot be read.")),
        ("a/../../b", Rejection("unsafe_name", "the name inside the zip points out of it")),
    ],
)
def test_a_file_is_prepared_or_rejected(name: str, made: int | Rejection) -> None:
    radiograph = prepare_file(Written(name), length)
    assert radiograph.made == made
    unread = name in ("lost", "a/../../b")
    assert radiograph.encoded == (b"" if unread else name.encode())
    assert isinstance(read_radiograph(Written(name)), Rejection) == unread


def test_many_keep_their_order_and_are_prepared_side_by_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(radiographs, "FILES_IN_PARALLEL", 2)
    meet = threading.Barrier(2, timeout=20)
    files = [Written("a" * number) for number in (1, 2, 3, 4)]

    def together(encoded: bytes) -> int:
        meet.wait()
        return len(encoded)

    batches = list(prepare_files(files, together))
    assert [[one.made for one in batch] for batch in batches] == [[1, 2], [3, 4]]


def test_what_is_rejected_before_is_not_read() -> None:
    no_sex = Rejection("no_sex", "no sex was given")
    known = {"lost": no_sex}
    (batch,) = prepare_files(
        map(Written, ["a", "lost"]), length, rejected=lambda file: known.get(file.name)
    )
    assert [one.made for one in batch] == [1, no_sex]


def test_paths_without_radiographs_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no radiograph")
    with pytest.raises(InputDataError, match=r"No radiographs found in .*Received 1 file: 1 \.txt"):
        find_radiographs([tmp_path])
    (tmp_path / "a.png").write_bytes(b"")
    assert [file.name for file in find_radiographs([tmp_path, tmp_path / "notes.txt"])] == [
        "a.png",
        "notes.txt",
    ]


def test_an_assertion_without_our_words_is_a_damaged_file() -> None:
    error = tf.errors.InvalidArgumentError(None, None, "Invalid PNG data, size 99")
    assert rejection_from(error) == Rejection("damaged", "the pixels cannot be decoded")
