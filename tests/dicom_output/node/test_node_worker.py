"""The worker, without TensorFlow."""

import errno
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicom_results import phantom_file, result_of_phantom
from dicom_stub import StubPredictor
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    SecondaryCaptureImageStorage,
)

from bone_age_tf.config import (
    DicomOutputConfig,
    NodeConfig,
    NodeSection,
    Rule,
    StoreDestination,
)
from bone_age_tf.dicom_output.node import worker as module
from bone_age_tf.dicom_output.node.spool import Spool
from bone_age_tf.dicom_output.node.worker import MAX_ATTEMPTS, Worker
from bone_age_tf.dicom_output.result import Result

STUDY = "1.2.3"
HANDS = Rule(destinations=("PACS",), body_part=("HAND*",))


def config_of(
    *rules: Rule, quiet_seconds: float = 0, output: tuple[str, ...] = ("report",)
) -> NodeConfig:
    return NodeConfig(
        node=NodeSection(
            ae_title="BONE_AGE", spool="spool", accept_any=True, quiet_seconds=quiet_seconds
        ),
        destinations=(
            StoreDestination(name="PACS", host="127.0.0.1", port=4242, ae_title="PACS"),
            StoreDestination(name="OTHER", host="127.0.0.1", port=4242, ae_title="OTHER"),
        ),
        rules=rules or (HANDS,),
        output=DicomOutputConfig(objects=output),  # type: ignore[arg-type]
    )


class Bench:
    """A spool, and a worker that reports its events."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder, reserve_bytes=0)
        self.events: list[tuple[str, dict[str, Any]]] = []

    def worker(self, config: NodeConfig | None = None, predict: Any = None) -> Worker:
        return Worker(self.spool, config or config_of(), predict or StubPredictor(), self._event)

    def _event(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    def receive(self, uid: str = "1.2.3.4", **attributes: Any) -> str:
        dataset = pydicom.dcmread(io.BytesIO(phantom_file(1)))
        attributes = {"SOPInstanceUID": uid, "StudyInstanceUID": STUDY} | attributes
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        stream = io.BytesIO()
        dataset.save_as(stream)
        self.spool.receive(
            stream.getvalue(),
            sop_instance_uid=uid,
            study_instance_uid=STUDY,
            series_instance_uid=str(dataset.SeriesInstanceUID),
            sop_class_uid=str(dataset.SOPClassUID),
            calling_ae="MODALITY",
        )
        return uid

    @property
    def states(self) -> dict[str, int]:
        return self.spool.by_state()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "spool")
    yield bench
    bench.spool.close()


def test_a_radiograph_becomes_objects_for_the_destinations_of_its_rule(bench: Bench) -> None:
    uid = bench.receive()
    config = config_of(
        Rule(destinations=(), name="chests", body_part=("CHEST",)),
        Rule(destinations=("PACS", "OTHER"), name="hands", body_part=("HAND",)),
        Rule(destinations=("PACS",), name="all"),
    )
    assert bench.worker(config).step() == 1
    deliveries = [*bench.spool.due("PACS"), *bench.spool.due("OTHER")]
    assert [(one.kind, one.source_uid) for one in deliveries] == [("report", uid)] * 2
    report = pydicom.dcmread(deliveries[0].path)
    assert report.SOPInstanceUID == deliveries[0].object_uid
    assert report.SOPClassUID == deliveries[0].sop_class_uid
    assert report.StudyInstanceUID == deliveries[0].study_instance_uid == STUDY
    ((event, fields),) = bench.events
    assert event == "predicted"
    assert (fields["rule"], fields["status"]) == ("hands", "ok")
    assert (fields["objects"], fields["destinations"]) == (["report"], ["PACS", "OTHER"])


def test_a_study_that_is_not_quiet_waits(bench: Bench) -> None:
    bench.receive()
    assert bench.worker(config_of(quiet_seconds=60)).step() == 0
    assert bench.states == {"waiting": 1}


def test_a_rejected_radiograph_gives_a_report_too(bench: Bench) -> None:
    bench.receive()
    rejected = result_of_phantom(1, rejected="two_hands: there is more than one hand")
    bench.worker(predict=lambda path, with_radiograph: rejected).step()
    assert [one.kind for one in bench.spool.due("PACS")] == ["report"]
    assert bench.events[0][1]["reason"].startswith("two_hands")


def test_without_a_match_nothing_leaves(bench: Bench) -> None:
    bench.receive(BodyPartExamined="ANKLE")
    bench.worker().step()
    assert (bench.states, bench.spool.due("PACS")) == ({"ignored": 1}, [])
    assert bench.events[0][1]["reason"].startswith("no_rule")


def test_a_rule_without_destinations_ignores(bench: Bench) -> None:
    bench.receive()
    bench.worker(config_of(Rule(destinations=()), HANDS)).step()
    assert (bench.states, bench.spool.due("PACS")) == ({"ignored": 1}, [])


@pytest.mark.parametrize(
    "attributes",
    [
        {"SOPClassUID": CTImageStorage, "Modality": "CT"},
        {"SOPClassUID": ComprehensiveSRStorage, "Modality": "SR"},
        {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "CT"},
        {
            "SOPClassUID": SecondaryCaptureImageStorage,
            "Manufacturer": "bone-age-tf",
            "ImageType": ["DERIVED", "SECONDARY"],
        },
    ],
    ids=["CT", "report", "picture of a CT", "picture of a result"],
)
def test_what_is_no_radiograph_is_ignored(bench: Bench, attributes: dict[str, Any]) -> None:
    bench.receive(**attributes)
    bench.worker(config_of(Rule(destinations=("PACS",)))).step()
    assert (bench.states, bench.spool.due("PACS")) == ({"ignored": 1}, [])
    assert bench.events[0][1]["reason"].startswith("not_a_radiograph")


def test_a_result_that_comes_back_is_ignored(bench: Bench) -> None:
    bench.receive()
    bench.worker().step()
    (delivery,) = bench.spool.due("PACS")
    bench.receive(delivery.object_uid)
    bench.worker().step()
    assert bench.states == {"done": 1, "ignored": 1}
    assert bench.events[1][1]["reason"].startswith("own_result")


def test_a_radiograph_that_fails_keeps_back_no_other(bench: Bench) -> None:
    bench.receive("1.2.3.1")
    bench.receive("1.2.3.2")
    stub = StubPredictor()

    def predict(path: Path, *, with_radiograph: bool) -> Result | str:
        if pydicom.dcmread(path).SOPInstanceUID == "1.2.3.1":
            raise ValueError("Smith^Jane")
        return stub(path, with_radiograph=with_radiograph)

    bench.worker(predict=predict).step()
    assert bench.states == {"done": 1, "failed": 1}
    assert [one.source_uid for one in bench.spool.due("PACS")] == ["1.2.3.2"]
    failed = next(fields for event, fields in bench.events if event == "failed")
    assert failed["reason"].startswith("internal_error: ValueError")
    assert "Smith" not in str(bench.spool.faults())

    assert bench.spool.rerun_failed() == 1
    bench.worker().step()
    assert bench.states == {"done": 2}


def test_a_file_without_a_result_fails_with_the_reason(bench: Bench) -> None:
    bench.receive()
    bench.worker(predict=lambda path, with_radiograph: "damaged: the file ends early").step()
    assert bench.spool.faults() == [("radiographs", "failed", "damaged: the file ends early", 1)]


def test_a_radiograph_that_ended_the_process_each_time_fails(bench: Bench) -> None:
    bench.receive()
    for _ in range(MAX_ATTEMPTS):
        (received,) = bench.spool.waiting_of(STUDY)
        assert bench.spool.begin(received)
    bench.worker().step()
    assert bench.states == {"failed": 1}
    assert bench.events[0][1]["reason"].startswith("process_ended")


def test_a_report_that_cannot_be_made_is_a_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ValueError("of a library")

    monkeypatch.setattr(module, "MAKERS", {"report": broken, "picture": lambda *_: None})
    bench.receive()
    bench.worker(config_of(output=("picture", "report"))).step()
    assert (bench.states, bench.spool.due("PACS")) == ({"failed": 1}, [])


def test_another_kind_that_cannot_be_made_keeps_back_no_report(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ValueError("of a library")

    monkeypatch.setattr(module, "MAKERS", {**module.MAKERS, "picture": broken})
    bench.receive()
    bench.worker(config_of(output=("picture", "report"))).step()
    assert [one.kind for one in bench.spool.due("PACS")] == ["report"]


def test_key_objects_flag_the_report_that_is_delivered_with_them(bench: Bench) -> None:
    bench.receive()
    bench.worker(config_of(output=("report", "key_object"))).step()
    report, key_object = bench.spool.due("PACS")
    flagged = pydicom.dcmread(key_object.path).CurrentRequestedProcedureEvidenceSequence[0]
    series = {str(one.SeriesInstanceUID): one for one in flagged.ReferencedSeriesSequence}
    of_report = series[str(pydicom.dcmread(report.path).SeriesInstanceUID)]
    assert of_report.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == report.object_uid


def test_a_result_waits_for_space_on_the_disk(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    bench.receive()
    finish, full = bench.spool.finish, iter(range(2))

    def finish_or_full(*args: Any) -> bool:
        if next(full, None) is not None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return finish(*args)

    monkeypatch.setattr(bench.spool, "finish", finish_or_full)
    bench.worker().step()
    assert bench.states == {"done": 1}
    assert [event for event, _ in bench.events] == ["predicted"]


def test_a_stop_during_a_full_disk_counts_no_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> bool:
        worker.stop()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bench.spool, "finish", full)
    bench.receive()
    worker = bench.worker()
    worker.step()
    (received,) = bench.spool.waiting_of(STUDY)
    assert received.attempts == 0
    assert bench.events == []


def test_a_result_for_bytes_that_were_replaced_is_not_told(bench: Bench) -> None:
    bench.receive()
    stub = StubPredictor()

    def predict(path: Path, *, with_radiograph: bool) -> Result | str:
        result = stub(path, with_radiograph=with_radiograph)
        bench.receive(StudyDescription="corrected")
        return result

    bench.worker(predict=predict).step()
    assert (bench.states, bench.events) == ({"waiting": 1}, [])
    bench.worker().step()
    assert bench.states == {"done": 1}


def test_the_thread_works_until_it_is_stopped_and_survives_faults(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    done = threading.Event()
    faults: Iterator[Exception] = iter([OSError(errno.EIO, "bad disk"), ValueError("ours")])
    quiet = bench.spool.quiet_studies

    def quiet_or_fault(*seconds: float) -> list[str]:
        fault = next(faults, None)
        if fault is not None:
            raise fault
        return quiet(*seconds)

    monkeypatch.setattr(bench.spool, "quiet_studies", quiet_or_fault)
    monkeypatch.setattr(bench, "_event", lambda *args, **fields: done.set())
    bench.receive()
    worker = bench.worker()
    worker.start()
    assert done.wait(10)
    worker.stop()
    worker.join(10)
    assert not worker.is_alive()
    assert bench.states == {"done": 1}
