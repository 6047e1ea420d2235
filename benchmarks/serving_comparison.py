"""`bone-age-tf serve` compared with a plain Flask + PyTorch server, on the same machine and radiographs.

    BONE_AGE_REAL_DATA=... python benchmarks/serving_comparison.py --model saved_models/bone_age --torch-python TORCH_ENVIRONMENT/bin/python

The baseline (`flask_torch_server.py`, in an environment with torch and flask) runs a network of the same
architecture and input size on letterboxed images. `serve` also localizes and registers the hand, checks its quality
and gives a prediction interval; `predict_prepared` by gRPC omits these and compares the networks alone, apart from
the file. Rounds are interleaved; the ratio is the median of the ratios of each round.
"""

import argparse
import base64
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import psutil
import tensorflow as tf
from serving_load import files
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from bone_age_tf.export.exported_model import ExportedModel

HERE = Path(__file__).parent
Send = Callable[[], object]
FLASK = "http://127.0.0.1:{port}/predict"


def ours(model: str) -> tuple[subprocess.Popen, str, str]:
    """`bone-age-tf serve`: its process, the URL of its model, and its gRPC address."""
    command = [sys.executable, "-m", "bone_age_tf", "serve", "--model", model]
    command += ["--rest-port", "0", "--grpc-port", "0", "--web-port", "0", "--quiet"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    rest, by_grpc = (server.stdout.readline().split()[-1] for _ in range(2))
    return server, rest, by_grpc


def theirs(python: str, port: int, options: list[str]) -> tuple[subprocess.Popen, str]:
    """The baseline server, once it accepts connections, and its URL."""
    command = [python, str(HERE / "flask_torch_server.py"), "--port", str(port), *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = FLASK.format(port=port)
    for _ in range(600):
        try:
            httpx.get(url)
            return server, url
        except httpx.ConnectError:
            time.sleep(0.1)
    raise SystemExit(
        "The Flask + PyTorch server did not start within 60 s; run flask_torch_server.py to see why."
    )


def by_http(http: httpx.Client, url: str, body: dict[str, Any]) -> Send:
    """A function that sends one request, retrying while the server returns 503."""

    def send() -> None:
        answer = http.post(url, json=body)
        while answer.status_code == 503:
            time.sleep(0.1)
            answer = http.post(url, json=body)
        answer.raise_for_status()

    return send


def by_grpc(channel: grpc.Channel, image: np.ndarray) -> Send:
    """One prepared radiograph."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "bone_age", "predict_prepared"
    request.inputs["image"].CopyFrom(tf.make_tensor_proto(image[None]))
    request.inputs["sex"].CopyFrom(tf.make_tensor_proto(["F"]))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return lambda: stub.Predict(request, timeout=120)


def round_of(sends: list[Send], clients: int) -> tuple[float, np.ndarray]:
    """Radiographs a second and each one's seconds, `clients` at a time."""

    def timed(send: Send) -> float:
        began = time.monotonic()
        send()
        return time.monotonic() - began

    with ThreadPoolExecutor(clients) as pool:
        began = time.monotonic()
        seconds = np.array(list(pool.map(timed, sends)))
        return len(sends) / (time.monotonic() - began), seconds


def main() -> None:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--torch-python", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=5000)
    chosen = parser.parse_args()
    model = ExportedModel.open(chosen.model)
    with tempfile.TemporaryDirectory() as work:
        pictures = files(Path(work))
    made = [(picture, model.prepare(picture)) for picture in pictures]
    made = [(picture, image) for picture, image in made if isinstance(image, np.ndarray)]
    height, width = made[0][1].shape[:2]

    def base64_of(encoded: bytes) -> str:
        return base64.b64encode(encoded).decode()

    rows = [{"image_bytes": {"b64": base64_of(p)}, "sex": "F"} for p, _ in made]
    our_server, our_url, our_grpc = ours(chosen.model)
    options = ["--height", str(height), "--width", str(width)]
    their_servers = {
        precision: theirs(
            chosen.torch_python, chosen.port + n, [*options, "--precision", precision]
        )
        for n, precision in enumerate(("float32", "bfloat16"))
    }
    http, channel = httpx.Client(timeout=120), grpc.insecure_channel(our_grpc)
    plain = [{"image": base64_of(picture), "sex": 0} for picture, _ in made]
    sides = {
        "bone-age-tf, radiograph to interval": [
            by_http(http, our_url, {"instances": [r]}) for r in rows
        ],
        "bone-age-tf, network alone (gRPC)": [by_grpc(channel, image) for _, image in made],
    } | {
        f"Flask + PyTorch, {name}": [by_http(http, url, body) for body in plain]
        for name, (_, url) in their_servers.items()
    }
    try:
        print(f"{len(made)} radiographs, {chosen.rounds} interleaved rounds, {height} x {width}")
        print("| clients | server | images/s | ratio to Flask + PyTorch | p50, s | p99, s |")
        print("|---|---|---|---|---|---|")
        for clients in (1, 8, 32):
            speeds: dict[str, list[float]] = {name: [] for name in sides}
            seconds: dict[str, list[np.ndarray]] = {name: [] for name in sides}
            for turn in range(chosen.rounds + 1):
                for name, side in sides.items():
                    speed, each = round_of(side, clients)
                    if turn:  # the first one warms up
                        speeds[name].append(speed)
                        seconds[name].append(each)
            base = speeds["Flask + PyTorch, float32"]
            for name, found in speeds.items():
                ratio = statistics.median(a / b for a, b in zip(found, base, strict=True))
                p50, p99 = np.quantile(np.concatenate(seconds[name]), (0.5, 0.99))
                print(f"| {clients} | {name} | {statistics.median(found):.1f} | {ratio:.2f} | {p50:.2f} | {p99:.2f} |")  # fmt: skip
        memory = {"bone-age-tf": our_server} | {
            f"Flask, {n}": s for n, (s, _) in their_servers.items()
        }
        for name, server in memory.items():
            print(
                f"memory of {name}: {psutil.Process(server.pid).memory_info().rss / 2**20:.0f} MB"
            )
    finally:
        for server in (our_server, *(server for server, _ in their_servers.values())):
            server.kill()


if __name__ == "__main__":
    main()
