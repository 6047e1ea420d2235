"""Results of synthetic radiographs, made without a model or TensorFlow."""

import dataclasses
import functools
import io
from typing import Any

import cv2
import numpy as np
import pydicom
from pydicom.dataset import FileDataset

from bone_age_tf.config import PhantomConfig
from bone_age_tf.data_prep.phantom.dicom import encode
from bone_age_tf.data_prep.phantom.draw import Truth
from bone_age_tf.data_prep.phantom.generate import draw_number
from bone_age_tf.dicom_output.result import ModelIdentity, Result
from bone_age_tf.inference.prediction import Prediction

MODEL = ModelIdentity(
    name="bone_age",
    version="1",
    fingerprint="07" * 32,
    manifest_sha256="ab" * 32,
    coverage=0.9,
    statement="Trained on 951 radiographs. Mean absolute error 7.1 months on 951 radiographs (held-out folds).",
    reading_method="greulich_pyle",
)
PREDICTION = Prediction(
    id="dicom-0001",
    file="one.dcm",
    sex="F",
    bone_age_months=121.34,
    bone_age_low_months=105.2,
    bone_age_high_months=137.5,
    bone_age_months_true=None,
    chronological_age_months=118.2,
    difference_months=3.14,
    sd_score=0.31,
    verdict="average",
    verdict_probability=0.93,
    status="ok",
    reason="",
)


def result_of_phantom(
    number: int = 1,
    *,
    rejected: str = "",
    without: tuple[str, ...] = (),
    model: ModelIdentity = MODEL,
    prediction: dict[str, Any] | None = None,
    **attributes: Any,
) -> Result:
    """The result of phantom `number`: odd ones are DX, even ones CR, every fourth CR without spacing.

    `rejected` is a reason with its explanation, as in `two_hands: there is more than one hand in the picture`; `without`
    are keywords that its header lacks, `attributes` others that it has.
    """
    encoded, grey = _phantom(number)
    source = pydicom.dcmread(io.BytesIO(encoded), stop_before_pixels=True)
    for keyword in without:
        if keyword in source:
            delattr(source, keyword)
    for keyword, value in attributes.items():
        setattr(source, keyword, value)
    row = dataclasses.replace(
        PREDICTION, sex=str(source.get("PatientSex") or "unknown"), **(prediction or {})
    )
    if rejected:
        row = _rejected(row, rejected)
    png = cv2.imencode(".png", grey.astype(np.uint16) * 257)[1].tobytes()
    outline = None if rejected else _outline(grey)
    return Result(source=source, prediction=row, model=model, outline=outline, png=png)


def phantom_file(number: int = 1) -> bytes:
    """The DICOM file of phantom `number`, with its pixels."""
    return _phantom(number)[0]


def dataset_of_phantom(number: int = 1) -> FileDataset:
    """The same as a data set."""
    return pydicom.dcmread(io.BytesIO(phantom_file(number)))


@functools.cache
def _phantom(number: int) -> tuple[bytes, np.ndarray]:
    config = PhantomConfig(output="", count=number, seed=0, size=512)
    grey, truth = draw_number(config, number)
    assert isinstance(truth, Truth)
    return encode(config, number, grey, truth), grey


def _rejected(row: Prediction, reason: str) -> Prediction:
    nothing = {
        name: None
        for name, value in dataclasses.asdict(row).items()
        if isinstance(value, float) and name != "chronological_age_months"
    }
    return dataclasses.replace(row, **nothing, verdict="", status="rejected", reason=reason)


def _outline(grey: np.ndarray) -> np.ndarray:
    _, hand = cv2.threshold(cv2.GaussianBlur(grey, (0, 0), 3), 0, 1, cv2.THRESH_OTSU)
    contours, _ = cv2.findContours(hand, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.approxPolyDP(max(contours, key=cv2.contourArea), 2, closed=True)[:, 0].astype(float)
