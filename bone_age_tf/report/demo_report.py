"""What `bone-age-tf demo` did, as one HTML page: radiographs, learning curve, evaluation, predictions, explanation."""

import base64
import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from markupsafe import Markup

from bone_age_tf.inference.saliency import ZONES
from bone_age_tf.metrics.baseline import is_no_better
from bone_age_tf.metrics.predictions import read_predictions
from bone_age_tf.report import figures
from bone_age_tf.report.page import embedded, write_page

PAGE = "demo.html"
TABLE, IMAGES = "boneage-training-dataset.csv", "boneage-training-dataset"
SHOWN = 8
"""Radiographs of the training data on the page, from the youngest to the oldest."""
HEIGHT = 300
"""Of a radiograph on the page, in pixels."""


@dataclasses.dataclass(frozen=True)
class DemoResult:
    """Result of the demo."""

    mae_months: float
    low: float | None
    high: float | None
    """95 % confidence interval of the mean absolute error; None where there are too few radiographs."""
    constant_mae_months: float
    """MAE of predicting the mean bone age of the training split, on the same radiographs."""
    is_no_better: bool
    """Whether the model is no better than that constant."""
    test_radiographs: int
    seconds: float


def read_demo_result(output: Path, seconds: float) -> DemoResult:
    """The result of the evaluation in the folder of a demo that took `seconds`."""
    result = json.loads((output / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    manifest = json.loads((output / "prepared" / "manifest.json").read_text(encoding="utf-8"))
    true = read_predictions(output / "evaluation").true_months
    constant = float(np.abs(true - manifest["labels"]["train"]["mean_months"]).mean())
    mae = result["overall"]["mae_months"]
    no_better = is_no_better(result["constant"])
    return DemoResult(
        mae["value"], mae["low"], mae["high"], constant, no_better, len(true), seconds
    )


def write_demo_page(output: Path, result: DemoResult, steps: Sequence[tuple[str, str]]) -> Path:
    """Write `demo.html` into the folder of a finished demo; `steps`: a sentence and its command each."""
    predictions = read_predictions(output / "evaluation")
    history = pd.read_csv(output / "run" / "history.csv")
    write_page(
        output / PAGE,
        "demo.html",
        result=result,
        steps=steps,
        samples=_samples(output / "phantoms"),
        splits=_splits(output / "prepared"),
        prepared=_prepared(output / "evaluation"),
        epochs=len(history),
        curves=Markup(figures.learning_curve(history, result.constant_mae_months)),
        scatter=Markup(figures.true_and_predicted(predictions)),
        bland_altman=Markup(figures.bland_altman(predictions)),
        predicted=_predicted(output),
        explained=_explained(output / "explained"),
        zones=ZONES,
    )
    return output / PAGE


def _samples(phantoms: Path) -> list[dict[str, Any]]:
    """Radiographs of both sexes in turn, from the youngest to the oldest."""
    table = pd.read_csv(phantoms / TABLE).sort_values("boneage")
    months = np.linspace(table.boneage.min(), table.boneage.max(), SHOWN)
    shown = []
    for place, wanted in enumerate(months):
        same = table[table.male == bool(place % 2)]
        same = table if same.empty else same
        row = same.loc[(same.boneage - wanted).abs().idxmin()]
        source = _radiograph(phantoms / IMAGES / f"{row.id}.png")
        shown.append(
            {"source": source, "months": row.boneage, "sex": "boy" if row.male else "girl"}
        )
    return shown


def _radiograph(path: Path) -> str:
    """A file as a data URL, at most `HEIGHT` pixels high."""
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    scale = min(1.0, HEIGHT / pixels.shape[0])
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return _jpeg(small)


def _jpeg(pixels: np.ndarray) -> str:
    encoded = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, 88))[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"


def _splits(prepared: Path) -> dict[str, int]:
    manifest = json.loads((prepared / "manifest.json").read_text(encoding="utf-8"))
    return {name: manifest["labels"][name]["count"] for name in ("train", "validation", "test")}


def _prepared(evaluation: Path) -> list[dict[str, Any]]:
    """The test radiographs with the smallest and the largest errors, as the network received them."""
    result = json.loads((evaluation / "evaluation.json").read_text(encoding="utf-8"))
    by_id = {one["id"]: one for one in [*result["best"], *result["worst"]]}
    entries = sorted(by_id.values(), key=_error)
    shown = entries if len(entries) <= SHOWN else [*entries[: SHOWN // 2], *entries[-SHOWN // 2 :]]
    return [{**one, "source": embedded(evaluation / one["picture"])} for one in shown]


def _error(row: dict[str, Any]) -> float:
    return abs(row["bone_age_months"] - row["bone_age_months_true"])


def _predicted(output: Path) -> list[dict[str, Any]]:
    lines = (output / "predictions" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    images = output / "new" / IMAGES
    return [{**row, "source": _radiograph(images / f"{row['id']}.png")} for row in rows]


def _explained(folder: Path) -> list[dict[str, Any]]:
    with (folder / "explanations.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if not row["reason"]]
    for row in rows:
        pixels = cv2.imread(str(folder / row["picture"]))
        assert pixels is not None
        row["source"] = _jpeg(pixels)
    return rows
