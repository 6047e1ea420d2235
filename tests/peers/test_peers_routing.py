"""`deploy/orthanc`: Orthanc sends radiographs of hands to the node, a receiver in its place."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dicom_results import dataset_of_phantom
from dicomweb_client import DICOMwebClient
from orthanc_peer import NODE_AE_TITLE, NODE_PORT, Orthanc, require
from pydicom import Dataset
from pynetdicom import AE, StoragePresentationContexts, evt

pytestmark = pytest.mark.large


@pytest.fixture(scope="module")
def archive(network: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    require()
    one = Orthanc.of_example(tmp_path_factory.mktemp("orthanc"))
    yield one
    one.close()


@pytest.fixture
def received() -> list[str]:
    return []


@pytest.fixture
def listen(received: list[str]) -> Iterator[Callable[[], None]]:
    """Starts the receiver."""
    servers = []

    def receive(event: Any) -> int:
        received.append(event.request.AffectedSOPInstanceUID)
        return 0

    def start() -> None:
        node = AE(NODE_AE_TITLE)
        node.supported_contexts = StoragePresentationContexts
        handlers = [(evt.EVT_C_STORE, receive)]
        address = ("127.0.0.1", NODE_PORT)
        servers.append(node.start_server(address, block=False, evt_handlers=handlers))  # pyright: ignore

    yield start
    for server in servers:
        server.shutdown()


def store(archive: Orthanc, *datasets: Dataset) -> list[str]:
    client = DICOMwebClient(archive.dicomweb)
    for dataset in datasets:
        client.store_instances([dataset])  # type: ignore[list-item]
    return [str(dataset.SOPInstanceUID) for dataset in datasets]


def changed(number: int, **attributes: Any) -> Dataset:
    dataset = dataset_of_phantom(number)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
        if keyword == "SOPClassUID":
            dataset.file_meta.MediaStorageSOPClassUID = value
    return dataset


def jobs(archive: Orthanc) -> list[str]:
    return [one["State"] for one in archive.get("/jobs", expand=1)]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_hands_are_routed_and_nothing_else(
    archive: Orthanc, listen: Callable[[], None], received: list[str]
) -> None:
    listen()
    hands = [
        dataset_of_phantom(1),
        changed(2, BodyPartExamined="", StudyDescription="Left wrist"),
        changed(3, BodyPartExamined="EXTREMITY", SeriesDescription="Bone age"),
    ]
    others = [
        changed(5, BodyPartExamined="CHEST", StudyDescription="", SeriesDescription=""),
        changed(6, SOPClassUID="1.2.840.10008.5.1.4.1.1.7"),
        changed(7, SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1.1"),
    ]
    store(archive, *others)
    sent = store(archive, *hands)
    until(lambda: len(received) == len(sent) and set(jobs(archive)) == {"Success"})
    assert sorted(received) == sorted(sent)
    assert len(archive.instances()) == 6


def test_what_the_node_did_not_take_is_sent_again(
    archive: Orthanc, listen: Callable[[], None], received: list[str]
) -> None:
    sent = store(archive, dataset_of_phantom(10), dataset_of_phantom(11))
    until(lambda: jobs(archive).count("Failure") == 2)
    listen()
    sent += store(archive, dataset_of_phantom(12))
    until(lambda: len(received) == 3)
    assert sorted(received) == sorted(sent)
