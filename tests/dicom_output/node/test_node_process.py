"""The command as a process with the shipped model: dcmsend, the node, an archive; signals, a restart, `rerun --failed`."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="the extra [dicom-output] is not installed")
from archive_stand_in import StandIn, closed, running
from canaries import ROOT_UID, canaries_in, canary_dicom
from dicom_results import phantom_file

pytestmark = [
    pytest.mark.release,  # `tests/peers/test_peers_node.py` runs the process, too
    pytest.mark.skipif(shutil.which("dcmsend") is None, reason="DCMTK is not installed"),
]

TOML = """
[node]
ae_title = "BONEAGE"
port = 0
spool = "spool"
calling_ae_titles = ["DCMSEND", "ARCHIVE"]
quiet_seconds = {quiet_seconds}
metrics_port = 0
[[destination]]
name = "archive"
host = "127.0.0.1"
port = {port}
ae_title = "ARCHIVE"
storage_commitment = {storage_commitment}
timeout_seconds = 5.0
retry_seconds = 0.1
give_up_hours = 0.0002
[[rule]]
name = "hands"
modality = ["DX", "CR"]
destinations = ["archive"]
"""
START_SECONDS = 180.0


class Process:
    """`bone-age-tf dicom-node`, once it is ready."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.errors = folder / f"stderr-{time.monotonic_ns()}.txt"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*COMMAND, "--config", "node.toml"],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout is not None
        words = self.process.stdout.readline().split()
        assert words[:3] == ["DICOM", "BONEAGE", "127.0.0.1"], self.errors.read_text()
        self.port = int(words[3])
        self.metrics = self.process.stdout.readline()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Exit code and seconds."""
        start = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(60), time.monotonic() - start


COMMAND = (sys.executable, "-m", "bone_age_tf", "dicom-node")


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Process]:
    process = Process(folder)
    try:
        yield process
    finally:
        process.process.kill()
        process.process.wait()
        assert process.process.stdout is not None
        process.process.stdout.close()


def configure(folder: Path, port: int, **settings: Any) -> None:
    values = {"quiet_seconds": 0.5, "storage_commitment": "false", "port": port} | settings
    (folder / "node.toml").write_text(TOML.format(**values))


def dcmsend(process: Process, *files: bytes) -> None:
    for number, file in enumerate(files):
        (process.folder / f"{number}.dcm").write_bytes(file)
    paths = [f"{number}.dcm" for number in range(len(files))]
    titles = ["-aet", "DCMSEND", "-aec", "BONEAGE"]
    words = ["dcmsend", *titles, "127.0.0.1", str(process.port), *paths]
    subprocess.run(words, cwd=process.folder, check=True, capture_output=True, timeout=60)


def beside(folder: Path, *words: str) -> str:
    """What a command prints that runs beside the node."""
    done = subprocess.run(
        [*COMMAND, "--config", "node.toml", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_until(is_true: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "spool/audit.jsonl").read_text().splitlines()]


def count(folder: Path, event: str) -> int:
    return sum(line["event"] == event for line in events(folder))


def test_from_dcmsend_to_the_archive_through_a_stop_and_a_dead_archive(tmp_path: Path) -> None:
    with closed() as port:
        configure(tmp_path, port)
    with started(tmp_path) as node:
        dcmsend(node, *(phantom_file(number) for number in range(1, 5)))
        assert count(tmp_path, "received") == 4
        code, seconds = node.end()  # before or during the first
        assert (code, seconds < 20) == (0, True)
    assert events(tmp_path)[-1]["event"] == "stopped"
    assert "Traceback" not in node.errors.read_text()
    with started(tmp_path) as node:
        wait_until(lambda: count(tmp_path, "given_up") == 8)
        found = json.loads(beside(tmp_path, "status", "--json"))
        assert found["radiographs"] == {"done": 4}
        assert found["deliveries"] == {"archive": {"failed": 8}}
        with running(StandIn(), port=port) as archive:
            assert beside(tmp_path, "rerun", "--failed") == "8 put back\n"
            wait_until(lambda: count(tmp_path, "delivered") == 8)
            assert len(archive.stored) == 8
            assert archive.most_times() == 1
        assert node.end(signal.SIGINT)[0] == 0


def test_nothing_of_a_patient_is_said(tmp_path: Path) -> None:
    with running(StandIn()) as archive:
        configure(tmp_path, archive.port, storage_commitment="true")
        archive.statuses = [0xA700, 0xB000]
        with started(tmp_path) as node:
            archive.reports_to, archive.calls = node.port, "BONEAGE"
            chest = canary_dicom(2, BodyPartExamined="CHEST")
            dcmsend(node, canary_dicom(0), canary_dicom(1, Modality="CT"), chest)
            wait_until(lambda: count(tmp_path, "committed") == 3)
            wait_until(lambda: count(tmp_path, "ignored") == 1)
            identity = beside(tmp_path, "id", f"{ROOT_UID}.0").strip()
            assert node.end()[0] == 0
    audit = (tmp_path / "spool/audit.jsonl").read_bytes()
    assert identity in {line.get("radiograph_uid") for line in events(tmp_path)}
    written = {"audit": audit, "stderr": node.errors.read_bytes(), "stdout": node.metrics.encode()}
    assert canaries_in(written.items()) == []
