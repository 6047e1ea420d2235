import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import draw_phantom

from bone_age_tf.cli import main as cli
from bone_age_tf.errors import InputDataError
from bone_age_tf.evaluation import stress as stress_module
from bone_age_tf.evaluation.stress import (
    CHANGES,
    UNCHANGED,
    blurred,
    coarsened,
    rotated,
    stress,
    with_contrast,
)
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.preprocessing.rejections import Rejection

PICTURE = draw_phantom(120, 1, height=208, width=160).astype(np.float32) / 255


def changed(name: str, picture: np.ndarray = PICTURE, seed: int = 0) -> np.ndarray:
    return CHANGES[name](picture, np.random.default_rng(seed))


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_keeps_the_range_and_changes_something(name: str) -> None:
    picture = np.pad(PICTURE, 200)
    result = changed(name, picture)
    assert result.dtype == np.float32
    assert 0 <= result.min() <= result.max() <= 1
    assert result.shape != picture.shape or np.abs(result - picture).max() > 0.01
    np.testing.assert_array_equal(changed(name, picture), result)  # the same draw, the same result


def test_rotation_loses_nothing() -> None:
    turned = rotated(PICTURE, 90)
    np.testing.assert_allclose(turned, np.rot90(PICTURE), atol=1e-3)
    on_black = np.pad(PICTURE, 5)
    for degrees in (10, 30, 180):
        assert rotated(on_black, degrees).sum() == pytest.approx(on_black.sum(), rel=0.01)


def test_rotation_fills_with_the_border() -> None:
    bright = np.full((50, 80), 0.8, np.float32)
    assert rotated(bright, 30).min() == pytest.approx(0.8, abs=1e-3)


def test_blur_refers_to_the_size() -> None:
    large = cv2.resize(PICTURE, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    small = cv2.resize(blurred(large, 8), PICTURE.shape[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(small, blurred(PICTURE, 8), atol=0.05)


def test_resolution_is_that_of_the_longer_side() -> None:
    assert coarsened(PICTURE, 128).shape == (128, 98)
    assert coarsened(PICTURE, 512) is PICTURE


def test_contrast_spreads_around_the_mean() -> None:
    picture = np.linspace(0.4, 0.6, 100, dtype=np.float32).reshape(10, 10)
    np.testing.assert_allclose(with_contrast(picture, 1.5), 0.5 + 1.5 * (picture - 0.5), atol=1e-6)


def test_noise_follows_the_range_of_the_radiograph() -> None:
    faint = np.tile(np.linspace(0.2, 0.3, 400, dtype=np.float32), (400, 1))
    noise = changed("noise 5%", faint) - faint
    assert noise.std() == pytest.approx(0.05 * 0.098, rel=0.02)


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[str, str]:
    """Four drawn hands with a table, one file without a row."""
    folder = tmp_path / "radiographs"
    folder.mkdir()
    rows = ["id,sex,boneage"]
    for number in range(4):
        cv2.imwrite(str(folder / f"c{number}.png"), draw_phantom(60 + 30 * number, number))
        rows.append(f"c{number},{'FM'[number % 2]},{60 + 30 * number}")
    cv2.imwrite(str(folder / "other.png"), draw_phantom(100, 9))
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return str(folder), str(tmp_path / "labels.csv")


def test_every_radiograph_and_change_is_a_row(
    labelled: tuple[str, str], exported: Path, tmp_path: Path
) -> None:
    folder, labels = labelled
    result = stress([folder], model=str(exported), labels=labels, output=str(tmp_path / "out"))
    assert json.loads((tmp_path / "out/stress.json").read_text()) == result
    with (tmp_path / "out/stress.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 * (len(CHANGES) + 1)
    assert result["radiographs"]["n"] == 4
    for name, change in result["changes"].items():
        mine = [row for row in rows if row["change"] == name]
        assert change["rejected"] + change["n"] == 4 - result["radiographs"]["rejected_unchanged"]
        assert sum(bool(row["bone_age_months"]) for row in mine) >= change["n"]
        assert all(bool(row["reason"]) != bool(row["bone_age_months"]) for row in mine)
    again = stress([folder], model=str(exported), labels=labels, output=str(tmp_path / "again"))
    assert again == result


class Reader:
    """A model that reads the mean grey as months, and refuses what is very dark."""

    folder = Path("models/1")
    fingerprint = "0" * 64

    def prepare(self, encoded: bytes) -> np.ndarray | Rejection:
        picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
        mean = picture.mean()
        return Rejection("too_dark", "") if mean < 60 else np.full((2, 2, 1), mean)

    def months_of_prepared(self, images: np.ndarray, sexes: list[str]) -> np.ndarray:
        assert len(images) == len(sexes)
        return images.mean(axis=(1, 2, 3))


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExportedModel, "open", lambda path: Reader())
    monkeypatch.setattr(stress_module, "sha256_of", lambda path: "")


def grey_hands(folder: Path, levels: dict[str, int]) -> dict[str, Any]:
    folder.mkdir()
    for name, level in levels.items():
        cv2.imwrite(str(folder / f"{name}.png"), np.full((90, 60), level, np.uint8))
    rows = [f"{name},M,{level}" for name, level in levels.items()]
    (folder / "labels.csv").write_text("id,sex,boneage\n" + "\n".join(rows) + "\n")
    return {"model": "m", "labels": str(folder / "labels.csv")}


@pytest.mark.usefixtures("reader")
def test_shifts_refusals_and_verdicts_by_hand(tmp_path: Path) -> None:
    """Grey 100, 120 and 140 are read right as months; 15 % of brightness are 38 months."""
    given = grey_hands(tmp_path / "hands", {"a": 100, "b": 120, "c": 140})
    result = stress([str(tmp_path / "hands")], output=str(tmp_path / "out"), **given)
    assert result["mae_months"]["value"] == pytest.approx(0, abs=0.01)
    darker = result["changes"]["brightness -15%"]
    assert (darker["n"], darker["rejected"]) == (3, 0)
    assert darker["mae_shift_months"]["value"] == pytest.approx(38.25, abs=0.5)
    turned = darker["significant_changes"]
    assert turned == {"n": 3, "value": 1.0, "low": None, "high": None}  # 3 of 3 are no proof
    much_darker = result["changes"]["brightness -30%"]
    assert (much_darker["n"], much_darker["rejected"]) == (1, 2)
    assert much_darker["mean_change_months"] == {
        "value": pytest.approx(76.5, abs=0.5),
        "low": None,
        "high": None,
    }
    assert result["changes"]["mirrored"]["significant_changes"]["value"] == 0
    inverted = result["changes"]["inverted"]["mae_shift_months"]["value"]
    assert inverted == pytest.approx((55 + 15 + 25) / 3, abs=0.5)
    assert result["largest_shift_months"] == pytest.approx(76.5, abs=0.5)


@pytest.mark.usefixtures("reader")
def test_a_file_that_cannot_be_read_is_a_refusal(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {"a": 100, "b": 120})
    (tmp_path / "hands/b.png").write_bytes(b"")
    result = stress([str(tmp_path / "hands")], output=str(tmp_path / "out"), **given)
    assert result["radiographs"] == {"n": 2, "rejected_unchanged": 1}


@pytest.mark.usefixtures("reader")
def test_the_gate_closes_above_its_limit(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {"a": 100, "b": 120})
    arguments = ["stress", str(tmp_path / "hands"), "--labels", given["labels"], "--quiet"]
    arguments += ["--model", str(tmp_path), "--output", str(tmp_path / "out"), "--max-shift"]
    assert cli.commands.main([*arguments, "1"], standalone_mode=False) == 5
    wider = [*arguments, "500", "--overwrite"]
    assert cli.commands.main(wider, standalone_mode=False) == 0


@pytest.mark.usefixtures("reader")
def test_a_limit_draws_some(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {f"h{n}": 70 + n for n in range(30)})
    arguments = {"paths": [str(tmp_path / "hands")], "output": str(tmp_path / "out"), **given}
    chosen = []
    for seed in (0, 0, 1):
        result = stress(**arguments, limit=5, seed=seed, overwrite=True)
        assert result["radiographs"]["n"] == 5
        with (tmp_path / "out/stress.csv").open() as stream:
            chosen.append({r["id"] for r in csv.DictReader(stream) if r["change"] == UNCHANGED})
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.usefixtures("reader")
def test_no_usable_radiograph_is_an_error(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {"a": 10})
    with pytest.raises(InputDataError, match="rejects all 1 radiographs"):
        stress([str(tmp_path / "hands")], output=str(tmp_path / "out"), **given)
    (tmp_path / "hands/labels.csv").write_text("id,sex,boneage\nb,M,3\n")
    with pytest.raises(InputDataError, match="None of the 1 radiographs"):
        stress([str(tmp_path / "hands")], output=str(tmp_path / "out"), **given)
