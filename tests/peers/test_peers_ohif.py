"""The result of the shipped model in the viewer OHIF: the bone age stands on the radiograph."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ohif_peer
import pydicom
import pytest
from dicom_results import phantom_file
from dicomweb_client import DICOMwebClient
from orthanc_peer import Orthanc
from pydicom import Dataset

pytestmark = pytest.mark.release
PHANTOM = 5
SIZE = {"width": 1280, "height": 900}
MILLISECONDS = 60_000


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OHIF from npm, fetched outside of the network of the tests."""
    if ohif_peer.NPM is None or ohif_peer.CHROMIUM is None:
        pytest.skip("no npm or no chromium: apt-get install npm chromium")
    try:
        return ohif_peer.unpack(tmp_path_factory.mktemp("ohif"))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"npm pack {ohif_peer.PACKAGE}: {error.stderr.decode()[:200]}")


@pytest.fixture(scope="module")
def address(built: Path, running_orthanc: Orthanc) -> Iterator[str]:
    with ohif_peer.viewer(built) as address:
        yield address


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    """A page that must ask nobody but the viewer."""
    with ohif_peer.chromium() as browser:
        page = browser.new_context(viewport=SIZE).new_page()
        asked: list[str] = []
        page.on("request", lambda one: asked.append(one.url))
        yield page
    allowed = (address, f"blob:{address}", "data:")
    assert [url for url in asked if not url.startswith(allowed)] == []


def predicted(folder: Path, *options: str) -> list[Dataset]:
    """Report and picture of the phantom by the shipped model."""
    radiograph = folder / "hand.dcm"
    radiograph.write_bytes(phantom_file(PHANTOM))
    words = ["predict", radiograph, "--output", folder / "rows", "--dicom-output", folder / "out"]
    command = [sys.executable, "-m", "bone_age_tf", *words, *options]
    done = subprocess.run(command, check=False, timeout=300, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kinds = "report", "picture"
    return [pydicom.dcmread(folder / f"out/objects/0001-{kind}.dcm") for kind in kinds]


def stored(*datasets: Dataset) -> str:
    """Their study, in Orthanc."""
    DICOMwebClient(Orthanc.dicomweb).store_instances(list(datasets))
    return datasets[0].StudyInstanceUID


def open_study(page: Any, address: str, study: str) -> None:
    page.goto(f"{address}/viewer?StudyInstanceUIDs={study}")
    page.get_by_text("Skip all").click(timeout=MILLISECONDS)
    page.locator("svg.svg-layer").wait_for(state="attached", timeout=MILLISECONDS)
    page.get_by_text("W:").wait_for(timeout=MILLISECONDS)  # the window of the radiograph


def bone_age_of(report: Dataset) -> float:
    found = []

    def visit(dataset: Dataset, element: Any) -> None:
        if element.keyword == "ConceptNameCodeSequence" and element[0].CodeValue == "85151-9":
            found.append(float(dataset.MeasuredValueSequence[0].NumericValue))

    report.walk(visit)
    (value,) = found
    return value


@pytest.mark.parametrize("sr", ["comprehensive_3d", "comprehensive"])
def test_the_bone_age_stands_on_the_radiograph(
    orthanc: Orthanc, page: Any, address: str, tmp_path: Path, sr: str
) -> None:
    report, picture = predicted(tmp_path, "--sr", sr)
    study = stored(pydicom.dcmread(tmp_path / "hand.dcm"), report, picture)
    open_study(page, address, study)
    assert ohif_peer.drawn_text(page) == []
    page.locator('[data-cy="study-browser-thumbnail-no-image"]').dblclick()
    page.locator("svg.svg-layer text").wait_for(state="attached", timeout=MILLISECONDS)
    page.screenshot(path=tmp_path / "ohif.png")
    drawn = ohif_peer.drawn_text(page)
    assert drawn[0] == f"XR Bone age: {bone_age_of(report):.2f} mo"
    assert drawn[1:] == [
        "363698007: Hand"
    ]  # the finding site: OHIF writes a code before its meaning
    outline = page.locator("svg.svg-layer polyline").bounding_box()
    viewport = page.locator("svg.svg-layer").bounding_box()
    assert outline["height"] > 0.7 * viewport["height"]
    assert viewport["x"] < outline["x"] and outline["width"] < viewport["width"]


def test_without_the_report_nothing_stands_there(
    orthanc: Orthanc, page: Any, address: str, tmp_path: Path
) -> None:
    (tmp_path / "hand.dcm").write_bytes(phantom_file(PHANTOM))
    open_study(page, address, stored(pydicom.dcmread(tmp_path / "hand.dcm")))
    time.sleep(3)
    assert page.locator('[data-cy="study-browser-thumbnail-no-image"]').count() == 0
    assert ohif_peer.drawn_text(page) == []
    assert "Bone age" not in page.inner_text("body")
