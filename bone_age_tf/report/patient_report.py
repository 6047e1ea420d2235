"""The result of `predict` as one HTML report for each radiograph."""

import base64
import datetime
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from bone_age_tf.config.choices import SD_SCORE_CONVENTION
from bone_age_tf.data.dicom_headers import is_dicom, names_of
from bone_age_tf.errors import InputDataError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.model_card import performance_summary
from bone_age_tf.files.atomic import written_whole
from bone_age_tf.files.images import safe_name
from bone_age_tf.files.provenance import read_provenance
from bone_age_tf.growth.reference_standards import LIMIT_SD, sd_at
from bone_age_tf.inference.prediction import growth_of
from bone_age_tf.inference.saliency import Explanation, explain_prepared, on_original, over
from bone_age_tf.inference.sentences import plain_reason, warning_sentences
from bone_age_tf.preprocessing.conversion import to_png
from bone_age_tf.preprocessing.grey import grey_levels
from bone_age_tf.preprocessing.radiographs import find_radiographs
from bone_age_tf.preprocessing.rejections import OK, Rejection
from bone_age_tf.report.adult_height import adult_height_view
from bone_age_tf.report.page import render, write_page
from bone_age_tf.sex import sex_from_label

REPORTS = "reports"
INDEX = "index.html"
SEXES = {"F": "girl", "M": "boy", "unknown": "sex unknown", "": "sex unknown"}
BRIGHTNESS = (50, 75, 100, 150, 220, 320)
"""Steps of the control of the pictures' brightness, in percent. Styles alone: the page has no script."""
SCALE_MONTHS = 24
"""End of the axis of contributions, the same in all reports; further only where a bar needs it."""
OUTLINE = (80, 220, 80)
LONGEST = 900
"""Longer side of the radiograph in a report, in pixels."""

Notify = Callable[[str, int, int], None]


def write_patient_reports(
    paths: Sequence[str], *, model: str, predictions: str, on_progress: Notify | None = None
) -> Path:
    """A page in `predictions/reports` for each row of `predictions.jsonl`, and `index.html`, which lists
    them; returns that folder. DICOM files are called by their
    number: their own names are often those of patients.

    `paths` and `model` are the arguments of `predict`. Raises `InputDataError` where the rows belong to
    other files.
    """
    exported = ExportedModel.open(model)
    folder = Path(predictions)
    made_with = read_provenance(folder)["model"]
    files = find_radiographs(paths)
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    if len(lines) != len(files):
        raise InputDataError(
            f"{folder} holds {len(lines)} predictions for {len(files)} files. Expected the predictions of the same paths."
        )
    notify = on_progress or (lambda stage, done, total: None)
    notify("report", 0, len(files))
    (folder / REPORTS).mkdir(exist_ok=True)
    listed: list[dict[str, Any]] = []
    names = names_of(files, filter(is_dicom, files))
    for number, (file, line) in enumerate(zip(files, lines, strict=True), start=1):
        row = json.loads(line)
        if file in names:
            row |= {"id": names[file], "file": names[file]}
        page = patient_page(exported, row, file.read() if row["status"] == OK else b"", made_with)
        name = f"{number:04d}-{safe_name(row['id'])}.html"
        with written_whole(folder / REPORTS / name) as to:
            to.write(page)
        reason = plain_reason(row["reason"])
        listed.append({**row, "page": name, "reason": reason, "is_dicom": file in names})
        notify("report", number, len(files))
    write_page(folder / REPORTS / INDEX, "index.html", rows=listed, sexes=SEXES, model=made_with)
    return folder / REPORTS


def patient_page(
    model: ExportedModel, row: dict[str, Any], encoded: bytes, made_with: Mapping[str, Any]
) -> str:
    """The HTML of one row of `predictions.jsonl` and its file's bytes.

    `made_with` names the model: `name`, `version`, `manifest_sha256`, `fingerprint`.
    """
    values = _values(model, encoded, row) if row["status"] == OK else {"pictures": []}
    return render(
        "patient.html",
        row=SimpleNamespace(**row),
        sex=SEXES[row["sex"]],
        reason=plain_reason(row["reason"]),
        warnings=warning_sentences(row["warning"]),
        coverage=model.coverage,
        convention=SD_SCORE_CONVENTION,
        band=age_band(row),
        model=made_with,
        performance=performance_summary(model.manifest),
        growth=_growth(row, model.coverage),
        brightness=BRIGHTNESS,
        made_at=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        **{"zones": [], "ticks": _ticks([]), **values},
    )


def _growth(row: dict[str, Any], coverage: float | None) -> dict[str, Any] | None:
    """The adult height as it is shown; None where no height was given."""
    found = growth_of(row)
    if found is None:
        return None
    return adult_height_view(found, row["difference_months"], coverage)


def _ticks(contributions: Sequence[float]) -> list[int]:
    """Five months of an axis that is symmetric around 0 and holds every contribution."""
    largest = max([float(SCALE_MONTHS), *map(abs, contributions)])
    half = SCALE_MONTHS // 2
    end = SCALE_MONTHS * math.ceil(largest / SCALE_MONTHS)
    return [end * step // SCALE_MONTHS for step in range(-SCALE_MONTHS, SCALE_MONTHS + 1, half)]


def _values(model: ExportedModel, encoded: bytes, row: dict[str, Any]) -> dict[str, Any]:
    """Pictures and zones of a radiograph that was not rejected."""
    png = to_png(encoded)  # once: a DICOM file takes a while to decode
    assert not isinstance(png, Rejection)
    made = model.prepare_with_matrix(png)
    assert not isinstance(made, Rejection)
    try:
        original = grey_levels(png)
    except InputDataError:  # TensorFlow can read it, OpenCV cannot: the report has no pictures
        return {"pictures": []}
    explanation = explain_prepared(model, *made, row["sex"])
    zones = list(explanation.zones.items())
    return {
        "pictures": _pictures(explanation, original),
        "zones": zones,
        "ticks": _ticks([months for _, months in zones]),
    }


def _pictures(explanation: Explanation, original: np.ndarray) -> list[dict[str, str]]:
    scale = min(1.0, LONGEST / max(original.shape))
    size = [round(length * scale) for length in original.shape[::-1]]
    small = cv2.resize(original, size, interpolation=cv2.INTER_AREA)
    matrix = explanation.prepared_to_original * scale
    matrix[:, 2] += (scale - 1) / 2  # a pixel's centre, not its corner
    prepared = explanation.prepared
    hand = on_original((prepared > 0).astype(np.float32), matrix, small.shape)
    outlined = np.repeat(small[..., None], 3, axis=2)
    outlines, _ = cv2.findContours(
        (hand > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(outlined, outlines, -1, OUTLINE, 2, cv2.LINE_AA)
    pictures = [_picture("Radiograph.", "Green: the region that the model received.", outlined)]
    if explanation.heat is not None:
        heat = np.where(prepared > 0, np.maximum(explanation.heat, 0), 0)
        largest = float(np.percentile(heat[prepared > 0], 99)) if (prepared > 0).any() else 1.0
        warped = on_original(heat, matrix, small.shape)
        text = (
            "Red: where the network's features raise the estimate. It is coarse and may disagree with the "
            "occlusion map and the table of bones, which are more reliable."
        )
        pictures.append(_picture("Grad-CAM.", text, over(small, warped, largest)))
    falls = np.where(prepared > 0, explanation.occlusion, 0)
    shown = over(prepared, falls, max(float(np.abs(falls).max()), 1.0))
    large = cv2.resize(shown, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    text = "The prepared radiograph. Red: this region makes the hand look older to the model; blue: younger."
    pictures.append(_picture("Occlusion map.", text, large))
    return pictures


def _picture(name: str, text: str, pixels: np.ndarray) -> dict[str, str]:
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
    source = f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
    return {"name": name, "text": text, "source": source}


def age_band(row: dict[str, Any]) -> tuple[float, float] | None:
    """The range of ±2 SD around the chronological age, within 0 and 240 months."""
    age = row["chronological_age_months"]
    if age is None or not row["sex"]:
        return None
    sd = sd_at(age, sex_from_label(row["sex"]))
    if sd is None:
        return None
    return max(0.0, age - LIMIT_SD * sd), min(240.0, age + LIMIT_SD * sd)
