"""A radiograph is found by name, path or number, or it is said why not."""

from pathlib import PurePosixPath

import pytest

from bone_age_tf.data.joining import (
    How,
    Match,
    identifiers,
    identifiers_of,
    join,
    name_in,
    place_of,
)
from bone_age_tf.files.images import SourceFile

FOLDER = "XR_HAND"
MURA = ("patient00018/study1/image1.png", "patient00025/study1/image1.png")


def files(*names: str, folder: str = FOLDER) -> list[SourceFile]:
    return [SourceFile(name, f"{folder}/{name}") for name in names]


def joined(cells: list[str], of: list[SourceFile]) -> list[Match]:
    return join([name_in(cell) for cell in cells], [place_of(file) for file in of])


def places(cells: list[str], of: list[SourceFile]) -> list[int | None]:
    return [match.place for match in joined(cells, of)]


# === Identifiers ===


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.png", "images/2.PNG", "b\\3.jpg", "4"], ["1", "2", "3", "4"]),
        (list(MURA), [str(PurePosixPath(name).with_suffix("")) for name in MURA]),
        (["a\\1.png", "b\\1.png", "2"], ["a/1", "b/1", "2"]),
        (["a/1", "b/1"], ["a/1", "b/1"]),
        (["2019/123"], ["2019/123"]),
        (["a/1.png", "a/1.png"], ["1", "1"]),
        (["", "./a/1.png", "/b/1.png"], ["", "a/1", "b/1"]),
    ],
)
def test_identifiers_are_paths_only_where_names_are_in_several_folders(
    cells: list[str], expected: list[str]
) -> None:
    assert identifiers(cells) == expected


def test_files_without_a_table_are_told_apart_by_their_paths() -> None:
    assert identifiers_of(files("a.png", "deeper/c.jpeg")) == ["a", "c"]
    assert identifiers_of(files("1.png", "1.jpg")) == ["1", "1"]
    assert identifiers_of(files("a/1.png", "b/1.png", "2.png")) == ["a/1", "b/1", "2"]
    named = [SourceFile("1.png", f"{folder}/1.png") for folder in ("a", "b")]
    assert identifiers_of(named) == ["a/1", "b/1"]


# === Paths ===


@pytest.mark.parametrize("prefix", ["", "XR_HAND/", "MURA-v1.1\\train\\XR_HAND\\", "./"])
@pytest.mark.parametrize("ending", [".png", ""])
def test_paths_find_files_of_one_name(prefix: str, ending: str) -> None:
    cells = [prefix + name.removesuffix(".png") + ending for name in reversed(MURA)]
    assert places(cells, files(*MURA)) == [1, 0]


def test_a_part_of_the_path_is_enough_where_it_is_unique() -> None:
    assert places(["p2/1.png", "p1/1.png"], files("site/p1/1.png", "site/p2/1.png")) == [1, 0]


def test_files_given_one_by_one_are_found_by_their_place() -> None:
    given = [SourceFile("image1.png", f"data/{name}") for name in MURA]
    assert places(list(MURA), given) == [0, 1]


def test_a_path_that_is_not_there_takes_no_other_file_of_that_name() -> None:
    found = joined([MURA[0], "patient00099/study1/image1.png"], files(*MURA))
    assert found == [Match(How.NAME, 0), Match(How.ELSEWHERE, others=(0, 1))]
    (match, *_) = joined(["p1/1.png", "p2/1.png"], files("p2/1.png"))
    assert match.place is None


def test_folders_of_another_machine_do_not_matter_where_the_name_is_unique() -> None:
    assert places(["D:\\export\\7.png", "8.png"], files("hands/7.png", "8.jpg")) == [0, 1]


def test_a_name_of_several_files_is_unclear_without_its_folder() -> None:
    assert joined(["image1.png"], files(*MURA)) == [Match(How.SEVERAL, others=(0, 1))]


def test_a_path_is_that_file_rather_than_one_deeper() -> None:
    assert places(["b/1.png", "a/b/1.png"], files("a/b/1.png", "b/1.png")) == [1, 0]


# === Leading zeros ===


def test_numbers_are_joined_in_spite_of_leading_zeros() -> None:
    found = joined(["12", "107", "0"], files("00012.png", "00107.png", "000.png"))
    assert [(match.how, match.place) for match in found] == [(How.ZEROS, n) for n in range(3)]
    assert places(["00012"], files("12.png")) == [0]


def test_the_same_number_as_it_is_written_goes_first() -> None:
    assert joined(["12"], files("012.png", "12.png")) == [Match(How.NAME, 1)]


@pytest.mark.parametrize(
    ("cells", "names"),
    [(["12"], ["012.png", "0012.png"]), (["12", "012"], ["0012.png"])],
    ids=["two files", "two rows"],
)
def test_numbers_that_fit_twice_are_unclear(cells: list[str], names: list[str]) -> None:
    found = joined(cells, files(*names))
    assert {match.how for match in found} == {How.ZEROS_UNCLEAR}


def test_a_row_does_not_take_the_file_of_another_by_its_zeros() -> None:
    first, second = joined(["12", "012"], files("012.png"))
    assert (first.how, second) == (How.ZEROS_UNCLEAR, Match(How.NAME, 0))


def test_letters_are_never_joined_by_zeros() -> None:
    assert places(["a1"], files("a01.png")) == [None]
