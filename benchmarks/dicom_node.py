"""Load test of the DICOM node: four senders at once, an archive, and what both saw.

    python benchmarks/dicom_node.py --count 500
    python benchmarks/dicom_node.py --count 500 --stub

Node, archive and senders are processes of their own. Each sender sends its share in one association, every phantom with
UIDs of its own. Measured are the seconds from a C-STORE request to its answer, what the archive was sent and keeps, and
the memory of the node: after the first 20 objects, and at the end. `--stub` gives every phantom the same result without a
model: the load of the network and of the disk alone. Exits with 1 where an answer took longer than a second, or a result
is missing or was sent twice.
"""

import argparse
import collections
import contextlib
import io
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pydicom
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import build_context

SENDERS = 4
DRAWINGS = 8
KINDS = 2
"""Report and picture."""
WARM_UP = 20
SLOWEST_SECONDS = 1.0
CONFIG = """
[node]
ae_title = "NODE"
port = {port}
accept_any = true
spool = "spool"
quiet_seconds = 1.0

[[destination]]
name = "archive"
host = "127.0.0.1"
port = {archive}
ae_title = "ARCHIVE"

[[rule]]
destinations = ["archive"]
"""


# === The sender, a process of its own ===


def send(port: int, folder: Path, count: int, first: int) -> list[float]:
    """Send `count` phantoms in one association -> seconds until each answer. Raises where one is refused."""
    drawings = [path.read_bytes() for path in sorted(folder.rglob("*.dcm"))]
    contexts = [
        build_context(pydicom.dcmread(io.BytesIO(one), specific_tags=["SOPClassUID"]).SOPClassUID,
                      ExplicitVRLittleEndian) for one in drawings[:2]
    ]  # fmt: skip
    association = ApplicationEntity("SENDER").associate(
        "127.0.0.1", port, contexts=contexts, ae_title="NODE"
    )
    assert association.is_established
    seconds = []
    for number in range(count):
        dataset = pydicom.dcmread(io.BytesIO(drawings[(first + number) % len(drawings)]))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
        start = time.monotonic()
        status = association.send_c_store(dataset)
        seconds.append(time.monotonic() - start)
        assert status.Status == 0x0000, status
    association.release()
    return seconds


def sent_by_all(port: int, folder: Path, count: int) -> list[float]:
    """The same by four processes at once."""
    shares = [len(range(sender, count, SENDERS)) for sender in range(SENDERS)]
    firsts = [0, *itertools.accumulate(shares)]
    senders = [
        subprocess.Popen(
            [sys.executable, __file__, "--send", str(port), str(folder), str(share), str(first)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for share, first in zip(shares, firsts, strict=False)
        if share
    ]
    answers = [sender.communicate()[0] for sender in senders]
    return [one for answer in answers for one in json.loads(answer)]


# === The archive, in this process ===


class Archive:
    """Counts what it is sent."""

    def __init__(self) -> None:
        self.stores = collections.Counter[str]()
        entity = ApplicationEntity("ARCHIVE")
        for sop_class in (Comprehensive3DSRStorage, SecondaryCaptureImageStorage):
            entity.add_supported_context(sop_class, ExplicitVRLittleEndian)
        self._server: Any = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._on_store)]
        )
        self.port = self._server.server_address[1]

    def _on_store(self, event: evt.Event) -> int:
        self.stores[str(event.request.AffectedSOPInstanceUID)] += 1
        return 0x0000

    def wait_for(self, count: int) -> None:
        """Until it has so many objects; gives up where no other comes for two minutes."""
        last, since = -1, time.monotonic()
        while len(self.stores) < count and time.monotonic() - since < 120:
            if len(self.stores) != last:
                last, since = len(self.stores), time.monotonic()
            time.sleep(0.1)

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()


# === The node, a process of its own ===


def run_node(config: str, *, is_stub: bool) -> None:
    """Until it is stopped."""
    from bone_age_tf.config.node_file import read_node_file

    if is_stub:
        stub = types.ModuleType("predictor")
        stub.Predictor = StubPredictor  # type: ignore[attr-defined]
        sys.modules["bone_age_tf.dicom_output.node.predictor"] = stub
    from bone_age_tf.dicom_output.node.node import Node

    Node(read_node_file(config)).run(on_ready=lambda addresses: print(addresses.port, flush=True))


class StubPredictor:
    """The same result for every radiograph; its pixels are decoded for the picture."""

    def __init__(self, model: str, accept_dicom: Sequence[str]) -> None:
        from bone_age_tf.dicom_output.results import identity_of

        del accept_dicom
        self.identity = identity_of(model)

    def __call__(self, path: Path, *, with_radiograph: bool) -> Any:
        """The result."""
        from bone_age_tf.dicom.source import read_source
        from bone_age_tf.dicom_output.outline import border_of
        from bone_age_tf.dicom_output.result import Result
        from bone_age_tf.inference.prediction import Prediction
        from bone_age_tf.preprocessing.conversion import to_png

        del with_radiograph
        encoded = path.read_bytes()
        source, png = read_source(encoded), to_png(encoded)
        row = Prediction(
            id="1", file="", sex="F", bone_age_months=120.0, bone_age_low_months=104.0,
            bone_age_high_months=136.0, bone_age_months_true=None, chronological_age_months=None,
            difference_months=None, sd_score=None, verdict="", verdict_probability=None,
            status="ok", reason="",
        )  # fmt: skip
        outline = border_of(int(source.Rows), int(source.Columns))
        png = png if isinstance(png, bytes) else None
        return Result(source, row, self.identity, outline, png)


class Memory:
    """Memory of a process in MB, sampled by a thread."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self.highest = 0.0
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def now(self) -> float:
        """Resident."""
        return self._process.memory_info().rss / 2**20

    def _sample(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while not self._over.wait(0.2):
                self.highest = max(self.highest, self.now())

    def close(self) -> None:
        """Stop sampling."""
        self._over.set()
        self._thread.join()


@contextlib.contextmanager
def started(work: Path, archive: Archive, *, is_stub: bool) -> Iterator[tuple[int, int]]:
    """A node; yields its port and process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = work / "node.toml"
    config.write_text(CONFIG.format(port=port, archive=archive.port))
    command = [sys.executable, __file__, "--node", str(config), *(["--stub"] if is_stub else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        assert node.stdout.readline().strip() == str(port), "the node has not started"
        try:
            yield port, node.pid
        finally:
            node.terminate()
            print(f"exit code of the node after SIGTERM: {node.wait(120)}")


def slowest_write(work: Path) -> float:
    """Seconds that the node itself needed for an object, by its audit."""
    lines = (work / "spool/audit.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return max(event["seconds"] for event in events if event["event"] == "received")


def main() -> int:
    """Run the benchmark and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--size", type=int, default=1024, help="pixels of the longer side")
    parser.add_argument("--stub", action="store_true", help="no model")
    parser.add_argument("--send", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--node", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.send:
        port, folder, count, first = chosen.send
        print(json.dumps(send(int(port), Path(folder), int(count), int(first))))
        return 0
    if chosen.node:
        run_node(chosen.node, is_stub=chosen.stub)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return measure(Path(folder), chosen)


def measure(work: Path, chosen: argparse.Namespace) -> int:
    """Draw, send, wait, print; returns the exit code."""
    command = f"phantom --output {work / 'drawn'} --count {DRAWINGS} --size {chosen.size} --format dicom --quiet"
    subprocess.run([sys.executable, "-m", "bone_age_tf", *command.split()], check=True)
    archive = Archive()
    with started(work, archive, is_stub=chosen.stub) as (port, pid):
        memory = Memory(pid)
        sent_by_all(port, work / "drawn", WARM_UP)
        archive.wait_for(WARM_UP * KINDS)
        before = memory.now()
        start = time.monotonic()
        seconds = sent_by_all(port, work / "drawn", chosen.count)
        sending = time.monotonic() - start
        archive.wait_for((WARM_UP + chosen.count) * KINDS)
        delivered = time.monotonic() - start
        after = memory.now()
        memory.close()
    archive.close()
    expected = (WARM_UP + chosen.count) * KINDS
    twice = sum(times > 1 for times in archive.stores.values())
    p50, p99 = np.quantile(seconds, (0.5, 0.99))
    late = sum(one > SLOWEST_SECONDS for one in seconds)
    print(f"{chosen.count} phantoms of {chosen.size} pixels by {SENDERS} associations at once"
          + (", no model" if chosen.stub else ""))  # fmt: skip
    print("| | |\n|---|---|")
    print(f"| answers of success | {len(seconds)} |")
    print(
        f"| seconds until an answer: median, 99 %, slowest | {p50:.3f}, {p99:.3f}, {max(seconds):.3f} |"
    )
    print(f"| of that in the node, to have it on the disk: slowest | {slowest_write(work):.3f} |")
    print(f"| answers after more than {SLOWEST_SECONDS:g} s | {late} |")
    print(f"| all answered after, s | {sending:.1f} |")
    print(f"| all results delivered after, s | {delivered:.1f} |")
    print(
        f"| results expected, delivered, sent more than once | {expected}, {len(archive.stores)}, {twice} |"
    )
    print(f"| memory of the node after {WARM_UP}, at most, at the end, MB | {before:.0f}, {memory.highest:.0f}, {after:.0f} |")  # fmt: skip
    return int(late > 0 or twice > 0 or len(archive.stores) != expected)


if __name__ == "__main__":
    sys.exit(main())
