"""The two distributions: what their wheels hold, and that the program finds the model of the other one."""

import json
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest
from conftest import ROOT

from bone_age_tf.data.manifest import MANIFEST

BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
LARGE = "variables.data-00000-of-00001"
"""The weights, 47 MB: these tests pack an empty file in its place."""


def _built(source: Path, folder: Path) -> Path:
    """Unpacked, as pip installs it."""
    subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "installed")
    return folder / "installed"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("program")
    for name in ("bone_age_tf", "data_prep", "tests", "findings"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return _built(source, tmp_path_factory.mktemp("program_wheel"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("model") / "saved_models"
    shutil.copytree(ROOT / "saved_models", source, ignore=shutil.ignore_patterns(LARGE, "build"))
    (source / "bone_age" / "1" / "variables" / LARGE).touch()
    shutil.copytree(source / "bone_age" / "1", source / "bone_age" / "2")  # one of the user's
    return _built(source, tmp_path_factory.mktemp("model_wheel"))


def _metadata(installed: Path) -> Message:
    (path,) = installed.glob("*.dist-info/METADATA")
    return BytesParser().parsebytes(path.read_bytes())


def test_the_program_is_packed_without_tests_and_model(program: Path) -> None:
    names = {path.name for path in program.iterdir()}
    assert names == {"bone_age_tf", "bone_age_tf-0.1.0.dist-info"}
    folders = {path.name for path in program.rglob("*") if path.is_dir()}
    assert not folders & {"tests", "findings", "saved_models", "__pycache__"}
    for name in ("data_prep/phantom/maturation.csv", "serving/page", "report/templates/base.html"):
        assert (program / "bone_age_tf" / name).exists()
    assert _metadata(program)["License"] == "Apache-2.0"


def test_the_model_is_packed_whole_with_its_terms(model: Path) -> None:
    assert {path.name for path in model.iterdir()} == {
        "bone_age_tf_model",
        "bone_age_tf_model-2.dist-info",
    }
    assert [path.name for path in (model / "bone_age_tf_model/bone_age").glob("[0-9]*")] == ["1"]
    version = model / "bone_age_tf_model" / "bone_age" / "1"
    listed = {file["name"] for file in json.loads((version / MANIFEST).read_text())["files"]}
    packed = {str(path.relative_to(version)) for path in version.rglob("*") if path.is_file()}
    assert packed == {*listed, MANIFEST}  # with another file, the model would not be loaded
    metadata = _metadata(model)
    assert metadata["Name"] == "bone-age-tf-model"
    for path in (model / "bone_age_tf_model" / "LICENSE", *model.glob("*/licenses/LICENSE")):
        assert "non-commercial" in path.read_text()
    assert "Apache" not in metadata["License"]


def test_the_program_finds_the_installed_model(
    program: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def find(*folders: Path) -> subprocess.CompletedProcess[str]:
        find = "from bone_age_tf.export.shipped_model import *; print(default_model(), shipped_model())"
        code = f"import sys; sys.path[:0] = {[*map(str, folders)]}; {find}"
        return subprocess.run(
            [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
        )

    assert "There is no model" in find(program).stderr
    installed = model / "bone_age_tf_model" / "bone_age"
    assert find(program, model).stdout.split() == [str(installed)] * 2
    own = Path("saved_models/bone_age/1")
    own.mkdir(parents=True)
    assert find(program, model).stdout.split() == [str(own.parent), str(installed)]
