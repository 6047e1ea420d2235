"""The spool: what was received stays, whatever happens in between."""

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bone_age_tf.dicom_output.node.rows import NewObject, Received
from bone_age_tf.dicom_output.node.spool import Spool
from bone_age_tf.errors import EnvironmentFaultError, UsageError

STUDY = "1.2.3"
OBJECT = NewObject("report", "2.25.7", "1.2.840.10008.5.1.4.1.1.88.34", b"an SR")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool") as spool:
        yield spool


def receive(
    spool: Spool, uid: str = "1.2.3.4", encoded: bytes = b"a radiograph", **other: str
) -> None:
    spool.receive(
        encoded,
        sop_instance_uid=uid,
        study_instance_uid=other.get("study", STUDY),
        series_instance_uid="1.2.3.9",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
        calling_ae=other.get("calling_ae", "MODALITY"),
    )


def only(spool: Spool) -> Received:
    (received,) = spool.waiting_of(STUDY)
    return received


def files(spool: Spool) -> list[bytes]:
    return sorted(path.read_bytes() for path in (spool.folder / "files").iterdir())


# === Radiographs ===


def test_what_was_received_waits_with_its_bytes(spool: Spool) -> None:
    receive(spool)
    received = only(spool)
    assert received.path.read_bytes() == b"a radiograph"
    assert (received.sop_instance_uid, received.calling_ae) == ("1.2.3.4", "MODALITY")
    assert spool.by_state() == {"waiting": 1}
    assert 0 <= spool.oldest_waiting()["radiographs"] < 60


def test_files_are_their_owners_alone_and_are_called_by_hashes(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with Spool(tmp_path / "spool") as spool:
            receive(spool, uid="../../evil")
            modes = {
                path.relative_to(spool.folder): stat.S_IMODE(path.stat().st_mode)
                for path in spool.folder.rglob("*")
            }
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    assert modes.pop(Path("files")) == 0o700
    assert set(modes.values()) == {0o600}
    assert all("evil" not in str(path) for path in modes)


def test_the_same_bytes_are_no_new_work(spool: Spool) -> None:
    receive(spool)
    spool.finish(only(spool), [OBJECT], ["PACS"])
    receive(spool)
    assert spool.quiet_studies(0) == []
    assert files(spool) == [b"a radiograph", b"an SR"]


@pytest.mark.parametrize("state", ["fail", "ignore"])
def test_the_same_bytes_are_work_where_there_was_no_result(spool: Spool, state: str) -> None:
    receive(spool)
    getattr(spool, state)(only(spool), "why")
    assert spool.quiet_studies(0) == []
    receive(spool, calling_ae="OTHER")
    assert only(spool).calling_ae == "OTHER"


def test_other_bytes_with_the_same_uid_take_the_place_of_the_first(spool: Spool) -> None:
    receive(spool)
    spool.finish(only(spool), [], [])
    receive(spool, encoded=b"corrected")
    assert only(spool).path.read_bytes() == b"corrected"
    assert files(spool) == [b"corrected"]


def test_a_result_for_bytes_that_were_replaced_meanwhile_is_dropped(spool: Spool) -> None:
    receive(spool)
    first = only(spool)
    receive(spool, encoded=b"corrected")
    spool.finish(first, [OBJECT], ["PACS"])
    assert spool.due("PACS") == []
    assert only(spool).path.read_bytes() == b"corrected"
    assert files(spool) == [b"corrected"]


def test_a_study_is_quiet_once_nothing_came_for_so_long(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.time", lambda: now)
    receive(spool, "1")
    now = 1008.0
    receive(spool, "2")
    receive(spool, "3", study="other")
    spool.ignore(spool.waiting_of(STUDY)[1], "nothing")
    now = 1012.0
    assert spool.quiet_studies(10) == []
    now = 1018.0
    assert spool.quiet_studies(10) == [STUDY, "other"]
    assert spool.quiet_studies(99) == [] and spool.quiet_studies(99, 18) == [STUDY]
    now = 900.0  # the clock was set back
    assert spool.quiet_studies(10) == [STUDY, "other"]


def test_attempts_are_counted_over_processes_until_a_rerun(tmp_path: Path) -> None:
    for attempts in range(3):
        with Spool(tmp_path / "spool") as spool:
            receive(spool)
            assert only(spool).attempts == attempts
            assert spool.begin(only(spool))
    with Spool(tmp_path / "spool") as spool:
        spool.fail(only(spool), "why")
        assert spool.by_state() == {"failed": 1}
        assert spool.rerun_failed() == 1
        assert only(spool).attempts == 0


def test_what_was_begun_before_comes_last(spool: Spool) -> None:
    receive(spool, "1", study="first")
    receive(spool, "2", study="first")
    receive(spool, "3", study="second")
    assert spool.quiet_studies(0) == ["first", "second"]
    assert spool.begin(spool.waiting_of("first")[0])
    assert spool.quiet_studies(0) == ["second", "first"]
    assert [one.sop_instance_uid for one in spool.waiting_of("first")] == ["2", "1"]


def test_an_attempt_that_a_stop_ended_does_not_count(spool: Spool) -> None:
    receive(spool)
    received = only(spool)
    assert spool.begin(received)
    spool.put_back(received)
    assert only(spool).attempts == 0


# === Deliveries ===


def test_a_delivery_goes_from_waiting_to_committed(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.time", lambda: now)
    receive(spool)
    spool.finish(only(spool), [OBJECT], ["PACS", "WEB"])
    (delivery,) = spool.due("PACS")
    assert delivery.path.read_bytes() == b"an SR"
    assert (delivery.kind, delivery.object_uid) == ("report", "2.25.7")
    assert (delivery.study_instance_uid, delivery.source_uid) == (STUDY, "1.2.3.4")

    spool.retry(delivery, "no answer", 60)
    assert spool.due("PACS") == []
    now = 1060.0
    assert [(one.attempts, one.error) for one in spool.due("PACS")] == [(1, "no answer")]

    spool.sent(delivery, transaction_uid="2.25.99")
    assert spool.due("PACS") == []
    assert spool.uncommitted("PACS", 10) == []
    now = 1070.0
    assert spool.uncommitted("PACS", 10) == spool.of_transaction("2.25.99")
    spool.committed(delivery)
    assert spool.uncommitted("PACS", 10) == []
    assert spool.by_destination()["PACS"] == {"committed": 1}
    assert spool.by_destination()["WEB"] == {"waiting": 1}
    assert spool.oldest_waiting() == {"to WEB": 70.0}
    assert spool.has_made("2.25.7")
    assert not spool.has_made("1.2.3.4")


def test_a_clock_that_was_set_back_delays_no_delivery(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.time", lambda: now)
    receive(spool)
    spool.finish(only(spool), [OBJECT], ["PACS"])
    spool.retry(spool.due("PACS")[0], "no answer", 60)
    now = 100.0
    assert len(spool.due("PACS")) == 1


def test_what_waits_for_its_next_attempt_is_due_at_once_after_hurry(spool: Spool) -> None:
    receive(spool)
    spool.finish(only(spool), [OBJECT], ["PACS"])
    spool.retry(spool.due("PACS")[0], "away", 3600)
    assert spool.due("PACS") == []
    assert spool.hurry() == 1
    assert [one.attempts for one in spool.due("PACS")] == [1]


def test_what_failed_is_due_again_when_it_is_rerun(spool: Spool) -> None:
    receive(spool)
    spool.finish(only(spool), [OBJECT], ["PACS"])
    spool.give_up(spool.due("PACS")[0], "refused")
    assert spool.due("PACS") == []
    assert spool.rerun_failed() == 1
    assert spool.due("PACS")[0].attempts == 0


def test_an_object_that_was_sent_is_not_sent_again_and_one_that_failed_is(spool: Spool) -> None:
    other = NewObject("picture", "2.25.8", "1.2.840.10008.5.1.4.1.1.7", b"an SC")
    receive(spool)
    spool.finish(only(spool), [OBJECT, other], ["PACS"])
    report, picture = spool.due("PACS")
    spool.sent(report)
    spool.give_up(picture, "refused")
    receive(spool, encoded=b"another encoding")
    spool.finish(only(spool), [OBJECT, other], ["PACS"])
    assert [one.kind for one in spool.due("PACS")] == ["picture"]


def test_what_is_done_is_removed_in_time_and_what_waits_or_failed_stays(spool: Spool) -> None:
    for uid in ("sent", "asked", "failed", "waiting"):
        receive(spool, uid, encoded=uid.encode())
        made = NewObject("report", f"of {uid}", "1", f"of {uid}".encode())
        if uid != "waiting":
            received = next(one for one in spool.waiting_of(STUDY) if one.sop_instance_uid == uid)
            spool.finish(received, [made], ["PACS"])
    sent, asked, failed = spool.due("PACS")
    spool.sent(sent)
    spool.sent(asked, "2.25.9")
    spool.give_up(failed, "refused")
    assert spool.remove_older_than(1) == 0
    assert spool.remove_older_than(0) == 1
    assert b"sent" not in files(spool)
    assert {b"asked", b"of asked", b"failed", b"of failed", b"waiting"} == set(files(spool))
    spool.committed(asked)
    assert spool.remove_older_than(0) == 1


# === The folder ===


def test_everything_is_there_after_another_start_and_leftovers_are_not(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool") as spool:
        receive(spool)
        spool.finish(only(spool), [OBJECT], ["PACS"])
        (spool.folder / "files" / ".aside").write_bytes(b"half")
        (spool.folder / "files" / "0123.dcm").write_bytes(b"without a row")
    with Spool(tmp_path / "spool") as spool:
        assert files(spool) == [b"a radiograph", b"an SR"]
        assert len(spool.due("PACS")) == 1


def test_one_node_runs_in_a_spool_and_rerun_works_beside_it(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool") as spool:
        receive(spool)
        spool.fail(only(spool), "why")
        with pytest.raises(EnvironmentFaultError, match="another dicom-node"):
            Spool(tmp_path / "spool")
        with Spool(tmp_path / "spool", shared=True) as beside:
            assert beside.rerun_failed() == 1
        assert len(spool.waiting_of(STUDY)) == 1
    Spool(tmp_path / "spool").close()


def test_a_spool_of_another_version_is_named(tmp_path: Path) -> None:
    Spool(tmp_path / "spool").close()
    with sqlite3.connect(tmp_path / "spool" / "spool.sqlite") as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(EnvironmentFaultError, match=r"another version.*Received 7"):
        Spool(tmp_path / "spool")


def test_a_damaged_spool_is_named(tmp_path: Path) -> None:
    Spool(tmp_path / "spool").close()
    (tmp_path / "spool" / "spool.sqlite").write_bytes(b"no database at all" * 1000)
    with pytest.raises(EnvironmentFaultError, match="is damaged"):
        Spool(tmp_path / "spool")


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(
        EnvironmentFaultError, match=r"spool: the folder .*File exists.*another folder"
    ):
        Spool(tmp_path / "spool")


def test_a_folder_with_other_files_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("x")
    mode = tmp_path.stat().st_mode
    with pytest.raises(UsageError, match="other files"):
        Spool(tmp_path)
    assert tmp_path.stat().st_mode == mode


def test_threads_receive_at_the_same_time(spool: Spool) -> None:
    def send(sender: int) -> None:
        for number in range(10):
            receive(spool, f"{sender}.{number}", encoded=f"{sender} {number}".encode())
            receive(spool, f"shared.{number}", encoded=f"shared {number}".encode())

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spool.waiting_of(STUDY)) == 50
    assert all(one.path.is_file() for one in spool.waiting_of(STUDY))
    assert len(files(spool)) == 50


# === A full disk ===


def test_the_last_space_is_kept_for_results(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with Spool(tmp_path / "spool", reserve_bytes=free) as spool:
        with pytest.raises(OSError, match="kept for results") as error:
            receive(spool)
        assert error.value.errno == errno.ENOSPC
        assert files(spool) == []


_FULL = """
import errno, sys
from pathlib import Path
from bone_age_tf.dicom_output.node.rows import NewObject
from bone_age_tf.dicom_output.node.spool import Spool

spool = Spool(sys.argv[1], reserve_bytes=0)
def receive(number, size):
    spool.receive(bytes([number]) * size, sop_instance_uid=str(number), study_instance_uid="1",
                  series_instance_uid="1", sop_class_uid="1", calling_ae="A")
def full(work):
    try:
        work()
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
        return True
    return False
kept = 0
for size in (300_000, 30_000, 3_000, 1):  # the last ones fill what SQLite needs
    while not full(lambda: receive(kept, size)):
        kept += 1
        assert kept < 250
waiting = spool.waiting_of("1")
assert len(waiting) == kept and all(one.path.stat().st_size for one in waiting)
result = [NewObject("report", "9", "9", b"x" * 100_000)]
assert full(lambda: spool.finish(waiting[0], result, ["PACS"]))
assert spool.waiting_of("1") == waiting
assert len(list((spool.folder / "files").iterdir())) == kept
(Path(sys.argv[1]) / "../filler").unlink()
spool.finish(waiting[0], result, ["PACS"])
receive(255, 1000)
assert len(spool.due("PACS")) == 1 and len(spool.waiting_of("1")) == kept
spool.close()
print("ok", kept)
"""


def test_on_a_full_disk_nothing_is_left_and_work_goes_on_once_there_is_space() -> None:
    script = f"""
mount -t tmpfs -o size=4m none /mnt || exit 77
head -c 1000000 /dev/zero > /mnt/filler
mkdir /mnt/spool
exec {sys.executable} -c '{_FULL}' /mnt/spool
"""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, of util-linux")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if done.returncode in (1, 77) and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip(f"needs a mount of its own: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok")
