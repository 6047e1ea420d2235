"""The receiver, with real senders on the loopback interface: pynetdicom's and those of DCMTK."""

import contextlib
import io
import shutil
import socket
import struct
import subprocess
import time
import unittest.mock
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicom_results import phantom_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import (
    AllStoragePresentationContexts,
    StoragePresentationContexts,
    build_context,
)
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import Verification

from bone_age_tf.config import NodeSection
from bone_age_tf.dicom.decoders import SYNTAXES
from bone_age_tf.dicom_output.node import receiver as module
from bone_age_tf.dicom_output.node.receiver import Receiver
from bone_age_tf.dicom_output.node.rows import Received
from bone_age_tf.dicom_output.node.spool import Spool
from bone_age_tf.errors import EnvironmentFaultError

SYNTAX_UIDS = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)


class Node:
    """A receiver that runs, its spool and its events."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        values = {"ae_title": "BONE_AGE", "accept_any": True, "port": 0} | settings
        self.spool = Spool(folder, reserve_bytes=0)
        self.receiver = Receiver(self.spool, NodeSection(spool=str(folder), **values), self._event)
        self.receiver.start()

    def _event(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    @property
    def received(self) -> list[Received]:
        studies = self.spool.quiet_studies(0)
        return [one for study in studies for one in self.spool.waiting_of(study)]

    def close(self) -> None:
        self.receiver.stop(0)
        self.spool.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with contextlib.closing(Node(tmp_path / "spool")) as node:
        yield node


@contextlib.contextmanager
def association(
    node: Node, *contexts: Any, calling: str = "MODALITY", called: str = "BONE_AGE"
) -> Iterator[Association]:
    entity = ApplicationEntity(ae_title=calling)
    found = entity.associate(
        "127.0.0.1", node.receiver.port, contexts=list(contexts), ae_title=called
    )
    try:
        yield found
    finally:
        if found.is_established:
            found.release()


def context_of(dataset: Any, syntax: str = ExplicitVRLittleEndian) -> Any:
    return build_context(dataset.SOPClassUID, syntax)


def phantom(number: int = 1, **attributes: Any) -> Any:
    dataset = pydicom.dcmread(io.BytesIO(phantom_file(number)))
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def send(node: Node, dataset: Any) -> Dataset:
    with association(node, context_of(dataset)) as found:
        return found.send_c_store(dataset)


def send_raw(node: Node, content: bytes, **attributes: Any) -> Dataset:
    """Bytes instead of the data set that the request is about."""
    dataset = phantom(**attributes)
    with (
        association(node, context_of(dataset)) as found,
        unittest.mock.patch("pynetdicom.association.encode", return_value=content),
    ):
        return found.send_c_store(dataset)


# === What is taken ===


@pytest.mark.parametrize("syntax", SYNTAX_UIDS, ids=lambda syntax: syntax.name)
def test_the_file_has_the_bytes_that_came(node: Node, tmp_path: Path, syntax: Any) -> None:
    dataset = phantom()
    if syntax.is_compressed and not syntax.is_deflated:
        dataset.compress(syntax, generate_instance_uid=False)
    sent = tmp_path / "sent.dcm"
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(sent, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    with association(node, context_of(dataset, syntax)) as found:
        assert found.send_c_store(sent).Status == 0x0000
    (received,) = node.received
    content = received.path.read_bytes()
    assert content.endswith(_data_set_of(sent.read_bytes()))
    read = pydicom.dcmread(io.BytesIO(content))
    assert read.file_meta.TransferSyntaxUID == syntax
    assert read.SOPInstanceUID == received.sop_instance_uid == dataset.SOPInstanceUID
    assert read.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert (received.study_instance_uid, received.calling_ae) == (
        dataset.StudyInstanceUID,
        "MODALITY",
    )
    event, fields = node.events[-1]
    assert (event, fields["bytes"]) == ("received", len(content))


def _data_set_of(file: bytes) -> bytes:
    """After preamble, DICM and the group length element, which says how long the meta header is."""
    return file[144 + struct.unpack_from("<L", file, 140)[0] :]


def test_every_storage_class_and_every_syntax_that_is_read_is_taken(node: Node) -> None:
    supported = {one.abstract_syntax: one for one in node.receiver.entity.supported_contexts}
    for wanted in (*AllStoragePresentationContexts, *StoragePresentationContexts):
        assert set(SYNTAXES) <= set(supported[wanted.abstract_syntax].transfer_syntax)


def test_an_association_with_all_contexts_is_accepted(node: Node) -> None:
    contexts = AllStoragePresentationContexts[:127]
    with association(node, build_context(Verification), *contexts) as found:
        assert len(found.accepted_contexts) == 128
        assert found.send_c_echo().Status == 0x0000


def test_the_same_object_sent_twice_is_one(node: Node) -> None:
    for _ in range(2):
        assert send(node, phantom()).Status == 0x0000
    assert len(node.received) == 1


# === What is refused ===


def test_only_titles_of_the_list_may_send(tmp_path: Path) -> None:
    settings = {"calling_ae_titles": ("MODALITY",), "accept_any": False}
    with contextlib.closing(Node(tmp_path / "spool", **settings)) as node:
        echo = build_context(Verification)
        with association(node, echo) as found:
            assert found.is_established
        with association(node, echo, calling="OTHER") as found:
            assert found.is_rejected
        with association(node, echo, called="OTHER") as found:
            assert found.is_rejected
        with association(node, echo, calling="OTHER", called="OTHER") as found:
            told = found.acceptor.primitive.reason_str
        refused = [fields for event, fields in node.events if event == "association_refused"]
    assert refused == [
        {"calling_ae": "OTHER", "called_ae": "BONE_AGE", "reason": "calling_ae"},
        {"calling_ae": "MODALITY", "called_ae": "OTHER", "reason": "called_ae"},
        {"calling_ae": "OTHER", "called_ae": "OTHER", "reason": "called_ae"},
    ]
    assert told == "Called AE title not recognised"  # the sender and the audit agree


def test_another_called_title_is_taken_where_it_is_not_checked(tmp_path: Path) -> None:
    with (
        contextlib.closing(Node(tmp_path / "spool", check_called_ae_title=False)) as node,
        association(node, build_context(Verification), called="ANY") as found,
    ):
        assert found.is_established


def test_associations_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    echo = build_context(Verification)
    with contextlib.closing(Node(tmp_path / "spool", max_associations=1)) as node:
        with association(node, echo) as first, association(node, echo) as second:
            assert first.is_established
            assert second.is_rejected
        assert node.events[-1][1]["reason"] == "too_many_associations"


def test_a_full_disk_is_out_of_resources_until_there_is_space(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.spool, "_reserve_bytes", 2**60)
    answer = send(node, phantom())
    assert (answer.Status, answer.ErrorComment) == (
        0xA700,
        "The disk is full or fails. Send again later.",
    )
    assert node.events[-1][0] == "refused"
    assert node.events[-1][1]["reason"] == "out_of_resources"
    monkeypatch.setattr(node.spool, "_reserve_bytes", 0)
    assert send(node, phantom()).Status == 0x0000


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_an_object_without_a_uid_is_refused(node: Node, keyword: str) -> None:
    dataset = phantom()
    delattr(dataset, keyword)
    answer = send_raw(node, _encoded(dataset))
    assert (answer.Status, node.received) == (0xC000, [])


@pytest.mark.parametrize(
    "uid", ["../../etc/x", "..", "1..2", "1.2.3/4", "1." + "2" * 70, "1.2\\1.3"]
)
def test_what_is_no_uid_is_refused(node: Node, uid: str) -> None:
    wanted = phantom().StudyInstanceUID.encode()
    content = _encoded(phantom())
    element = b"\x20\x00\x0d\x00UI"
    start = content.index(element)
    length = struct.unpack_from("<H", content, start + 6)[0]
    padded = uid.encode() + b"\0" * (len(uid) % 2)
    value = element + struct.pack("<H", len(padded)) + padded
    assert content[start + 8 :].startswith(wanted)
    content = content[:start] + value + content[start + 8 + length :]
    assert send_raw(node, content).Status == 0xC000
    assert node.received == []


def _encoded(dataset: Any) -> bytes:
    encoded = encode(dataset, is_implicit_vr=False, is_little_endian=True)
    assert encoded is not None
    return encoded


def test_an_object_that_is_another_than_the_request_says_is_refused(node: Node) -> None:
    content = _encoded(phantom())
    assert send_raw(node, content, SOPInstanceUID="1.2.3.4").Status == 0xA900
    assert send_raw(node, content, SOPClassUID=ComputedRadiographyImageStorage).Status == 0xA900
    assert [fields["reason"] for _, fields in node.events] == ["other_uid", "other_class"]


@pytest.mark.parametrize("content", [b"no data set", b"\x08\x00\x18\x00UI\xff\xff1.2", bytes(1000)])
def test_what_is_no_data_set_is_refused(node: Node, content: bytes) -> None:
    assert send_raw(node, content).Status == 0xC000
    assert node.received == []


def test_an_object_that_is_too_large_is_refused_and_the_next_is_taken(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 500_000)
    large = phantom(SOPInstanceUID="1.2.3", PixelData=bytes(2_000_000))
    small = phantom(PixelData=bytes(100_000))
    with association(node, context_of(large)) as found:
        assert found.send_c_store(large).Status == 0xC000
        assert found.send_c_store(small).Status == 0x0000
    assert [one.sop_instance_uid for one in node.received] == [small.SOPInstanceUID]


# === Senders that stop, or are none ===


def test_a_pdu_of_gigabytes_ends_the_connection(node: Node) -> None:
    with socket.create_connection(("127.0.0.1", node.receiver.port), 10) as connection:
        connection.sendall(b"\x01\x00" + struct.pack(">L", 2**32 - 1) + bytes(100))
        assert connection.recv(100) == b""


def test_a_sender_that_stops_within_a_pdu_holds_no_association(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.3)
    with (
        contextlib.closing(Node(tmp_path / "spool")) as node,
        association(node, build_context(Verification)) as found,
    ):
        found.dul.socket.socket.sendall(b"\x04\x00" + struct.pack(">L", 1000) + bytes(10))
        end = time.monotonic() + 10
        while node.receiver.entity.active_associations and time.monotonic() < end:
            time.sleep(0.02)
        assert node.receiver.entity.active_associations == []


def test_a_port_that_is_taken_is_named(node: Node, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFaultError, match=f"port {node.receiver.port}"):
        Node(tmp_path / "other", port=node.receiver.port)


def test_a_stop_aborts_what_does_not_end(node: Node) -> None:
    with association(node, build_context(Verification)) as found:
        node.receiver.stop(0.1)
        end = time.monotonic() + 10
        while found.is_established and time.monotonic() < end:
            time.sleep(0.02)
        assert found.is_aborted


def test_a_sender_that_stops_within_a_pdu_does_not_hold_up_a_stop(node: Node) -> None:
    with association(node, build_context(Verification)) as found:
        found.dul.socket.socket.sendall(b"\x04\x00" + struct.pack(">L", 1000) + bytes(10))
        time.sleep(0.1)
        start = time.monotonic()
        node.receiver.stop(0.1)
        assert time.monotonic() - start < 10
        found.acse_timeout = 0.1  # of the sender, whose release nobody answers


# === DCMTK ===


@pytest.mark.parametrize(
    "command",
    [["storescu", "-aec", "BONE_AGE"], ["dcmsend", "-aec", "BONE_AGE"]],
    ids=lambda c: c[0],
)
def test_senders_of_dcmtk(node: Node, tmp_path: Path, command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}, of dcmtk")
    files = []
    for number in (1, 2):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(phantom_file(number))
    address = ["127.0.0.1", str(node.receiver.port)]
    done = subprocess.run([*command, *address, *map(str, files)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {one.sop_instance_uid for one in node.received} == {
        str(phantom(number).SOPInstanceUID) for number in (1, 2)
    }
    for one in node.received:
        read = pydicom.dcmread(one.path)
        number = 1 if one.sop_instance_uid == phantom(1).SOPInstanceUID else 2
        assert read.PixelData == phantom(number).PixelData
