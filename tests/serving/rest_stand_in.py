"""A fake of TensorFlow Serving's REST API that returns the predictions of an exported model."""

import base64
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from bone_age_tf.tensorflow_c.status import InvalidInputError

PATH = re.compile(
    r"/v1/models/(?P<model>[^/:]+)(/versions/(?P<version>\d+)|/labels/stable)?(?P<verb>:predict)?"
)


class StandIn(ThreadingHTTPServer):
    """`state` is what the status says, `shift` months are added to every answer, `requests` and `bodies` are those of predictions."""

    daemon_threads = True

    def __init__(self, name: str, version: int, serve: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name, self.version, self.serve = name, version, serve
        self.state, self.shift, self.requests = "AVAILABLE", 0.0, list[str]()
        self.bodies = list[bytes]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        self._answer(self._wrong_path("") or (200, self._status()))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(self.path)
        self.server.bodies.append(body)
        self._answer(self._wrong_path(":predict") or self._predict(json.loads(body)))

    def log_message(self, *arguments: object) -> None:
        pass

    def _wrong_path(self, verb: str) -> tuple[int, Any] | None:
        found = PATH.fullmatch(self.path)
        versions = (None, str(self.server.version))
        if (
            found
            and (found["verb"] or "") == verb
            and found["model"] == self.server.name
            and found["version"] in versions
        ):
            return None
        return 404, {"error": f"Could not find any versions of {self.path}"}

    def _status(self) -> Any:
        error_code = "OK" if self.server.state == "AVAILABLE" else "UNAVAILABLE"
        status = {"error_code": error_code, "error_message": ""}
        row = {"version": str(self.server.version), "state": self.server.state, "status": status}
        return {"model_version_status": [row]}

    def _predict(self, body: Any) -> tuple[int, Any]:
        if body.get("signature_name", "serving_default") != "serving_default":
            return 400, {"error": "no such signature"}
        if ("inputs" in body) == ("instances" in body):
            return 400, {"error": "expected one of inputs, instances"}
        columns = body.get("inputs") or {
            name: [row[name] for row in body["instances"]] for name in ("image_bytes", "sex")
        }
        pictures = [base64.b64decode(value["b64"]) for value in columns["image_bytes"]]
        try:
            answer = self.server.serve(image_bytes=pictures, sex=columns["sex"])
        except InvalidInputError as error:
            return 400, {"error": error.message}
        values = {name: _values(array, self.server.shift) for name, array in answer.items()}
        if "inputs" in body:
            return 200, {"outputs": values}
        rows = zip(*values.values(), strict=True)
        return 200, {"predictions": [dict(zip(values, row, strict=True)) for row in rows]}

    def _answer(self, answer: tuple[int, Any]) -> None:
        body = json.dumps(answer[1], indent=1).encode()
        self.send_response(answer[0])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _values(array: np.ndarray, shift: float) -> list[Any]:
    if array.dtype == object:
        return [text.decode() for text in array]
    return [number + shift for number in array.tolist()]


@contextlib.contextmanager
def stand_in(name: str, version: int, serve: Any) -> Iterator[StandIn]:
    """One that listens on a free port while the block lasts."""
    server = StandIn(name, version, serve)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
