"""Robustness of the server against abusive requests: responses, memory, and delay of other clients.

    python benchmarks/serving_abuse.py --model saved_models/bone_age

The server runs with its default options. For every kind of abuse, the table lists the HTTP status of the
responses, the peak growth of its memory, and the longest latency of a regular client in the meantime.
"""

import argparse
import base64
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import psutil

from bone_age_tf.export.export import GOLDEN_HAND

PIECE = b"%x\r\n" % 2**20 + b"x" * 2**20 + b"\r\n"
SLOW = 200
HEAD = "POST {path}:predict HTTP/1.1\r\nHost: localhost\r\n"


class Server:
    """`bone-age-tf serve` in a subprocess."""

    def __init__(self, model: str) -> None:
        command = [sys.executable, "-m", "bone_age_tf", "serve", "--model", model]
        command += ["--rest-port", "0", "--grpc-port", "0", "--web-port", "0", "--quiet"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1].removesuffix(":predict")
        parts = urlsplit(self.url)
        self.address, self.path = (str(parts.hostname), int(parts.port or 0)), parts.path
        self.base = f"http://{parts.netloc}"

    def memory(self) -> float:
        """Resident set size in MB."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def connect(self) -> socket.socket:
        """A raw TCP connection."""
        return socket.create_connection(self.address, timeout=90)


def answer_of(connection: socket.socket) -> str:
    """The HTTP status of the response, or `closed` if there is none."""
    try:
        line = connection.recv(4096).decode(errors="replace").split("\r\n")[0]
    except (ConnectionError, TimeoutError):
        return "closed"
    return line.split()[1] if line else "closed"


def raw(server: Server, head: str, body: bytes = b"", pieces: int = 1) -> str:
    """The HTTP status of a raw request."""
    with server.connect() as one:
        one.sendall(head.encode())
        try:
            for _ in range(pieces):
                one.sendall(body)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return answer_of(one)


def together(count: int, one: Callable[[], str]) -> str:
    """The HTTP statuses of `count` concurrent requests."""
    found: Counter[str] = Counter()
    threads = [threading.Thread(target=lambda: found.update([one()])) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ", ".join(f"{n} x {status}" for status, n in sorted(found.items()))


def slow(server: Server, start: str) -> str:
    """Start a request, send nothing more, and wait until the server responds or closes the connection."""
    with server.connect() as one:
        one.sendall(start.encode())
        return answer_of(one)


def kinds(server: Server) -> dict[str, Callable[[], str]]:
    """Name of each kind of abuse -> function that performs it."""
    head = HEAD.format(path=server.path)
    good = base64.b64encode(GOLDEN_HAND.read_bytes()).decode()
    row = {"image_bytes": {"b64": good}, "sex": "F"}

    def get(path: str = server.path, **headers: str) -> str:
        return str(httpx.get(server.base + path, headers=headers, timeout=90).status_code)

    def post(content: str | bytes, **headers: str) -> str:
        url = f"{server.url}:predict"
        return str(httpx.post(url, content=content, headers=headers, timeout=90).status_code)

    deep = "[" * 200_000
    bomb = json.dumps({"instances": [row] * 20_000})[: 31 * 2**20]
    return {
        "no length, no body": lambda: raw(server, f"{head}\r\n"),
        "Content-Length of 100 GB": lambda: raw(server, f"{head}Content-Length: 100000000000\r\n\r\n"),
        "1 GB chunked": lambda: raw(server, f"{head}Transfer-Encoding: chunked\r\n\r\n", PIECE, 1024),
        "1 GB chunked, 16 at once": lambda: together(
            16, lambda: raw(server, f"{head}Transfer-Encoding: chunked\r\n\r\n", PIECE, 1024)
        ),
        f"{SLOW} slow headers": lambda: together(SLOW, lambda: slow(server, "POST / HTTP/1.1\r\nHo")),
        f"{SLOW} slow bodies": lambda: together(
            SLOW, lambda: slow(server, f"{head}Content-Length: 30000000\r\n\r\n{{")
        ),
        "wrong type: a form": lambda: post("a=b", **{"Content-Type": "application/x-www-form-urlencoded"}),
        "wrong type: a PNG": lambda: post(GOLDEN_HAND.read_bytes(), **{"Content-Type": "image/png"}),
        "200,000 nested brackets": lambda: post(deep),
        "31 MB of truncated JSON": lambda: post(bomb),
        "more radiographs than --max-in-flight": lambda: post(json.dumps({"instances": [row] * 100})),
        "path traversal in the model name": lambda: raw(server, "GET /v1/models/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "unknown Host": lambda: get(Host="elsewhere.example"),
        "foreign Origin": lambda: get(Origin="https://elsewhere.example"),
    }  # fmt: skip


def main() -> None:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    chosen = parser.parse_args()
    server = Server(chosen.model)
    good = base64.b64encode(GOLDEN_HAND.read_bytes()).decode()
    body = {"instances": [{"image_bytes": {"b64": good}, "sex": "F"}]}
    try:
        for _ in range(20):
            httpx.post(f"{server.url}:predict", json=body, timeout=90).raise_for_status()
        print(f"memory before: {server.memory():.0f} MB")
        print(
            "| abuse | responses | seconds | peak memory growth, MB | longest latency of another client, s |"
        )
        print("|---|---|---|---|---|")
        for name, abuse in kinds(server).items():
            print(measured(server, name, abuse, body), flush=True)
        httpx.post(f"{server.url}:predict", json=body, timeout=90).raise_for_status()
        print(f"memory after: {server.memory():.0f} MB")
    finally:
        server.process.terminate()
        print("exit code", server.process.wait(60))


def measured(server: Server, name: str, abuse: Callable[[], str], body: dict[str, object]) -> str:
    """A row of the table: responses, memory growth, and the longest latency of another client."""
    before, over = server.memory(), threading.Event()
    most, waits = [before], [0.0]

    def watch() -> None:
        while not over.wait(0.02):
            most.append(server.memory())

    def regular_client() -> None:
        while not over.wait(0.2):
            began = time.monotonic()
            answer = httpx.post(f"{server.url}:predict", json=body, timeout=90)
            if answer.status_code != 503:
                answer.raise_for_status()
            waits.append(time.monotonic() - began)

    others = [threading.Thread(target=watch), threading.Thread(target=regular_client)]
    for other in others:
        other.start()
    began = time.monotonic()
    try:
        answers = abuse()
        seconds = time.monotonic() - began
    finally:
        over.set()
        for other in others:
            other.join()
    return f"| {name} | {answers} | {seconds:.1f} | {max(most) - before:.0f} | {max(waits):.1f} |"


if __name__ == "__main__":
    main()
