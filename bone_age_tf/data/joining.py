"""Radiographs by what tables call them: a file's name, a path, or a number without its leading zeros.

A name with folders is joined by all of them, where the file name alone is that of several radiographs. Nothing is
joined that could as well be another radiograph: `Match` says why not.
"""

import dataclasses
import enum
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from bone_age_tf.files.images import IMAGE_SUFFIXES, SourceFile

Name = tuple[str, ...]
"""Folders and name of a radiograph, the name without the ending of an image."""


def name_in(cell: str) -> Name:
    """The name in a cell of a table: a path with `/` or a backslash, or a file's name alone."""
    path = PurePosixPath(cell.replace("\\", "/"))
    parts = tuple(part for part in path.parts if part not in ("/", "."))
    if not parts:
        return ("",)
    last = path.stem if path.suffix.lower() in IMAGE_SUFFIXES else parts[-1]
    return (*parts[:-1], last)


def identifiers(cells: Sequence[str]) -> list[str]:
    """What the radiographs of a table are called: the file's name without folder and ending.

    Where one name stands in several folders, it is the path, for all. A text without the ending of an image stays as
    it is.
    """
    names = [name_in(cell) for cell in cells]
    by_path = _needs_path(names)
    return [
        "/".join(name) if by_path else name[-1] if _is_image(cell) else cell
        for name, cell in zip(names, cells, strict=True)
    ]


def identifiers_of(files: Sequence[SourceFile]) -> list[str]:
    """What files without a table are called: their names without ending; where these are not unique, their paths.

    Paths below the folder that was searched, or as given where those are not unique either.
    """
    own = [_own(file) for file in files]
    if len({file.stem for file in files}) == len(set(own)) == len({*map(_place, files)}):
        return [file.stem for file in files]
    if len(set(own)) < len({*map(_place, files)}):
        own = [_given(file) for file in files]
    return ["/".join(path).lstrip("/") for path in own]


class How(enum.Enum):
    """How a name of a table found its radiograph, or why not."""

    NAME = "name"
    ZEROS = "zeros"
    """Its number differs by leading zeros only."""
    NONE = "none"
    SEVERAL = "several"
    """Several radiographs have the name."""
    ELSEWHERE = "elsewhere"
    """The path has none, but other folders have the name."""
    ZEROS_UNCLEAR = "zeros unclear"
    """But for leading zeros, several radiographs or several rows have the number."""
    HEADER = "header"
    """A DICOM file has it in its header, as this and the next ones by `dicom_joining`."""
    HEADER_ZEROS = "header zeros"
    """The same, but for leading zeros."""
    SHARED = "shared"
    """Several DICOM files have it in their headers."""
    CONTRADICTION = "contradiction"
    """What the row says is in the headers of different DICOM files."""
    TWO_ROWS = "two rows"
    """Another row means the same DICOM file."""
    NO_DATE = "no date"
    """The study date of the row cannot be read."""


@dataclasses.dataclass(frozen=True)
class Match:
    """The radiograph of a name."""

    how: How
    place: int | None = None
    """Its number in the sequence that was searched; None where there is none for certain."""
    others: tuple[int, ...] = ()
    """Those that it might be."""
    words: str = ""
    """By which attributes of DICOM, and the like, for a message."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a radiograph is."""

    own: Name
    """Below the folder that was searched, or as a table gives it."""
    full: Name
    """From the root of the file system."""


def place_of(file: SourceFile) -> Place:
    """Of a file."""
    return Place(_own(file), _place(file))


def join(names: Sequence[Name], places: Sequence[Place]) -> list[Match]:
    """The radiograph of each name."""
    by_stem, by_number = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for number, place in enumerate(places):
        by_stem[place.own[-1]].append(number)
        by_number[_without_zeros(place.own[-1])].append(number)
    rows_of_number = defaultdict[str, set[str]](set)
    for name in names:
        rows_of_number[_without_zeros(name[-1])].add(name[-1])
    by_path = _needs_path(names)

    def match(name: Name) -> Match:
        if name[-1] in by_stem:
            return _of_same_stem(name, by_stem[name[-1]], places, by_path=by_path)
        number = _without_zeros(name[-1])
        found = () if by_path else tuple(by_number.get(number, ()))
        if not found:
            return Match(How.NONE)
        if len(found) == 1 and len(rows_of_number[number]) == 1:
            return Match(How.ZEROS, found[0])
        return Match(How.ZEROS_UNCLEAR, others=found)

    return [match(name) for name in names]


def _of_same_stem(
    name: Name, found: Sequence[int], places: Sequence[Place], *, by_path: bool
) -> Match:
    fitting = [number for number in found if _fits(name, places[number])]
    if len(name) > 1 and len(fitting) > 1:  # b/1 is b/1.png rather than a/b/1.png
        fitting = [number for number in fitting if places[number].own == name] or fitting
    if len(fitting) == 1:
        return Match(How.NAME, fitting[0])
    if len(found) == 1 and not by_path:  # folders of another machine
        return Match(How.NAME, found[0])
    return Match(How.SEVERAL if fitting or len(name) == 1 else How.ELSEWHERE, others=tuple(found))


def _fits(name: Name, place: Place) -> bool:
    """Whether the path of a table ends in that of the file below its folder, or the file's in the table's."""
    own = place.own
    return place.full[-len(name) :] == name or (len(own) > 1 and name[-len(own) :] == own)


def _needs_path(names: Sequence[Name]) -> bool:
    """Whether a name stands in more than one folder."""
    in_folders: Mapping[str, set[Name]] = defaultdict(set)
    for name in names:
        if len(name) > 1:
            in_folders[name[-1]].add(name)
    return any(len(found) > 1 for found in in_folders.values())


def _is_image(cell: str) -> bool:
    return PurePosixPath(cell.replace("\\", "/")).suffix.lower() in IMAGE_SUFFIXES


def _own(file: SourceFile) -> Name:
    return (*PurePosixPath(file.name).parts[:-1], file.stem)


def _given(file: SourceFile) -> Name:
    folder = PurePosixPath(file.path).parts
    member = PurePosixPath(file.member).parts[:-1] if file.member else ()
    return (*(folder if file.member else folder[:-1]), *member, file.stem)


def _place(file: SourceFile) -> Name:
    start = Path(file.path).absolute().parts[: -len(PurePosixPath(file.path).parts)]
    return (*start, *_given(file))


def _without_zeros(stem: str) -> str:
    """A number without leading zeros; any other text as it is."""
    return (stem.lstrip("0") or "0") if re.fullmatch("[0-9]+", stem) else stem
