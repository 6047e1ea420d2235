"""The systemd units: systemd finds no fault, and what the server's starts answers and stops.

Where systemd does not run, the command is started as a plain process, with the unit's environment file.
"""

import configparser
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from conftest import ROOT

pytestmark = pytest.mark.release
UNITS = {path.name: path for path in (ROOT / "deploy").rglob("*.service")}
SERVE = UNITS["bone-age-serve.service"]
PROGRAM = str(Path(sys.executable).with_name("bone-age-tf"))
SECONDS = 120


def installed(unit: Path, folder: Path) -> Path:
    """The unit, with the program where it is here."""
    text = unit.read_text()
    assert text.count("/opt/bone-age/bin/bone-age-tf ") == 1
    path = folder / unit.name
    path.write_text(text.replace("/opt/bone-age/bin/bone-age-tf ", f"{PROGRAM} "))
    return path


@pytest.mark.parametrize("name", sorted(UNITS))
def test_systemd_finds_no_fault(name: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze: apt-get install systemd")
    words = ["verify", "--man=no", "--recursive-errors=yes", installed(UNITS[name], tmp_path)]
    done = subprocess.run([analyze, *words], check=False, capture_output=True, timeout=SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_the_unit_starts_answers_and_stops(network: None, tmp_path: Path) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read(installed(SERVE, tmp_path))
    service = unit["Service"]
    assert service["EnvironmentFile"] == "/etc/bone-age/serve.env"
    token = "0123456789abcdef"
    with subprocess.Popen(
        shlex.split(service["ExecStart"]),
        env=os.environ | {"BONE_AGE_TOKEN": token},
        cwd=tmp_path,
        umask=int(service["UMask"], 8),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline().split()[0] for _ in range(3)] == ["REST", "gRPC", "page"]
        url = "http://127.0.0.1:8501"
        assert httpx.get(f"{url}/readyz", timeout=SECONDS).status_code == 200
        named = {"Host": "bone-age.example", "Authorization": f"Bearer {token}"}
        assert httpx.get(f"{url}/v1/models/bone_age", headers=named).status_code == 200
        assert httpx.get(f"{url}/v1/models/bone_age").status_code == 401
        process.terminate()
        assert process.wait(int(service["TimeoutStopSec"])) == int(service["SuccessExitStatus"])
        process.stdout.close()
