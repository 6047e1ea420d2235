from pathlib import Path

import pytest

from bone_age_tf.errors import UsageError
from bone_age_tf.files.outputs import claim_output
from bone_age_tf.files.provenance import write_provenance

RESULTS = ("table.csv", "pictures")


def made(folder: Path, command: str = "predict") -> Path:
    """Results of a command, and a file of someone else."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures/1.png").write_text("old")
    (folder / "table.csv").write_text("old")
    (folder / "notes.txt").write_text("mine")
    write_provenance(folder, command)
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_new_folder_is_made_and_other_files_are_left_alone(tmp_path: Path) -> None:
    assert claim_output(tmp_path / "a/b", "predict", RESULTS).is_dir()
    (tmp_path / "log.txt").write_text("mine")
    claim_output(tmp_path, "predict", RESULTS)
    assert names(tmp_path) == {"a", "log.txt", "provenance.json"}
    claim_output(tmp_path, "predict", RESULTS)  # interrupted before it wrote anything


def test_results_are_not_overwritten_unless_asked_for(tmp_path: Path) -> None:
    folder = made(tmp_path / "out")
    before = names(folder)
    with pytest.raises(UsageError, match=r"earlier `predict` \(table.csv, .*--overwrite"):
        claim_output(folder, "predict", RESULTS)
    assert names(folder) == before
    assert claim_output(folder, "predict", RESULTS, overwrite=True) == folder
    assert names(folder) == {"notes.txt", "provenance.json"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_results_of_another_command_are_never_overwritten(tmp_path: Path, overwrite: bool) -> None:
    folder = made(tmp_path / "out", "evaluate")
    with pytest.raises(UsageError, match="which `predict` did not write"):
        claim_output(folder, "predict", RESULTS, overwrite=overwrite)
    for file in ("table.csv", "run.json", "manifest.json"):  # of nobody, a run, a data set
        other = tmp_path / file.partition(".")[0]
        other.mkdir()
        (other / file).write_text("{}")
        with pytest.raises(UsageError, match=f"Received one with {file}"):
            claim_output(other, "predict", RESULTS, overwrite=overwrite)
        assert names(other) == {file}
