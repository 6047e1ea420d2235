"""Debian's Orthanc with its DICOMweb plugin, as an archive that a test starts."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

PROGRAM = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
AE_TITLE = "ORTHANC"
DICOM_PORT, HTTP_PORT = 4242, 8042
NODE_AE_TITLE, NODE_PORT = "BONEAGE", 11112
"""Of the node, which Orthanc knows as `bone-age`."""
EXAMPLE = Path(__file__).parents[2] / "deploy/orthanc"
SECONDS = 30


def require() -> None:
    """Skip the test where it is not installed."""
    if PROGRAM is None or not PLUGIN.exists():
        pytest.skip("no Orthanc with DICOMweb: apt-get install orthanc orthanc-dicomweb")


def dcmtk(program: str) -> str:
    """The path of a program of DCMTK; the test is skipped where it is not installed."""
    # Where an environment is active, `storescu` is pynetdicom's.
    path = shutil.which(program, path="/usr/bin") or shutil.which(program)
    if path is None:
        pytest.skip(f"no {program}: apt-get install dcmtk")
    return path


class Orthanc:
    """A running Orthanc with empty storage in `folder`; `settings` are added to its configuration.

    To be started in a network of its own, with its usual ports.
    """

    url = f"http://127.0.0.1:{HTTP_PORT}"
    dicomweb = f"{url}/dicom-web"

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.config = folder / "orthanc.json"
        self.config.write_text(json.dumps(self._settings() | settings, indent=1))
        alone = httpx.Limits(max_keepalive_connections=0)  # Orthanc closes one that is idle
        self.client = httpx.Client(base_url=self.url, timeout=SECONDS, limits=alone)
        self.start()

    @classmethod
    def of_example(cls, folder: Path, **more: Any) -> "Orthanc":
        """As `deploy/orthanc` sets it up: it sends radiographs of hands to the node."""
        settings = json.loads((EXAMPLE / "orthanc.json").read_text())
        scripts = [str(EXAMPLE / Path(one).name) for one in settings.pop("LuaScripts")]
        return cls(folder, LuaScripts=scripts, **settings, **more)

    def start(self) -> None:
        """Also again after `stop`, with what it holds."""
        assert PROGRAM is not None
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "--verbose", str(self.config)], stdout=log, stderr=log, cwd=self.folder
            )
        end = time.monotonic() + SECONDS
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """What it has stored stays."""
        self.process.terminate()
        self.process.wait(SECONDS)

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        self.client.close()

    @property
    def log(self) -> Path:
        return self.folder / "orthanc.log"

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON answer of its REST interface."""
        return self.client.get(path, params=parameters).raise_for_status().json()

    def post(self, path: str, body: Any) -> Any:
        return self.client.post(path, json=body).raise_for_status().json()

    def instances(self, **tags: str) -> list[str]:
        """SOP Instance UIDs of what it holds, of those whose header has these values (`Modality="SR"`)."""
        found = self.post("/tools/find", {"Level": "Instance", "Query": tags, "Expand": True})
        return sorted(one["MainDicomTags"]["SOPInstanceUID"] for one in found)

    def file(self, sop_instance_uid: str) -> bytes:
        """The file as it holds it."""
        (one,) = self.client.post("/tools/lookup", content=sop_instance_uid).json()
        return self.client.get(f"/instances/{one['ID']}/file").raise_for_status().content

    def clear(self) -> None:
        """It holds nothing then."""
        for patient in self.get("/patients"):
            self.client.delete(f"/patients/{patient}").raise_for_status()

    def _answers(self) -> bool:
        try:
            return self.client.get("/system").is_success
        except httpx.TransportError:
            return False

    def _settings(self) -> dict[str, Any]:
        return {
            "Name": "archive of the tests",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "Plugins": [str(PLUGIN)],
            "DicomAet": AE_TITLE,
            "DicomPort": DICOM_PORT,
            "HttpPort": HTTP_PORT,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomModalities": {"bone-age": [NODE_AE_TITLE, "127.0.0.1", NODE_PORT]},
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "StableAge": 1,
        }
