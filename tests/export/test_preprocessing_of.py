import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from conftest import ROOT

from bone_age_tf.cli import main as cli
from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.export.preprocessing import preprocessing_of
from bone_age_tf.preprocessing import pipeline
from bone_age_tf.preprocessing.localizer import weights as localizer

SHIPPED_MODEL = ROOT / "saved_models/bone_age"
LETTERBOX = PreprocessingConfig(method="letterbox", scale=0.05)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A folder that holds nothing of an exported model but its manifest."""
    folder = tmp_path / "models/hands/1"
    folder.mkdir(parents=True)
    shutil.copy(SHIPPED_MODEL / "1/manifest.json", folder)
    return folder / "manifest.json"


def describe(path: Path, config: PreprocessingConfig) -> None:
    """Let the manifest be of a model with this preprocessing."""
    values = json.loads(path.read_text())
    values["preprocessing"] = dataclasses.asdict(config.portable())
    values["fingerprint"] = pipeline.fingerprint(config)
    path.write_text(json.dumps(values))


def test_of_the_shipped_model() -> None:
    found = preprocessing_of(SHIPPED_MODEL)
    assert found == PreprocessingConfig(scale=0.15625)
    assert found == preprocessing_of(SHIPPED_MODEL / "1")


def test_of_a_run(run: Path) -> None:
    assert preprocessing_of(run) == PreprocessingConfig(scale=0.05)


def test_a_localizer_of_its_own_lies_in_the_folder(manifest: Path, tmp_path: Path) -> None:
    own = PreprocessingConfig(scale=0.1, localizer=str(tmp_path / "mine"))
    shutil.copytree(localizer.SHIPPED, own.localizer)
    describe(manifest, own)
    with pytest.raises(
        ModelRefusedError, match=r"lacks hand_localizer.weights.h5.*Export .* again"
    ):
        preprocessing_of(manifest.parent)
    localizer.keep_beside(own, manifest.parent)
    shutil.rmtree(own.localizer)
    found = preprocessing_of(manifest.parents[1])
    assert found == dataclasses.replace(own, localizer=str(manifest.parent / "localizer"))


def test_another_version_of_the_preprocessing_is_refused(manifest: Path) -> None:
    describe(manifest, LETTERBOX)
    assert preprocessing_of(manifest.parent) == LETTERBOX
    values = json.loads(manifest.read_text()) | {"fingerprint": "0" * 64}
    manifest.write_text(json.dumps(values))
    with pytest.raises(ModelRefusedError, match="expects radiographs of the preprocessing 00000"):
        preprocessing_of(manifest.parent)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefusedError, match="no manifest.json"):
        preprocessing_of(tmp_path)


@pytest.mark.parametrize("option", ["--scale 0.1", "--preprocess letterbox", "--localizer mine"])
def test_its_options_contradict_for_model(
    option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["prepare", str(tmp_path), "--output", str(tmp_path / "out"), *option.split()]
    assert cli.run([*words, "--for-model", str(SHIPPED_MODEL)]) == 2
    assert f"Received also {option.split(maxsplit=1)[0]}." in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_labelled_folder_is_judged_by_two_commands(
    phantoms: Path, exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, model = str(tmp_path / "data"), str(exported)
    words = ["prepare", str(phantoms), "--for-model", model, "--output", data, "--limit", "4"]
    assert cli.run(words) == 0
    assert PreparedRadiographs.open(data).manifest.splits == {"test": 4}
    following = capfd.readouterr().err.splitlines()[-1].partition("Next: bone-age-tf ")[2].split()
    assert following[:5] == ["evaluate", "--model", model, "--data", data]
    assert cli.run([*following[:-1], str(tmp_path / "evaluated")]) == 0
    assert "constant" in capfd.readouterr().out


def test_a_split_that_is_given_is_kept(phantoms: Path, exported: Path, tmp_path: Path) -> None:
    words = ["prepare", str(phantoms), "--for-model", str(exported), "--output", str(tmp_path)]
    assert cli.run([*words, "--limit", "4", "--split", "train=1.0", "--quiet"]) == 0
    assert PreparedRadiographs.open(tmp_path).manifest.splits == {"train": 4}
