"""What a data set is made of, and what leaving rows out has done to it."""

from pathlib import Path

from bone_age_tf.cli.result_tables import composition_table
from bone_age_tf.config import LabelOptions
from bone_age_tf.data.label_table import LabelTable, read_table
from bone_age_tf.data.labels import LabelRow
from bone_age_tf.data.problems import Problem
from bone_age_tf.data_prep.composition import composition, warnings_of_losses
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.data_prep.sources.source import LabelledImages, Source
from bone_age_tf.files.images import SourceFile
from bone_age_tf.sex import Sex


def _row(id: str, sex: Sex, months: float) -> CheckedRow:
    label = LabelRow(id, sex, months, "labels.csv", int(id) + 2)
    return CheckedRow(label, SourceFile(f"{id}.png", f"{id}.png"), None)


def _table(folder: Path, *rows: str) -> LabelTable:
    (folder / "labels.csv").write_text("\n".join(["id,boneage,sex", *rows]))
    return read_table(SourceFile("labels.csv", str(folder / "labels.csv")), LabelOptions())


def _warnings(table: LabelTable, rows: list[CheckedRow], problems: list[Problem]) -> list[str]:
    source = Source("table", (LabelledImages(table, ()),))
    return warnings_of_losses(source, LabelOptions(), rows, problems)


def _problem(row: int, code: str = "bad_sex", file: str = "") -> Problem:
    return Problem("labels.csv" if row else "", row, "", file, code, "why")


def test_sexes_and_ages_are_counted_by_split() -> None:
    nan = float("nan")
    rows = [_row("0", Sex.F, 47.9), _row("1", Sex.F, 48), _row("2", Sex.M, 240)]
    rows.append(_row("3", Sex.UNKNOWN, nan))
    found = composition(rows, {"0": "train", "1": "train", "2": "train", "3": "test"})
    assert found["train"]["F"] == 2
    assert found["train"]["0-4 years"] == found["train"]["4-8 years"] == 1
    assert found["train"]["16-20 years"] == 1
    assert (found["test"]["unknown"], found["test"]["no age"]) == (1, 1)
    text = composition_table({"train": 3, "test": 1}, found).splitlines()
    words = [" ".join(line.split()) for line in text]
    assert words[0] == "split radiographs F M unknown 0-4 4-8 8-12 12-16 16-20 no age"
    assert words[1] == "train 3 2 1 0 1 1 0 0 1 0"
    assert max(map(len, text)) <= 80


def test_columns_that_would_be_empty_are_left_out() -> None:
    found = composition([_row("0", Sex.F, 50)], {"0": "train"})
    assert "unknown" not in composition_table({"train": 1}, found)


def test_a_sex_that_cannot_be_read_is_missed(tmp_path: Path) -> None:
    lines = [f"{n},{100 + n},{'M' if n % 2 else 'xx'}" for n in range(20)]
    rows = [_row(str(n), Sex.M, 100 + n) for n in range(1, 20, 2)]
    problems = [_problem(n + 2) for n in range(0, 20, 2)]
    assert _warnings(_table(tmp_path, *lines), rows, problems) == [
        "10 of 20 rows and files are left out (50%)",
        "no girl is left (0 in the table, 10 without a sex)",
    ]


def test_an_age_band_is_missed(tmp_path: Path) -> None:
    lines = [f"{n},{100 + n},{'FM'[n % 2]}" for n in range(30)] + ["30,20,F"]
    rows = [_row(str(n), Sex(n % 2), 100 + n) for n in range(30)]
    found = _warnings(_table(tmp_path, *lines), rows, [_problem(32, "damaged")])
    assert found == ["no bone age of 0-4 years is left (1 in the table)"]


def test_files_without_a_row_are_a_loss_too(tmp_path: Path) -> None:
    lines = [f"{n},{100 + n},{'FM'[n % 2]}" for n in range(10)]
    rows = [_row(str(n), Sex(n % 2), 100 + n) for n in range(10)]
    stray = [_problem(0, "no_row", f"x{n}.png") for n in range(2)]
    assert _warnings(_table(tmp_path, *lines), rows, stray[:1]) == []
    assert _warnings(_table(tmp_path, *lines), rows, stray) == [
        "2 of 12 rows and files are left out (17%)"
    ]
    assert _warnings(_table(tmp_path, *lines), rows, []) == []
