"""Columns of a label table with the heights of the child and its parents, for the predicted adult height."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.label_table import HEIGHT_HEADERS, HEIGHT_NAMES, LabelTable
from bone_age_tf.data.problems import Problem
from bone_age_tf.files.tables import number_in

CENTIMETRES = {"cm": 1.0, "m": 100.0, "in": 2.54}
"""In one of `config.HEIGHT_UNITS`."""
_OTHER_UNITS = (
    ("metres", "m", 0.3, 2.6),
    ("feet", None, 2.6, 8.6),
    ("millimetres", None, 300, 2600),
)
"""Name, its `--height-unit`, and the numbers that are heights in it and in no other. Inches are small children's
centimetres: they are noticed where the bone age is known."""
_PERSONS = {"": "child's height", "mother_": "mother's height", "father_": "father's height"}
_UNIT_WORDS = {"cm": "centimetres", "m": "metres", "in": "inches"}


def height_columns(labels: LabelTable) -> Iterator[tuple[str, str, str | None, Mapping[str, str]]]:
    """What it is, its option, the column's name and the names that are recognized with their units, for each."""
    for person, what in _PERSONS.items():
        name = f"{person}height_column"
        yield what, f"--{name.replace('_', '-')}", getattr(labels, name), HEIGHT_HEADERS[name]


def height_unit_problems(labels: LabelTable, options: LabelOptions) -> Iterator[Problem]:
    """One problem for each column of heights that by its name or evidently is not in the unit of the options."""
    for what, _, column, known in height_columns(labels):
        named = known.get((column or "").strip().lower())
        if named not in (None, options.height_unit or "cm"):
            message = _another_unit(named, options)
        elif options.height_unit is None:
            message = _evident_unit(labels.table.rows.get(column, ()), is_named=named is not None)
        else:
            message = ""
        if message:
            text = f"the column {column!r} of the {what} is {message}"
            yield Problem(labels.name, 1, "", "", "height_unit", text)


def _another_unit(named: str, options: LabelOptions) -> str:
    """Of a name that tells another unit than the options."""
    received = f"in {_UNIT_WORDS[named]} by its name"
    if options.height_unit is None:
        return f"{received}; expected centimetres. Pass --height-unit {named} to convert"
    return (
        f"{received}; --height-unit {options.height_unit} says {_UNIT_WORDS[options.height_unit]}. "
        "Correct one of them; all heights of a table are in one unit"
    )


def _evident_unit(cells: Iterable[str], *, is_named: bool) -> str:
    """Of numbers that are heights in another unit than centimetres; empty where they are not."""
    numbers = [number for number in map(number_in, cells) if number]
    for unit, option, low, high in _OTHER_UNITS:
        if numbers and low <= min(numbers) <= max(numbers) <= high:
            convert = f"Pass --height-unit {option} to convert" if option else "Convert them"
            if is_named:
                convert = "Correct its name or its numbers"
            return f"evidently in {unit} (largest value {max(numbers):g}); expected centimetres. {convert}"
    return ""


def heights_in(
    labels: LabelTable, cells: Mapping[str, str], options: LabelOptions
) -> tuple[float | str, float | str, float | str]:
    """Of the child, its mother and its father in a row: centimetres, or the cell where it has no number."""
    child, mother, father = (
        _centimetres(cells.get(column or "", ""), options)
        for _, _, column, _ in height_columns(labels)
    )
    return child, mother, father


def _centimetres(cell: str, options: LabelOptions) -> float | str:
    number = number_in(cell)
    return cell if number is None else number * CENTIMETRES[options.height_unit or "cm"]


def unread_heights(labels: LabelTable) -> list[str]:
    """Columns that may be heights, but have no known unit in their names; of those whose heights are not read."""
    read = {column for _, _, column, _ in height_columns(labels)}
    names = [
        name
        for option, known in HEIGHT_NAMES.items()
        if getattr(labels, option) is None
        for name in known
    ]
    return [
        column
        for column in labels.table.columns
        if column not in read
        and any(_is_named(column, name) for name in names)
        and _has_heights(labels.table.rows[column])
    ]


def _is_named(column: str, name: str) -> bool:
    """Whether the column is of that name, or begins with it, as `height (ft)`."""
    given = column.strip().lower()
    return given.startswith(name) and not given[len(name) :][:1].isalnum()


def _has_heights(cells: Sequence[str]) -> bool:
    """Whether the numbers may be heights of persons in some unit, not those of pictures."""
    numbers = [number for number in map(number_in, cells) if number is not None]
    return bool(numbers) and max(numbers) <= 260 and min(numbers) > 0
