"""TensorFlow Serving's REST routes, and health and metrics routes for orchestrators and Prometheus.

| route | |
|---|---|
| `POST /v1/models/NAME[/versions/N or /labels/L]:predict` | answers, in rows or columns |
| `GET /v1/models/NAME[/versions/N or /labels/L]` | state of the versions |
| `GET .../metadata` | the signatures |
| `GET /healthz` | the process lives |
| `GET /readyz` | a version has passed its golden request, and the server is not stopping |
| `GET /metrics` | for Prometheus |
"""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bone_age_tf.serving import contract
from bone_age_tf.serving.admission import Admission
from bone_age_tf.serving.bodies import Bodies
from bone_age_tf.serving.contract import Code, ServingError, invalid
from bone_age_tf.serving.metrics import Metrics
from bone_age_tf.serving.model_folder import ModelFolder
from bone_age_tf.serving.responses import answering_errors, error_response
from bone_age_tf.serving.served_model import ServedModel

_MODEL = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]{1,18})|/labels/(?P<label>[^/:]+))?"
    r"(?P<rest>/metadata|:[a-z]+)?"
)


class Rest:
    """The routes over a model folder."""

    def __init__(
        self, models: ModelFolder, admission: Admission, bodies: Bodies, metrics: Metrics
    ) -> None:
        self._models = models
        self._admission = admission
        self._bodies = bodies
        self._collected = metrics
        self.is_stopping = False

    def app(self) -> Starlette:
        """The ASGI application."""
        handlers = {
            "/healthz": self._health,
            "/readyz": self._ready,
            "/metrics": self._metrics,
        }
        routes = [
            Route(path, answering_errors(handler), methods=["GET"])
            for path, handler in handlers.items()
        ]
        model = answering_errors(self._model)
        routes.append(Route("/v1/models/{path:path}", model, methods=["GET", "POST"]))
        return Starlette(routes=routes, exception_handlers={HTTPException: _unknown})

    async def _health(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _ready(self, request: Request) -> Response:
        if self.is_stopping:
            raise ServingError(Code.UNAVAILABLE, "The server is stopping.")
        try:
            version = self._models.get().version
        except ServingError as error:
            raise ServingError(Code.UNAVAILABLE, str(error)) from error
        return PlainTextResponse(f"version {version}\n")

    async def _metrics(self, request: Request) -> Response:
        return Response(self._collected.text(), media_type=self._collected.media_type)

    async def _model(self, request: Request) -> Response:
        match = _MODEL.fullmatch(request.scope["path"])
        rest = match["rest"] if match else None
        if match is None or (rest or "").startswith(":") != (request.method == "POST"):
            raise invalid(f"Malformed request: {request.method} of this path.")
        if match["name"] != self._models.name:
            raise ServingError(
                Code.NOT_FOUND, f"Servable not found for request: Latest({match['name'][:40]})"
            )
        version = int(match["version"]) if match["version"] else None
        if rest is None:
            return JSONResponse(self._models.status(version, match["label"]))
        model = self._models.get(version, match["label"])
        if rest == "/metadata":
            return JSONResponse(_metadata(self._models.name, model))
        if rest != ":predict":
            raise invalid(f"Only :predict is offered, not {rest[:20]}.")
        return await self._predict(model, request)

    async def _predict(self, model: ServedModel, request: Request) -> Response:
        async with self._bodies.held(request) as body:
            self._admission.require_room()  # parsing takes longer than turning away
            asked = await asyncio.to_thread(contract.parse, body, model.inputs)
            outputs = await self._admission.predict(model, asked.signature, asked.inputs)
            answer = await asyncio.to_thread(_encoded, asked, outputs)
        return Response(answer, media_type="application/json")


def _encoded(asked: contract.Request, outputs: Mapping[str, Any]) -> bytes:
    return json.dumps(contract.reply(asked, outputs), allow_nan=False).encode()


def _metadata(name: str, model: ServedModel) -> Mapping[str, Any]:
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(model.version)},
        "metadata": {"signature_def": {"signature_def": model.metadata()}},
    }


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = Code.NOT_FOUND if error.status_code == 404 else Code.INVALID_ARGUMENT
    return error_response(ServingError(code, f"Malformed request: {error.detail}"))
