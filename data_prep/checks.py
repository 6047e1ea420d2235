"""Checks of the label tables and their files, before any radiograph is prepared."""

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from bone_age_tf.config import FRAME_HEIGHT, FRAME_WIDTH, LabelOptions
from bone_age_tf.data.file_labels import join_table, without_file
from bone_age_tf.data.joining import How, Match
from bone_age_tf.data.label_table import LabelTable
from bone_age_tf.data.labels import LabelRow, parse_table
from bone_age_tf.data.problems import Problem
from bone_age_tf.data.stratification import shuffle_key
from bone_age_tf.data_prep.near_duplicates import MAX_COMPARED, difference_hash
from bone_age_tf.data_prep.pseudonyms import Pseudonyms
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.data_prep.sources.source import LabelledImages, Source
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile
from bone_age_tf.preprocessing import decoding as radiograph
from bone_age_tf.preprocessing.conversion import to_png
from bone_age_tf.preprocessing.rejections import Rejection
from bone_age_tf.sex import sex_from_label

OnProgress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Content:
    """What is kept of a file that was read."""

    sha256: str
    difference_hash: bytes


def check(
    source: Source,
    options: LabelOptions,
    *,
    limit: int | None,
    seed: int,
    jobs: int,
    on_progress: OnProgress | None = None,
) -> tuple[list[CheckedRow], list[Problem]]:
    """The rows without a problem, and every problem, ordered by table and row.

    The tables are checked as a whole. With a limit, that many rows are sampled with the seed and only
    their files are read; otherwise every file of the source is.
    """
    problems: list[Problem] = []
    rows: list[CheckedRow] = []
    for part in source.parts:
        part_rows, part_problems = _check_part(part, options, source.pseudonyms)
        rows += part_rows
        problems += part_problems
    problems += _ids_in_two_tables(rows)
    problems += _groups_in_two_splits(rows)
    sound = sorted(without(rows, problems), key=lambda row: shuffle_key(seed, row.id))
    selected = sound[:limit]
    images = dict.fromkeys(image for part in source.parts for image in part.images)
    files = [row.file for row in selected] if limit else list(images)
    contents = _read_files(files, source.is_registered, jobs, on_progress)
    owners = {row.file: row for row in rows}
    readable = []
    for file, content in contents.items():
        if isinstance(content, Rejection):
            problems.append(_file_problem(file, owners.get(file), content))
    for row in selected:
        content = contents[row.file]
        if isinstance(content, Content):
            readable.append(dataclasses.replace(row, **dataclasses.asdict(content)))
    problems += _same_picture(readable)
    return without(readable, problems), sorted(set(problems))


def _check_part(
    part: LabelledImages, options: LabelOptions, pseudonyms: Pseudonyms
) -> tuple[list[CheckedRow], list[Problem]]:
    if part.table is None:
        return _without_table(part, options, pseudonyms)
    if not part.table.has_ids:
        return [], parse_table(part.table, options)[1]
    files = [pseudonyms.original(image) for image in part.images]
    headers = pseudonyms.headers(part.images)
    joined = join_table(part.table, files, headers)
    file_of = {row: part.images[m.place] for row, m in joined.items() if m.place is not None}
    told = pseudonyms.sexes({row: file_of.get(row) for row in joined}, options.sex)
    labels, problems = parse_table(part.table, options, told if pseudonyms.files else None)
    problems += [
        problem
        for problem in without_file(part.table, joined, files, headers)
        if joined[problem.row].how is not How.SEVERAL  # reported once, of the files
    ]
    if pseudonyms.files:
        problems = [pseudonyms.without_identity(p, file_of.get(p.row)) for p in problems]
    rows = [
        pseudonyms.named(CheckedRow(label, file_of[label.row], part.split), options.sex)
        for label in labels
        if label.row in file_of
    ]
    problems += _files_without_row(part.table, list(joined.values()), part.images)
    return rows, problems + list(_of_other_sex(part.table, rows, options))


def _without_table(
    part: LabelledImages, options: LabelOptions, pseudonyms: Pseudonyms
) -> tuple[list[CheckedRow], list[Problem]]:
    sex = sex_from_label(options.sex or "unknown")
    told = pseudonyms.sexes(dict(enumerate(part.images)), options.sex)
    by_id: dict[str, list[int]] = defaultdict(list)
    for place, identifier in enumerate(pseudonyms.identifiers(part.images)):
        by_id[identifier].append(place)
    rows = [
        CheckedRow(
            LabelRow(identifier, told.get(places[0], sex), float("nan"), "", 0),
            part.images[places[0]],
            part.split,
        )
        for identifier, places in sorted(by_id.items())
        if len(places) == 1
    ]
    problems = [
        problem
        for places in by_id.values()
        for problem in _images_of_one_name([part.images[place] for place in places])
    ]
    return [pseudonyms.named(row, options.sex) for row in rows], problems


def _files_without_row(
    table: LabelTable, matches: Sequence[Match], images: Sequence[SourceFile]
) -> Iterator[Problem]:
    """The images that no row means, and those of which a row may mean any."""
    taken = {match.place for match in matches}
    unclear = {match.others for match in matches if match.how is How.SEVERAL}
    for places in sorted(unclear):
        yield from _images_of_one_name([images[place] for place in places if place not in taken])
    named = taken.union(*unclear)
    for place, file in enumerate(images):
        if place not in named:
            message = f"no row in {table.name} for this image"
            yield Problem("", 0, file.stem, file.name, "no_row", message)


def _images_of_one_name(files: Sequence[SourceFile]) -> Iterator[Problem]:
    for file in files[1:]:
        if file.name == files[0].name:  # the id of both
            message = "another file has the same SOP Instance UID. Keep one of them"
            yield Problem("", 0, file.stem, file.name, "two_images", message)
            continue
        message = (
            f"two images for one identifier; the other is {files[0].name}. Name files of the same name in different "
            "folders by path in the table"
        )
        yield Problem("", 0, file.stem, file.name, "two_images", message)


def _of_other_sex(
    table: LabelTable, rows: Sequence[CheckedRow], options: LabelOptions
) -> Iterator[Problem]:
    cells = table.table.rows.get(table.sex_column, {})
    for row in rows:
        is_told = cells.get(row.label.row, "") != ""
        if is_told and options.sex is not None and row.label.sex.label != options.sex:
            message = (
                f"the sex in the table is {row.label.sex.label}, but --sex {options.sex} says it of every row. "
                "Leave --sex out, or correct the table"
            )
            yield _problem(row, "other_sex", message)


def _ids_in_two_tables(rows: Sequence[CheckedRow]) -> Iterator[Problem]:
    first: dict[str, LabelRow] = {}
    for row in rows:
        earlier = first.setdefault(row.id, row.label)
        if earlier is not row.label:
            message = f"the identifier is also in {earlier.table}, row {earlier.row}"
            yield _problem(row, "duplicate_id", message)


def _groups_in_two_splits(rows: Sequence[CheckedRow]) -> Iterator[Problem]:
    """Every row of a patient who is in more than one split by the split column or the layout."""
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        splits[row.label.group].add(row.label.split or row.split or "")
    for row in rows:
        found = splits[row.label.group]
        if row.label.group and len(found) > 1:
            message = f"the group {row.label.group!r} is in the splits {', '.join(sorted(found))}"
            yield _problem(row, "group_in_two_splits", message)


def _read_files(
    files: Sequence[SourceFile], is_registered: bool, jobs: int, on_progress: OnProgress | None
) -> dict[SourceFile, Content | Rejection]:
    """Read every file once: its hashes, or the reason why it is rejected.

    Pixels are decoded for the difference hash, and only where it will be compared.
    """
    notify = on_progress or (lambda done, total: None)
    notify(0, len(files))
    is_compared = len(files) <= MAX_COMPARED
    contents = {}
    with ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda file: _read_file(file, is_registered, is_compared), files)
        for done, (file, content) in enumerate(zip(files, results, strict=True), start=1):
            contents[file] = content
            notify(done, len(files))
    return contents


def _read_file(file: SourceFile, is_registered: bool, is_compared: bool) -> Content | Rejection:
    try:
        encoded = file.read()
    except InputDataError as error:
        return Rejection("unreadable", str(error))
    png = to_png(encoded)
    if isinstance(png, Rejection):
        return png
    rejection = radiograph.find_rejection(png)
    if rejection:
        return rejection
    if is_registered and radiograph.image_size(png) != (FRAME_HEIGHT, FRAME_WIDTH):
        return Rejection(
            "not_registered",
            f"expected a registered radiograph of {FRAME_HEIGHT} x {FRAME_WIDTH} like the others",
        )
    difference = difference_hash(png) if is_compared else b""
    return Content(hashlib.sha256(encoded).hexdigest(), difference)


def _file_problem(file: SourceFile, row: CheckedRow | None, rejection: Rejection) -> Problem:
    if row is not None:
        return _problem(row, *rejection)
    return Problem("", 0, file.stem, file.name, *rejection)


def _same_picture(rows: Sequence[CheckedRow]) -> Iterator[Problem]:
    """All but the first of equal files; the first too, where their labels disagree."""
    by_content: dict[str, list[CheckedRow]] = defaultdict(list)
    for row in rows:
        by_content[row.sha256].append(row)
    for found in by_content.values():
        copies = sorted(found, key=lambda row: (row.label.table, row.label.row))
        labels = {(row.label.sex, str(row.label.bone_age_months)) for row in copies}
        agree = len(labels) == 1
        for row in copies[1 if agree else 0 :]:
            other = copies[0] if row is not copies[0] else copies[1]
            message = (
                f"the same picture as {other.file.name} (id {other.id}, row {other.label.row}), "
                f"{'same' if agree else 'other'} label"
            )
            yield _problem(row, "same_picture", message)


def _problem(row: CheckedRow, code: str, message: str) -> Problem:
    return Problem(row.label.table, row.label.row, row.id, row.file.name, code, message)


def without(rows: Iterable[CheckedRow], problems: Iterable[Problem]) -> list[CheckedRow]:
    """The rows that no problem is about."""
    bad = {(problem.table, problem.row, problem.id) for problem in problems}
    return [row for row in rows if (row.label.table, row.label.row, row.id) not in bad]
