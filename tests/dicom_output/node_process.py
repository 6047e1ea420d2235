"""A node as a process, with a stand-in for the model and no TensorFlow; and senders that do not give up.

python node_process.py node.toml [--reserve BYTES]
"""

import argparse
import contextlib
import functools
import io
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pydicom
from pydicom.uid import generate_uid
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import build_context

SENDERS = 4


def main() -> None:
    """Run the node until it is stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--reserve", type=int, default=0)
    args = parser.parse_args()
    from dicom_stub import StubPredictor

    stub = types.ModuleType("predictor")
    stub.Predictor = StubPredictor  # type: ignore[attr-defined]
    sys.modules["bone_age_tf.dicom_output.node.predictor"] = (
        stub  # so that TensorFlow is not imported
    )
    from bone_age_tf.config.node_file import read_node_file
    from bone_age_tf.dicom_output.node import node

    node.Spool = functools.partial(node.Spool, reserve_bytes=args.reserve)  # type: ignore[misc]
    node.WATCH_SECONDS = 0.05
    node.Node(read_node_file(args.config)).run()


class NodeProcess:
    """A node that can be killed and started again, on one port and one spool."""

    def __init__(self, folder: Path, archive_port: int, *, spool: str = "spool") -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._config = folder / "node.toml"
        self._config.write_text(_TOML.format(port=self.port, archive=archive_port, spool=spool))
        self._log = folder / "node.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        return [sys.executable, __file__, str(self._config)]

    def start(self, command: Sequence[str] = ()) -> None:
        tests = Path(__file__).parent.parent
        paths = [str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command or self.command,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
                stdout=log,
                stderr=log,
            )
        wait_until(self._listens, "the node has not started", self.text)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def text(self) -> str:
        return self._log.read_text()

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


class Senders:
    """Four modalities that send objects until they are told to stop; each is sent until it is answered with success."""

    def __init__(self, port: int, drawings: Sequence[bytes], count: int | None = None) -> None:
        self._port, self._count = port, count
        self._drawings = drawings
        self._stopped, self._lock = threading.Event(), threading.Lock()
        self.kept: list[str] = []
        """SOP Instance UIDs that were answered with success."""
        self.refused = 0
        """Answers that were a failure."""
        self.broken = 0
        """Objects that were not answered."""
        self.seconds: list[float] = []
        """Until each answer of success."""
        self._threads = [
            threading.Thread(target=self._send_all, args=(number,)) for number in range(SENDERS)
        ]

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _send_all(self, sender: int) -> None:
        numbers = range(sender, self._count, SENDERS) if self._count else itertools.count(sender)
        for number in numbers:
            dataset = pydicom.dcmread(io.BytesIO(self._drawings[number % len(self._drawings)]))
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
            while not self._send(dataset):
                time.sleep(0.2)
            if self._stopped.wait(0 if self._count else 0.1):
                return

    def _send(self, dataset: pydicom.Dataset) -> bool:
        entity = ApplicationEntity(ae_title="MODALITY")
        contexts = [build_context(dataset.SOPClassUID, "1.2.840.10008.1.2.1")]
        association = entity.associate("127.0.0.1", self._port, contexts=contexts)
        if not association.is_established:
            return False
        start, status = time.monotonic(), None
        with contextlib.suppress(RuntimeError, ValueError, AttributeError):
            status = association.send_c_store(dataset).get("Status")
        seconds = time.monotonic() - start
        association.release()
        with self._lock:
            self.broken += status is None
            self.refused += status not in (None, 0)
            if status == 0:
                self.kept.append(str(dataset.SOPInstanceUID))
                self.seconds.append(seconds)
        return status == 0


def wait_until(
    is_done: Callable[[], bool], otherwise: str, text: Callable[[], str] = str, seconds: float = 120
) -> None:
    """Raises `AssertionError` where it is not done in time."""
    end = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < end, f"{otherwise}\n{text()}"
        time.sleep(0.05)


_TOML = """
[node]
ae_title = "NODE"
port = {port}
accept_any = true
check_called_ae_title = false
spool = "{spool}"
quiet_seconds = 0.2

[output]
objects = ["report"]

[[destination]]
name = "archive"
host = "127.0.0.1"
port = {archive}
ae_title = "ARCHIVE"
retry_seconds = 0.2
max_retry_seconds = 1.0

[[rule]]
destinations = ["archive"]
"""

if __name__ == "__main__":
    main()
