"""The web page: estimate the bone age of a radiograph and show what was detected; all on this machine.

| route | |
|---|---|
| `GET /`, `/page.css`, `/page.js` and its modules | the page |
| `GET /sample.png` | a synthetic radiograph to try |
| `POST /header` | bytes of a file -> what its DICOM header says, its picture, or why it is not read, JSON |
| `POST /read?sex=F&chronological_age_months=126&height_cm=138` | bytes of an image file -> what the page shows, JSON |
| `POST /growth` | JSON with an estimate and heights -> the adult height, JSON: no radiograph (`serving/growth.py`) |
| `POST /report?...` | the same as `/read` -> the HTML report of `predict --report` |

Nothing is written to disk, and no file is kept after its response.
"""

import asyncio
import dataclasses
import logging
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from bone_age_tf import __version__
from bone_age_tf.config.choices import SD_SCORE_CONVENTION
from bone_age_tf.config.sex_words import EXPECTED, sex_of_word
from bone_age_tf.data.header_values import warnings_of
from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.errors import InputDataError
from bone_age_tf.export.golden import GOLDEN_HAND
from bone_age_tf.export.model_card import performance_summary
from bone_age_tf.export.signatures import STATUS
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.inference.prediction import Prediction, assessed, compared, prediction_of
from bone_age_tf.inference.sentences import plain_reason, warning_sentences, years
from bone_age_tf.preprocessing.conversion import to_png
from bone_age_tf.preprocessing.rejections import EXPLANATIONS, OK, Rejection
from bone_age_tf.report.patient_report import age_band, patient_page
from bone_age_tf.serving.admission import Admission
from bone_age_tf.serving.bodies import Bodies
from bone_age_tf.serving.contract import Code, ServingError, invalid
from bone_age_tf.serving.growth import growth_answer, growth_of_body, heights_of
from bone_age_tf.serving.metrics import Metrics
from bone_age_tf.serving.model_folder import ModelFolder
from bone_age_tf.serving.opening import Opened, described, open_file
from bone_age_tf.serving.pictures import preview
from bone_age_tf.serving.responses import answering_errors, error_response
from bone_age_tf.serving.served_model import Row, ServedModel

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
STATIC = {
    "/": PAGE / "index.html",
    **{f"/{file.name}": file for file in sorted(PAGE.glob("*.css")) + sorted(PAGE.glob("*.js"))},
    "/sample.png": GOLDEN_HAND,
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
OLDEST_CHILD_MONTHS = 240
"""Chronological age that the page takes with a radiograph."""
DRAWING_THREADS = 2
"""Overlays and reports that are rendered concurrently."""
FILE = "radiograph"
"""Instead of a file's name, which the page does not send."""


class PageApp:
    """The routes over a model folder."""

    def __init__(
        self, models: ModelFolder, admission: Admission, bodies: Bodies, metrics: Metrics
    ) -> None:
        self._models = models
        self._admission = admission
        self._bodies = bodies
        self._metrics = metrics
        self._drawing = ThreadPoolExecutor(DRAWING_THREADS, thread_name_prefix="page")

    static_paths = tuple(STATIC)

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/", self._index, methods=["GET"]),
            *(
                Route(path, _static(file), methods=["GET"])
                for path, file in STATIC.items()
                if path != "/"
            ),
            Route("/header", answering_errors(self._header), methods=["POST"]),
            Route("/read", answering_errors(self._read), methods=["POST"]),
            Route("/growth", answering_errors(self._growth), methods=["POST"]),
            Route("/report", answering_errors(self._report), methods=["POST"]),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _unknown})

    async def _index(self, request: Request) -> Response:
        """The page; while its reader chooses a file, the server prepares to draw."""
        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._drawing, _prepare_to_draw, self._models)
        return await _static(STATIC["/"])(request)

    async def _header(self, request: Request) -> Response:
        with self._admission.slots():
            async with self._bodies.held(request) as encoded:
                opened = await open_file(encoded)
                return JSONResponse(await self._drawn(_header, opened))

    async def _read(self, request: Request) -> Response:
        with self._admission.slots():
            async with self._bodies.held(request) as encoded:
                model, opened, row = await self._row(request, encoded)
                shown = await self._drawn(_view, model, opened, row)
        heights = heights_of(request.query_params)
        growth = growth_answer(row, heights, model.exported.coverage)
        return JSONResponse(_answer(model, opened, row) | {"view": shown, "growth": growth})

    async def _growth(self, request: Request) -> Response:
        async with self._bodies.held(request) as body:
            return JSONResponse(growth_of_body(body, self._models.get().exported))

    async def _report(self, request: Request) -> Response:
        with self._admission.slots():
            async with self._bodies.held(request) as encoded:
                model, opened, row = await self._row(request, encoded)
                page = await self._drawn(_page, model, opened, row)
        return HTMLResponse(page, headers={"Content-Security-Policy": "sandbox"})

    async def _drawn(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run in a few dedicated threads, as rendering is slow compared with inference."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._drawing, function, *arguments)

    async def _row(
        self, request: Request, encoded: bytes
    ) -> tuple[ServedModel, Opened, Prediction]:
        """The model, the file and its prediction."""
        model = self._models.get()
        sex, age = _asked(request)
        opened = await open_file(encoded)
        answered = await model.answer_file(opened.file, sex)
        self._metrics.count([answered.outputs[STATUS]])
        row = prediction_of(FILE, FILE, sex, _outcome(answered), model.exported.training_ages)
        row = compared(row, age, model.exported.coverage)
        row = assessed(row, heights_of(request.query_params), model.exported)
        return model, opened, _warned(row, opened, answered, age, model)


def _prepare_to_draw(models: ModelFolder) -> None:
    try:
        models.get().prepare_to_draw()
    except Exception:  # nobody waits for it; who needs it will be told
        log.exception("The server cannot prepare to draw.")


def _warned(
    row: Prediction, opened: Opened, answered: Row, age: float | None, model: ServedModel
) -> Prediction:
    """The row with the warnings of its DICOM header; `age` is the chronological age that was entered."""
    if opened.header is None:
        return row
    codes = warnings_of(
        opened.header,
        sex=row.sex,
        chronological_age_months=age,
        prepared_to_original=answered.to_original if model.exported.is_registered else None,
    )
    return dataclasses.replace(row, warning=" ".join([*row.warning.split(), *codes]))


def _header(opened: Opened) -> dict[str, Any]:
    """What the page shows of a file that the browser cannot show."""
    png = opened.file if isinstance(opened.file, Rejection) else to_png(opened.file)
    if isinstance(png, Rejection):
        return {"header": None, "reason": png.explanation, "radiograph": None}
    is_converted = png is not opened.file or opened.header is not None
    return {
        "header": described(opened.header) if opened.header else None,
        "reason": "",
        "radiograph": preview(png) if is_converted else None,
    }


def _outcome(row: Row) -> Mapping[str, float] | Rejection:
    """What `predict` makes a row of."""
    outputs = dict(row.outputs)
    status = outputs.pop(STATUS).decode()
    if status != OK:
        return row.rejection or Rejection(status, EXPLANATIONS[status])
    return {name: float(value) for name, value in outputs.items()}


def _view(model: ServedModel, opened: Opened, row: Prediction) -> Mapping[str, Any] | None:
    try:
        file = opened.file
        return None if isinstance(file, Rejection) else model.viewer.view(file, row.sex)
    except InputDataError:
        return None  # the model could read it, OpenCV cannot


def _page(model: ServedModel, opened: Opened, row: Prediction) -> str:
    file = b"" if isinstance(opened.file, Rejection) else opened.file
    return patient_page(model.exported, row.flat(), file, _made_with(model))


def _made_with(model: ServedModel) -> dict[str, str]:
    return {
        "name": model.exported.name,
        "version": str(model.version),
        "manifest_sha256": sha256_of(model.exported.folder / MANIFEST),
        "fingerprint": model.exported.fingerprint,
    }


def _answer(model: ServedModel, opened: Opened, row: Prediction) -> dict[str, Any]:
    values = dataclasses.replace(row, growth=None).flat()  # heights are an answer of their own
    ends = (row.bone_age_months, row.bone_age_low_months, row.bone_age_high_months)
    return {
        "prediction": values,
        "in_words": [None if months is None else years(months) for months in ends],
        "age_in_words": None
        if row.chronological_age_months is None
        else years(row.chronological_age_months),
        "header": described(opened.header) if opened.header else None,
        "coverage": model.exported.coverage,
        "reason": plain_reason(row.reason),
        "warnings": warning_sentences(row.warning),
        "band": age_band(values),
        "convention": SD_SCORE_CONVENTION,
        "model": _made_with(model),
        "performance": performance_summary(model.exported.manifest),
        "bone_age_tf": __version__,
    }


def _asked(request: Request) -> tuple[str, float | None]:
    """Sex and chronological age of the query. Raises `ServingError`."""
    sex = sex_of_word(request.query_params.get("sex", ""))
    if sex is None:
        raise invalid(f"The query must have sex: {EXPECTED}.")
    text = request.query_params.get("chronological_age_months", "")
    if not text:
        return sex, None
    try:
        age = float(text)
    except ValueError:
        age = math.nan
    if not 0 <= age <= OLDEST_CHILD_MONTHS:
        raise invalid(f"The age must be a number of months from 0 to {OLDEST_CHILD_MONTHS}.")
    return sex, age


def _static(file: Path) -> Any:
    async def send(request: Request) -> Response:
        return FileResponse(file, headers={"Content-Security-Policy": POLICY})

    return send


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = Code.NOT_FOUND if error.status_code == 404 else Code.INVALID_ARGUMENT
    return error_response(ServingError(code, str(error.detail)))
