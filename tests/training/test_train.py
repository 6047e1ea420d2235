import csv
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from filelock import FileLock

from bone_age_tf import config as configuration
from bone_age_tf.config import (
    DataConfig,
    ExperimentConfig,
    PrepareConfig,
    PreprocessingConfig,
    override,
)
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.splits import select
from bone_age_tf.data_prep.prepare import prepare
from bone_age_tf.errors import (
    EnvironmentFaultError,
    InputDataError,
    InterruptedBySignalError,
    ModelRefusedError,
    UsageError,
)
from bone_age_tf.export.export import export_saved_model
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.preprocessing import preprocessing_of
from bone_age_tf.preprocessing import pipeline
from bone_age_tf.preprocessing.localizer import weights as localizer
from bone_age_tf.recipes import load_recipe
from bone_age_tf.training import strategy
from bone_age_tf.training.loop import Loop
from bone_age_tf.training.run import LOCK, Run
from bone_age_tf.training.train import TrainReport, train

STEPS = 3
BATCH = 8


def tiny(*assignments: str) -> ExperimentConfig:
    """The configuration of the fixture `run`, changed."""
    logs = "logging.tensorboard=false"  # takes a quarter of a short training
    settings = ["train.epochs=2", "train.precision=float32", logs, *assignments]
    return override(load_recipe("tiny"), settings)


def start(
    data: Path,
    folder: Path,
    *assignments: str,
    weights: str = "none",
    fresh: bool = False,
    on_progress: Callable[[str, int, int, str], None] | None = None,
) -> TrainReport:
    return train(
        tiny(*assignments),
        data=str(data),
        run=str(folder),
        initial_weights=weights,
        fresh=fresh,
        on_progress=on_progress,
    )


def signal_after(step: int, number: int = signal.SIGINT) -> Callable[[str, int, int, str], None]:
    """A progress callback that sends this process a signal once, after `step` steps in all."""
    sent = []

    def watch(stage: str, done: int, total: int, detail: str) -> None:
        if done == step * BATCH and not sent:
            sent.append(True)
            signal.raise_signal(number)

    return watch


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return rows


def state(folder: Path) -> dict[str, bytes]:
    with np.load(folder / "checkpoint.npz") as archive:
        return {name: archive[name].tobytes() for name in archive.files if name != "state"}


def weights_of(folder: Path, name: str) -> list[np.ndarray]:
    return Run.open(folder, name).load_model().get_weights()


def assert_same_run(folder: Path, other: Path) -> None:
    assert state(folder) == state(other)
    assert history(folder) == history(other)
    for name in ("best", "last"):
        for mine, theirs in zip(weights_of(folder, name), weights_of(other, name), strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.fixture
def copied_run(run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run, tmp_path / "run")


def test_a_run_folder_holds_what_the_docstring_lists(run: Path) -> None:
    names = {path.name for path in run.iterdir() if not path.name.startswith(".")}
    assert names == {
        "run.json",
        "run.toml",
        "training_files.txt",
        "history.csv",
        "speed.csv",
        "best.weights.h5",
        "last.weights.h5",
        "checkpoint.npz",
        "tensorboard",
    }
    assert list((run / "tensorboard").glob("events.*"))


def test_run_json_says_what_was_trained_on_what(run: Path, prepared: Path) -> None:
    description = json.loads((run / "run.json").read_text())
    manifest = json.loads((prepared / "manifest.json").read_text())
    training_ages = description["data"]["training_ages"]
    assert description["data"] == {
        "plan": manifest["plan"],
        "splits": {"train": 24, "validation": 8, "test": 8},
        "fold": None,
        "training": 24,
        "validation": 8,
        "training_mean_months": manifest["labels"]["train"]["mean_months"],
        "training_ages": training_ages,
    }
    assert sum(map(sum, training_ages["counts"].values())) == 24
    months = PreparedRadiographs.open(prepared).records("validation").bone_age_months
    constant = np.abs(months - description["data"]["training_mean_months"]).mean()
    assert description["result"]["constant_validation_mae_months"] == pytest.approx(constant)
    assert description["fingerprint"] == manifest["fingerprint"]
    assert description["config"]["train"]["epochs"] == 2
    labels = manifest["labels"]["train"]
    assert description["config"]["model"]["age_mean_months"] == labels["mean_months"]
    assert set(description["versions"]) >= {"bone_age_tf", "tensorflow", "keras", "python"}
    configuration.from_dict(ExperimentConfig, description["config"])


def test_history_has_a_row_for_each_epoch(run: Path) -> None:
    rows = history(run)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(np.isfinite([float(value) for value in row.values()]).all() for row in rows)


def test_the_best_is_at_most_every_validation_mae(run: Path) -> None:
    best = json.loads((run / "run.json").read_text())["result"]["best_validation_mae_months"]
    maes = [float(row["validation_mae_months"]) for row in history(run)]
    assert best == min(maes)


def test_the_best_weights_have_the_best_validation_mae(run: Path, prepared: Path) -> None:
    (batch,) = PreparedRadiographs.open(prepared).examples("validation").batch(100)
    inputs = {"image": batch["image"], "sex": batch["sex"]}
    months = Run.open(run).load_model()(inputs, training=False)
    best = json.loads((run / "run.json").read_text())["result"]["best_validation_mae_months"]
    assert np.abs(months - batch["bone_age_months"]).mean() == pytest.approx(best, abs=1e-3)


def test_a_finished_run_is_left_as_it_is(copied_run: Path, run: Path, prepared: Path) -> None:
    report = start(prepared, copied_run)
    assert report.epochs == 2
    assert_same_run(copied_run, run)


def test_stopped_killed_and_resumed_is_bit_identical(
    run: Path, prepared: Path, tmp_path: Path
) -> None:
    """Stopped inside an epoch, between two, and at the end; killed inside the second."""

    class Killed(BaseException):
        pass

    def kill(stage: str, done: int, total: int, detail: str) -> None:
        if done == (STEPS + 1) * BATCH:
            raise Killed

    def stop(step: int, number: int) -> None:
        with pytest.raises(InterruptedBySignalError, match="same command resumes") as caught:
            start(prepared, folder, on_progress=signal_after(step, number))
        assert caught.value.exit_code == 128 + number
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    folder = tmp_path / "run"
    stop(2, signal.SIGINT)
    stop(STEPS, signal.SIGTERM)
    with pytest.raises(Killed):
        start(prepared, folder, on_progress=kill)
    stop(2 * STEPS, signal.SIGINT)
    start(prepared, folder)
    assert_same_run(folder, run)


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("train.learning_rate=0.001", "config.train.learning_rate: was 0.002, now 0.001"),
        ("model.head_units=32", "config.model.head_units: was 64, now 32"),
        ("train.epochs=3", "config.train.epochs: was 2, now 3"),
    ],
)
def test_a_changed_setting_is_rejected_by_name(
    assignment: str, line: str, run: Path, prepared: Path
) -> None:
    with pytest.raises(UsageError, match=line) as caught:
        start(prepared, run, assignment)
    assert str(caught.value).count(": was ") == 1
    assert "--fresh" in str(caught.value)


def test_other_initial_weights_are_rejected_by_name(run: Path, prepared: Path) -> None:
    with pytest.raises(UsageError, match="weights: was 'none', now 'imagenet'"):
        start(prepared, run, weights="imagenet")


def test_a_run_of_an_earlier_version_is_rejected_until_it_is_started_over(
    copied_run: Path, prepared: Path
) -> None:
    description = json.loads((copied_run / "run.json").read_text())
    (copied_run / "run.json").write_text(json.dumps(description | {"schema": "bone-age-tf/run/1"}))
    (copied_run / "stray").touch()
    with pytest.raises(
        UsageError, match="another version.*run/2, received bone-age-tf/run/1.*--fresh"
    ):
        start(prepared, copied_run)
    with pytest.raises(ModelRefusedError, match="not a run of this version.*Train it again"):
        Run.open(copied_run)
    assert (copied_run / "stray").exists()
    assert start(prepared, copied_run, "train.epochs=1", fresh=True).epochs == 1
    assert len(history(copied_run)) == 1
    assert not (copied_run / "stray").exists()


def test_fresh_does_not_delete_a_folder_that_is_no_run(prepared: Path, tmp_path: Path) -> None:
    thesis = tmp_path / "home" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    with pytest.raises(UsageError):
        start(prepared, thesis.parent, "train.epochs=1", fresh=True)
    assert thesis.exists()


def test_fresh_with_a_mistake_keeps_the_old_run(
    copied_run: Path, run: Path, prepared: Path
) -> None:
    with pytest.raises(UsageError):
        start(prepared, copied_run, weights="no-such-file.weights.h5", fresh=True)
    assert_same_run(copied_run, run)


def test_two_processes_do_not_train_in_one_folder(copied_run: Path, prepared: Path) -> None:
    with (
        FileLock(copied_run / LOCK, is_singleton=False),
        pytest.raises(EnvironmentFaultError, match="another process"),
    ):
        start(prepared, copied_run)


def test_a_start_that_failed_does_not_bind_the_next_one(prepared: Path, tmp_path: Path) -> None:
    """That one's progress counts radiographs up to the total."""
    folder = tmp_path / "run"
    calls: list[tuple[int, int]] = []
    with pytest.raises(UsageError):
        start(prepared, folder, weights="no-such-file.weights.h5")
    with pytest.raises(InputDataError):
        start(prepared, folder, "train.batch_size=1000")
    report = start(
        prepared,
        folder,
        "train.epochs=1",
        on_progress=lambda stage, done, total, detail: calls.append((done, total)),
    )
    assert report.epochs == 1
    assert calls == [(step * BATCH, STEPS * BATCH) for step in range(STEPS + 1)]


@pytest.mark.parametrize("size", [0, 100, 10_000])
def test_a_damaged_checkpoint_is_rejected(size: int, copied_run: Path, prepared: Path) -> None:
    os.truncate(copied_run / "checkpoint.npz", size)
    with pytest.raises(InputDataError, match="--fresh"):
        start(prepared, copied_run)


def test_a_damaged_data_set_is_rejected_by_file(prepared: Path, tmp_path: Path) -> None:
    data = shutil.copytree(prepared, tmp_path / "data")
    shard = sorted(data.glob("*.tfrecord-*"))[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(InputDataError, match=shard.name):
        start(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unlabelled_data_set_is_rejected(prepared: Path, tmp_path: Path) -> None:
    data = shutil.copytree(prepared, tmp_path / "data")
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["labels"]["train"]["count"] = 0
    (data / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputDataError, match="bone age"):
        start(data, tmp_path / "run")


def test_without_a_validation_split_the_last_weights_are_the_best(
    prepared: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(prepared, tmp_path / "data")
    manifest = json.loads((data / "manifest.json").read_text())
    for shard in manifest["shards"]:
        if shard["split"] == "validation":
            (data / shard["name"]).unlink()
    manifest["shards"] = [s for s in manifest["shards"] if s["split"] != "validation"]
    (data / "manifest.json").write_text(json.dumps(manifest))
    report = start(data, tmp_path / "run", "train.epochs=1")
    assert report.best_validation is None
    for best, last in zip(
        weights_of(tmp_path / "run", "best"), weights_of(tmp_path / "run", "last"), strict=True
    ):
        np.testing.assert_array_equal(best, last)


def test_a_region_is_part_of_the_run(prepared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    start(prepared, folder, "train.epochs=1", "data.region=hand")
    trained = Run.open(folder)
    assert trained.config.data.region == "hand"
    assert trained.load_model().get_layer("tiny").input.shape[1:3] == (100, 75)
    with pytest.raises(UsageError, match=r"config\.data\.region: was 'hand', now 'frame'"):
        start(prepared, folder, "train.epochs=1")


FOLD = ("data.fold=2/3", "train.age_sampling=0.5", "train.readers=2", "train.cache=no")


def test_a_run_with_a_fold_is_of_that_fold_alone(prepared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    start(prepared, folder, "train.epochs=1", *FOLD)
    selected = select(PreparedRadiographs.open(prepared), DataConfig(fold="2/3"))
    assert selected.validation is not None
    trained = Run.open(folder)
    data = trained.description["data"]
    assert (data["fold"], data["training"], data["validation"]) == (
        "2/3",
        len(selected.training),
        len(selected.validation),
    )
    months = selected.training.bone_age_months
    assert trained.config.model.age_mean_months == pytest.approx(months.mean())
    assert trained.config.model.age_sd_months == pytest.approx(months.std())
    examples = PreparedRadiographs.open(prepared).examples_of(selected.validation)
    (batch,) = examples.batch(100)
    inputs = {"image": batch["image"], "sex": batch["sex"]}
    predicted = trained.load_model()(inputs, training=False)
    (row,) = history(folder)
    mae = float(np.abs(predicted - batch["bone_age_months"]).mean())
    assert float(row["validation_mae_months"]) == pytest.approx(mae, abs=1e-3)
    with pytest.raises(UsageError, match=r"config\.data\.fold: was '2/3', now '1/3'"):
        start(prepared, folder, "train.epochs=1", *FOLD, "data.fold=1/3")


def test_stopped_and_resumed_with_a_fold_is_bit_identical(prepared: Path, tmp_path: Path) -> None:
    start(prepared, tmp_path / "whole", *FOLD)
    with pytest.raises(InterruptedBySignalError):
        start(prepared, tmp_path / "run", *FOLD, on_progress=signal_after(1))
    start(prepared, tmp_path / "run", *FOLD)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_run_of_one_sex_learns_from_it_alone(prepared: Path, tmp_path: Path) -> None:
    start(prepared, tmp_path / "run", "train.epochs=1", "data.sex=F")
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (description["data"]["training"], description["data"]["validation"]) == (12, 4)
    labels = json.loads((prepared / "manifest.json").read_text())["labels"]["train"]
    assert description["config"]["model"]["age_mean_months"] != labels["mean_months"]


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["data.region=foot"], "no region 'foot'.*carpal"),
        (["data.region=carpal", "model.backbone=xception"], "at least 71 pixels.*Received 38 x 38"),
    ],
    ids=["unknown", "too small for the backbone"],
)
def test_a_region_that_cannot_be_is_rejected(
    assignments: list[str], message: str, prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        start(prepared, tmp_path / "run", *assignments)
    assert not (tmp_path / "run").exists()


def test_a_region_needs_registered_radiographs(prepared: Path, tmp_path: Path) -> None:
    data = shutil.copytree(prepared, tmp_path / "data")
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["preprocessing"]["method"] = "letterbox"
    (data / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="--preprocess registered"):
        start(data, tmp_path / "run", "data.region=hand")


def test_an_own_localizer_goes_with_the_run_and_into_the_model(
    phantoms: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(localizer.SHIPPED, tmp_path / "own")
    description = json.loads((own / localizer.DESCRIPTION).read_text())
    description["limits"]["edge"] -= 0.005
    (own / localizer.DESCRIPTION).write_text(json.dumps(description))
    config = PrepareConfig(
        source=str(phantoms),
        output=str(tmp_path / "data"),
        preprocessing=PreprocessingConfig(scale=0.05, localizer=str(own)),
        split={"train": 1.0},
        limit=BATCH,
    )
    report = prepare(config)
    shutil.rmtree(own)
    start(tmp_path / "data", tmp_path / "run", "train.epochs=1")
    shutil.rmtree(tmp_path / "data")
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    trained = Run.open(moved)
    assert trained.preprocessing.localizer == str(moved / "localizer")
    assert trained.fingerprint == report.fingerprint
    folder = export_saved_model(run=str(moved), output=str(tmp_path / "model"))
    shutil.rmtree(moved)
    model = ExportedModel.open(folder)
    assert model.fingerprint == report.fingerprint
    assert model.manifest["golden"]["status"] == ["ok"] * 3
    found = preprocessing_of(folder)  # as `prepare --for-model` takes it
    assert found.localizer == str(folder / "localizer")
    assert pipeline.fingerprint(found) == report.fingerprint
    for path in folder.rglob("*.json"):
        assert str(tmp_path) not in path.read_text()


def test_epochs_leave_no_file_open(prepared: Path, tmp_path: Path) -> None:
    found: dict[int, int] = {}

    def count(stage: str, done: int, total: int, detail: str) -> None:
        epoch, step = divmod(done // BATCH, STEPS)
        if step == 1:
            found[epoch] = len(list(Path("/proc/self/fd").iterdir()))

    settings = ("train.epochs=5", "train.cache=no", "logging.tensorboard=true")
    start(prepared, tmp_path / "run", *settings, on_progress=count)
    assert found[4] <= found[2]


@pytest.mark.parametrize("left", [[".run.json.writing"], ["run.json", ".lock"]])
def test_a_start_that_was_killed_is_begun_again(
    left: list[str], run: Path, prepared: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in left:
        shutil.copy(
            run / name.strip(".").replace("lock", "run.json").removesuffix(".writing"),
            folder / name,
        )
    if "run.json" in left:
        start(prepared, folder)
        assert_same_run(folder, run)
    else:
        assert start(prepared, folder, "train.epochs=1").epochs == 1


def test_each_device_by_itself_is_rejected_on_several(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Several(strategy.Devices):
        replicas = 2

    monkeypatch.setattr(strategy, "choose_devices", lambda: Several(tf.distribute.get_strategy()))
    with pytest.raises(UsageError, match="each_device is for one device"):
        start(prepared, tmp_path / "run", "train.normalization=each_device")


def test_a_callback_may_end_the_training(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self.model.stop_training = epoch == 1

    monkeypatch.setattr("bone_age_tf.training.train.log_callbacks", lambda *a, **b: [Enough()])
    assert start(prepared, tmp_path / "run", "train.epochs=9").epochs == 2
    assert start(prepared, tmp_path / "run", "train.epochs=9").epochs == 2


def test_a_training_that_diverges_says_so(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"diverged.*learning_rate"):
        start(prepared, tmp_path / "run", "train.learning_rate=1e30", "train.epochs=3")


def no_gradient_at(steps: set[int], patch: pytest.MonkeyPatch) -> None:
    """NaN as the gradient of these steps."""
    found = Loop._gradients

    def spoilt(loop: Loop, *given: Any) -> Any:
        errors, gradients = found(loop, *given)
        step = tf.cast(loop.optimizer.iterations, tf.int64)
        is_bad = tf.reduce_any(tf.equal(step, tf.constant(sorted(steps), tf.int64)))
        bad = tf.where(is_bad, np.nan, 1.0)
        return errors, [gradients[0] * bad, *gradients[1:]]

    patch.setattr(Loop, "_gradients", spoilt)


def test_a_step_without_a_finite_gradient_is_left_out(
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    no_gradient_at({1}, monkeypatch)
    start(prepared, tmp_path / "run", "train.epochs=1", "train.batch_size=4")
    assert "In epoch 1, 1 of" in caplog.text
    weights = Run.open(tmp_path / "run", "last").load_model().get_weights()
    assert all(np.isfinite(each).all() for each in weights)


def test_many_such_steps_are_a_divergence(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_gradient_at({1, 2, 3}, monkeypatch)
    with pytest.raises(UsageError, match="diverged"):
        start(prepared, tmp_path / "run", "train.epochs=1", "train.batch_size=4")


def test_training_learns(prepared: Path, tmp_path: Path) -> None:
    report = start(prepared, tmp_path / "run", "train.epochs=10")
    maes = [row["mae_months"] for row in report.history]
    assert np.mean(maes[-3:]) < 0.8 * maes[0]


@pytest.mark.parametrize(
    ("capability", "policy"),
    [
        ((6, 1), "float32"),
        ((7, 5), "mixed_float16"),
        ((8, 0), "mixed_bfloat16"),
        ((9, 0), "mixed_bfloat16"),
    ],
)
def test_precision_follows_the_gpu(capability: tuple[int, int], policy: str) -> None:
    assert strategy._gpu_precision(capability) == policy


def test_a_named_precision_is_kept() -> None:
    assert strategy.choose_precision("mixed_float16") == "mixed_float16"
