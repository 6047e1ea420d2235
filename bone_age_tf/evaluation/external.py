"""Predictions that anyone made, in a table, against a table of labels: the same evaluation."""

import dataclasses
import itertools
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.labels import (
    SEX_HEADERS,
    LabelRow,
    LabelTable,
    number_in,
    parse_table,
    read_table,
    summary,
)
from bone_age_tf.data.manifest import sha256_of, write_json
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.evaluation.compare import COMPARISON_SCHEMA, compare_judged
from bone_age_tf.evaluation.evaluate import EVALUATION_SCHEMA
from bone_age_tf.files.images import SourceFile
from bone_age_tf.files.provenance import PROVENANCE, write_provenance
from bone_age_tf.inference import predict as prediction
from bone_age_tf.metrics.predictions import INTERVAL, Judged, tables, write_predictions
from bone_age_tf.record import BONE_AGE_MONTHS

log = logging.getLogger(__name__)


NO_PREDICTIONS = frozenset(prediction.COLUMNS) - {BONE_AGE_MONTHS}
"""Columns that `predict` writes beside the bone age."""


@dataclasses.dataclass(frozen=True)
class TableEvaluation:
    """What was judged."""

    results: dict[str, dict[str, Any]]
    """Column -> its `evaluation.json`."""
    comparisons: list[dict[str, Any]]
    """Of all pairs of columns."""


def evaluate_tables(
    *,
    predictions: str,
    labels: str,
    output: str,
    options: LabelOptions = LabelOptions(),  # noqa: B008 - frozen
    prediction_columns: Sequence[str] = (),
) -> TableEvaluation:
    """Judge columns of `predictions` against `labels`.

    `prediction_columns` empty: every column of numbers that is neither identifier nor sex nor the
    labels themselves. One column is judged into `output`, each of several into a folder of its own
    there, and all pairs are compared (`comparisons/`). Rows are joined by the identifier; those
    that have no partner or no number are counted in `left_out`. Raises `InputDataError` where a
    table cannot be read or no row has a partner.
    """
    rows = _labelled(Path(labels), options)
    table = read_table(_source(Path(predictions)), LabelOptions(id_column=options.id_column))
    if not table.has_ids:
        table = read_table(_source(Path(predictions)), LabelOptions())
    cells = _by_id(table)
    columns = list(prediction_columns) or _columns_of_numbers(table, cells, rows)
    judged, results = {}, {}
    for column in columns:
        judged[column], left_out = _join(table, column, cells, rows)
        results[column] = {
            "schema": EVALUATION_SCHEMA,
            "model": {
                "kind": "predictions",
                "column": column,
                "predictions_sha256": sha256_of(Path(predictions)),
            },
            "target": "bone_age",
            "data": {"labels_sha256": sha256_of(Path(labels)), "split": Path(labels).name},
            "fingerprint": None,
            "left_out": left_out,
            "has_learnt_from_split": None,
            "interval": INTERVAL,
            **tables(judged[column]),
        }
    comparisons = [
        {
            "schema": COMPARISON_SCHEMA,
            "first": first,
            "second": second,
            **compare_judged(judged[first], judged[second]),
        }
        for first, second in itertools.combinations(results, 2)
        if not set(judged[first].ids).isdisjoint(judged[second].ids)
    ]
    _write(Path(output), judged, results, comparisons)
    settings = {"predictions": Path(predictions).name, "labels": Path(labels).name}
    write_provenance(Path(output), "evaluate", **settings, columns=columns)
    return TableEvaluation(results, comparisons)


def _source(path: Path) -> SourceFile:
    return SourceFile(path.name, str(path))


def _labelled(path: Path, options: LabelOptions) -> dict[str, LabelRow]:
    rows, problems = parse_table(read_table(_source(path), options), options)
    if problems:
        raise InputDataError(
            f"{path}: {len(problems)} problems. Mend them, or leave those rows out:\n{summary(problems)}"
        )
    return {row.id: row for row in rows}


def _by_id(table: LabelTable) -> dict[str, Mapping[str, str]]:
    """The rows of the predictions by identifier."""
    if not table.has_ids:
        raise InputDataError(
            f"{table.name}: no column for the identifier among {', '.join(table.table.columns)}. Name it "
            "with --id-column."
        )
    cells: dict[str, Mapping[str, str]] = {}
    for number, identifier in table.ids().items():
        if identifier in cells:
            raise InputDataError(
                f"{table.name}, row {number}: the identifier {identifier!r} stands above already. Expected one "
                "row for each radiograph."
            )
        cells[identifier] = table.table.rows[number]
    return cells


def _columns_of_numbers(
    table: LabelTable, cells: Mapping[str, Mapping[str, str]], rows: Mapping[str, LabelRow]
) -> list[str]:
    """Columns that may be predictions: numbers, and not the labels."""
    found = []
    for column in table.table.columns:
        is_known = column == table.id_column or column in NO_PREDICTIONS
        if is_known or not column or column.strip().lower() in SEX_HEADERS:
            continue
        pairs = [
            (number_in(row[column]), rows[identifier].bone_age_months)
            for identifier, row in cells.items()
            if number_in(row[column]) is not None and identifier in rows
        ]
        bad = [
            row[column] for row in cells.values() if row[column] and number_in(row[column]) is None
        ]
        if not pairs or bad:
            if pairs and len(bad) < len(pairs):
                log.warning(
                    f"{table.name}: the column {column!r} is left out: {bad[0]!r} is no number. Name it with "
                    "--prediction-column if it holds predictions, and leave cells without one empty."
                )
            continue
        if all(math.isclose(number or 0.0, true, abs_tol=0.01) for number, true in pairs):
            log.info(f"{table.name}: the column {column!r} holds the labels themselves: left out.")
            continue
        found.append(column)
    if not found:
        raise InputDataError(
            f"{table.name}: no column of predicted months was found among {', '.join(table.table.columns)} for the "
            f"{len(cells)} rows, of which {len(cells.keys() & rows.keys())} have a label. Name it with "
            "--prediction-column, and the identifier with --id-column."
        )
    return found


def _join(
    table: LabelTable,
    column: str,
    cells: Mapping[str, Mapping[str, str]],
    rows: Mapping[str, LabelRow],
) -> tuple[Judged, dict[str, int]]:
    """Predictions and labels of one column in the order of the labels, and what was left out."""
    if column not in table.table.columns:
        raise UsageError(
            f"--prediction-column {column}: {table.name} has the columns {', '.join(table.table.columns)}."
        )
    joined = []
    for identifier, row in rows.items():
        text = cells[identifier][column] if identifier in cells else ""
        number = number_in(text)
        if text and number is None:
            raise InputDataError(
                f"{table.name}, id {identifier}: the prediction {text!r} in column {column!r} is not a number; "
                "expected months, or an empty cell where there is none."
            )
        if number is not None:
            joined.append((identifier, int(row.sex), row.bone_age_months, number))
    if not joined:
        raise InputDataError(
            f"{table.name}: no prediction in column {column!r} has a label. Expected the same identifiers, as in "
            f"{next(iter(rows), '')!r}; received {next(iter(cells), '')!r}."
        )
    ids, *numbers = zip(*joined, strict=True)
    left_out = {
        "labels_without_prediction": len(rows) - len(joined),
        "predictions_without_label": len(cells.keys() - rows.keys()),
    }
    return Judged(ids, *(np.array(values) for values in numbers)), left_out


def _write(
    folder: Path,
    judged: Mapping[str, Judged],
    results: Mapping[str, dict[str, Any]],
    comparisons: Sequence[dict[str, Any]],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for column, name in _folder_names(results).items():
        result = results[column]
        place = folder if len(results) == 1 else folder / name
        place.mkdir(exist_ok=True)
        write_predictions(place, judged[column], "bone_age")
        write_json(place / "evaluation.json", result)
    for comparison in comparisons:
        name = "-".join(_folder_names(results)[comparison[place]] for place in ("first", "second"))
        (folder / "comparisons").mkdir(exist_ok=True)
        write_json(folder / "comparisons" / f"{name}.json", comparison)


def _folder_names(columns: Iterable[str]) -> dict[str, str]:
    """Column -> the name of its folder: another one for each, and none that is used already."""
    names: dict[str, str] = {}
    for column in columns:
        plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in column).strip(".")
        taken = {"", "comparisons", PROVENANCE, *names.values()}
        choices = itertools.chain([plain], (f"{plain}_{n}" for n in itertools.count(2)))
        names[column] = next(name for name in choices if name not in taken)
    return names
