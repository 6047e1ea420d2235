"""Archives of all kinds at once, and kills: what is delivered, lost and there twice."""

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import archive_stand_in
import deliveries
import dicomweb_stand_in
import pytest
from deliveries import (
    COMMITMENT,
    PATIENT,
    Events,
    fill,
    rows,
    spool_in,
    states,
    store_destination,
    web_destination,
)
from pydicom.uid import SecondaryCaptureImageStorage
from pynetdicom import AE

from bone_age_tf.dicom_output.node.commitment import add_context
from bone_age_tf.dicom_output.node.delivery import POLL_SECONDS, Deliveries
from bone_age_tf.dicom_output.node.spool import Spool

pytestmark = pytest.mark.release

STUDIES, KILLS = 40, 20


def _of(share: float, uid: str) -> bool:
    """Whether an object is among this share of them."""
    return random.Random(uid).random() < share


@dataclasses.dataclass(frozen=True)
class Kind:
    """An archive for C-STORE: its attributes, how it listens, and the settings of the destination."""

    behaviour: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


KINDS: Mapping[str, Kind] = {
    "normal": Kind(),
    "normal-commitment": Kind(settings=COMMITMENT),
    "slow": Kind({"pauses": lambda uid, times: 0.2}),
    "answers-20pc-too-late": Kind(
        {"pauses": lambda uid, times: 1.5 * (times == 1 and _of(0.2, uid))}
    ),
    "answers-warnings": Kind({"answers": lambda uid, times: 0xB000}),
    "full-now-and-then": Kind(
        {"answers": lambda uid, times: 0xA700 * (times < 3 and _of(0.2, uid))}
    ),
    "refuses-reports": Kind(options={"sop_classes": (SecondaryCaptureImageStorage,)}),
    "aborts-at-20pc": Kind({"aborts": lambda uid, times: times == 1 and _of(0.2, uid)}),
    "loses-20pc": Kind(
        {"keeps": lambda uid, times: times > 1 or not _of(0.2, uid)}, {}, COMMITMENT
    ),
    "fails-20pc-but-stores": Kind(
        {
            "answers": lambda uid, times: 0xC000 * _of(0.2, uid),
            "keeps": lambda uid, times: True,
        },
        {},
        COMMITMENT,
    ),
}
WEB_KINDS: Mapping[str, Mapping[str, Any]] = {
    "stow-normal": {},
    "stow-503-at-first": {"statuses": [503, 0, 503, 500] * 5},
    "stow-409-refuses-reports": {
        "refuses": lambda d: None if d.SOPClassUID == SecondaryCaptureImageStorage else 0x0122
    },
    "stow-400-but-stores": {"stores_and_answers": 400},
}
REFUSING = ("refuses-reports", "stow-409-refuses-reports")
DEAD = "dead"


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with spool_in(tmp_path) as one:
        yield one


# === Archives ===


# Where both sides abort at once, the thread of pynetdicom 3.0.4 ends with an InvalidEventError; its association has ended.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nothing_is_lost_and_nothing_is_there_twice(
    spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    uids = fill(spool, (*KINDS, *WEB_KINDS, DEAD), studies=STUDIES)
    with contextlib.ExitStack() as stack:
        archives = _started(stack)
        dead = stack.enter_context(archive_stand_in.silent())
        settings = [*_settings(archives), store_destination(dead, name=DEAD, **PATIENT)]
        node = Deliveries(spool, settings, Events(), ae_title="NODE")
        _receive_reports(stack, node, archives)
        stack.callback(node.stop, 10)
        seconds = _deliver(spool, node)
    table = [_row(spool, name, archives[name], uids, seconds[name]) for name in archives]
    with capsys.disabled():
        sys.stdout.write(_shown(table))
    assert [row["lost"] for row in table] == [0] * len(table)
    assert states(spool, DEAD) == {"waiting": len(uids)}
    for row in table:
        refused = STUDIES if row["archive"] in REFUSING else 0
        assert row["in the archive"] == len(uids) - refused
        state = (
            "committed"
            if "storage_commitment" in KINDS.get(row["archive"], Kind()).settings
            else "sent"
        )
        wanted = {state: len(uids) - refused} | ({"failed": refused} if refused else {})
        assert states(spool, row["archive"]) == wanted


def _started(stack: contextlib.ExitStack) -> dict[str, Any]:
    archives: dict[str, Any] = {}
    for name, kind in KINDS.items():
        archives[name] = _changed(archive_stand_in.StandIn(), kind.behaviour)
        stack.enter_context(archive_stand_in.running(archives[name], **kind.options))
    for name, behaviour in WEB_KINDS.items():
        archives[name] = _changed(dicomweb_stand_in.StandIn(), behaviour)
        stack.enter_context(dicomweb_stand_in.running(archives[name]))
    return archives


def _changed(archive: Any, behaviour: Mapping[str, Any]) -> Any:
    for name, value in behaviour.items():
        setattr(archive, name, value)
    return archive


def _settings(archives: Mapping[str, Any]) -> Iterator[Any]:
    for name, kind in KINDS.items():
        settings = {**kind.settings, **PATIENT, "name": name}
        yield store_destination(archives[name].port, **settings)
    for name in WEB_KINDS:
        yield web_destination(archives[name].url, name=name, **PATIENT)


def _receive_reports(
    stack: contextlib.ExitStack, node: Deliveries, archives: Mapping[str, Any]
) -> None:
    entity = AE(ae_title="NODE")
    add_context(entity)
    handlers = list(node.commitments.handlers())
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    stack.callback(server.shutdown)
    for name in KINDS:
        archives[name].reports_to = server.socket.getsockname()[1]


def _deliver(spool: Spool, node: Deliveries) -> dict[str, float]:
    """Seconds of each destination until all had arrived."""
    start = time.monotonic()
    seconds: dict[str, float] = {}
    confirmed = [name for name, kind in KINDS.items() if kind.settings]
    node.start()
    while len(seconds) < len(KINDS) + len(WEB_KINDS):
        assert time.monotonic() < start + 200, seconds
        for name in {*KINDS, *WEB_KINDS} - set(seconds):
            open_states = {"waiting", "sent"} if name in confirmed else {"waiting"}
            if not open_states & set(states(spool, name)):
                seconds[name] = time.monotonic() - start
        time.sleep(0.1)
    return seconds


def _row(
    spool: Spool, name: str, archive: Any, uids: Sequence[str], seconds: float
) -> dict[str, Any]:
    of_archive = [row for row in rows(spool) if row["destination"] == name]
    failed = {row["object_uid"] for row in of_archive if row["state"] == "failed"}
    times = getattr(archive, "stores", {})
    return {
        "archive": name,
        "objects": len(uids),
        "in the archive": len(archive.stored),
        "failed": len(failed),
        "lost": len(set(uids) - set(archive.stored) - failed),
        "sent again": sum(times.values()) - len(times) if times else archive.posts() - STUDIES,
        "seconds": round(seconds, 1),
        "spool": " ".join(f"{n} {state}" for state, n in states(spool, name).items()),
    }


def _shown(table: Sequence[Mapping[str, Any]]) -> str:
    lines = [" | ".join(map(str, row)) for row in (table[0], *(one.values() for one in table))]
    return "\n" + "".join(f"| {line} |\n" for line in lines)


# === Kills ===


def test_a_delivery_that_is_killed_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with spool_in(tmp_path) as spool:
        uids = fill(spool, studies=STUDIES)
    archive = _changed(archive_stand_in.StandIn(), {"pauses": lambda uid, times: 0.05})
    moments = random.Random(0)
    progress = []
    with archive_stand_in.running(archive):
        while not _is_delivered(tmp_path):
            node = _start_node(tmp_path, archive.port)
            if len(progress) < KILLS:
                time.sleep(POLL_SECONDS + moments.uniform(0.0, 0.4))
                node.send_signal(signal.SIGKILL)
            node.wait(60)
            progress.append(sum(archive.stores.values()))
    again = progress[-1] - len(uids)
    with capsys.disabled():
        sys.stdout.write(f"\n{KILLS} kills, sent until each: {progress}; {again} sent again\n")
    assert len(set(progress)) > KILLS / 2  # they met the work
    assert sorted(archive.stored) == sorted(uids)
    assert again <= KILLS  # at most the one in flight


def _is_delivered(folder: Path) -> bool:
    with spool_in(folder) as spool:
        return states(spool) == {"committed": 2 * STUDIES}


def _start_node(folder: Path, port: int) -> subprocess.Popen[str]:
    """A process that delivers until all is committed; returns when it has begun."""
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, deliveries.__file__, str(folder), str(port)]
    node = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ | path)
    assert node.stdout is not None and node.stdout.readline() == "ready\n"
    return node
