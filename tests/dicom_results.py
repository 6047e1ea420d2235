"""Results of synthetic radiographs, made without a model or TensorFlow."""

import dataclasses
import functools
import io
import warnings
from typing import Any

import cv2
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset

from bone_age_tf.config import DicomOutputConfig, PhantomConfig
from bone_age_tf.data_prep.phantom.dicom import encode
from bone_age_tf.data_prep.phantom.draw import Truth
from bone_age_tf.data_prep.phantom.generate import draw_number
from bone_age_tf.dicom.source import read_source
from bone_age_tf.dicom_output.objects import MAKERS
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
    grey = _phantom(number)[1]
    source = read_source(file_with(number, without=without, **attributes))
    sex = str(source.get("PatientSex") or "unknown")
    row = dataclasses.replace(PREDICTION, **{"sex": sex, **(prediction or {})})
    if rejected:
        row = _rejected(row, rejected)
    png = cv2.imencode(".png", grey.astype(np.uint16) * 257)[1].tobytes()
    outline = None if rejected else _outline(grey)
    return Result(source=source, prediction=row, model=model, outline=outline, png=png)


def file_with(number: int = 1, *, without: tuple[str, ...] = (), **attributes: Any) -> bytes:
    """The DICOM file of phantom `number` with other attributes, which need not be legal, and without others."""
    dataset = dataset_of_phantom(number)
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        for keyword in without:
            for home, name in ((dataset, keyword), (dataset.file_meta, f"MediaStorage{keyword}")):
                home.pop(name, None)
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        stream = io.BytesIO()
        dataset.save_as(stream)
    return stream.getvalue()


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


def objects_of(result: Result, config: DicomOutputConfig) -> dict[str, Dataset]:
    """Kind -> data set with its meta header, of the kinds that were asked for and that the result gives."""
    made = {kind: MAKERS[kind](result, config) for kind in config.objects}
    return {kind: dataset for kind, dataset in made.items() if dataset is not None}
