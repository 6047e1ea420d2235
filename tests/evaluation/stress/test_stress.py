"""The command, mostly with a model that reads the mean grey as months."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import draw_phantom

from bone_age_tf.cli import main as cli
from bone_age_tf.data.leakage import DIGITS
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.evaluation.stress import stress as stress_module
from bone_age_tf.evaluation.stress.perturbations import CHANGES
from bone_age_tf.evaluation.stress.stress import stress
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.preprocessing.rejections import Rejection


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "stress.csv").open() as stream:
        return list(csv.DictReader(stream))


def change_in(result: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (change for change in result["changes"] if change["change"] == name)
    return found


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[str, str]:
    """Three drawn hands with a table, one file without a row."""
    folder = tmp_path / "radiographs"
    folder.mkdir()
    rows = ["id,sex,boneage"]
    for number in range(3):
        bright = 80 + draw_phantom(60 + 30 * number, number, height=170, width=130) // 2
        cv2.imwrite(str(folder / f"c{number}.png"), bright)
        rows.append(f"c{number},{'FM'[number % 2]},{60 + 30 * number}")
    cv2.imwrite(str(folder / "other.png"), bright)
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return str(folder), str(tmp_path / "labels.csv")


class Reader:
    """A model that reads the mean grey as months, and refuses what is very dark."""

    folder = Path("models/1")
    fingerprint = "0" * 64
    training_files: frozenset[str] | None = None

    def prepare(self, encoded: bytes) -> np.ndarray | Rejection:
        if not encoded:
            return Rejection("empty", "")
        picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
        mean = picture.mean()
        return Rejection("too_dark", "") if mean < 60 else np.full((2, 2, 1), mean)

    def months_of_prepared(self, images: np.ndarray, sexes: list[str]) -> np.ndarray:
        assert len(images) == len(sexes) <= 16
        return images.mean(axis=(1, 2, 3))


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    model = Reader()
    monkeypatch.setattr(ExportedModel, "open", lambda path: model)
    monkeypatch.setattr(stress_module, "sha256_of", lambda path: "")
    return model


def grey_hands(folder: Path, levels: dict[str, int]) -> dict[str, Any]:
    folder.mkdir()
    for name, level in levels.items():
        cv2.imwrite(str(folder / f"{name}.png"), np.full((90, 60), level, np.uint8))
    rows = [f"{name},M,{level}" for name, level in levels.items()]
    (folder / "labels.csv").write_text("id,sex,boneage\n" + "\n".join(rows) + "\n")
    return {"model": "m", "labels": str(folder / "labels.csv")}


# === Changes ===


@pytest.mark.usefixtures("reader")
def test_every_radiograph_and_change_is_a_row(labelled: tuple[str, str], tmp_path: Path) -> None:
    folder, labels = labelled
    given = {"model": "m", "labels": labels}
    result = stress([folder], output=str(tmp_path / "out"), **given)
    assert json.loads((tmp_path / "out/stress.json").read_text()) == result
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 3 * (len(CHANGES) + 1)
    assert result["radiographs"]["n"] == 3
    assert result["left_out"] == {"no_sex": 1}
    for change in result["changes"]:
        mine = [row for row in rows if row["change"] == change["change"]]
        assert change["rejected"] + change["n"] == 3 - result["radiographs"]["rejected_unchanged"]
        assert sum(bool(row["shift_months"]) for row in mine) == change["n"]
        assert all(bool(row["reason"]) != bool(row["bone_age_months"]) for row in mine)
        assert {row["group"] for row in mine} == {change["group"]}
    some = stress([folder], output=str(tmp_path / "again"), changes=["noise", "film"], **given)
    assert some["changes"] == [change_in(result, one["change"]) for one in some["changes"]]
    assert len(some["changes"]) == 5


@pytest.mark.usefixtures("reader")
def test_shifts_rejections_and_verdicts_by_hand(tmp_path: Path) -> None:
    """Grey 100, 120 and 140 are read right as months; 15 % of brightness are 38 months."""
    given = grey_hands(tmp_path / "hands", {"a": 100, "b": 120, "c": 140})
    result = stress([str(tmp_path / "hands")], output=str(tmp_path / "out"), **given)
    assert result["mae_months"]["value"] == pytest.approx(0, abs=0.01)
    darker = change_in(result, "brightness -15%")
    assert (darker["n"], darker["rejected"]) == (3, 0)
    assert darker["mae_shift_months"]["value"] == pytest.approx(38.25, abs=0.5)
    assert darker["mean_shift_months"]["value"] == pytest.approx(-38.25, abs=0.5)
    assert darker["p95_absolute_shift_months"] is None  # of 3
    turned = darker["significant_changes"]
    assert turned == {"n": 3, "value": 1.0, "low": None, "high": None}  # 3 of 3 are no proof
    much_darker = change_in(result, "brightness -30%")
    assert (much_darker["n"], much_darker["rejected"]) == (1, 2)
    assert much_darker["rejection_reasons"] == {"too_dark": 2}
    assert much_darker["mean_absolute_shift_months"] == {
        "value": pytest.approx(76.5, abs=0.5),
        "low": None,
        "high": None,
    }
    assert change_in(result, "mirrored")["significant_changes"]["value"] == 0
    inverted = change_in(result, "inverted")["mae_shift_months"]["value"]
    assert inverted == pytest.approx((55 + 15 + 25) / 3, abs=0.5)
    assert result["largest_mae_shift_months"] == pytest.approx(76.5, abs=0.5)


@pytest.mark.usefixtures("reader")
def test_what_is_accepted_only_when_changed_is_counted(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {"a": 50, "b": 120})
    output = str(tmp_path / "out")
    result = stress([str(tmp_path / "hands")], output=output, changes=["brightness +15%"], **given)
    assert result["radiographs"]["rejection_reasons"] == {"too_dark": 1}
    brighter = change_in(result, "brightness +15%")
    assert (brighter["n"], brighter["rejected"], brighter["accepted_only_changed"]) == (1, 0, 1)


@pytest.mark.usefixtures("reader")
def test_without_labels_there_are_shifts_and_no_mae(tmp_path: Path) -> None:
    grey_hands(tmp_path / "hands", {f"h{n}": 100 + n for n in range(20)})
    given = {"model": "m", "output": str(tmp_path / "out"), "changes": ["brightness +15%"]}
    result = stress([str(tmp_path / "hands")], sex="F", **given)
    assert result["mae_months"] is result["largest_mae_shift_months"] is None
    assert result["radiographs"]["labelled"] == 0
    (brighter,) = result["changes"]
    assert brighter["mae_shift_months"] is brighter["significant_changes"] is None
    shift = brighter["mean_shift_months"]
    assert shift["value"] == pytest.approx(38.25, abs=0.5)
    assert shift["low"] <= shift["value"] <= shift["high"]
    assert brighter["p95_absolute_shift_months"] == pytest.approx(38.25, abs=0.5)
    with pytest.raises(UsageError, match="needs the sex"):
        stress([str(tmp_path / "hands")], overwrite=True, **given)


@pytest.mark.usefixtures("reader")
def test_a_chronological_age_serves_where_there_is_no_label(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {"a": 100, "b": 120})
    table = "id,sex,boneage,chronological_age_months\na,M,100,\nb,M,,120\n"
    (tmp_path / "hands/labels.csv").write_text(table)
    output = str(tmp_path / "out")
    result = stress([str(tmp_path / "hands")], output=output, changes=["brightness +15%"], **given)
    (brighter,) = result["changes"]
    assert brighter["significant_changes"]["n"] == brighter["n"] == 2
    assert result["radiographs"]["labelled"] == 1


@pytest.mark.usefixtures("reader")
def test_a_file_that_cannot_be_read_is_rejected(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {"a": 100, "b": 120})
    (tmp_path / "hands/b.png").write_bytes(b"")
    result = stress([str(tmp_path / "hands")], output=str(tmp_path / "out"), **given)
    assert (result["radiographs"]["n"], result["radiographs"]["rejected_unchanged"]) == (2, 1)


@pytest.mark.usefixtures("reader")
def test_changed_radiographs_are_kept_as_the_model_received_them(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {"a": 100, "b": 120})
    given |= {"changes": ["brightness +15%"], "output": str(tmp_path / "out")}
    stress([str(tmp_path / "hands")], pictures=1, **given)
    written = sorted((tmp_path / "out/pictures").rglob("*.png"))
    assert [path.name for path in written] == ["0001-a.png", "0001-a.png"]
    levels = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED).mean() / 257 for path in written]
    assert levels == pytest.approx([100 + 0.15 * 255, 100], abs=0.01)
    stress([str(tmp_path / "hands")], overwrite=True, **given)
    assert not (tmp_path / "out/pictures").exists()


@pytest.mark.usefixtures("reader")
def test_radiographs_whose_names_become_equal_are_kept_apart(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {"a b": 100, "a;b": 120})
    given |= {"changes": ["mirrored"], "output": str(tmp_path / "out"), "pictures": 2}
    stress([str(tmp_path / "hands")], **given)
    written = sorted((tmp_path / "out/pictures/mirrored").iterdir())
    assert [path.name[:5] for path in written] == ["0001-", "0002-"]
    assert written[0].name[5:] == written[1].name[5:]


@pytest.mark.usefixtures("reader")
def test_the_noise_of_a_file_is_the_same_in_every_sample(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {f"h{n}": 100 + n for n in range(4)})
    ramp = np.tile(np.linspace(80, 200, 60, dtype=np.uint8), (90, 1))
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"hands/h{number}.png"), ramp + np.uint8(number))
    given |= {"changes": ["noise"], "output": str(tmp_path / "out")}

    def answers(paths: list[str], **options: Any) -> dict[tuple[str, str], str]:
        stress(paths, overwrite=True, **given, **options)
        return {(r["id"], r["change"]): r["bone_age_months"] for r in rows_of(tmp_path / "out")}

    whole = answers([str(tmp_path / "hands")])
    some = answers([str(tmp_path / "hands/h2.png"), str(tmp_path / "hands/h3.png")])
    assert some.items() <= whole.items()
    assert whole != answers([str(tmp_path / "hands")], seed=1)


def test_radiographs_that_it_was_trained_on_are_counted(reader: Reader, tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {"a": 100, "b": 120})
    content = (tmp_path / "hands/b.png").read_bytes()
    reader.training_files = frozenset([hashlib.sha256(content).hexdigest()[:DIGITS]])
    given |= {"changes": ["mirrored"], "output": str(tmp_path / "out")}
    assert stress([str(tmp_path / "hands")], **given)["radiographs"]["trained_on"] == 1


@pytest.mark.usefixtures("reader")
def test_the_gate_closes_above_its_limit(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {"a": 100, "b": 120})
    arguments = ["stress", str(tmp_path / "hands"), "--labels", given["labels"], "--quiet"]
    arguments += ["--model", str(tmp_path), "--output", str(tmp_path / "out"), "--max-shift"]
    assert cli.commands.main([*arguments, "1"], standalone_mode=False) == 5
    wider = [*arguments, "500", "--overwrite"]
    assert cli.commands.main(wider, standalone_mode=False) == 0
    (tmp_path / "hands/labels.csv").write_text("id,sex\na,M\nb,F\n")
    assert cli.commands.main(wider, standalone_mode=False) == 5  # no MAE, so nothing is shown


def test_the_gate_needs_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["stress", str(tmp_path), "--model", str(tmp_path), "--output", str(tmp_path / "o")]
    assert cli.run([*arguments, "--max-shift", "1", "--sex", "F"]) == 2
    assert "needs bone ages in --labels" in capsys.readouterr().err


@pytest.mark.usefixtures("reader")
def test_a_limit_draws_some(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {f"h{n}": 70 + n for n in range(30)})
    given |= {"changes": ["mirrored"], "output": str(tmp_path / "out")}
    chosen = []
    for seed in (0, 0, 1):
        result = stress([str(tmp_path / "hands")], limit=5, seed=seed, overwrite=True, **given)
        assert result["radiographs"]["n"] == 5
        chosen.append({row["id"] for row in rows_of(tmp_path / "out")})
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.usefixtures("reader")
def test_no_usable_radiograph_is_an_error(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "hands", {"a": 10})
    with pytest.raises(InputDataError, match=r"rejects all 1 radiographs as they are \(too_dark 1"):
        stress([str(tmp_path / "hands")], output=str(tmp_path / "out"), **given)
    (tmp_path / "hands/labels.csv").write_text("id,sex,boneage\nb,M,3\n")
    with pytest.raises(InputDataError, match="Nothing tells the sex of any of the 1 radiographs"):
        stress([str(tmp_path / "hands")], output=str(tmp_path / "other"), **given)


# === Against a second folder ===


@pytest.mark.usefixtures("reader")
def test_the_files_of_two_folders_are_compared(tmp_path: Path) -> None:
    levels = {f"h{n}": 100 + n for n in range(12)}
    grey_hands(tmp_path / "first", levels | {"only": 90})
    grey_hands(
        tmp_path / "second", {name: level + 10 for name, level in levels.items()} | {"h0": 20}
    )
    given = {"model": "m", "output": str(tmp_path / "out"), "against": str(tmp_path / "second")}
    result = stress([str(tmp_path / "first")], sex="unknown", **given)
    assert result["left_out"] == {"only_in_first": 1}
    (pairs,) = result["changes"]
    assert (pairs["group"], pairs["n"], pairs["rejected"]) == ("pairs", 11, 1)
    assert pairs["rejection_reasons"] == {"too_dark": 1}
    assert pairs["mean_shift_months"]["value"] == pytest.approx(10)
    assert pairs["largest_absolute_shift_months"] == pytest.approx(10)
    moved = {row["id"]: row["shift_months"] for row in rows_of(tmp_path / "out") if row["group"]}
    assert moved["h3"] == "10.00"
    assert moved["h0"] == ""


@pytest.mark.usefixtures("reader")
def test_labels_tell_which_processing_is_nearer_to_them(tmp_path: Path) -> None:
    given = grey_hands(tmp_path / "first", {"a": 100, "b": 120})
    grey_hands(tmp_path / "second", {"a": 105, "b": 118})
    output, against = str(tmp_path / "out"), str(tmp_path / "second")
    result = stress([str(tmp_path / "first")], output=output, against=against, **given)
    assert result["changes"][0]["mae_shift_months"]["value"] == pytest.approx(3.5)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("other", [{"changes": ["noise"]}, {"pictures": 2}])
def test_a_second_folder_takes_the_place_of_changes(tmp_path: Path, other: Any) -> None:
    given = grey_hands(tmp_path / "hands", {"a": 100})
    with pytest.raises(UsageError, match=f"Expected no --{next(iter(other))}"):
        stress([str(tmp_path / "hands")], output="o", against=str(tmp_path), **given, **other)
