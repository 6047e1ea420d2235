"""Hot reload, limits, strangers, a graceful stop."""

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
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from conftest import draw_hand, encode
from running_server import Running
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from bone_age_tf.config import ServeConfig
from bone_age_tf.errors import EnvironmentFaultError, ModelRefusedError, UsageError
from bone_age_tf.serving import guards
from bone_age_tf.serving import server as server_module
from bone_age_tf.serving.admission import BusyError, Desk
from bone_age_tf.serving.batches import BATCH_SIZE, Batches
from bone_age_tf.serving.contract import ServingError
from bone_age_tf.serving.model_folder import ModelFolder

HAND = {"b64": base64.b64encode(encode(draw_hand(120, 1))).decode()}
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

    shutil.rmtree(folder / "3")
    shutil.rmtree(folder / "2")
    until(lambda: client.get(f"{watched.rest}/readyz").text == "version 1\n")
    assert client.post(f"{watched.model}:predict", json=BODY).status_code == 200


def test_going_back_by_removing_a_version(
    exported: Path, start: Callable[..., Running], client: httpx.Client, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    folder = shutil.copytree(exported, tmp_path / "bone_age")
    shutil.copytree(folder / "1", folder / "2")
    server = start(folder)
    assert client.get(f"{server.rest}/readyz").text == "version 2\n"
    caplog.set_level("INFO", logger="bone_age_tf")
    shutil.rmtree(folder / "2")
    until(lambda: client.get(f"{server.rest}/readyz").text == "version 1\n")
    time.sleep(1)  # several more looks at the folder
    assert states(client, server) == {"1": "AVAILABLE", "2": "END"}
    assert caplog.text.count("Version 1 is served.") == 1


class StandIn:
    """A model that is served as soon as it is loaded."""

    def __init__(self, version: int) -> None:
        self.version = version

    def close(self) -> None:
        pass


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
    (tmp_path / "3" / "whole").touch()  # the copy is complete now
    models.refresh()
    assert models.get().version == 3
    assert loaded == [3, 2, 3]


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
    made = server_module._PromptHeads.connection_made

    def look(self: Any, transport: Any) -> None:
        one = transport.get_extra_info("socket")
        seen.append(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(self, transport)

    monkeypatch.setattr(server_module._PromptHeads, "connection_made", look)
    with httpx.Client() as fresh:
        fresh.get(f"{server.rest}/healthz")
        fresh.get(f"{server.page}/")
    assert len(seen) == 2
    assert all(seen)


# === Strangers ===


def test_an_open_address_needs_a_token_or_a_word() -> None:
    with pytest.raises(UsageError, match="BONE_AGE_TOKEN"):
        ServeConfig(model="m", host="0.0.0.0")
    ServeConfig(model="m", host="0.0.0.0", allow_anyone=True)
    ServeConfig(model="m", host="0.0.0.0", token="x" * 16)
    for token in ("short", "with a blank in the middle", "é" * 16):
        with pytest.raises(UsageError, match="16 or more"):
            ServeConfig(model="m", token=token)
    with pytest.raises(UsageError, match="without a port"):
        ServeConfig(model="m", host_names=("here:8501",))


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
    ],
)
def test_foreign_hosts_and_pages_are_refused(
    headers: dict[str, str], status: int, client: httpx.Client, server: Running
) -> None:
    answer = client.get(server.model, headers=headers)
    assert answer.status_code == status
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


def test_a_token_is_asked_for(
    exported: Path, start: Callable[..., Running], client: httpx.Client
) -> None:
    token = "a-long-secret-of-the-test"
    guarded = start(exported, token=token)
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
    monkeypatch.setattr(guards, "BODY_SECONDS", 0.3)
    assert " 408" in raw(server, f"{PREDICT}\nContent-Length: 1000", b'{"instances"')


def test_a_slow_head_is_not_waited_for(
    exported: Path, start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.3)
    patient = start(exported)
    address = ("127.0.0.1", patient.where.rest_port)
    with (
        socket.create_connection(address, timeout=20) as silent,
        socket.create_connection(address, timeout=20) as half,
    ):
        half.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        assert silent.recv(10) == half.recv(10) == b""
    assert "200" in raw(patient, "GET /healthz HTTP/1.1\nHost: localhost")


def test_together_bodies_have_a_limit(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "LARGEST_TOGETHER", 10)
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


# === The desk ===


class SlowModel:
    """Answers when it is told to."""

    output_names = ("status",)

    def __init__(self) -> None:
        self.waiting: list[Future[Any]] = []

    def answer_file(self, encoded: bytes, sex: str) -> "Future[Any]":
        self.waiting.append(Future())
        return self.waiting[-1]


def begin(desk: Desk, model: Any, count: int) -> Any:
    inputs = {
        "image_bytes": np.array([b"x"] * count, object),
        "sex": np.array([b"F"] * count, object),
    }
    return desk.begin(model, "serving_default", inputs)


def test_places_are_taken_until_the_answer_is_there() -> None:
    desk, model = Desk(places=3), SlowModel()
    begin(desk, model, 2)
    with pytest.raises(BusyError):
        begin(desk, model, 2)
    begin(desk, model, 1)
    assert desk.taken == 3
    model.waiting[0].set_result(None)
    assert desk.taken == 2
    begin(desk, model, 1)
    with pytest.raises(ServingError, match="3 radiographs at most"):
        begin(desk, model, 4)
    assert len(model.waiting) == 4


def test_places_come_back_where_a_call_fails() -> None:
    class Failing(SlowModel):
        def answer_file(self, encoded: bytes, sex: str) -> "Future[Any]":
            if len(self.waiting) == 1:
                raise RuntimeError("no thread")
            return super().answer_file(encoded, sex)

    desk, model = Desk(places=5), Failing()
    with pytest.raises(RuntimeError, match="no thread"):
        begin(desk, model, 3)
    assert desk.taken == 1
    model.waiting[0].set_result(None)
    assert desk.taken == 0


def test_a_place_is_held_for_other_work() -> None:
    desk = Desk(places=1)
    with desk.held(), pytest.raises(BusyError):
        begin(desk, SlowModel(), 1)
    assert desk.taken == 0


def test_a_closed_desk_waits_for_what_has_begun() -> None:
    desk, model = Desk(places=3), SlowModel()
    begin(desk, model, 2)
    assert not desk.close(0.01)
    with pytest.raises(ServingError, match="stopping"):
        begin(desk, model, 1)
    threading.Timer(0.05, lambda: [one.set_result(None) for one in model.waiting]).start()
    assert desk.close(10)


def test_a_full_house_is_503_with_a_time(
    exported: Path, start: Callable[..., Running], client: httpx.Client
) -> None:
    small = start(exported, places=1)

    def post(_: int) -> httpx.Response:
        return client.post(f"{small.model}:predict", json=BODY)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(24)))
    assert {answer.status_code for answer in answers} == {200, 503}
    months = {a.json()["predictions"][0]["bone_age_months"] for a in answers if a.is_success}
    assert max(months) - min(months) < 0.01
    for answer in answers:
        if answer.status_code == 503:
            assert answer.headers["retry-after"] == "1"


# === Batches ===


def test_what_waits_goes_together_and_each_gets_its_own_answer() -> None:
    begun, go_on = threading.Event(), threading.Event()
    sizes = []

    def network(images: np.ndarray, sexes: Any) -> dict[str, np.ndarray]:
        begun.set()
        assert go_on.wait(10)
        sizes.append(len(images))
        return {"months": images[:, 0, 0, 0].astype(float), "sex": np.array(sexes)}

    batches = Batches(network)
    answers: list[Future[dict[str, Any]]] = [Future() for _ in range(1 + BATCH_SIZE + 3)]
    for number, answer in enumerate(answers):
        batches.put(np.full((2, 2, 1), number, np.uint8), "FM"[number % 2], answer)
        if number == 0:
            assert begun.wait(10)
    go_on.set()
    found = [answer.result(10) for answer in answers]
    assert [one["months"] for one in found] == list(range(len(answers)))
    assert [one["sex"] for one in found] == ["FM"[n % 2] for n in range(len(answers))]
    assert sizes == [1, BATCH_SIZE, 3]
    batches.stop()
    late: Future[dict[str, Any]] = Future()
    batches.put(np.zeros((2, 2, 1), np.uint8), "F", late)
    assert late.result(10)["months"] == 0


def test_an_error_of_the_network_is_everybody_s() -> None:
    def network(images: np.ndarray, sexes: Any) -> dict[str, np.ndarray]:
        raise RuntimeError("no")

    batches = Batches(network)
    answer: Future[dict[str, Any]] = Future()
    batches.put(np.zeros((2, 2, 1), np.uint8), "F", answer)
    with pytest.raises(RuntimeError, match="no"):
        answer.result(10)
    batches.stop()


def test_too_few_answers_are_an_error_and_the_thread_lives() -> None:
    batches = Batches(lambda images, sexes: {"months": np.zeros(0)})
    for _ in range(2):
        answer: Future[dict[str, Any]] = Future()
        batches.put(np.zeros((2, 2, 1), np.uint8), "F", answer)
        with pytest.raises(IndexError):
            answer.result(10)
    batches.stop()


# === The command ===


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
