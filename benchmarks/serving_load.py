"""Load test of the server: 32 clients, 20 % invalid requests; correctness, latency, throughput, memory.

    BONE_AGE_REAL_DATA=... python benchmarks/serving_load.py --model saved_models/bone_age

Without `BONE_AGE_REAL_DATA`, phantoms are sent. A client that receives 503 waits for the time given in
`Retry-After` and retries; its latency counts from the first attempt. Before the load test, the same radiographs are
predicted sequentially by the SavedModel in this process, which is the reference for the throughput ratio, and by
REST, gRPC, the page, `predict`, `ExportedModel.predict` and, with `--run`, Keras, to compare the predicted months.
The server's memory is read after each 1,000 requests.
"""

import argparse
import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import numpy as np
import psutil
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from bone_age_tf.config import DEFAULT_ENGINE, ENGINES
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.record import IMAGE, SEX
from bone_age_tf.sex import Sex
from bone_age_tf.training.run import Run

RADIOGRAPHS = 100
BAD_SHARE = 0.2
BETWEEN_MEMORY = 1000
"""Requests from one reading of the memory to the next."""
NAMES = ("bone_age_months", "bone_age_low_months", "bone_age_high_months")


def files(work: Path) -> list[bytes]:
    """Encoded radiographs."""
    data = os.environ.get("BONE_AGE_REAL_DATA")
    if data:
        folder = Path(data) / "rsna-bone-age/boneage-training-dataset"
    else:
        command = f"phantom --output {work / 'drawn'} --count {RADIOGRAPHS} --quiet"
        subprocess.run([sys.executable, "-m", "bone_age_tf", *command.split()], check=True)
        folder = work / "drawn/boneage-training-dataset"
    return [path.read_bytes() for path in sorted(folder.glob("*.png"))[:RADIOGRAPHS]]


def body(encoded: bytes, sex: str) -> dict[str, object]:
    """A request body in row format."""
    picture = {"b64": base64.b64encode(encoded).decode()}
    return {"instances": [{"image_bytes": picture, "sex": sex}]}


def bad_requests(good: bytes) -> list[dict[str, object]]:
    """Keyword arguments for `httpx.post`; each request must receive a 4xx status."""
    return [
        {"content": b"{'instances': ["},
        {"json": {"instances": [{"sex": "F"}]}},
        {"json": body(good, "H")},
        {"json": body(b"%PDF-1.4", "F")},
        {"json": body(good[: len(good) // 2], "F")},
        {"json": body(base64.b64encode(good), "F")},
    ]


class Load:
    """The clients, their recorded responses, and the memory of the server in MB."""

    def __init__(
        self,
        server: psutil.Process,
        url: str,
        bodies: list[dict[str, object]],
        expected: np.ndarray,
    ) -> None:
        self.server, self.url, self.bodies, self.expected = server, url, bodies, expected
        self.memory = [server.memory_info().rss / 2**20]
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.wrong = 0
        self._lock = threading.Lock()

    def client(self, number: int, requests: int, bad: list[dict[str, object]]) -> None:
        """Sequential requests of one client."""
        draw = random.Random(number)
        with httpx.Client(timeout=120) as http:
            for _ in range(requests):
                if draw.random() < BAD_SHARE:
                    self._note("invalid", http.post(self.url, **draw.choice(bad)), 4)  # type: ignore[arg-type]
                    continue
                which = draw.randrange(len(self.bodies))
                started = time.monotonic()
                answer = http.post(self.url, json=self.bodies[which])
                while answer.status_code == 503:
                    self._note("valid", answer, 5)
                    time.sleep(float(answer.headers["retry-after"]) * draw.uniform(0.5, 1.5))
                    answer = http.post(self.url, json=self.bodies[which])
                self._note("valid", answer, 2)
                months = answer.json()["predictions"][0]["bone_age_months"]
                with self._lock:
                    self.seconds.append(time.monotonic() - started)
                    self.wrong += abs(months - self.expected[which]) > 0.01

    def _note(self, kind: str, answer: httpx.Response, wanted: int) -> None:
        with self._lock:
            self.statuses[f"{kind} {answer.status_code}"] += 1
            self.wrong += answer.status_code // 100 != wanted
            if self.statuses.total() % BETWEEN_MEMORY == 0:
                self.memory.append(self.server.memory_info().rss / 2**20)


def months_by_rest(url: str, content: dict[str, object]) -> float:
    """Predicted months of one radiograph, by REST."""
    return httpx.post(url, json=content, timeout=120).json()["predictions"][0][NAMES[0]]


def by_grpc(address: str, pictures: list[bytes], sexes: list[str]) -> np.ndarray:
    """Predicted months by gRPC, one radiograph per request."""
    months = []
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for picture, sex in zip(pictures, sexes, strict=True):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "bone_age"
            request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([picture]))
            request.inputs["sex"].CopyFrom(tf.make_tensor_proto([sex]))
            answer = stub.Predict(request, timeout=120)
            months.append(float(tf.make_ndarray(answer.outputs["bone_age_months"])[0]))
    return np.array(months)


def by_page(url: str, pictures: list[bytes], sexes: list[str]) -> np.ndarray:
    """Predicted months as the web page receives them."""
    answers = [
        httpx.post(f"{url}read", params={"sex": sex}, content=picture, timeout=120).json()
        for picture, sex in zip(pictures, sexes, strict=True)
    ]
    return np.array([answer["prediction"]["bone_age_months"] for answer in answers])


def by_predict(model: str, pictures: list[bytes], sexes: list[str]) -> np.ndarray:
    """Predicted months by `bone-age-tf predict`."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "radiographs"
        folder.mkdir()
        lines = ["id,sex"]
        for number, (picture, sex) in enumerate(zip(pictures, sexes, strict=True)):
            (folder / f"{number:05}.png").write_bytes(picture)
            lines.append(f"{number:05},{sex}")
        (Path(work) / "sexes.csv").write_text("\n".join(lines))
        command = [sys.executable, "-m", "bone_age_tf", "predict", folder, "--model", model]
        command += ["--labels", Path(work) / "sexes.csv", "--output", Path(work) / "out"]
        command += ["--json", "--quiet"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = {row["id"]: row["bone_age_months"] for row in map(json.loads, done.stdout.splitlines())}
    return np.array([rows[f"{number:05}"] for number in range(len(pictures))])


def by_keras(run: str, checkpoint: str, images: list[np.ndarray], sexes: list[str]) -> np.ndarray:
    """Predicted months by the Keras model of the run."""
    network = Run.open(run, checkpoint).load_model()
    codes = [Sex[sex] for sex in sexes]
    return np.array(
        [
            float(network({IMAGE: image[None], SEX: np.array([code])})[0])
            for image, code in zip(images, codes, strict=True)
        ]
    )


def main() -> None:
    """Run the benchmark and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--engine", choices=ENGINES, default=DEFAULT_ENGINE)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--run", help="run folder from which the model was exported (last weights)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        pictures = files(Path(work))
    model = ExportedModel.open(chosen.model)
    pictures = [one for one in pictures if isinstance(model.prepare(one), np.ndarray)]
    sexes = ["FM"[number % 2] for number in range(len(pictures))]
    serve = model.signatures["serving_default"]
    started = time.monotonic()
    expected = np.array(
        [
            float(serve(image_bytes=[p], sex=[s])[NAMES[0]][0])
            for p, s in zip(pictures, sexes, strict=True)
        ]
    )
    alone = len(pictures) / (time.monotonic() - started)

    command = [sys.executable, "-m", "bone_age_tf", "serve", "--quiet",
               "--model", chosen.model, "--engine", chosen.engine,
               "--rest-port", "0", "--grpc-port", "0", "--web-port", "0"]  # fmt: skip
    begun = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        address = server.stdout.readline().split()[-1]
        page = server.stdout.readline().split()[-1]
        ready = time.monotonic() - begun
        process = psutil.Process(server.pid)
        bodies = [body(p, s) for p, s in zip(pictures, sexes, strict=True)]
        started = time.monotonic()
        httpx.post(url, json=bodies[0], timeout=120)
        first = time.monotonic() - started
        ways = {
            "REST": np.array([months_by_rest(url, one) for one in bodies]),
            "gRPC": by_grpc(address, pictures, sexes),
            "page": by_page(page, pictures, sexes),
            "predict": by_predict(chosen.model, pictures, sexes),
            "ExportedModel.predict": model.predict(pictures, sex=sexes).bone_age_months.to_numpy(),
        }
        if chosen.run:
            images = [np.asarray(model.prepare(picture)) for picture in pictures]
            ways["Keras"] = by_keras(chosen.run, "last", images, sexes)
        load = Load(process, url, bodies, expected)
        bad = bad_requests(pictures[0])
        started = time.monotonic()
        with ThreadPoolExecutor(chosen.clients) as pool:
            clients = [
                pool.submit(load.client, number, chosen.requests, bad)
                for number in range(chosen.clients)
            ]
            for client in clients:
                client.result()
        seconds = time.monotonic() - started
        server.terminate()
        code = server.wait(60)
    p50, p99 = np.quantile(load.seconds, (0.5, 0.99))
    print(f"start {ready:.1f} s; first request {first:.2f} s; exit code {code}")
    print(f"largest difference in months on {len(pictures)} radiographs: "
          + ", ".join(f"{name} {np.abs(found - expected).max():.4f}" for name, found in ways.items()))  # fmt: skip
    print(
        f"{chosen.clients} clients x {chosen.requests}: {dict(sorted(load.statuses.items()))}; errors: {load.wrong}"
    )
    print(f"valid requests: p50 {p50:.2f} s, p99 {p99:.2f} s; {len(load.seconds) / seconds:.1f} images/s, "
          f"{len(load.seconds) / seconds / alone:.2f} x sequential in one process ({alone:.1f})")  # fmt: skip
    print(f"memory of the server, MB, before and after each {BETWEEN_MEMORY} requests: "
          + ", ".join(f"{each:.0f}" for each in load.memory))  # fmt: skip


if __name__ == "__main__":
    main()
