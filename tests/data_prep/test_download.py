import sys
import types
from pathlib import Path
from typing import Any

import pytest

from bone_age_tf.data_prep import download
from bone_age_tf.data_prep.download import download_rsna, find_radiographs
from bone_age_tf.errors import EnvironmentFaultError, InputDataError, UsageError


def stand_in(monkeypatch: pytest.MonkeyPatch, radiographs: int | Exception) -> list[str]:
    """Kaggle's client, which gives a folder as Kaggle packs it, or fails."""
    asked = []

    def dataset_download(handle: str, *, output_dir: str) -> str:
        asked.append(handle)
        if isinstance(radiographs, Exception):
            raise radiographs
        inner = Path(output_dir, "boneage-training-dataset/boneage-training-dataset")
        inner.mkdir(parents=True)
        for number in range(radiographs):
            (inner / f"{number}.png").touch()
        other = Path(output_dir, "boneage-test-dataset")
        other.mkdir()
        (other / "1.png").touch()
        return output_dir

    client: Any = types.ModuleType("kagglehub")
    client.dataset_download = dataset_download
    monkeypatch.setitem(sys.modules, "kagglehub", client)
    monkeypatch.setattr(download, "RADIOGRAPHS", 5)
    return asked


def test_what_was_downloaded_is_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = stand_in(monkeypatch, 5)
    assert download_rsna(str(tmp_path / "rsna")) == tmp_path / "rsna"
    assert asked == ["kmader/rsna-bone-age"]
    download_rsna(str(tmp_path / "rsna"))
    assert len(asked) == 1  # it is complete


def test_missing_radiographs_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch, 4)
    with pytest.raises(InputDataError, match="expected 5 .* Received 4"):
        download_rsna(str(tmp_path / "rsna"))
    with pytest.raises(UsageError, match="holds 4 of 5"):
        download_rsna(str(tmp_path / "rsna"))


def test_without_a_way_to_kaggle_the_way_by_hand_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, ConnectionError("no route"))
    with pytest.raises(EnvironmentFaultError, match=r"no route.*token.*By hand: .*prepare"):
        download_rsna(str(tmp_path / "rsna"))
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(UsageError, match=r"pip install kagglehub.*By hand"):
        download_rsna(str(tmp_path / "rsna"))


def test_a_folder_of_something_else_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = stand_in(monkeypatch, 5)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UsageError, match="not empty"):
        download_rsna(str(tmp_path))
    assert not asked


def test_radiographs_are_found_where_there_are_some(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = stand_in(monkeypatch, 5)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    named = find_radiographs("mine", str(tmp_path / "named"), count=2)
    assert (named.folder, named.is_synthetic) == (Path("mine"), False)
    found = find_radiographs(None, str(tmp_path / "phantoms"), count=2)
    assert found.is_synthetic
    assert "phantoms" in found.why
    assert len(list((tmp_path / "phantoms/boneage-training-dataset").glob("*.png"))) == 2
    assert not asked
    (tmp_path / "home/.kaggle").mkdir(parents=True)
    (tmp_path / "home/.kaggle/kaggle.json").write_text("{}")
    kaggle = find_radiographs(None, str(tmp_path / "kaggle"), count=2)
    assert (kaggle.folder, kaggle.is_synthetic) == (tmp_path / "kaggle", False)
    assert len(asked) == 1
