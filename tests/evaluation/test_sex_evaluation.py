"""Evaluation of a sex classifier on a split."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bone_age_tf.cli import main as cli
from bone_age_tf.cli import result_tables
from bone_age_tf.config import override
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.tfrecords import Records
from bone_age_tf.errors import InputDataError, ModelRefusedError
from bone_age_tf.evaluation.evaluate import evaluate
from bone_age_tf.export.export import export_saved_model
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.metrics import sex as metrics
from bone_age_tf.recipes import load_recipe
from bone_age_tf.sex import Sex
from bone_age_tf.training.train import train


@pytest.fixture(scope="module")
def classifier(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An epoch of the tiny recipe with the target sex. Read only."""
    folder = tmp_path_factory.mktemp("classifier") / "run"
    logs = "logging.tensorboard=false"
    settings = ["train.epochs=1", "train.precision=float32", "model.target=sex", logs]
    config = override(load_recipe("tiny"), settings)
    train(config, data=str(prepared), run=str(folder), initial_weights="none")
    return folder


@pytest.fixture(scope="module")
def evaluated(classifier: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its evaluation on the training split. Read only."""
    output = tmp_path_factory.mktemp("evaluated") / "sex"
    evaluate(model=str(classifier), data=str(prepared), output=str(output), split="train")
    return output


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "evaluation.json").read_text())


def predictions(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_statistics_are_those_of_the_predictions(evaluated: Path) -> None:
    rows, result = predictions(evaluated), read(evaluated)
    assert list(rows[0]) == ["id", "sex", "boy_probability", "bone_age_months_true"]
    assert result["target"] == "sex"
    probability = np.array([float(row["boy_probability"]) for row in rows])
    boys = np.array([row["sex"] == "M" for row in rows])
    ages = np.array([float(row["bone_age_months_true"]) for row in rows])
    assert ((probability >= 0) & (probability <= 1)).all()
    for group, summary in (
        (np.full(24, True), result["overall"]),
        (ages < 120, result["by_age"]["below 10 years"]),
        (ages >= 120, result["by_age"]["10 years and above"]),
        ((ages >= 48) & (ages < 96), result["by_age_band"]["4-8 years"]),
    ):
        assert summary["n"] == group.sum()
        expected = metrics.accuracy(probability[group], boys[group])
        assert summary["accuracy"]["value"] == pytest.approx(expected, abs=0.01)
        expected = metrics.auroc(probability[group], boys[group])
        assert summary["auroc"]["value"] == pytest.approx(expected, abs=0.02)
    assert "mae_months" not in json.dumps(result)


@pytest.mark.parametrize("table", ["by_age", "by_age_band"])
def test_groups_add_up_to_all(table: str, evaluated: Path) -> None:
    assert sum(summary["n"] for summary in read(evaluated)[table].values()) == 24


def with_sexes(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Every data set's records with other sexes."""
    original = PreparedRadiographs.records

    def changed(self: PreparedRadiographs, *splits: str) -> Records:
        records = original(self, *splits)
        return dataclasses.replace(records, sex=change(records.sex))

    monkeypatch.setattr(PreparedRadiographs, "records", changed)


def test_unknown_sexes_are_left_out(
    classifier: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_sexes(monkeypatch, lambda sex: np.where(sex == Sex.F, Sex.UNKNOWN, sex))
    result = evaluate(model=str(classifier), data=str(prepared), output=str(tmp_path))
    rows = predictions(tmp_path)
    assert {row["sex"] for row in rows} == {"M"}
    assert result["overall"]["n"] == len(rows) < 8
    assert result["overall"]["auroc"] == {"value": None, "low": None, "high": None}
    overall = result_tables.sex_table(result).splitlines()[1].split()
    assert len(overall) == 3  # name, n, accuracy without bounds for so few, and no AUROC


def test_a_split_without_any_known_sex_is_refused(
    classifier: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_sexes(monkeypatch, lambda sex: np.full_like(sex, Sex.UNKNOWN))
    with pytest.raises(InputDataError, match="'test' has 8 radiographs, none of known sex"):
        evaluate(model=str(classifier), data=str(prepared), output=str(tmp_path / "output"))
    assert not (tmp_path / "output").exists()


def test_the_terminal_shows_accuracy_and_auroc(
    classifier: Path, prepared: Path, tmp_path: Path
) -> None:
    arguments = ["--model", classifier, "--data", prepared, "--output", tmp_path / "o", "--debug"]
    outcome = CliRunner().invoke(cli.commands, ["evaluate", *map(str, arguments)])
    assert outcome.exit_code == 0, outcome.output
    lines = outcome.stdout.splitlines()
    assert lines[0].split() == ["sex", "n", "accuracy", "%", "AUROC"]
    assert lines[1].split()[:2] == ["overall", "8"]
    assert any(line.startswith("below 10 years") for line in lines)


def test_it_is_exported_beside_a_model_of_the_bone_age_alone(
    classifier: Path, run: Path, prepared: Path, evaluated: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefusedError, match="--sex-classifier"):
        export_saved_model(run=str(classifier), output=str(tmp_path))
    folder = export_saved_model(run=str(run), output=str(tmp_path), sex_classifier=str(classifier))
    model = ExportedModel.open(folder)
    (batch,) = PreparedRadiographs.open(prepared).examples("train").batch(100)
    answers = model.answers_of_prepared(batch["image"].numpy(), ["F"] * 24)
    expected = [float(row["boy_probability"]) for row in predictions(evaluated)]
    np.testing.assert_allclose(answers["boy_probability"], expected, atol=1e-3)
