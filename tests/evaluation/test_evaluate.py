import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bone_age_tf.config import DataConfig, override
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.splits import select
from bone_age_tf.ensembling.ensemble import is_trained
from bone_age_tf.errors import InputDataError, ModelRefusedError, UsageError
from bone_age_tf.evaluation.evaluate import evaluate
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.recipes import load_recipe
from bone_age_tf.training.run import Run
from bone_age_tf.training.train import train


@pytest.fixture(scope="module")
def of_run(run: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation of `run`. Read only."""
    output = tmp_path_factory.mktemp("evaluated") / "run"
    evaluate(model=str(run), data=str(prepared), output=str(output))
    return output


def read(folder: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads((folder / "evaluation.json").read_text(), parse_constant=refuse)


def predictions(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open() as stream:
        return list(csv.DictReader(stream))


def changed_data(prepared: Path, folder: Path, **changes: object) -> Path:
    data = shutil.copytree(prepared, folder / "data")
    manifest = json.loads((data / "manifest.json").read_text())
    (data / "manifest.json").write_text(json.dumps(manifest | changes))
    return data


def test_files_are_written(of_run: Path) -> None:
    names = {path.name for path in of_run.iterdir()}
    assert names == {"evaluation.json", "predictions.csv", "provenance.json", "pictures"}


def test_an_evaluation_is_not_taken_for_a_run(of_run: Path) -> None:
    assert not is_trained(of_run)
    with pytest.raises(ModelRefusedError, match="expected a run folder of `bone-age-tf train`"):
        Run.open(of_run)


def test_the_result_is_the_file(run: Path, prepared: Path, tmp_path: Path, of_run: Path) -> None:
    result = evaluate(model=str(run), data=str(prepared), output=str(tmp_path / "again"))
    assert result == read(tmp_path / "again") == read(of_run)


def test_statistics_are_those_of_the_predictions(of_run: Path) -> None:
    rows = predictions(of_run)
    errors = [float(row["bone_age_months"]) - float(row["bone_age_months_true"]) for row in rows]
    overall = read(of_run)["overall"]
    assert overall["n"] == len(rows) == 8
    assert overall["mae_months"]["value"] == pytest.approx(np.mean(np.abs(errors)), abs=0.01)
    assert overall["bias_months"]["value"] == pytest.approx(np.mean(errors), abs=0.01)
    for sex, summary in read(of_run)["by_sex"].items():
        mine = [abs(e) for e, row in zip(errors, rows, strict=True) if row["sex"] == sex]
        assert summary["n"] == len(mine)
        assert summary["mae_months"]["value"] == pytest.approx(np.mean(mine), abs=0.01)


@pytest.mark.parametrize("table", ["by_sex", "by_age_band", "by_sex_and_age_band", "by_stage"])
def test_groups_add_up_to_all(table: str, of_run: Path) -> None:
    assert sum(summary["n"] for summary in read(of_run)[table].values()) == 8


def test_predictions_are_the_labels_of_the_split(of_run: Path, phantoms: Path) -> None:
    with (phantoms / "boneage-training-dataset.csv").open() as stream:
        labels = {row["id"]: row for row in csv.DictReader(stream)}
    for row in predictions(of_run):
        label = labels[row["id"]]
        assert float(row["bone_age_months_true"]) == float(label["boneage"])
        assert row["sex"] == ("M" if label["male"] == "True" else "F")


def test_run_and_export_agree(
    run: Path, exported: Path, prepared: Path, of_run: Path, tmp_path: Path
) -> None:
    evaluate(model=str(exported), data=str(prepared), output=str(tmp_path))
    first, second = predictions(of_run), predictions(tmp_path)
    assert [row["id"] for row in first] == [row["id"] for row in second]
    for one, two in zip(first, second, strict=True):
        assert float(one["bone_age_months"]) == pytest.approx(
            float(two["bone_age_months"]), abs=0.0101
        )
    mine, theirs = read(of_run), read(tmp_path)
    assert mine["overall"]["mae_months"]["value"] == pytest.approx(
        theirs["overall"]["mae_months"]["value"], abs=0.01
    )
    assert mine["model"]["weights_sha256"] == theirs["model"]["weights_sha256"]
    assert (mine["model"]["kind"], theirs["model"]["kind"]) == ("run", "export")


@pytest.mark.parametrize("kind", ["run", "exported"])
def test_other_preprocessing_is_refused(
    kind: str, request: pytest.FixtureRequest, prepared: Path, tmp_path: Path
) -> None:
    model = request.getfixturevalue(kind)
    data = changed_data(prepared, tmp_path, fingerprint="0" * 64)
    with pytest.raises(ModelRefusedError, match="prepared in another way.*000000000000"):
        evaluate(model=str(model), data=str(data), output=str(tmp_path / "output"))
    assert not (tmp_path / "output").exists()


def test_unlabelled_data_are_refused(run: Path, prepared: Path, tmp_path: Path) -> None:
    data = changed_data(prepared, tmp_path, labels={})
    with pytest.raises(InputDataError, match="only 0 bone ages"):
        evaluate(model=str(run), data=str(data), output=str(tmp_path / "output"))


def test_an_unknown_split_is_refused(run: Path, prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="no split 'holdout'"):
        evaluate(model=str(run), data=str(prepared), output=str(tmp_path), split="holdout")


@pytest.fixture(scope="module")
def fold_run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An epoch of the tiny recipe on all folds but the second of four. Read only."""
    folder = tmp_path_factory.mktemp("fold") / "run"
    logs = "logging.tensorboard=false"
    settings = ["train.epochs=1", "train.precision=float32", "data.fold=2/4", logs]
    config = override(load_recipe("tiny"), settings)
    train(config, data=str(prepared), run=str(folder), initial_weights="none")
    return folder


def test_the_fold_of_a_run_is_what_it_was_validated_on(
    fold_run: Path, prepared: Path, tmp_path: Path
) -> None:
    result = evaluate(model=str(fold_run), data=str(prepared), output=str(tmp_path), split="fold")
    held_out = select(PreparedRadiographs.open(prepared), DataConfig(fold="2/4")).validation
    assert held_out is not None
    rows = predictions(tmp_path)
    assert [row["id"] for row in rows] == list(held_out.ids)
    assert [float(row["bone_age_months_true"]) for row in rows] == held_out.bone_age_months.tolist()
    best = Run.open(fold_run).description["result"]["best_validation_mae_months"]
    assert result["overall"]["mae_months"]["value"] == pytest.approx(best, abs=1e-3)
    assert result["data"]["split"] == "fold"


def test_a_split_that_a_run_with_a_fold_was_trained_on_is_evaluated_with_a_warning(
    fold_run: Path, run: Path, prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "bone_age_tf.evaluation.evaluate")
    for model, split in ((fold_run, "test"), (run, "validation"), (fold_run, "validation")):
        given = {"model": str(model), "data": str(prepared), "output": str(tmp_path)}
        evaluate(**given, split=split, overwrite=True)
    said = [entry for entry in caplog.records if entry.name == "bone_age_tf.evaluation.evaluate"]
    (warning,) = [entry.getMessage() for entry in said]
    assert "data.fold=2/4" in warning
    assert "--split fold" in warning


def test_a_run_without_a_fold_has_no_fold_to_evaluate(
    run: Path, prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="trained without a fold.*--split validation"):
        evaluate(model=str(run), data=str(prepared), output=str(tmp_path / "o"), split="fold")
    assert not (tmp_path / "o").exists()


def test_a_fold_of_other_data_is_refused(fold_run: Path, prepared: Path, tmp_path: Path) -> None:
    data = changed_data(prepared, tmp_path, plan="0" * 64)
    with pytest.raises(ModelRefusedError, match="trained on another data set"):
        evaluate(model=str(fold_run), data=str(data), output=str(tmp_path / "o"), split="fold")


def test_a_folder_that_is_no_model_is_refused(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelRefusedError):
        evaluate(model=str(prepared), data=str(prepared), output=str(tmp_path / "output"))


def test_the_last_epoch_is_evaluated_where_it_is_asked_for(
    run: Path, prepared: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "best.weights.h5").unlink()
    evaluated = evaluate(
        model=str(copy), data=str(prepared), output=str(tmp_path / "output"), checkpoint="last"
    )
    assert evaluated["model"]["checkpoint"] == "last"
    assert evaluated["model"]["weights_sha256"] == sha256_of(copy / "last.weights.h5")


@pytest.mark.parametrize("weights", ["missing", "garbage"])
def test_a_run_without_usable_weights_is_refused(
    weights: str, run: Path, prepared: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    best = copy / "best.weights.h5"
    best.unlink() if weights == "missing" else best.write_bytes(b"garbage")
    with pytest.raises(ModelRefusedError, match="weights"):
        evaluate(model=str(copy), data=str(prepared), output=str(tmp_path / "output"))


@pytest.mark.parametrize("change", [{"schema": "other/9"}, {"config": {"backbone": "unknown"}}])
def test_a_run_of_another_version_is_refused(
    change: dict[str, object], run: Path, prepared: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    description = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(description | change))
    with pytest.raises(ModelRefusedError, match="not a run of this version"):
        evaluate(model=str(copy), data=str(prepared), output=str(tmp_path / "output"))
