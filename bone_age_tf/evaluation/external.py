"""Evaluate external predictions, given as a table, against a table of labels."""

import dataclasses
import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bone_age_tf.config import LabelOptions
from bone_age_tf.data import sex_column
from bone_age_tf.data.joining import How, Place, join
from bone_age_tf.data.label_table import LabelTable, column_named, read_table
from bone_age_tf.data.labels import LabelRow, parse_table
from bone_age_tf.data.leakage import TRAINED_ON_SPLIT
from bone_age_tf.data.problems import summary
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.evaluation.compare import COMPARISON_SCHEMA, compare_predictions
from bone_age_tf.evaluation.evaluate import COMMAND, EVALUATION_SCHEMA, RESULTS
from bone_age_tf.evaluation.origin import Origin, is_ours, no_prediction
from bone_age_tf.files.atomic import write_json
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.files.images import SourceFile
from bone_age_tf.files.outputs import claim_output, require_free
from bone_age_tf.files.provenance import PROVENANCE, read_provenance, write_provenance
from bone_age_tf.files.tables import number_in
from bone_age_tf.metrics.baseline import constant_baseline
from bone_age_tf.metrics.bootstrap import CONFIDENCE_INTERVAL
from bone_age_tf.metrics.error_tables import tables
from bone_age_tf.metrics.predictions import COLUMNS, LabelledPredictions, write_predictions
from bone_age_tf.record import BONE_AGE_HIGH, BONE_AGE_LOW, BONE_AGE_MONTHS

log = logging.getLogger(__name__)


COMPARISONS = "comparisons"
NO_PREDICTIONS = frozenset(COLUMNS) - {BONE_AGE_MONTHS}
"""Columns of `predictions.csv` other than the bone age."""


@dataclasses.dataclass(frozen=True)
class TableEvaluation:
    """Results of the evaluation of a table."""

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
    overwrite: bool = False,
) -> TableEvaluation:
    """Evaluate columns of `predictions` against `labels`.

    `prediction_columns` empty: every column of numbers that is neither identifier nor sex nor the
    labels themselves. One column is evaluated into `output`, several columns into one folder each
    there, and all pairs are compared (`comparisons/`). Rows are joined by the identifier; those
    that have no partner or no number are counted in `left_out`. Of the `predictions.csv` of `predict`, the
    results name the model and report data leakage. `overwrite` replaces an earlier evaluation. Raises `InputDataError`
    where a table cannot be read or no row has a partner, `UsageError` where `output` holds results.
    """
    folder, existing = Path(output), _results_in(Path(output))
    require_free(folder, COMMAND, existing, overwrite=overwrite)
    truth = read_table(_source(Path(labels)), options)
    rows = _label_rows(truth, options)
    table = read_table(_source(Path(predictions)), LabelOptions(id_column=options.id_column))
    if not table.has_ids:
        table = read_table(_source(Path(predictions)), LabelOptions())
    cells = _by_id(table, truth)
    columns = [column_named(cells, name) or name for name in prediction_columns]
    columns = columns or _columns_of_numbers(table.name, cells, rows)
    evaluated, results = {}, {}
    for column in columns:
        evaluated[column], left_out = _join(table.name, column, cells, rows)
        origin = Origin.of(Path(predictions)) if is_ours(column, cells) else Origin()
        digests = sha256_of(Path(predictions)), sha256_of(Path(labels))
        results[column] = {
            "model": {
                "kind": "predictions",
                "column": column,
                "predictions_sha256": digests[0],
                **origin.model,
            },
            "data": {"labels_sha256": digests[1], "split": Path(labels).name},
            "left_out": left_out,
            **_result(evaluated[column], origin, cells),
        }
    comparisons = [
        {
            "schema": COMPARISON_SCHEMA,
            "first": first,
            "second": second,
            **compare_predictions(evaluated[first], evaluated[second]),
        }
        for first, second in itertools.combinations(results, 2)
        if not set(evaluated[first].ids).isdisjoint(evaluated[second].ids)
    ]
    claim_output(folder, COMMAND, existing, overwrite=overwrite)
    _write(folder, evaluated, results, comparisons)
    settings = {"predictions": Path(predictions).name, "labels": Path(labels).name}
    write_provenance(folder, COMMAND, **settings, columns=columns, folders=_subfolders(columns))
    return TableEvaluation(results, comparisons)


def _result(
    predictions: LabelledPredictions, origin: Origin, cells: pd.DataFrame
) -> dict[str, Any]:
    """The part of an `evaluation.json` that does not depend on the tables' files."""
    is_trained_on, leakage = origin.leakage(cells, predictions.ids)
    return {
        "schema": EVALUATION_SCHEMA,
        "target": "bone_age",
        "fingerprint": origin.fingerprint,
        TRAINED_ON_SPLIT: is_trained_on,
        "leakage": leakage,
        "confidence_interval": CONFIDENCE_INTERVAL,
        **tables(predictions),
        "constant": constant_baseline(
            predictions.predicted, predictions.true_months, origin.training_mean_months
        ),
    }


def _results_in(folder: Path) -> tuple[str, ...]:
    """What an evaluation leaves in a folder, with the folders that an earlier one made for its columns."""
    try:
        made = read_provenance(folder).get("folders", [])
    except (OSError, ValueError):
        made = []
    return (*RESULTS, COMPARISONS, *made)


def _source(path: Path) -> SourceFile:
    return SourceFile(path.name, str(path))


def _label_rows(table: LabelTable, options: LabelOptions) -> dict[str, LabelRow]:
    rows, problems = parse_table(table, options)
    if problems:
        raise InputDataError(
            f"{table.name}: {len(problems)} problems. Fix them, or leave those rows out:\n{summary(problems)}"
        )
    return {row.id: row for row in rows}


def _by_id(table: LabelTable, truth: LabelTable) -> pd.DataFrame:
    """The text of the predictions; the index is the identifier of the labels, and has the name of its column."""
    if not table.has_ids:
        raise InputDataError(
            f"{table.name}: no column for the identifier among {', '.join(table.table.columns)}. Name it "
            "with --id-column."
        )
    ids = _ids_of_labels(table, truth)
    repeated = ids[ids.duplicated()]
    if len(repeated):
        raise InputDataError(
            f"{table.name}, row {repeated.index[0]}: the identifier {repeated.iloc[0]!r} occurs more than once. "
            "Expected one row for each radiograph."
        )
    return table.table.rows.set_axis(pd.Index(ids, name=table.id_column), axis="index")


def _ids_of_labels(table: LabelTable, truth: LabelTable) -> pd.Series:
    """The identifier of each row: that of the labels where they have the radiograph, otherwise its own."""
    known = truth.ids().tolist()
    matches = join(table.names(), [Place(name, name) for name in truth.names()])
    own = table.ids()
    ids = [
        id if match.place is None else known[match.place]
        for id, match in zip(own, matches, strict=True)
    ]
    zeros = [match.place for match in matches if match.how is How.ZEROS]
    if zeros:
        log.warning(
            f"{table.name}: {len(zeros)} identifiers were joined although they differ from those in {truth.name} by "
            f"leading zeros, as that of {known[zeros[0] or 0]}."
        )
    return pd.Series(ids, own.index, object)


def _columns_of_numbers(name: str, cells: pd.DataFrame, rows: Mapping[str, LabelRow]) -> list[str]:
    """Columns that may be predictions: numbers, and not the labels."""
    true = pd.Series({identifier: row.bone_age_months for identifier, row in rows.items()})
    found = []
    for column, text in cells.items():
        is_known = column == cells.index.name or column in NO_PREDICTIONS
        if is_known or str(column).lower() in sex_column.HEADERS:
            continue
        numbers = text.map(number_in).astype(float)
        labelled = numbers[numbers.notna() & numbers.index.isin(true.index)]
        bad = text[(text != "") & numbers.isna()]
        if labelled.empty or len(bad):
            if len(bad) < len(labelled):
                log.warning(
                    f"{name}: the column {column!r} is left out: {bad.iloc[0]!r} is not a number. Name it with "
                    "--prediction-column if it holds predictions, and leave cells without one empty."
                )
            continue
        if np.isclose(labelled, true[labelled.index], rtol=0, atol=0.01).all():
            log.info(f"{name}: the column {column!r} holds the labels themselves: left out.")
            continue
        found.append(str(column))
    if not found:
        raise InputDataError(
            f"{name}: no column of predicted months was found among {', '.join(cells)} for the "
            f"{len(cells)} rows, of which {cells.index.isin(true.index).sum()} have a label. Name it with "
            "--prediction-column, and the identifier with --id-column."
        )
    return found


def _join(
    name: str, column: str, cells: pd.DataFrame, rows: Mapping[str, LabelRow]
) -> tuple[LabelledPredictions, dict[str, Any]]:
    """Predictions and labels of one column in the order of the labels, and what was left out."""
    if column not in cells:
        raise UsageError(
            f"--prediction-column {column}: {name} has the columns {', '.join(cells)}."
        )
    ids = pd.Index(rows)
    text = cells[column].reindex(ids, fill_value="")
    numbers = text.map(number_in).astype(float)
    bad = text[(text != "") & numbers.isna()]
    if len(bad):
        raise InputDataError(
            f"{name}, id {bad.index[0]}: the prediction {bad.iloc[0]!r} in column {column!r} is not a number; "
            "expected months, or an empty cell where there is none."
        )
    numbers = numbers.dropna()
    if numbers.empty:
        raise InputDataError(
            f"{name}: no prediction in column {column!r} has a label. Expected the same identifiers, as in "
            f"{next(iter(rows), '')!r}; received {next(iter(cells.index), '')!r}."
        )
    joined = [rows[identifier] for identifier in numbers.index]
    predictions = LabelledPredictions.of(
        numbers.index.tolist(),
        np.array([row.sex for row in joined]),
        np.array([row.bone_age_months for row in joined]),
        numbers.to_numpy(),
    )
    if is_ours(column, cells):
        predictions = _of_predict(predictions, cells)
    left_out = {
        "labels": len(rows),
        "labels_without_prediction": len(rows) - len(joined),
        "reasons": no_prediction(cells, ids.difference(numbers.index, sort=False)),
        "predictions_without_label": int((~cells.index.isin(ids)).sum()),
    }
    return predictions, left_out


def _of_predict(predictions: LabelledPredictions, cells: pd.DataFrame) -> LabelledPredictions:
    """The same with the files and the prediction intervals of a `predictions.csv`."""
    rows = cells.loc[predictions.ids]
    ends = {
        name: rows[name].map(number_in).astype(float).to_numpy()
        for name in (BONE_AGE_LOW, BONE_AGE_HIGH)
        if name in rows and (rows[name] != "").all()
    }
    return LabelledPredictions(predictions.table.assign(file=rows["file"].to_numpy(), **ends))


def _write(
    folder: Path,
    evaluated: Mapping[str, LabelledPredictions],
    results: Mapping[str, dict[str, Any]],
    comparisons: Sequence[dict[str, Any]],
) -> None:
    for column, name in _folder_names(results).items():
        result = results[column]
        place = folder if len(results) == 1 else folder / name
        place.mkdir(exist_ok=True)
        write_predictions(place, evaluated[column])
        write_json(place / "evaluation.json", result)
    for comparison in comparisons:
        name = "-".join(_folder_names(results)[comparison[place]] for place in ("first", "second"))
        (folder / COMPARISONS).mkdir(exist_ok=True)
        write_json(folder / COMPARISONS / f"{name}.json", comparison)


def _subfolders(columns: Sequence[str]) -> list[str]:
    """The folders of several columns; one column has none."""
    return [] if len(columns) == 1 else list(_folder_names(columns).values())


def _folder_names(columns: Iterable[str]) -> dict[str, str]:
    """Column -> the name of its folder: another one for each, and none that is used already."""
    names: dict[str, str] = {}
    for column in columns:
        plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in column).strip(".")
        taken = {"", COMPARISONS, PROVENANCE, *names.values()}
        choices = itertools.chain([plain], (f"{plain}_{n}" for n in itertools.count(2)))
        names[column] = next(name for name in choices if name not in taken)
    return names
