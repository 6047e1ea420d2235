import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from bone_age_tf.dicom.salt import Salt
from bone_age_tf.dicom_output.node.audit import EVENTS, Audit, reason_code

SALT = Salt(b"0123456789abcdef")
UID = "1.2.840.4987654321.1"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path / "audit.jsonl", SALT)


def test_an_event_is_a_line(audit: Audit, tmp_path: Path) -> None:
    audit("received", radiograph_uid=UID, calling_ae="CR1", bytes=17, seconds=0.12345)
    audit("predicted", radiograph_uid=UID, status="ok", objects=["report", "picture"])
    received, predicted = lines(tmp_path / "audit.jsonl")
    assert received.pop("time").endswith("+00:00")
    assert received == {
        "event": "received",
        "radiograph_uid": SALT.uid(UID),
        "calling_ae": "CR1",
        "bytes": 17,
        "seconds": 0.123,
    }
    assert predicted["radiograph_uid"] == received["radiograph_uid"]
    assert predicted["objects"] == ["report", "picture"]


def test_every_uid_is_hashed_and_explanations_are_left_out(audit: Audit, tmp_path: Path) -> None:
    for event, fields in EVENTS.items():
        given = {name: UID for name in fields if name.endswith("_uid")}
        reason = {"reason": "two_hands: of CANARY^Jane"} if "reason" in fields else {}
        audit(event, **given, **reason)
    text = (tmp_path / "audit.jsonl").read_text()
    assert UID not in text
    assert "CANARY" not in text
    assert "two_hands" in text


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("two_hands: more than one", "two_hands"),
        ("0xA700", "0xA700"),
        ("HTTP 400 for Doe^Jane", "other"),
        ("", ""),
    ],
)
def test_a_reason_is_a_code(reason: str, code: str) -> None:
    assert reason_code(reason) == code


def test_a_field_that_the_audit_does_not_know_is_a_bug(audit: Audit) -> None:
    with pytest.raises(AssertionError, match="patient"):
        audit("received", patient="CANARY^Jane")


def test_the_file_is_its_owners_and_is_continued(audit: Audit, tmp_path: Path) -> None:
    audit("stopped", seconds=1)
    audit.close()
    path = tmp_path / "audit.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    Audit(path, SALT)("stopped", seconds=2)
    assert [line["seconds"] for line in lines(path)] == [1, 2]


def test_a_renamed_file_is_left(audit: Audit, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit("stopped", seconds=1)
    path.rename(tmp_path / "audit.jsonl.1")
    audit("stopped", seconds=2)
    assert [line["seconds"] for line in lines(path)] == [2]
    assert [line["seconds"] for line in lines(tmp_path / "audit.jsonl.1")] == [1]


def test_lines_of_threads_do_not_mix(audit: Audit, tmp_path: Path) -> None:
    def write(number: int) -> None:
        for _ in range(50):
            audit("delivered", attempts=number, seconds=number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = lines(tmp_path / "audit.jsonl")
    assert len(written) == 200
    assert all(line["attempts"] == line["seconds"] for line in written)


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="there is no /dev/full here")
def test_a_full_disk_stops_no_node(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    Audit(path, SALT)("stopped", seconds=1)
    assert "The audit cannot be written to (No space left on device)" in caplog.text
    assert "Traceback" not in capsys.readouterr().err
