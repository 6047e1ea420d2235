"""`--initial-weights`: a run initialized from another run."""

import json
import shutil
import signal
from pathlib import Path

import keras
import numpy as np
import pytest

from bone_age_tf.config import ExperimentConfig, override
from bone_age_tf.errors import InterruptedBySignalError, ModelRefusedError, UsageError
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.models.bone_age_model import build_bone_age_model
from bone_age_tf.recipes import load_recipe
from bone_age_tf.training.initial_weights import InitialWeights
from bone_age_tf.training.run import Run
from bone_age_tf.training.train import train

BATCH = 8


def tiny(*assignments: str) -> ExperimentConfig:
    return override(
        load_recipe("tiny"),
        ["train.epochs=1", "train.precision=float32", "logging.tensorboard=false", *assignments],
    )


def start(data: Path, folder: Path, weights: Path, *assignments: str, **options: object) -> None:
    wanted = tiny(*assignments)
    train(wanted, data=str(data), run=str(folder), initial_weights=str(weights), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def started(run: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An epoch that started with the weights of `run`. Read only."""
    folder = tmp_path_factory.mktemp("started") / "run"
    start(prepared, folder, run)
    return folder


@pytest.fixture(scope="module")
def fold(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An epoch of the first fold of two, from random weights. Read only."""
    folder = tmp_path_factory.mktemp("fold") / "run"
    train(tiny("data.fold=1/2"), data=str(prepared), run=str(folder), initial_weights="none")
    return folder


@pytest.fixture(scope="module")
def girls(fold: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An epoch on the girls of that fold, from its weights. Read only."""
    folder = tmp_path_factory.mktemp("girls") / "run"
    start(prepared, folder, fold, "data.fold=1/2", "data.sex=F")
    return folder


def months(model: keras.Model) -> np.ndarray:
    frame = model.input["image"].shape[1:]
    images = np.random.default_rng(0).integers(0, 256, (3, *frame)).astype(np.uint8)
    inputs = {"image": images, "sex": np.array([0, 1, 2], np.int32)}
    return keras.ops.convert_to_numpy(model(inputs, training=False))


def built(config: ExperimentConfig, frame: tuple[int, int]) -> keras.Model:
    keras.utils.set_random_seed(5)
    return build_bone_age_model(config.model, frame)


def test_backbone_and_head_are_those_of_the_other_run(run: Path) -> None:
    source = Run.open(run)
    model = built(source.config, source.preprocessing.frame)
    expected = months(source.load_model())
    assert not np.allclose(months(model), expected)
    InitialWeights.find(str(run)).load(model, model.get_layer("tiny"))
    np.testing.assert_array_equal(months(model), expected)


def test_another_resolution_takes_the_weights_over(run: Path) -> None:
    source = Run.open(run)
    model = built(source.config, (208, 160))
    InitialWeights.find(str(run)).load(model, model.get_layer("tiny"))
    for mine, theirs in zip(model.get_weights(), source.load_model().get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_months_stay_what_the_other_run_says(girls: Path, fold: Path) -> None:
    model, theirs = (Run.open(folder).config.model for folder in (girls, fold))
    assert model.age_mean_months == theirs.age_mean_months
    assert model.age_sd_months == theirs.age_sd_months


def test_a_mean_that_is_asked_for_is_taken(run: Path, prepared: Path, tmp_path: Path) -> None:
    start(prepared, tmp_path / "run", run, "model.age_mean_months=99")
    assert Run.open(tmp_path / "run").config.model.age_mean_months == 99


def test_the_first_epoch_goes_on_from_there(run: Path, prepared: Path, tmp_path: Path) -> None:
    start(prepared, tmp_path / "run", run, "train.learning_rate=1e-9", "train.ema_momentum=0")
    model, source = (Run.open(folder).load_model() for folder in (tmp_path / "run", run))
    for mine, theirs in zip(model.trainable_variables, source.trainable_variables, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_run_json_says_what_it_started_from(
    run: Path, started: Path, prepared: Path, tmp_path: Path
) -> None:
    trained = Run.open(run).load_model().get_layer("tiny")
    trained.save_weights(tmp_path / "backbone.weights.h5")
    start(prepared, tmp_path / "other", tmp_path / "backbone.weights.h5")
    folders = (started, tmp_path / "other")
    said = [json.loads((folder / "run.json").read_text()) for folder in folders]
    assert (said[0]["initial_weights"], said[1]["initial_weights"]) == (
        run.name,
        "backbone.weights.h5",
    )
    assert said[0]["initial_weights_sha256"] == Run.open(run).weights_sha256()
    assert said[1]["initial_weights_sha256"] == sha256_of(tmp_path / "backbone.weights.h5")
    assert json.loads((run / "run.json").read_text())["initial_weights_sha256"] is None


def test_stopped_and_resumed_is_bit_identical(
    run: Path, started: Path, prepared: Path, tmp_path: Path
) -> None:
    def stop(stage: str, done: int, total: int, detail: str) -> None:
        if done == BATCH:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(InterruptedBySignalError):
        start(prepared, tmp_path / "run", run, on_progress=stop)
    start(prepared, tmp_path / "run", run)
    models = [Run.open(folder, "last").load_model() for folder in (tmp_path / "run", started)]
    for mine, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_going_on_with_other_weights_is_rejected(
    run: Path, started: Path, prepared: Path, tmp_path: Path
) -> None:
    shutil.copytree(started, tmp_path / "run")
    changed = shutil.copytree(run, tmp_path / "changed" / run.name)
    other = Run.open(changed).load_model()
    other.set_weights([weight + 1 for weight in other.get_weights()])
    other.save_weights(changed / "best.weights.h5")
    with pytest.raises(UsageError, match="weights_sha256: was") as caught:
        start(prepared, tmp_path / "run", changed)
    assert str(caught.value).count(": was ") == 1


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("model.backbone=small", "model.backbone: 'tiny' there, 'small' here"),
        ("model.head=expectation", "model.head: 'regression' there, 'expectation' here"),
        ("model.head_units=32", "model.head_units: 64 there, 32 here"),
        ("model.target=sex", "model.target: 'bone_age' there, 'sex' here"),
    ],
)
def test_another_network_is_rejected_by_name(
    assignment: str, line: str, run: Path, prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="another network") as caught:
        start(prepared, tmp_path / "run", run, assignment)
    assert line in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_places_that_are_kept_apart_fit_one_size(run: Path, tmp_path: Path) -> None:
    source = shutil.copytree(run, tmp_path / "flat")
    description = json.loads((source / "run.json").read_text())
    description["config"]["model"] |= {"pooling": "flatten"}
    (source / "run.json").write_text(json.dumps(description))
    there = Run.open(source)
    built(there.config, there.preprocessing.frame).save_weights(source / "best.weights.h5")
    model = built(there.config, (208, 160))
    with pytest.raises(UsageError, match="another size.*model.pooling=average"):
        InitialWeights.find(str(source)).load(model, model.get_layer("tiny"))


def test_a_folder_without_weights_or_run_is_rejected(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelRefusedError, match=r"There is no run\.json"):
        InitialWeights.find(str(tmp_path))
    shutil.copy(run / "run.json", tmp_path / "run.json")
    with pytest.raises(ModelRefusedError, match="no best weights yet"):
        InitialWeights.find(str(tmp_path))


def test_a_file_that_is_not_there_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="imagenet, none, a run folder.*which is not there"):
        InitialWeights.find(str(tmp_path / "none.weights.h5"))


def test_a_run_that_knows_the_radiographs_for_judging_is_rejected(
    fold: Path, prepared: Path, tmp_path: Path
) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    start(prepared, same, fold, "data.fold=1/2")
    with pytest.raises(
        UsageError, match=r"was trained on (\d+) of the \1 radiographs that are to validate"
    ):
        start(prepared, other, same, "data.fold=2/2")
    assert not other.exists()
    (same / "training_files.txt").unlink()
    with pytest.raises(UsageError, match="it is not recorded what that run was trained on"):
        start(prepared, other, same, "data.fold=2/2")


def test_training_files_of_the_initial_weights_count(girls: Path, fold: Path) -> None:
    assert Run.open(girls).training_files == Run.open(fold).training_files
