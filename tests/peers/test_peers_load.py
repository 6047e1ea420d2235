"""32 clients through nginx, by REST and gRPC, while a recalibrated version takes over: nothing wrong, nothing lost.

BONE_AGE_LOAD_SECONDS is how long, 300 if it is not set.
"""

import base64
import csv
import functools
import hashlib
import json
import logging
import os
import random
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import httpx
import nginx_peer
import numpy as np
import pytest
from certificates import Authority
from conftest import ROOT
from grpc_js_peer import NODE, GrpcJs, predict_request
from nginx_peer import Nginx
from serve_peer import Serve

pytestmark = pytest.mark.release
log = logging.getLogger(__name__)
SECONDS = int(os.environ.get("BONE_AGE_LOAD_SECONDS", "300"))
REST_CLIENTS, GRPC_CLIENTS = 24, 8
HOST = "bone-age.example"
TOKEN = "0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PREDICT = "/v1/models/bone_age:predict"
SEXES = ("F", "M", "unknown")
HAND = ROOT / "bone_age_tf/assets/golden_hand.png"
SCALES = (1.0, 0.9, 1.2, 0.8)
BAD_SHARE = 0.1


@functools.cache
def cases() -> list[tuple[bytes, str]]:
    """Radiographs, each as every sex."""
    hand = cv2.imread(str(HAND), cv2.IMREAD_UNCHANGED)
    files = [encoded(cv2.resize(hand, None, fx=scale, fy=scale)) for scale in SCALES]
    return [(file, sex) for file in files for sex in SEXES]


def encoded(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


@functools.cache
def bodies() -> list[dict[str, Any]]:
    """A request of each."""
    return [body(file, sex) for file, sex in cases()]


def body(file: bytes, sex: str) -> dict[str, Any]:
    return {"instances": [{"image_bytes": {"b64": base64.b64encode(file).decode()}, "sex": sex}]}


@functools.cache
def bad() -> list[tuple[dict[str, Any], int]]:
    """Requests that fail, and their status."""
    file, _ = cases()[0]
    return [
        ({"content": b"{'instances': ["}, 400),
        ({"json": body(b"no picture", "F")}, 400),
        ({"json": body(file, "H")}, 400),
        ({"content": bytes(33 * 2**20)}, 413),
    ]


class Answer(NamedTuple):
    """Of a valid request; the times are seconds since 1970."""

    which: int
    months: float
    started: float
    ended: float
    version: int | None
    """REST does not tell it."""


class Clients:
    """What the clients saw."""

    def __init__(self, url: str, ca: str) -> None:
        self._url, self._context = url, ssl.create_default_context(cafile=ca)
        self.answers: list[Answer] = []
        self.statuses: Counter[str] = Counter()
        self.faults: list[str] = []
        self._lock = threading.Lock()

    def rest(self, number: int, until: float) -> None:
        """One after the other; a request that is turned away is repeated."""
        draw = random.Random(number)
        with httpx.Client(base_url=self._url, verify=self._context, timeout=120) as http:
            while time.time() < until:
                if draw.random() < BAD_SHARE:
                    content, status = draw.choice(bad())
                    self._note(self._post(http, content), status, 503)
                    continue
                which, started = draw.randrange(len(bodies())), time.time()
                answer = self._post(http, {"json": bodies()[which]})
                while answer is not None and answer.status_code == 503 and time.time() < until:
                    self._note(answer, 503)
                    time.sleep(float(answer.headers["retry-after"]) * draw.uniform(0.5, 1.5))
                    started = time.time()
                    answer = self._post(http, {"json": bodies()[which]})
                self._note(answer, 200, *(() if time.time() < until else (503,)))
                if answer is not None and answer.status_code == 200:
                    months = answer.json()["predictions"][0]["bone_age_months"]
                    self.answers.append(Answer(which, months, started, time.time(), None))

    def _post(self, http: httpx.Client, content: dict[str, Any]) -> httpx.Response | None:
        headers, names = {"Host": HOST, **BEARER}, {"sni_hostname": HOST}
        try:
            return http.post(PREDICT, headers=headers, extensions=names, **content)
        except httpx.TransportError as error:
            self.faults.append(repr(error))
            return None

    def _note(self, answer: httpx.Response | None, *wanted: int) -> None:
        if answer is None:
            return
        with self._lock:
            self.statuses[f"REST {answer.status_code}"] += 1
            if answer.status_code not in wanted:
                self.faults.append(f"{answer.status_code} for {wanted}: {answer.text[:200]}")

    def grpc(self, lines: str) -> None:
        """Add what `grpc_load.mjs` printed."""
        for said in map(json.loads, lines.splitlines()):
            self.statuses[f"gRPC {said['code']}"] += 1
            if said["code"] == "OK":
                times = said["started"], said["ended"]
                self.answers.append(Answer(said["which"], said["months"], *times, said["version"]))
            elif said["code"] != "UNAVAILABLE" or "capacity" not in said["details"]:
                self.faults.append(f"{said['code']}: {said['details']}")


@pytest.fixture(scope="module")
def server(
    grpc_js: GrpcJs,
    shipped: Path,
    recalibrated: Path,
    network: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Serve]:
    nginx_peer.require()
    model = shutil.copytree(shipped, tmp_path_factory.mktemp("load") / "bone_age")
    one = Serve(model, "--allowed-host", HOST, "--max-in-flight", "16", token=TOKEN)
    yield one
    one.close()


@pytest.fixture(scope="module")
def recalibrated(shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another version of the model, whose answers are a year older."""
    folder = tmp_path_factory.mktemp("recalibrated")
    path = predictions(folder, shipped)
    options = ["--model", shipped, "--predictions", path, "--output", folder / "bone_age"]
    words = [sys.executable, "-m", "bone_age_tf", "calibrate", *map(str, options), "--quiet"]
    subprocess.run(words, check=True, capture_output=True, timeout=600)
    return folder / "bone_age/1"


def predictions(folder: Path, model: Path) -> Path:
    """As `predict` writes them, with true bone ages a year above."""
    draw = np.random.default_rng(0)
    rows = [
        (number, "FM"[number % 2], f"{months:.2f}", f"{months + 12 + draw.normal():.2f}", "ok")
        for number, months in enumerate(np.linspace(30, 200, 100))
    ]
    with (folder / "predictions.csv").open("w", newline="") as stream:
        names = ("id", "sex", "bone_age_months", "bone_age_months_true", "status")
        csv.writer(stream).writerows([names, *rows])
    digest = hashlib.sha256((model / "1/manifest.json").read_bytes()).hexdigest()
    made_by = {"model": {"manifest_sha256": digest}}
    (folder / "provenance.json").write_text(json.dumps(made_by))
    return folder / "predictions.csv"


def answers_of(server: Serve) -> np.ndarray:
    """Months of each case, by the version that is served now."""
    with httpx.Client(base_url=server.rest, headers=BEARER, timeout=120) as http:
        said = [http.post(PREDICT, json=one).json() for one in bodies()]
    return np.array([one["predictions"][0]["bone_age_months"] for one in said])


def available(server: Serve) -> list[int]:
    """Versions that the server says are AVAILABLE."""
    url = f"{server.rest}/v1/models/bone_age"
    states = httpx.get(url, headers=BEARER, timeout=60).json()["model_version_status"]
    return [int(one["version"]) for one in states if one["state"] == "AVAILABLE"]


def counted(server: Serve) -> int:
    """Requests for a prediction that the server counts."""
    text = httpx.get(f"{server.rest}/metrics", headers=BEARER).text
    lines = re.findall(
        r'^bone_age_requests_total\{kind="(?:POST|gRPC) [Pp]redict",.* (\S+)$', text, re.M
    )
    return int(sum(map(float, lines)))


def test_a_new_version_takes_over_under_load(
    server: Serve,
    recalibrated: Path,
    grpc_js: GrpcJs,
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="httpx")
    folder = tmp_path_factory.mktemp("load")
    authority = Authority(folder)
    site = (ROOT / "deploy/serve/nginx.conf").read_text()
    nginx = Nginx(folder, [site], authority.certificate("proxy", HOST))
    first, before = answers_of(server), counted(server)
    clients = Clients("https://127.0.0.1:443", authority.ca)
    requests = [predict_request([file], [sex]) for file, sex in cases()]
    told = {"requests": requests, "ca": authority.ca, "authority": HOST, "token": TOKEN}
    (folder / "told.json").write_text(json.dumps(told))
    until = time.time() + SECONDS
    script = Path(__file__).with_name("grpc_load.mjs").read_text()
    (grpc_js.folder / "grpc_load.mjs").write_text(script)
    words = ["grpc_load.mjs", str(grpc_js.protos), "127.0.0.1:443", str(GRPC_CLIENTS), str(SECONDS)]
    with (folder / "told.json").open() as stdin, ThreadPoolExecutor(REST_CLIENTS) as pool:
        node = subprocess.Popen(
            [str(NODE), *words], cwd=grpc_js.folder, stdin=stdin, stdout=subprocess.PIPE, text=True
        )
        running = [pool.submit(clients.rest, number, until) for number in range(REST_CLIENTS)]
        lines = pool_output(node)
        time.sleep(SECONDS / 2)
        shutil.copytree(recalibrated, server.model / ".writing")
        (server.model / ".writing").rename(server.model / "2")
        for one in running:
            one.result()
    clients.grpc(lines())
    sent = sum(clients.statuses.values())
    log.info(f"{SECONDS} s: {dict(sorted(clients.statuses.items()))}")
    assert available(server) == [2]
    second = answers_of(server)

    # === Nothing wrong ===
    assert clients.faults == []
    assert np.abs(second - first).min() > 1, "the versions must be told apart"
    versions = [version_of(one, first, second) for one in clients.answers]
    log.info(f"answers by version: {dict(Counter(versions))}")
    assert set(versions) == {1, 2}
    news = min(one.ended for one, v in zip(clients.answers, versions, strict=True) if v == 2)
    late = [
        o for o, v in zip(clients.answers, versions, strict=True) if v == 1 and o.started > news
    ]
    assert late == [], "an old answer to a request that began after a new one was there"

    # === Nothing lost ===
    nginx.close()
    assert len(nginx.requests) == sent
    too_large = clients.statuses["REST 413"]
    assert counted(server) - before == sent - too_large + len(bodies())
    assert nginx.files == []


def version_of(answer: Answer, first: np.ndarray, second: np.ndarray) -> int:
    """The one that gives these months. Raises where none does, or another one than the answer names."""
    near = [abs(answer.months - expected[answer.which]) < 0.01 for expected in (first, second)]
    version = near.index(True) + 1
    assert answer.version in (None, version), answer
    return version


def pool_output(process: subprocess.Popen[str]) -> Any:
    """Reads in a thread; call what is returned for the whole."""
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(process.communicate()[0]))
    thread.start()

    def whole() -> str:
        thread.join()
        assert process.returncode == 0
        return found[0]

    return whole
