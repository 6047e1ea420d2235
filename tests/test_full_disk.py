"""A disk that is full while `prepare` or `export` writes; `tests/training/test_checkpoint.py` has the same of `train`."""

import hashlib
import re
import shutil
from pathlib import Path

import pytest
from conftest import fill_disk

from bone_age_tf.cli import main as cli
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.atomic import written_whole

KILOBYTES = (0, 4, 60, 300, 1000)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def exit_code(*words: object) -> int:
    return cli.run([*map(str, words), "--quiet"])


def assert_said(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    """One message, which names a file on the disk."""
    said = capfd.readouterr().err
    assert "No space left on device" in said
    assert str(folder) in said
    assert "Traceback" not in said and "bug" not in said


@pytest.mark.release
@pytest.mark.parametrize("kilobytes", KILOBYTES)
def test_prepare_resumes_once_there_is_space(
    kilobytes: int,
    phantoms: Path,
    tmp_path: Path,
    small_disk: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = ["--scale", 0.05, "--encoding", "raw", "--shards", 3, "--jobs", 1]
    assert exit_code("prepare", phantoms, "--output", tmp_path / "whole", *settings) == 0
    output = small_disk / "data"
    ballast = fill_disk(small_disk, kilobytes * 1024)
    code = exit_code("prepare", phantoms, "--output", output, *settings)
    assert code == (0 if kilobytes == 1000 else 6)
    if code:
        assert_said(capfd, small_disk)
        assert not (output / "manifest.json").exists()
        ballast.unlink()
        assert exit_code("prepare", phantoms, "--output", output, *settings) == 0
    assert digests(output) == digests(tmp_path / "whole")


@pytest.mark.release
@pytest.mark.parametrize("kilobytes", KILOBYTES)
def test_export_leaves_the_version_that_is_there(
    kilobytes: int,
    run: Path,
    exported: Path,
    small_disk: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    models = shutil.copytree(exported, small_disk / "model")
    before = digests(models)
    ballast = fill_disk(small_disk, kilobytes * 1024)
    assert exit_code("export", "--run", run, "--output", models) == 6
    assert_said(capfd, small_disk)
    assert digests(models) == before
    assert [path.name for path in models.iterdir()] == ["1"]
    ballast.unlink()
    assert exit_code("export", "--run", run, "--output", models) == 0
    assert ExportedModel.open(models).folder.name == "2"


def test_the_message_has_the_file_and_the_bytes(small_disk: Path) -> None:
    fill_disk(small_disk, 8192)
    with (
        pytest.raises(OSError) as caught,
        written_whole(small_disk / "table.csv", "wb") as stream,
    ):
        stream.write(bytes(100_000))
    assert caught.value.filename == str(small_disk / "table.csv")
    assert re.fullmatch(r"No space left on device after [\d,]+ bytes", caught.value.strerror)
    assert not (small_disk / "table.csv").exists()
