import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client", reason="the extra [dicom-output] is not installed")
from deliveries import fill, spool_in

from bone_age_tf.dicom_output.node.metrics import Metrics, served
from bone_age_tf.dicom_output.node.spool import Spool
from bone_age_tf.errors import EnvironmentFaultError


class State:
    is_alive = True
    is_ready = False


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with spool_in(tmp_path) as spool:
        yield spool


@pytest.fixture
def metrics(spool: Spool) -> Metrics:
    return Metrics(spool)


@pytest.fixture
def port(metrics: Metrics, state: State) -> Iterator[int]:
    with served(
        metrics, 0, is_alive=lambda: state.is_alive, is_ready=lambda: state.is_ready
    ) as port:
        yield port


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_what_waits_is_shown_by_state(spool: Spool, port: int) -> None:
    fill(spool, ("pacs", "web"))
    spool.sent(spool.due("web")[0])
    status, text = get(port, "/metrics")
    assert status == 200
    for line in (
        'bone_age_node_radiographs{state="done"} 1.0',
        'bone_age_node_deliveries{destination="pacs",state="waiting"} 2.0',
        'bone_age_node_deliveries{destination="web",state="waiting"} 1.0',
        'bone_age_node_deliveries{destination="web",state="sent"} 1.0',
        'bone_age_node_oldest_waiting_seconds{what="to pacs"} 0.',
    ):
        assert line in text


def test_events_are_counted_and_timed(metrics: Metrics, port: int) -> None:
    for seconds in (0.02, 0.3):
        metrics("received", radiograph_uid="1.2.3", calling_ae="CR1", seconds=seconds)
    metrics("delivered", destination="pacs", seconds=0.1)
    metrics("delivery_failed", destination="web", seconds=30.0)
    text = get(port, "/metrics")[1]
    for line in (
        'bone_age_node_events_total{event="received"} 2.0',
        'bone_age_node_seconds_bucket{event="received",le="0.05"} 1.0',
        'bone_age_node_seconds_count{event="received"} 2.0',
        'bone_age_node_destination_up{destination="pacs"} 1.0',
        'bone_age_node_destination_up{destination="web"} 0.0',
    ):
        assert line in text
    assert "1.2.3" not in text
    assert "CR1" not in text


def test_ready_is_more_than_alive(state: State, port: int) -> None:
    assert (get(port, "/livez")[0], get(port, "/readyz")[0]) == (200, 503)
    state.is_ready = True
    assert get(port, "/readyz") == (200, "OK\n")
    state.is_alive = False
    assert (get(port, "/livez")[0], get(port, "/readyz")[0]) == (503, 503)


def test_another_path_is_not_found(port: int) -> None:
    assert get(port, "/")[0] == 404


def test_it_listens_on_this_machine_alone_and_frees_the_port(metrics: Metrics) -> None:
    with served(metrics, 0, is_alive=lambda: True, is_ready=lambda: True) as port:
        message = rf"127.0.0.1, port {port}: .*another metrics_port"
        with (
            pytest.raises(EnvironmentFaultError, match=message),
            served(metrics, port, is_alive=lambda: True, is_ready=lambda: True),
        ):
            pass
    with socket.create_server(("127.0.0.1", port)):
        pass
