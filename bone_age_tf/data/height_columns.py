"""Columns of a label table with the heights of the child and its parents, for the predicted adult height."""

from collections.abc import Iterator, Mapping, Sequence

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.label_table import HEIGHT_HEADERS, LabelTable
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
_UNIT_WORDS = ("height", "stature", "größe", "groesse", "talla", "estatura", "taille")


def height_columns(labels: LabelTable) -> Iterator[tuple[str, str, str | None, Sequence[str]]]:
    """What it is, its option, the column's name and the names that are recognized, for each."""
    for person, what in _PERSONS.items():
        name = f"{person}height_column"
        yield what, f"--{name.replace('_', '-')}", getattr(labels, name), HEIGHT_HEADERS[name]


def height_unit_problems(labels: LabelTable, options: LabelOptions) -> Iterator[Problem]:
    """One problem for each column of heights that is evidently not in centimetres and has no named unit."""
    if options.height_unit is not None:
        return
    for what, _, column, _ in height_columns(labels):
        cells = map(number_in, labels.table.rows.get(column, ()))
        numbers = [number for number in cells if number]
        for unit, option, low, high in _OTHER_UNITS:
            if numbers and low <= min(numbers) <= max(numbers) <= high:
                convert = f"Pass --height-unit {option} to convert" if option else "Convert them"
                message = (
                    f"the column {column!r} of the {what} is evidently in {unit} (largest value {max(numbers):g}); "
                    f"expected centimetres. {convert}"
                )
                yield Problem(labels.name, 1, "", "", "height_unit", message)


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


def unread_height(labels: LabelTable) -> str | None:
    """A column that may be the child's height, but has no unit in its name; None where one is read, or there is none."""
    if labels.height_column is not None:
        return None
    for column in labels.table.columns:
        words = column.lower().replace("(", " ").replace("_", " ").split()
        if words and words[0] in _UNIT_WORDS and _has_heights(labels.table.rows[column]):
            return column
    return None


def _has_heights(cells: Sequence[str]) -> bool:
    """Whether the numbers may be heights of persons in some unit, not those of pictures."""
    numbers = [number for number in map(number_in, cells) if number is not None]
    return bool(numbers) and max(numbers) <= 260 and min(numbers) > 0
