"""The node beside Orthanc, by the files of `deploy/orthanc`: from the radiograph to its results in the same study."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dicom_results import dataset_of_phantom, phantom_file
from dicomweb_client import DICOMwebClient
from orthanc_peer import AE_TITLE, DICOM_PORT, EXAMPLE, NODE_AE_TITLE, Orthanc, dcmtk, require

pytestmark = pytest.mark.large
SECONDS = 120


class RunningNode:
    """`bone-age-tf dicom-node` as a process, with a spool in a folder and a short quiet period."""

    def __init__(self, folder: Path) -> None:
        self.audit = folder / "spool/audit.jsonl"
        own = f'spool = "{folder}/spool"\nquiet_seconds = 1'
        text = re.sub("^spool = .*$", own, (EXAMPLE / "node.toml").read_text(), flags=re.MULTILINE)
        config = folder / "node.toml"
        config.write_text(text)
        command = [sys.executable, "-m", "bone_age_tf", "dicom-node", "--config", str(config)]
        self.log = folder / "node.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: self.is_ready)

    @property
    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return f"DICOM    {NODE_AE_TITLE}" in self.log.read_text()

    def events(self) -> Counter[str]:
        """How often what happened."""
        return Counter(json.loads(line)["event"] for line in self.audit.read_text().splitlines())

    def close(self) -> None:
        """Ends as by systemd."""
        self.process.terminate()
        assert self.process.wait(SECONDS) == 0, self.log.read_text()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def archive(network: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Also one that sends to whom a workstation names."""
    require()
    one = Orthanc.of_example(tmp_path_factory.mktemp("orthanc"), DicomAlwaysAllowMove=True)
    yield one
    one.close()


@pytest.fixture(scope="module")
def node(archive: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    one = RunningNode(tmp_path_factory.mktemp("node"))
    yield one
    one.close()


def results_of(archive: Orthanc, study: str) -> list[str]:
    """Modalities of what the study holds beside the radiograph."""
    found = DICOMwebClient(archive.dicomweb).search_for_series(study)
    modalities = [one["00080060"]["Value"][0] for one in found]
    return sorted(set(modalities) - {"DX", "CR"})


def test_a_radiograph_is_routed_and_its_results_come_back_once(
    archive: Orthanc, node: RunningNode
) -> None:
    numbers = (1, 4)  # DX and CR
    before = node.events()
    for number in numbers:
        archive.client.post("/instances", content=phantom_file(number)).raise_for_status()
    until(lambda: (node.events() - before)["committed"] == 4)
    for number in numbers:
        assert results_of(archive, dataset_of_phantom(number).StudyInstanceUID) == ["OT", "SR"]
    assert len(archive.instances()) == 2 + 4
    until(lambda: {one["State"] for one in archive.get("/jobs", expand=1)} == {"Success"})
    time.sleep(3)  # longer than the quiet period: does anything go round?
    happened = node.events() - before
    assert happened == {"received": 2, "predicted": 2, "delivered": 4, "committed": 4}


def test_a_radiograph_that_a_workstation_moves_to_the_node(
    archive: Orthanc, node: RunningNode
) -> None:
    """Its header names no hand, so that Orthanc does not send it by itself."""
    radiograph = dataset_of_phantom(6)
    for keyword in ("BodyPartExamined", "StudyDescription", "SeriesDescription", "ProtocolName"):
        setattr(radiograph, keyword, "")
    study, before = radiograph.StudyInstanceUID, node.events()
    DICOMwebClient(archive.dicomweb).store_instances([radiograph])
    for _ in range(2):  # the second time, there is nothing new
        move(study)
    until(lambda: (node.events() - before)["committed"] == 2)
    assert results_of(archive, study) == ["OT", "SR"]
    move(study)  # with its results, of which the node makes nothing
    time.sleep(3)
    happened = node.events() - before
    assert (happened["predicted"], happened["delivered"]) == (1, 2), happened
    assert len(archive.instances(StudyInstanceUID=study)) == 3


def move(study: str) -> None:
    """What a workstation does, to the radiographs of a study."""
    keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}"]
    options = [word for key in keys for word in ("-k", key)]
    names = ["-aec", AE_TITLE, "-aem", NODE_AE_TITLE]
    words = [dcmtk("movescu"), "-S", *names, *options, "127.0.0.1", str(DICOM_PORT)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
