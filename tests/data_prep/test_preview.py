from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import png_without_pixels, write_kaggle_layout

from bone_age_tf.config import PrepareConfig, PreprocessingConfig
from bone_age_tf.data.manifest import load_data_set
from bone_age_tf.data_prep import preview
from bone_age_tf.data_prep.prepare import PrepareReport, prepare

IMAGES = "boneage-training-dataset"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """8 phantoms, ids 1000 to 1007; 1002 is blank and 1005 without fingers."""
    folder = write_kaggle_layout(tmp_path / "raw", 8)
    hand = cv2.imread(str(folder / IMAGES / "1005.png"), cv2.IMREAD_GRAYSCALE)
    assert cv2.imwrite(str(folder / IMAGES / "1005.png"), hand[hand.shape[0] // 2 :])
    assert cv2.imwrite(str(folder / IMAGES / "1002.png"), np.full((300, 260), 80, np.uint8))
    return folder


def run(raw: Path, count: int, method: str = "registered", **settings: Any) -> PrepareReport:
    config = PrepareConfig(
        source=str(raw),
        output=str(raw.parent / "out"),
        preprocessing=PreprocessingConfig(method=method, scale=0.05),
        **settings,
    )
    return prepare(config, preview=count)


def sheets(raw: Path) -> dict[str, np.ndarray]:
    folder = raw.parent / "out" / preview.FOLDER
    return {path.name: cv2.imread(str(path)) for path in sorted(folder.iterdir())}


def cells(sheet: np.ndarray) -> int:
    """Rows of cells: each is as high as a picture and its label."""
    rows, rest = divmod(sheet.shape[0], preview.SIDE + 22 + 6)
    assert rest == 0
    return rows


def reddish(picture: np.ndarray) -> np.ndarray:
    blue, green, red = (picture[..., channel].astype(int) for channel in range(3))
    return (red > 180) & (blue < 140) & (green < 140)


def test_sheets_of_some_and_of_all_rejected(raw: Path) -> None:
    report = run(raw, 4)
    assert sorted(problem.id for problem in report.problems) == ["1002", "1005"]
    found = sheets(raw)
    assert list(found) == ["rejected-001.jpg", "sheet-001.jpg"]
    assert cells(found["sheet-001.jpg"]) == cells(found["rejected-001.jpg"]) == 1
    wide, narrow = found["sheet-001.jpg"].shape[1], found["rejected-001.jpg"].shape[1]
    assert wide > 4 * 1.5 * preview.SIDE * 0.75
    assert narrow < wide / 2
    label = slice(0, 22)
    assert reddish(found["rejected-001.jpg"][label]).any()
    assert not reddish(found["sheet-001.jpg"][label]).any()


def test_the_prepared_radiograph_stands_beside_its_original(raw: Path) -> None:
    run(raw, 1, limit=1)
    sheet = sheets(raw)["sheet-001.jpg"]
    prepared_width = round(preview.SIDE * 80 / 104)
    prepared = sheet[3 + 22 : -3, -prepared_width - 3 : -3].astype(int)
    assert np.ptp(prepared, axis=-1).max() < 30  # grey, with JPEG's errors
    assert np.median(prepared[:, -8:]) == 0
    original = sheet[3 + 22 : -3, 3 : -prepared_width - 7].astype(int)
    assert (np.ptp(original, axis=-1) > 60).mean() > 0.005  # outline, points and frame


def test_many_go_on_the_next_sheet(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "PER_SHEET", 4)
    monkeypatch.setattr(preview, "COLUMNS", 2)
    run(raw, 100)
    found = sheets(raw)
    assert list(found) == ["rejected-001.jpg", "sheet-001.jpg", "sheet-002.jpg"]
    assert [cells(sheet) for sheet in found.values()] == [1, 2, 1]


def test_the_letterbox_has_sheets_too(raw: Path) -> None:
    report = run(raw, 100, method="letterbox")
    assert [problem.id for problem in report.problems] == ["1002"]
    assert list(sheets(raw)) == ["rejected-001.jpg", "sheet-001.jpg"]


def test_a_preview_changes_nothing_of_the_data_set(raw: Path, tmp_path: Path) -> None:
    run(raw, 0)
    output = tmp_path / "out"
    assert not (output / preview.FOLDER).exists()
    before = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}
    report = run(raw, 3)  # of the data set that is there already
    assert report.already_complete
    assert list(sheets(raw)) == ["rejected-001.jpg", "sheet-001.jpg"]
    after = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()}
    assert after == before
    assert sum(load_data_set(output).splits.values()) == 6


def test_another_preview_replaces_the_first(raw: Path) -> None:
    run(raw, 3)
    (raw.parent / "out" / preview.FOLDER / "sheet-099.jpg").write_bytes(b"of another run")
    run(raw, 1)
    assert list(sheets(raw)) == ["rejected-001.jpg", "sheet-001.jpg"]


def test_a_damaged_radiograph_does_not_stop_the_preview(raw: Path) -> None:
    """Its chunks and checksums hold, so that only decoding finds it."""
    (raw / IMAGES / "1003.png").write_bytes(png_without_pixels())
    report = run(raw, 100, skip_bad=True)
    assert {problem.code for problem in report.problems} >= {"damaged", "blank"}
    assert reddish(sheets(raw)["sheet-001.jpg"]).any()
