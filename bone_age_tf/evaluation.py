"""A model against the labels of a split: `evaluation.json`, `predictions.csv`, `run.json`."""

import csv
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bone_age_tf import metrics, record
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.exported_model import ExportedModel
from bone_age_tf.input_pipeline import PreparedRadiographs
from bone_age_tf.manifest import MANIFEST, sha256_of, versions, write_json, written_whole
from bone_age_tf.record import SEX_NAMES, Sex
from bone_age_tf.runs import RUN_FILE, Run

EVALUATION_SCHEMA = "bone-age-tf/evaluation/1"
BATCH_SIZE = 16

MonthsOf = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Prepared radiographs uint8 [N, height, width, 1] and sex int32 [N] -> months [N]."""


@dataclasses.dataclass(frozen=True)
class Judged:
    """The predictions for a split, in the order of the records."""

    ids: Sequence[str]
    sex: np.ndarray
    true_months: np.ndarray
    predicted_months: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """Predicted minus true, months."""
        return self.predicted_months - self.true_months


def evaluate(
    *,
    model: str,
    data: str,
    output: str,
    split: str = "test",
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Judge a run folder or an exported model on a labelled split; returns `evaluation.json`.

    Raises `ModelRefusedError` where the model was made for another preprocessing, `InputDataError`
    where the data set is not whole or the split has no labels.
    """
    radiographs = PreparedRadiographs.open(data)
    radiographs.require_labels(split)
    months_of, identity = _load(model, radiographs)
    judged = _judge(months_of, radiographs, split, on_progress or (lambda stage, done, total: None))
    result = {
        "schema": EVALUATION_SCHEMA,
        "model": identity,
        "data": {"plan": radiographs.manifest.plan, "split": split},
        "fingerprint": radiographs.manifest.fingerprint,
        "interval": f"{metrics.COVERAGE:.0%} bootstrap, {metrics.RESAMPLES} resamples of radiographs",
        **_tables(judged),
    }
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    _write_predictions(folder / "predictions.csv", judged)
    write_json(folder / "evaluation.json", result)
    settings = {"model": Path(model).name, "data": Path(data).name, "split": split}
    write_json(folder / "run.json", {"command": "evaluate", **settings, "versions": versions()})
    return result


def _load(model: str, radiographs: PreparedRadiographs) -> tuple[MonthsOf, dict[str, str]]:
    """The model as a function, and what identifies it."""
    if (Path(model) / RUN_FILE).exists():
        run = Run.open(model)
        _require_same_preprocessing(model, run.fingerprint, radiographs)
        network = run.load_model()

        def months_of_run(images: np.ndarray, sex: np.ndarray) -> np.ndarray:
            inputs = {record.IMAGE: images, record.SEX: sex}
            return network.predict_on_batch(inputs)

        return months_of_run, {"kind": "run", "weights_sha256": run.weights_sha256()}
    exported = ExportedModel.open(model)
    _require_same_preprocessing(model, exported.fingerprint, radiographs)

    def months_of_export(images: np.ndarray, sex: np.ndarray) -> np.ndarray:
        return exported.months_of_prepared(images, [SEX_NAMES[code] for code in sex])

    return months_of_export, {
        "kind": "export",
        "weights_sha256": exported.manifest["weights_sha256"],
        "manifest_sha256": sha256_of(exported.folder / MANIFEST),
    }


def _require_same_preprocessing(
    model: str, fingerprint: str, radiographs: PreparedRadiographs
) -> None:
    if fingerprint != radiographs.manifest.fingerprint:
        raise ModelRefusedError(
            f"{model} was trained on radiographs prepared in another way "
            f"(fingerprint {fingerprint[:12]}) than {radiographs.folder} "
            f"({radiographs.manifest.fingerprint[:12]}). Prepare the data with the settings of the "
            "model's own data set: --scale and --preprocess."
        )


def _judge(
    months_of: MonthsOf,
    radiographs: PreparedRadiographs,
    split: str,
    notify: Callable[[str, int, int], None],
) -> Judged:
    ids: list[str] = []
    columns: list[tuple[np.ndarray, ...]] = []
    total = radiographs.count(split)
    notify("evaluate", 0, total)
    for batch in radiographs.examples(split).batch(BATCH_SIZE).as_numpy_iterator():
        predicted = months_of(batch[record.IMAGE], batch[record.SEX])
        columns.append((batch[record.SEX], batch[record.BONE_AGE_MONTHS], predicted))
        ids += [identifier.decode() for identifier in batch[record.ID]]
        notify("evaluate", len(ids), total)
    sex, true, predicted = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Judged(ids, sex, true.astype(np.float64), predicted.astype(np.float64))


def _tables(judged: Judged) -> dict[str, Any]:
    """Every statistic overall, by sex, by age band, and by both."""
    order = np.argsort(judged.true_months, kind="stable")
    errors = judged.errors[order]
    sexes = np.array([Sex(code).label for code in judged.sex[order]])
    bands = np.array([metrics.age_band(age) for age in judged.true_months[order]])
    both = np.array([f"{sex}, {band}" for sex, band in zip(sexes, bands, strict=True)])
    return {
        "overall": metrics.summarize(errors),
        "by_sex": metrics.by_group(errors, sexes),
        "by_age_band": metrics.by_group(errors, bands),
        "by_sex_and_age_band": metrics.by_group(errors, both),
    }


def _write_predictions(path: Path, judged: Judged) -> None:
    with written_whole(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "sex", "bone_age_months_true", "bone_age_months"])
        for identifier, sex, true, predicted in zip(
            judged.ids, judged.sex, judged.true_months, judged.predicted_months, strict=True
        ):
            writer.writerow([identifier, Sex(sex).label, f"{true:g}", f"{predicted:.2f}"])
