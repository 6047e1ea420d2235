"""Radiographs -> months, by an exported model whose files are what its manifest says."""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.labels import LabelRow, Problem, rows_by_id
from bone_age_tf.data.manifest import (
    MANIFEST,
    sha256_of,
    written_whole,
)
from bone_age_tf.errors import InputDataError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.images import SourceFile, is_safe, radiographs_in
from bone_age_tf.files.provenance import write_provenance
from bone_age_tf.growth.reference_standards import compare_with_age
from bone_age_tf.metrics.predictions import OK, PREDICTIONS, csv_text, table_of
from bone_age_tf.postprocessing.conformal import DEFAULT_COVERAGE
from bone_age_tf.preprocessing.decoding import Refusal
from bone_age_tf.record import (
    BONE_AGE_HIGH,
    BONE_AGE_LOW,
    BONE_AGE_MONTHS,
    BOY_PROBABILITY,
    sex_from_label,
)

BATCH_SIZE = 16
"""Radiographs in one call of the network, and files prepared side by side."""

SEX_LOOKS_WRONG = "sex_looks_wrong"
SURE_OF_SEX = 0.95
"""Probability of the other sex above which the given one looks wrong; of models with a sex classifier."""
INFANT = "infant"
REFUSED = "refused"


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The answer for one radiograph: a row of `predictions.csv`, and of a DataFrame of many.

    Unlike `LabelledPredictions` it may be refused, and needs no label.
    """

    id: str
    file: str
    sex: str
    bone_age_months: float | None
    bone_age_low_months: float | None
    """Lower end of the interval; None for a refused radiograph and of a model without intervals."""
    bone_age_high_months: float | None
    bone_age_months_true: float | None
    chronological_age_months: float | None
    difference_months: float | None
    """Bone age minus chronological age; this and the next as `growth/reference_standards.py` defines them."""
    sd_score: float | None
    verdict: str
    """Empty, or `delayed`, `average`, `advanced`."""
    verdict_probability: float | None
    status: str
    """`ok` or `refused`."""
    reason: str
    """Empty, or a reason code with its explanation."""
    warning: str = ""
    """Empty, or of `sex_looks_wrong` (the bone age is that for the given sex all the same) and `infant`
    (too young for a verdict to mean much), with a blank between."""


@dataclasses.dataclass(frozen=True)
class PredictReport:
    """How many radiographs got a bone age."""

    predicted: int
    refused: int
    first: tuple[Prediction, ...]
    """The first rows, for a look."""
    table: pd.DataFrame
    """All rows, in the columns of `Prediction`: text, or float64 with NaN where there is no number."""
    warnings: int = 0
    """How many of the predicted have a warning."""
    version: str = ""
    """Of the model that answered."""


def predict(
    paths: Sequence[str],
    *,
    model: str,
    output: str,
    sex: str | None = None,
    labels: str | None = None,
    label_options: LabelOptions = LabelOptions(unlabelled=True),  # noqa: B008
    chronological_age_months: float | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> PredictReport:
    """Predict files, folders and zips; every file is a row of `predictions.csv`.

    Sex and chronological age come from the label table, and from `sex` and `chronological_age_months`
    where the table has no row or no age.
    Memory grows with the number of files by their rows alone.
    """
    start = time.monotonic()
    exported = ExportedModel.open(model)
    files = [file for path in paths for file in radiographs_in(path)]
    if not files:
        raise InputDataError(f"No PNG or JPEG files found in {', '.join(paths)}.")
    known = read_labels(labels, label_options)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    notify = on_progress or (lambda stage, done, total: None)
    notify("predict", 0, len(files))
    given = _Given(sex, chronological_age_months)
    rows: list[Prediction] = []
    with (  # opened first: a folder that cannot be written to is an error before the work
        written_whole(folder / PREDICTIONS) as csv_file,
        written_whole(folder / "predictions.jsonl") as lines,
    ):
        for row in _predict_rows(exported, files, known, given):
            rows.append(row)
            notify("predict", len(rows), len(files))
        values = [dataclasses.asdict(row) for row in rows]
        table = table_of(values)
        csv_file.write(csv_text(table))
        lines.writelines(json.dumps(row, allow_nan=False) + "\n" for row in values)
    counts = {status: sum(row.status == status for row in rows) for status in (OK, REFUSED)}
    warnings = sum(bool(row.warning) for row in rows)
    write_provenance(
        folder,
        "predict",
        model={
            "version": exported.folder.name,
            "manifest_sha256": sha256_of(exported.folder / MANIFEST),
            "fingerprint": exported.fingerprint,
        },
        sex=sex,
        files=len(files),
        counts=counts,
        warnings=warnings,
        seconds=round(time.monotonic() - start, 3),
    )
    return PredictReport(
        predicted=counts[OK],
        refused=counts[REFUSED],
        first=tuple(rows[:20]),
        table=table,
        warnings=warnings,
        version=exported.folder.name,
    )


@dataclasses.dataclass(frozen=True)
class _Given:
    """What holds for every radiograph of which the table does not say it."""

    sex: str | None
    chronological_age_months: float | None


@dataclasses.dataclass(frozen=True)
class Labels:
    """Rows of a label table by identifier, and the problems of those that cannot be used."""

    rows: Mapping[str, LabelRow]
    problems: Mapping[str, Problem]


def read_labels(path: str | None, options: LabelOptions) -> Labels:
    """The label table of radiographs that need none; without a path, an empty one."""
    if path is None:
        return Labels({}, {})
    options = dataclasses.replace(options, unlabelled=True)
    return Labels(*rows_by_id(SourceFile(Path(path).name, path), options))


def _predict_rows(
    model: ExportedModel, files: Sequence[SourceFile], labels: Labels, given: _Given
) -> Iterator[Prediction]:
    remaining = iter(files)
    with ThreadPoolExecutor() as pool:
        while batch := list(islice(remaining, BATCH_SIZE)):
            sexes = [sex_of(file, labels, given.sex) for file in batch]
            prepared = list(
                pool.map(
                    lambda file, known: (
                        known if isinstance(known, Refusal) else _prepare(model, file)
                    ),
                    batch,
                    sexes,
                )
            )
            yield from (
                compared(row, _age_of(row, labels, given), model.coverage)
                for row in _rows(model, batch, sexes, prepared, labels)
            )


def _rows(
    model: ExportedModel,
    files: Sequence[SourceFile],
    sexes: Sequence[str | Refusal],
    prepared: Sequence[np.ndarray | Refusal],
    labels: Labels,
) -> Iterator[Prediction]:
    """The rows of one batch: months for what could be prepared, the reason for the rest."""
    outcomes: list[Mapping[str, float] | Refusal] = [
        made if isinstance(made, Refusal) else {} for made in prepared
    ]
    usable = [number for number, made in enumerate(prepared) if not isinstance(made, Refusal)]
    if usable:
        images = np.stack([prepared[number] for number in usable])
        answer = model.answers_of_prepared(images, [str(sexes[number]) for number in usable])
        for row, number in enumerate(usable):
            outcomes[number] = {name: float(values[row]) for name, values in answer.items()}
    for file, sex, outcome in zip(files, sexes, outcomes, strict=True):
        label = labels.rows.get(file.stem)
        true = label.bone_age_months if label else math.nan
        told = "" if isinstance(sex, Refusal) else sex
        yield dataclasses.replace(
            prediction_of(file.name, file.stem, told, outcome),
            bone_age_months_true=None if math.isnan(true) else true,
        )


def prediction_of(
    file: str, id: str, sex: str, outcome: Mapping[str, float] | Refusal
) -> Prediction:
    """The row of a file from the model's outputs by name, or why there are none."""
    is_refused = isinstance(outcome, Refusal)
    answer: Mapping[str, float] = {} if isinstance(outcome, Refusal) else outcome
    return Prediction(
        file=file,
        id=id,
        sex=sex,
        bone_age_months=answer.get(BONE_AGE_MONTHS),
        bone_age_low_months=_end(answer.get(BONE_AGE_LOW)),
        bone_age_high_months=_end(answer.get(BONE_AGE_HIGH)),
        bone_age_months_true=None,
        chronological_age_months=None,
        difference_months=None,
        sd_score=None,
        verdict="",
        verdict_probability=None,
        status=REFUSED if is_refused else OK,
        reason=f"{outcome.reason}: {outcome.explanation}" if isinstance(outcome, Refusal) else "",
        warning=_warning(sex, answer[BOY_PROBABILITY]) if BOY_PROBABILITY in answer else "",
    )


def compared(row: Prediction, age: float | None, coverage: float | None) -> Prediction:
    """The row beside the chronological age in months, where there is one."""
    if age is None or row.bone_age_months is None:
        return dataclasses.replace(row, chronological_age_months=age)
    found = compare_with_age(
        row.bone_age_months,
        age,
        sex_from_label(row.sex),
        low_months=row.bone_age_low_months,
        high_months=row.bone_age_high_months,
        coverage=coverage or DEFAULT_COVERAGE,
    )
    warnings = filter(None, [row.warning, INFANT if found.is_infant else ""])
    return dataclasses.replace(
        row,
        chronological_age_months=age,
        difference_months=found.difference_months,
        sd_score=found.sd_score,
        verdict=found.verdict or "",
        verdict_probability=found.verdict_probability,
        warning=" ".join(warnings),
    )


def _age_of(row: Prediction, labels: Labels, given: _Given) -> float | None:
    """The chronological age of the table's row, or the one that holds for all."""
    label = labels.rows.get(row.id)
    age = label.chronological_age_months if label else math.nan
    return given.chronological_age_months if math.isnan(age) else age


def _end(months: float | None) -> float | None:
    """The end of an interval, where there is one."""
    return None if months is None or months < 0 else months


def _warning(sex: str, boy_probability: float) -> str:
    other = {"F": boy_probability, "M": 1 - boy_probability}.get(sex, 0.0)
    return SEX_LOOKS_WRONG if other > SURE_OF_SEX else ""


def sex_of(file: SourceFile, labels: Labels, sex: str | None) -> str | Refusal:
    """The sex of the table's row, or `sex` where there is none; or why the file is refused."""
    if file.stem in labels.problems:
        return Refusal("bad_label", labels.problems[file.stem].message)
    if file.stem in labels.rows:
        return labels.rows[file.stem].sex.label
    if sex is None:
        return Refusal(
            "no_sex", "no row in the label table for this file, and no --sex for the rest"
        )
    return sex


def _prepare(model: ExportedModel, file: SourceFile) -> np.ndarray | Refusal:
    if not is_safe(file):
        return Refusal("unsafe_name", "the name inside the zip points out of it")
    try:
        return model.prepare(file.read())
    except InputDataError as error:
        return Refusal("unreadable", str(error))
