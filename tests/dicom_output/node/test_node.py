"""The whole node in this process, with results that need no model, and an archive as a stand-in."""

import contextlib
import dataclasses
import io
import json
import logging
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="the extra [dicom-output] is not installed")
from archive_stand_in import StandIn, closed, running
from canaries import canaries_in, canary_dicom
from certificates import Authority
from deliveries import store_destination
from dicom_results import MODEL, phantom_file, result_of_phantom
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import build_context

from bone_age_tf.cli import main as cli
from bone_age_tf.config import NodeConfig, NodeSection, Rule, TlsSection
from bone_age_tf.dicom_output.node import node as module
from bone_age_tf.dicom_output.node.node import Addresses, Node
from bone_age_tf.dicom_output.node.rows import NewObject
from bone_age_tf.dicom_output.node.spool import Spool
from bone_age_tf.dicom_output.node.tls import server_context
from bone_age_tf.dicom_output.result import Result
from bone_age_tf.errors import EnvironmentFaultError

HANDS = Rule(destinations=("archive",), modality=("DX", "CR"), objects=("report",))


class NoModel:
    """A predictor that gives every radiograph the same result."""

    def __init__(self, model: str, accept_dicom: Any = ()) -> None:
        self.identity = MODEL

    def __call__(self, path: Path, *, with_radiograph: bool) -> Result | str:
        source = pydicom.dcmread(path, stop_before_pixels=True)
        return dataclasses.replace(result_of_phantom(1), source=source)


@pytest.fixture(autouse=True)
def _without_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Predictor", NoModel)
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.02)


@pytest.fixture
def archive() -> Iterator[StandIn]:
    with running(StandIn()) as archive:
        yield archive


def config_of(folder: Path, port: int, *rules: Rule, **settings: Any) -> NodeConfig:
    node = {"ae_title": "NODE", "port": 0, "spool": str(folder / "spool"), "quiet_seconds": 0.0}
    destination = {k: settings.pop(k) for k in ("storage_commitment",) if k in settings}
    return NodeConfig(
        node=NodeSection(**{**node, "calling_ae_titles": ("CR1", "ARCHIVE"), **settings}),
        destinations=(store_destination(port, **destination),),
        rules=rules or (HANDS,),
    )


@contextlib.contextmanager
def started(config: NodeConfig) -> Iterator[Addresses]:
    """A node until the end of the block."""
    stop, ready = threading.Event(), threading.Event()
    found: list[Any] = []

    def on_ready(addresses: Addresses) -> None:
        found.append(addresses)
        ready.set()

    def run() -> None:
        try:
            found.append(Node(config).run(stop=stop, on_ready=on_ready))
        except Exception as error:
            found.append(error)
        ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(20)
    try:
        yield found[0]
    finally:
        stop.set()
        thread.join(20)
    assert found[-1] == 0, found


def send(
    addresses: Addresses, *files: bytes, calling: str = "CR1", tls: ssl.SSLContext | None = None
) -> list[int]:
    """Status of each C-STORE; empty where the association was refused."""
    datasets = [pydicom.dcmread(io.BytesIO(file)) for file in files]
    contexts = [build_context(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in datasets]
    entity = ApplicationEntity(ae_title=calling)
    association = entity.associate(
        "127.0.0.1",
        addresses.port,
        contexts,
        ae_title="NODE",
        tls_args=None if tls is None else (tls, "127.0.0.1"),
    )
    if not association.is_established:
        return []
    found = [association.send_c_store(one).Status for one in datasets]
    association.release()
    return found


def wait_until(is_true: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.02)


def audit_of(folder: Path) -> list[dict[str, Any]]:
    path = folder / "spool/audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def events_of(folder: Path) -> list[str]:
    return [line["event"] for line in audit_of(folder)]


def status_by_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    assert cli.run(["dicom-node", "--config", str(folder / "node.toml"), "status", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def write_toml(folder: Path, port: int) -> None:
    """What the commands beside a running node need to know."""
    (folder / "node.toml").write_text(
        f'[node]\nae_title = "NODE"\nspool = "spool"\naccept_any = true\n'
        f'[[destination]]\nname = "archive"\nhost = "127.0.0.1"\nport = {port}\nae_title = "ARCHIVE"\n'
        f'[[rule]]\nname = "hands"\nmodality = ["DX", "CR"]\ndestinations = ["archive"]\n'
    )


def test_a_radiograph_becomes_a_report_in_the_archive(tmp_path: Path, archive: StandIn) -> None:
    config = config_of(tmp_path, archive.port, storage_commitment=True)
    with started(config) as addresses:
        archive.reports_to, archive.calls = addresses.port, "NODE"
        assert send(addresses, phantom_file(1), phantom_file(2)) == [0, 0]
        wait_until(lambda: events_of(tmp_path).count("committed") == 2)
    assert archive.most_times() == 1
    assert len(archive.stored) == 2
    events = events_of(tmp_path)
    assert (events[0], events[-1]) == ("started", "stopped")
    assert {event: events.count(event) for event in ("received", "predicted", "delivered")} == {
        "received": 2,
        "predicted": 2,
        "delivered": 2,
    }
    predicted = next(line for line in audit_of(tmp_path) if line["event"] == "predicted")
    assert (predicted["rule"], predicted["status"], predicted["objects"]) == (
        *("rule 1", "ok"),
        ["report"],
    )


def test_what_no_rule_names_leaves_nothing(tmp_path: Path, archive: StandIn) -> None:
    ignored = Rule(destinations=(), name="mine", calling_ae=("CR1",), modality=("DX",))
    with started(config_of(tmp_path, archive.port, ignored)) as addresses:
        send(addresses, phantom_file(1), phantom_file(2))
        wait_until(lambda: events_of(tmp_path).count("ignored") == 2)
    reasons = {line["reason"]: line["rule"] for line in audit_of(tmp_path) if "rule" in line}
    assert reasons == {"no_destination": "mine", "no_rule": "no_rule"}
    assert archive.stored == {}


def test_a_stranger_is_refused(tmp_path: Path, archive: StandIn) -> None:
    with started(config_of(tmp_path, archive.port)) as addresses:
        assert send(addresses, phantom_file(1), calling="STRANGER") == []
        wait_until(lambda: "association_refused" in events_of(tmp_path))
    refused = next(line for line in audit_of(tmp_path) if line["event"] == "association_refused")
    assert (refused["calling_ae"], refused["reason"]) == ("STRANGER", "calling_ae")


def test_tls_with_certificates_on_both_sides(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    node, peer = authority.certificate("node"), authority.certificate("peer")
    tls = TlsSection(certificate=node.certificate, key=node.key, ca=authority.ca)
    of_archive = dataclasses.replace(tls, certificate=peer.certificate, key=peer.key)
    sender = ssl.create_default_context(cafile=authority.ca)
    sender.load_cert_chain(peer.certificate, peer.key)
    with running(StandIn(), tls=server_context(of_archive)) as archive:
        config = config_of(tmp_path, archive.port)
        secure = dataclasses.replace(config.destinations[0], tls=True)
        with started(dataclasses.replace(config, tls=tls, destinations=(secure,))) as addresses:
            assert send(addresses, phantom_file(1)) == []
            assert send(addresses, phantom_file(1), tls=sender) == [0]
            wait_until(lambda: archive.stored)


def test_an_open_port_without_tls_is_said(
    tmp_path: Path, archive: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    with started(config_of(tmp_path, archive.port)):
        assert "without TLS" not in caplog.text
    with started(config_of(tmp_path, archive.port, host="127.0.0.2")):
        assert "listens on 127.0.0.2 without TLS" in caplog.text


def test_objects_for_a_destination_that_was_removed_are_said_at_the_start(
    tmp_path: Path, archive: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    with Spool(tmp_path / "spool", reserve_bytes=0) as spool:
        uids = dict.fromkeys(("sop_instance_uid", "study_instance_uid", "series_instance_uid"), "1")
        spool.receive(b"a radiograph", **uids, sop_class_uid="1", calling_ae="CR1")
        (received,) = spool.waiting_of("1")
        spool.finish(received, [NewObject("report", "2.25.7", "1.2", b"an SR")], ["old-archive"])
    with started(config_of(tmp_path, archive.port)):
        assert "1 objects wait for old-archive" in caplog.text
    with Spool(tmp_path / "spool", reserve_bytes=0) as spool:
        assert len(spool.due("old-archive")) == 1


def test_an_audit_that_cannot_be_written_is_an_error(tmp_path: Path, archive: StandIn) -> None:
    config = config_of(tmp_path, archive.port, audit=str(tmp_path / "absent/audit.jsonl"))
    with pytest.raises(EnvironmentFaultError, match=r"the audit cannot be written to \(No such"):
        Node(config).run(stop=threading.Event())


def test_what_waits_at_the_stop_is_done_after_the_next_start(
    tmp_path: Path, archive: StandIn
) -> None:
    with started(config_of(tmp_path, archive.port, quiet_seconds=1000.0)) as addresses:
        assert send(addresses, phantom_file(1)) == [0]
    assert archive.stored == {}
    with started(config_of(tmp_path, archive.port)):
        wait_until(lambda: archive.stored)
    starts = [line["waiting"] for line in audit_of(tmp_path) if line["event"] == "started"]
    assert starts == [0, 1]


def test_rerun_of_what_failed_while_the_node_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closed() as port:
        config = config_of(tmp_path, port)
    write_toml(tmp_path, port)
    with started(config) as addresses:
        send(addresses, phantom_file(1))
        wait_until(lambda: "given_up" in events_of(tmp_path))
        found = status_by_command(tmp_path, capsys)
        assert found["deliveries"] == {"archive": {"failed": 1}}
        assert "Connection refused" in found["faults"][0]["reason"]
        with running(StandIn(), port=port) as archive:
            words = ["dicom-node", "--config", str(tmp_path / "node.toml"), "rerun", "--failed"]
            assert cli.run(words) == 0
            assert capsys.readouterr().out == "1 put back\n"
            wait_until(lambda: archive.stored)
    assert status_by_command(tmp_path, capsys)["deliveries"] == {"archive": {"sent": 1}}
    assert "rerun" in events_of(tmp_path)


def test_metrics_and_readiness(tmp_path: Path, archive: StandIn) -> None:
    with started(config_of(tmp_path, archive.port, metrics_port=0)) as addresses:
        send(addresses, phantom_file(1))
        wait_until(lambda: archive.stored)
        base = f"http://127.0.0.1:{addresses.metrics_port}"
        wait_until(lambda: b'destination_up{destination="archive"} 1.0' in _get(f"{base}/metrics"))
        assert b'bone_age_node_radiographs{state="done"} 1.0' in _get(f"{base}/metrics")
        assert _get(f"{base}/readyz") == _get(f"{base}/livez") == b"OK\n"


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()


def test_old_files_are_removed(tmp_path: Path, archive: StandIn) -> None:
    with started(config_of(tmp_path, archive.port)) as addresses:
        send(addresses, phantom_file(1))
        wait_until(lambda: "delivered" in events_of(tmp_path))
    with started(config_of(tmp_path, archive.port, retention_days=0.0)):
        wait_until(lambda: "removed" in events_of(tmp_path))
    assert list((tmp_path / "spool/files").iterdir()) == []


def test_two_nodes_do_not_share_a_spool(tmp_path: Path, archive: StandIn) -> None:
    config = config_of(tmp_path, archive.port)
    with (
        started(config),
        pytest.raises(EnvironmentFaultError, match="another dicom-node runs in this spool"),
    ):
        Node(config).run(stop=threading.Event())


def test_a_thread_that_ends_ends_the_node(
    tmp_path: Path, archive: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Worker, "run", lambda self: None)
    with pytest.raises(RuntimeError, match="a thread of the node has ended"):
        Node(config_of(tmp_path, archive.port)).run(stop=threading.Event())
    assert audit_of(tmp_path)[-1]["reason"] == "failed"


def test_nothing_of_a_patient_is_in_audit_log_and_metrics(
    tmp_path: Path, archive: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    files = [canary_dicom(number) for number in range(2)]
    files.append(canary_dicom(2, Modality="CT"))
    caplog.set_level(logging.INFO)
    archive.statuses = [0xA700]
    with started(config_of(tmp_path, archive.port, metrics_port=0)) as addresses:
        send(addresses, *files)
        wait_until(lambda: events_of(tmp_path).count("delivered") == 2)
        wait_until(lambda: "ignored" in events_of(tmp_path))
        metrics = _get(f"http://127.0.0.1:{addresses.metrics_port}/metrics")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("bone_age")]
    assert ours
    assert archive.stored
    written = {
        "audit": (tmp_path / "spool/audit.jsonl").read_bytes(),
        "log": "\n".join(ours).encode(),
        "metrics": metrics,
        "names": "\n".join(map(str, tmp_path.rglob("*"))).encode(),
    }
    assert canaries_in(written.items()) == []
    with Spool(tmp_path / "spool", shared=True) as spool:  # a search that finds what is there
        kept = [path.read_bytes() for path in spool.folder.rglob("*.dcm")]
    assert canaries_in([("spool", one) for one in kept])
