"""`evaluate` and `compare` report which of their two forms a call has."""

import json
from pathlib import Path

import pytest

from bone_age_tf.cli import main as cli


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and labels."""
    predictions, labels = tmp_path / "theirs.csv", tmp_path / "truth.csv"
    predictions.write_text("id,months\n1,104\n2,25\n3,181\n")
    labels.write_text("id,sex,boneage\n1,F,100\n2,M,30\n3,F,180\n")
    return predictions, labels


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "neither of --model and --predictions"),
        (["--model", "RUN", "--predictions", "TABLE"], "both of --model and --predictions"),
        (["--model", "RUN"], "evaluate --model needs --data"),
        (
            ["--model", "RUN", "--data", "RUN", "--id-column", "id"],
            "evaluate --model takes --data, --split, --checkpoint. Received --id-column",
        ),
        (["--predictions", "TABLE"], "evaluate --predictions needs --labels"),
        (
            ["--predictions", "TABLE", "--labels", "TABLE", "--checkpoint", "last"],
            "Received --checkpoint, which belongs to the other form, evaluate --model",
        ),
        (
            ["--predictions", "TABLE", "--labels", "TABLE", "--split", "test"],
            "evaluate --predictions takes --labels",
        ),
    ],
)
def test_options_of_the_other_form_are_an_error(
    arguments: list[str],
    message: str,
    tables: tuple[Path, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    places = {"RUN": str(tmp_path), "TABLE": str(tables[0])}
    words = [places.get(word, word) for word in arguments]
    assert cli.run(["evaluate", *words, "--output", str(tmp_path / "out")]) == 2
    assert message in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_first_line_names_the_model_and_its_data(
    run: Path, prepared: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "--model", str(run), "--data", str(prepared), "--split", "validation"]
    assert cli.run([*arguments, "--output", str(tmp_path / "out")]) == 0
    first = capfd.readouterr().err.splitlines()[0]
    assert (
        first == f"Evaluating the model {run} on the split 'validation' of the data set {prepared}."
    )


def test_the_first_line_names_the_tables(
    tables: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    predictions, labels = map(str, tables)
    arguments = ["evaluate", "--predictions", predictions, "--labels", labels]
    assert cli.run([*arguments, "--output", str(tmp_path / "out")]) == 0
    first = capfd.readouterr().err.splitlines()[0]
    assert first == f"Evaluating the predictions in {predictions} against the labels in {labels}."


def test_two_evaluations_are_compared(
    tables: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    predictions, labels = map(str, tables)
    folders = [str(tmp_path / name) for name in ("one", "two")]
    for folder in folders:
        arguments = ["--predictions", predictions, "--labels", labels, "--output", folder]
        assert cli.run(["evaluate", *arguments, "--quiet"]) == 0
    capfd.readouterr()
    assert cli.run(["compare", *folders, "--output", str(tmp_path / "out"), "--json"]) == 0
    out, err = capfd.readouterr()
    assert err.splitlines()[0] == f"Comparing the evaluations {folders[0]} and {folders[1]}."
    assert json.loads(out) == json.loads((tmp_path / "out/comparison.json").read_text())
    assert cli.run(["compare", *folders, "--output", str(tmp_path / "out")]) == 2
    assert "replace them with --overwrite" in capfd.readouterr().err
    assert cli.run(["compare", *folders, "--output", str(tmp_path / "out"), "--overwrite"]) == 0
    shown = capfd.readouterr().out
    assert shown.startswith("first: one, MAE 3.33\nsecond: two, MAE 3.33\n")
    assert "No significant difference on these radiographs." in shown
