"""Hot reload, limits, access control, graceful shutdown."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
import pytest
from conftest import draw_phantom, encode
from running_server import Running
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from bone_age_tf.config import ServeConfig
from bone_age_tf.errors import EnvironmentFaultError, ModelRefusedError, UsageError
from bone_age_tf.serving import bodies, http_server
from bone_age_tf.serving.model_folder import ModelFolder

HAND = {"b64": base64.b64encode(encode(draw_phantom(120, 1))).decode()}
BODY = {"instances": [{"image_bytes": HAND, "sex": "F"}]}


# === Versions ===


@pytest.fixture(scope="module")
def watched(
    exported: Path, start: Callable[..., Running], tmp_path_factory: pytest.TempPathFactory
) -> Running:
    folder = shutil.copytree(exported, tmp_path_factory.mktemp("watched") / "bone_age")
    return start(folder, version_labels={"stable": 1, "gone": 7})


def until(condition: Callable[[], bool]) -> None:
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within 30 seconds")


def states(client: httpx.Client, server: Running) -> dict[str, str]:
    found = client.get(server.model).json()["model_version_status"]
    return {state["version"]: state["state"] for state in found}


def test_versions_come_and_go(client: httpx.Client, watched: Running) -> None:
    folder = Path(watched.config.model)
    shutil.copytree(folder / "1", folder / ".writing-2")
    (folder / ".writing-2").rename(folder / "2")
    until(lambda: states(client, watched).get("2") == "AVAILABLE")
    assert states(client, watched)["1"] == "AVAILABLE"  # its label keeps it
    assert client.get(f"{watched.rest}/readyz").text == "version 2\n"
    for name in ("labels/stable", "versions/1", "versions/2"):
        assert client.post(f"{watched.model}/{name}:predict", json=BODY).status_code == 200
    for name in ("labels/gone", "labels/other", "versions/7"):
        assert client.post(f"{watched.model}/{name}:predict", json=BODY).status_code == 404

    shutil.copytree(folder / "1", folder / ".writing-3")
    manifest = json.loads((folder / ".writing-3/manifest.json").read_text())
    manifest["golden"]["bone_age_months"][0] += 1
    (folder / ".writing-3/manifest.json").write_text(json.dumps(manifest))
    (folder / ".writing-3").rename(folder / "3")
    until(lambda: states(client, watched).get("3") == "END")
    (refused, *_) = client.get(watched.model).json()["model_version_status"]
    assert "golden" in refused["status"]["error_message"]
    assert client.get(f"{watched.rest}/readyz").text == "version 2\n"

    long = {"instances": BODY["instances"] * 60}
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client.post, f"{watched.model}/versions/2:predict", json=long)
        until(lambda: "in_progress 0.0" not in client.get(f"{watched.rest}/metrics").text)
        shutil.rmtree(folder / "3")
        shutil.rmtree(folder / "2")
        until(lambda: client.get(f"{watched.rest}/readyz").text == "version 1\n")
        assert len(asking.result().json()["predictions"]) == 60  # it keeps its version
    until(lambda: states(client, watched)["2"] == "END")
    assert client.post(f"{watched.model}:predict", json=BODY).status_code == 200


class StandIn:
    """A model that is served as soon as it is loaded."""

    def __init__(self, version: int) -> None:
        self.version = version


def test_whatever_is_wrong_with_a_version_the_next_lower_one_is_served(tmp_path: Path) -> None:
    loaded = []

    def load(folder: Path, version: int) -> Any:
        loaded.append(version)
        if not (folder / "whole").exists():
            raise RuntimeError("what nobody thought of")
        return StandIn(version)

    for version, name in ((1, "whole"), (2, "whole"), (3, "half")):
        (tmp_path / str(version)).mkdir()
        (tmp_path / str(version) / name).touch()
    models = ModelFolder(tmp_path, load)
    models.refresh()
    models.refresh()
    assert loaded == [3, 2]
    assert models.get().version == 2
    (state, *_) = models.status()["model_version_status"]
    assert (state["version"], state["state"]) == ("3", "END")
    assert state["status"]["error_message"] == "what nobody thought of"
    assert models.states() == {2: "available", 3: "refused"}
    (tmp_path / "3" / "whole").touch()  # the copy is complete now
    models.refresh()
    assert models.get().version == 3
    assert loaded == [3, 2, 3]


def test_a_version_that_did_not_pass_is_forgotten_when_it_is_removed(tmp_path: Path) -> None:
    def load(folder: Path, version: int) -> Any:
        if version == 2:
            raise RuntimeError("not this one")
        return StandIn(version)

    for version in (1, 2):
        (tmp_path / str(version)).mkdir()
    models = ModelFolder(tmp_path, load)
    models.refresh()
    assert models.states() == {1: "available", 2: "refused"}
    (tmp_path / "2").rmdir()
    models.refresh()
    assert models.states() == {1: "available"}


def test_going_back_by_removing_a_version(tmp_path: Path) -> None:
    loaded = []

    def load(folder: Path, version: int) -> Any:
        loaded.append(version)
        return StandIn(version)

    for version in (1, 2):
        (tmp_path / str(version)).mkdir()
    models = ModelFolder(tmp_path, load)
    models.refresh()
    assert models.get().version == 2
    (tmp_path / "2").rmdir()
    for _ in range(3):
        models.refresh()
    assert models.get().version == 1
    assert loaded == [2, 1]
    found = models.status()["model_version_status"]
    assert {one["version"]: one["state"] for one in found} == {"1": "AVAILABLE", "2": "END"}


def test_the_folder_of_one_version_is_served_under_the_name_of_its_parent(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / "hands" / version).mkdir(parents=True)
        (tmp_path / "hands" / version / "saved_model.pb").touch()
    models = ModelFolder(
        tmp_path / "hands" / "1", lambda folder, version: cast(Any, StandIn(version))
    )
    models.refresh()
    assert (models.name, models.get().version) == ("hands", 1)


def test_without_a_usable_version_nothing_starts(
    exported: Path, start: Callable[..., Running], tmp_path: Path
) -> None:
    with pytest.raises(ModelRefusedError, match="no folder with a number"):
        start(tmp_path)
    folder = shutil.copytree(exported, tmp_path / "bone_age")
    (folder / "1/manifest.json").unlink()
    with pytest.raises(ModelRefusedError, match="version 1: "):
        start(folder)


@pytest.mark.parametrize("name", ["rest_port", "grpc_port", "web_port"])
def test_a_taken_port_is_named_before_a_model_is_loaded(
    name: str, start: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[ModelFolder] = []
    monkeypatch.setattr(ModelFolder, "refresh", looked.append)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentFaultError, match=str(port)):
            start(tmp_path, **{name: port})
    assert looked == []


def test_a_refused_model_gives_its_ports_back(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    ports: dict[str, int] = {}
    for name in ("rest_port", "grpc_port", "web_port"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports[name] = free.getsockname()[1]
    with pytest.raises(ModelRefusedError):
        start(tmp_path, **ports)
    for port in ports.values():
        socket.create_server(("127.0.0.1", port)).close()


def test_answers_leave_without_waiting_for_acknowledgements(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    made = http_server.PromptHeads.connection_made

    def look(self: Any, transport: Any) -> None:
        one = transport.get_extra_info("socket")
        seen.append(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(self, transport)

    monkeypatch.setattr(http_server.PromptHeads, "connection_made", look)
    with httpx.Client() as fresh:
        fresh.get(f"{server.rest}/healthz")
        fresh.get(f"{server.page}/")
    assert len(seen) == 2
    assert all(seen)


# === Access ===


def test_an_open_address_needs_a_token_or_a_word() -> None:
    with pytest.raises(UsageError, match="BONE_AGE_TOKEN"):
        ServeConfig(model="m", host="0.0.0.0")
    ServeConfig(model="m", host="0.0.0.0", no_auth=True)
    ServeConfig(model="m", host="0.0.0.0", token="x" * 16)
    for token in ("short", "with a blank in the middle", "é" * 16):
        with pytest.raises(UsageError, match="16 or more"):
            ServeConfig(model="m", token=token)
    with pytest.raises(UsageError, match="without a port"):
        ServeConfig(model="m", allowed_hosts=("here:8501",))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "elsewhere.example"}, 400),
        ({"Host": "127.0.0.1.elsewhere.example"}, 400),
        ({"Host": ""}, 400),
        ({"Host": "["}, 400),
        ({"Host": "localhost:80:80"}, 400),
        ({"Host": "localhost/readyz?"}, 400),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost"}, 200),
        ({"Host": "LocalHost:8501"}, 200),
        ({"Host": "[::1]:8501"}, 200),
        ({"Host": "[::1"}, 400),
        ({"Host": "[::2]:8501"}, 400),
        ({"Host": "localhost."}, 400),
    ],
)
def test_foreign_hosts_and_pages_are_refused(
    headers: dict[str, str], status: int, client: httpx.Client, server: Running
) -> None:
    answer = client.get(server.model, headers=headers)
    assert answer.status_code == status
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


def test_an_allowed_host_is_answered(client: httpx.Client, guarded: Running) -> None:
    right = {"Authorization": f"Bearer {guarded.config.token}"}
    for host, status in (
        ("reading-room.example", 200),
        ("Reading-Room.example:80", 200),
        ("x", 400),
    ):
        answer = client.get(guarded.model, headers={"Host": host, **right})
        assert answer.status_code == status


def test_probes_need_no_host_that_is_known(client: httpx.Client, guarded: Running) -> None:
    for path in ("healthz", "readyz"):
        answer = client.get(f"{guarded.rest}/{path}", headers={"Host": "10.0.0.7:8501"})
        assert answer.status_code == 200


def test_a_request_without_a_host_is_an_error(server: Running) -> None:
    assert " 400" in raw(server, "GET /v1/models/bone_age HTTP/1.0")
    assert " 200" in raw(server, "GET /v1/models/bone_age HTTP/1.0\nHost: localhost")


def test_a_token_is_asked_for(client: httpx.Client, guarded: Running) -> None:
    token = guarded.config.token
    assert client.get(guarded.model).status_code == 401
    wrong = {"Authorization": "Bearer wrong"}
    assert client.post(f"{guarded.model}:predict", json=BODY, headers=wrong).status_code == 401
    assert client.get(f"{guarded.rest}/healthz").status_code == 200
    right = {"Authorization": f"Bearer {token}"}
    assert client.get(guarded.model, headers=right).status_code == 200
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "bone_age"
    with grpc.insecure_channel(guarded.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for metadata, code in (
            ((), grpc.StatusCode.UNAUTHENTICATED),
            ((("authorization", f"Bearer {token}"),), grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Predict(request, timeout=60, metadata=metadata)
            assert caught.value.code() is code  # type: ignore[attr-defined]


# === Too much ===


def raw(server: Running, head: str, body: bytes = b"", *, pieces: int = 1) -> str:
    """The first line of the answer to a hand-written request."""
    with socket.create_connection(("127.0.0.1", server.where.rest_port), timeout=60) as one:
        one.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        try:
            for _ in range(pieces):
                one.sendall(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was refused in the middle, as it should
        return one.recv(4096).decode(errors="replace").partition("\r\n")[0]


PREDICT = "POST /v1/models/bone_age:predict HTTP/1.1\nHost: localhost"


def test_a_body_that_says_it_is_too_long_is_not_read(server: Running) -> None:
    assert " 413" in raw(server, f"{PREDICT}\nContent-Length: 99999999999")


def test_an_endless_body_is_cut(server: Running) -> None:
    piece = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
    assert " 413" in raw(server, f"{PREDICT}\nTransfer-Encoding: chunked", piece, pieces=40)


def test_a_slow_body_is_not_waited_for(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.3)
    assert " 408" in raw(server, f"{PREDICT}\nContent-Length: 1000", b'{"instances"')


def test_a_slow_head_is_not_waited_for(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.3)
    address = ("127.0.0.1", server.where.rest_port)
    with (
        socket.create_connection(address, timeout=20) as silent,
        socket.create_connection(address, timeout=20) as half,
    ):
        half.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        assert silent.recv(10) == half.recv(10) == b""
    assert "200" in raw(server, "GET /healthz HTTP/1.1\nHost: localhost")


def test_together_bodies_have_a_limit(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LARGEST_TOGETHER", 10)
    assert " 503" in raw(server, f"{PREDICT}\nContent-Length: 100", b"x" * 100)


@pytest.mark.parametrize(
    "line",
    [
        "GET /v1/models/../../etc/passwd HTTP/1.1",
        "GET /v1/models/bone_age/versions/1/../../x HTTP/1.1",
        "GET /v1/models/bone_age%2F..%2Fx HTTP/1.1",
        "DELETE /v1/models/bone_age HTTP/1.1",
        "GET /v1/models/bone_age:predict HTTP/1.1",
        "POST /v1/models/bone_age HTTP/1.1",
        "POST /v1/models/bone_age:classify HTTP/1.1",
        "GET / HTTP/1.1",
        "nonsense",
    ],
)
def test_other_paths_and_methods_are_refused(line: str, server: Running) -> None:
    answer = raw(server, f"{line}\nHost: localhost\nContent-Length: 2", b"{}")
    assert answer.split()[1][0] == "4"


def test_nothing_of_a_request_is_logged_but_its_kind(
    client: httpx.Client, server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="bone_age_tf")
    client.request("CANARY", f"{server.rest}/v1/models/bone_age")
    client.get(f"{server.rest}/v1/models/canary-name")
    client.get(f"{server.rest}/canary?name=canary")
    client.post(f"{server.model}:predict", json={"instances": [{"canary": "canary"}]})
    assert "GET v1" in caplog.text
    until(lambda: "POST predict" in caplog.text)  # it is logged when the answer is gone
    assert "canary" not in caplog.text.lower()
    assert "canary" not in client.get(f"{server.rest}/metrics").text.lower()


def test_at_capacity_it_is_503_with_a_time(client: httpx.Client, guarded: Running) -> None:
    assert guarded.config.max_in_flight == 1
    right = {"Authorization": f"Bearer {guarded.config.token}"}

    def post(_: int) -> httpx.Response:
        return client.post(f"{guarded.model}:predict", json=BODY, headers=right)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(24)))
    assert {answer.status_code for answer in answers} == {200, 503}
    months = {a.json()["predictions"][0]["bone_age_months"] for a in answers if a.is_success}
    assert max(months) - min(months) < 0.01
    for answer in answers:
        if answer.status_code == 503:
            assert answer.headers["retry-after"] == "1"


# === The command ===


@pytest.mark.large
def test_sigterm_ends_it_and_answers_what_has_begun(exported: Path) -> None:
    command = [sys.executable, "-m", "bone_age_tf", "serve", "--model", str(exported)]
    command += ["--rest-port", "0", "--grpc-port", "0", "--web-port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        answers: list[Any] = []
        long = {"instances": BODY["instances"] * 60}  # so that it is seen in progress
        asking = threading.Thread(
            target=lambda: answers.append(httpx.post(url, json=long, timeout=60))
        )
        asking.start()
        metrics = url.partition("/v1")[0] + "/metrics"
        try:
            until(lambda: "in_progress 0.0" not in httpx.get(metrics).text)
        finally:
            process.send_signal(signal.SIGTERM)
        asking.join()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert answers[0].status_code == 200
    assert "Traceback" not in errors
