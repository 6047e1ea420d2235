"""What strangers can cost the server: the memory and the answers of each way to abuse it.

    python benchmarks/serving_abuse.py --model saved_models/bone_age

The server runs as users start it. For every kind of abuse: what it answers, the most that its memory grew
meanwhile, and whether it still answers someone else within the time.
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
    """Ours, in a process of its own."""

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
        """MB resident."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def connect(self) -> socket.socket:
        """A connection of one who writes by hand."""
        return socket.create_connection(self.address, timeout=90)


def answer_of(connection: socket.socket) -> str:
    """The status of what comes back, `closed` for nothing."""
    try:
        line = connection.recv(4096).decode(errors="replace").split("\r\n")[0]
    except (ConnectionError, TimeoutError):
        return "closed"
    return line.split()[1] if line else "closed"


def raw(server: Server, head: str, body: bytes = b"", pieces: int = 1) -> str:
    """The status of a request written by hand."""
    with server.connect() as one:
        one.sendall(head.encode())
        try:
            for _ in range(pieces):
                one.sendall(body)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return answer_of(one)


def together(count: int, one: Callable[[], str]) -> str:
    """The statuses of as many at once."""
    found: Counter[str] = Counter()
    threads = [threading.Thread(target=lambda: found.update([one()])) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ", ".join(f"{n} x {status}" for status, n in sorted(found.items()))


def slow(server: Server, start: str) -> str:
    """A connection that begins and says no more, until the server has had enough."""
    with server.connect() as one:
        one.sendall(start.encode())
        return answer_of(one)


def kinds(server: Server) -> dict[str, Callable[[], str]]:
    """Ways to abuse it."""
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
        "neither length nor body": lambda: raw(server, f"{head}\r\n"),
        "says 100 GB": lambda: raw(server, f"{head}Content-Length: 100000000000\r\n\r\n"),
        "1 GB chunked": lambda: raw(server, f"{head}Transfer-Encoding: chunked\r\n\r\n", PIECE, 1024),
        "1 GB chunked, 16 at once": lambda: together(
            16, lambda: raw(server, f"{head}Transfer-Encoding: chunked\r\n\r\n", PIECE, 1024)
        ),
        f"{SLOW} slow heads": lambda: together(SLOW, lambda: slow(server, "POST / HTTP/1.1\r\nHo")),
        f"{SLOW} slow bodies": lambda: together(
            SLOW, lambda: slow(server, f"{head}Content-Length: 30000000\r\n\r\n{{")
        ),
        "wrong type: a form": lambda: post("a=b", **{"Content-Type": "application/x-www-form-urlencoded"}),
        "wrong type: a PNG": lambda: post(GOLDEN_HAND.read_bytes(), **{"Content-Type": "image/png"}),
        "200,000 brackets": lambda: post(deep),
        "31 MB of JSON, cut": lambda: post(bomb),
        "more radiographs than --max-in-flight": lambda: post(json.dumps({"instances": [row] * 100})),
        "a path in the name": lambda: raw(server, "GET /v1/models/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "another Host": lambda: get(Host="elsewhere.example"),
        "another Origin": lambda: get(Origin="https://elsewhere.example"),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
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
            "| abuse | answers | seconds | memory grew at most, MB | someone else waited at most, s |"
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
    """A line of the table: what it answers, its memory, and another client's longest wait meanwhile."""
    before, over = server.memory(), threading.Event()
    most, waits = [before], [0.0]

    def watch() -> None:
        while not over.wait(0.02):
            most.append(server.memory())

    def ask() -> None:
        while not over.wait(0.2):
            began = time.monotonic()
            answer = httpx.post(f"{server.url}:predict", json=body, timeout=90)
            if answer.status_code != 503:
                answer.raise_for_status()
            waits.append(time.monotonic() - began)

    others = [threading.Thread(target=watch), threading.Thread(target=ask)]
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
