"""Without the extra `[dicom]`, DICOM files have a reason, and nothing else changes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import draw_phantom, encode
from dicom_files import dicom_of

from bone_age_tf.dicom import packages
from bone_age_tf.dicom.reader import read_header, read_pixels
from bone_age_tf.files.images import SourceFile
from bone_age_tf.preprocessing.conversion import to_png
from bone_age_tf.preprocessing.radiographs import find_radiographs, prepare_files
from bone_age_tf.preprocessing.rejections import Rejection

HAND = draw_phantom(100, 1, height=120, width=90)


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("pydicom", "gdcm", "openjpeg", "jpeg_ls", "pylibjpeg"):
        monkeypatch.setitem(sys.modules, name, None)
    packages.pydicom.cache_clear()
    yield
    packages.pydicom.cache_clear()


@pytest.mark.usefixtures("without_extra")
def test_a_dicom_file_has_the_reason_and_the_command_to_install() -> None:
    encoded = dicom_of(HAND)
    rejection = to_png(encoded)
    assert isinstance(rejection, Rejection)
    assert rejection.reason == "dicom_not_installed"
    assert "pip install 'bone-age-tf[dicom]'" in rejection.explanation
    assert read_header(encoded) == read_pixels(encoded) == packages.NOT_INSTALLED


@pytest.mark.usefixtures("without_extra")
def test_the_other_files_of_a_folder_are_read(tmp_path: Path) -> None:
    png = encode(HAND)
    (tmp_path / "a.dcm").write_bytes(dicom_of(HAND))
    (tmp_path / "b.png").write_bytes(png)
    (tmp_path / "c.tif").write_bytes(encode(HAND, ".tif"))

    files: list[SourceFile] = find_radiographs([tmp_path])
    (batch,) = prepare_files(files, to_png)
    made = {one.file.name: one.made for one in batch}
    assert isinstance(made["a.dcm"], Rejection)
    assert made["b.png"] == png
    assert isinstance(made["c.tif"], bytes)


def test_pydicom_is_imported_for_a_dicom_file_alone(tmp_path: Path) -> None:
    """It takes half a second and, by its plugins, a hundred MB."""
    (tmp_path / "hand.png").write_bytes(encode(HAND))
    (tmp_path / "hand.dcm").write_bytes(dicom_of(HAND))
    code = """
import sys
from pathlib import Path

import bone_age_tf
from bone_age_tf.cli.main import run
from bone_age_tf.inference import explain, localize, predict
from bone_age_tf.preprocessing.conversion import to_png

run(["predict", "--help"])
assert to_png(Path("hand.png").read_bytes())
assert not {"pydicom", "gdcm"} & set(sys.modules)
assert isinstance(to_png(Path("hand.dcm").read_bytes()), bytes)
assert {"pydicom"} <= set(sys.modules)
"""
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120, capture_output=True
    )
