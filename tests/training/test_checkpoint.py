import csv
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from conftest import fill_disk

from bone_age_tf.cli import main as cli
from bone_age_tf.config import override
from bone_age_tf.errors import InputDataError, InterruptedBySignalError
from bone_age_tf.recipes import load_recipe
from bone_age_tf.training import checkpoint
from bone_age_tf.training.checkpoint import FILE, Progress
from bone_age_tf.training.run import Run
from bone_age_tf.training.train import train

STEPS = 3
BATCH = 8
SETTINGS = ("train.epochs=2", "train.precision=float32", "logging.tensorboard=false")
ASIDE = f".{FILE}.writing"


def make_model(units: int = 3) -> keras.Model:
    layers = [
        keras.layers.Dense(units),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5),
    ]
    return keras.Sequential([keras.layers.Input((4,)), *layers, keras.layers.Dense(1)])


def values(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [np.array(variable) for variable in variables]


def assert_equal(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


PROGRESS = Progress(
    epoch=3,
    step=2,
    error_sum=0.1 + 0.2,
    radiographs=16,
    best_validation=1 / 3,
    history=[{"epoch": 1, "mae_months": 1 / 7}],
)

# === The file ===


def test_everything_comes_back_seed_generators_included(tmp_path: Path) -> None:
    model, other = make_model(), make_model()
    optimizer, its = keras.optimizers.Adam(), keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    its.build(other.trainable_variables)
    ones = np.ones((5, 4), np.float32)
    model(ones, training=True)  # moves statistics and the generator
    optimizer.apply([v + 1 for v in model.trainable_variables])
    checkpoint.save(tmp_path, [*model.variables, *optimizer.variables], PROGRESS)
    assert checkpoint.restore(tmp_path, [*other.variables, *its.variables]) == PROGRESS
    assert_equal(values(model.variables), values(other.variables))
    assert_equal(values(optimizer.variables), values(its.variables))
    assert any("seed_generator" in variable.path for variable in model.variables)
    expected = np.array(model(ones, training=True))
    np.testing.assert_array_equal(expected, np.array(other(ones, training=True)))
    assert (expected != np.array(other(ones, training=True))).any()


def test_more_than_ten_variables_keep_their_order(tmp_path: Path) -> None:
    variables = [keras.Variable(float(number)) for number in range(120)]
    checkpoint.save(tmp_path, variables, Progress())
    for variable in variables:
        variable.assign(-1)
    checkpoint.restore(tmp_path, variables)
    assert [float(value) for value in values(variables)] == list(range(120))


def test_without_a_file_nothing_is_restored(tmp_path: Path) -> None:
    assert checkpoint.restore(tmp_path, make_model().variables) is None


@pytest.mark.parametrize("other", [make_model(4), keras.Sequential()], ids=["shape", "count"])
def test_a_checkpoint_of_another_model_is_rejected(other: keras.Model, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, make_model().variables, Progress())
    before = values(other.variables)
    with pytest.raises(InputDataError, match="another model.*--fresh"):
        checkpoint.restore(tmp_path, other.variables)
    assert_equal(before, values(other.variables))


# === Killed while it writes ===


class Deadly:
    """A variable that kills the process when it is written."""

    def numpy(self) -> "Deadly":
        return self

    def __array__(self, dtype: object = None, copy: object = None) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_inside_the_write_leaves_the_old_one(tmp_path: Path) -> None:
    model = make_model()
    checkpoint.save(tmp_path, model.variables, PROGRESS)
    old = (tmp_path / FILE).read_bytes()
    child = os.fork()
    if not child:
        whole = SimpleNamespace(numpy=lambda: np.ones(1000))
        checkpoint.save(tmp_path, [whole, Deadly()], Progress())  # type: ignore
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert (tmp_path / ASIDE).exists()
    assert (tmp_path / FILE).read_bytes() == old
    assert checkpoint.restore(tmp_path, model.variables) == PROGRESS
    checkpoint.save(tmp_path, model.variables, Progress(epoch=9))
    restored = checkpoint.restore(tmp_path, model.variables)
    assert restored == Progress(epoch=9)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_write_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    class Broken:
        def numpy(self) -> np.ndarray:
            return np.array(lambda: 0, dtype=object)  # cannot be pickled

    model = make_model()
    checkpoint.save(tmp_path, model.variables, PROGRESS)
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save(tmp_path, [*model.variables, Broken()], Progress())  # type: ignore
    assert checkpoint.restore(tmp_path, model.variables) == PROGRESS
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_save_weights_replaces_a_file_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = make_model(), tmp_path / "best.weights.h5"
    checkpoint.save_weights(model, path)
    old, kept = path.read_bytes(), values(model.weights)

    def fail(to: Path) -> None:
        Path(to).write_bytes(b"half of")
        assert path.read_bytes() == old
        raise RuntimeError("in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(model, "save_weights", fail)
        with pytest.raises(RuntimeError, match="in the middle"):
            checkpoint.save_weights(model, path)
    assert path.read_bytes() == old
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    for variable in model.variables:
        variable.assign(keras.ops.zeros_like(variable))
    model.load_weights(path)
    assert_equal(values(model.weights), kept)
    for variable in model.trainable_variables:
        variable.assign(keras.ops.ones_like(variable))
    checkpoint.save_weights(model, path)
    other = make_model()
    other.load_weights(path)
    assert_equal(values(other.trainable_variables), values(model.trainable_variables))


# === A full disk ===


def command(data: Path, run: Path, logs: bool, monkeypatch: pytest.MonkeyPatch) -> object:
    """The exit code of `bone-age-tf train`, with or without logs for TensorBoard."""
    arguments = [
        "train",
        "--data",
        data,
        "--run",
        run,
        "--recipe",
        "tiny",
        "--initial-weights",
        "none",
    ]
    chosen = (*SETTINGS, f"logging.tensorboard={str(logs).lower()}")
    settings = [word for setting in chosen for word in ("--set", setting)]
    monkeypatch.setattr(sys, "argv", ["bone-age-tf", *map(str, arguments), *settings])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as stream:
        return list(csv.DictReader(stream))


def stop_after(step: int) -> Callable[[str, int, int, str], None]:
    sent = []

    def watch(stage: str, done: int, total: int, detail: str) -> None:
        if done == step * BATCH and not sent:
            sent.append(True)
            signal.raise_signal(signal.SIGTERM)

    return watch


@pytest.fixture(scope="module")
def stopped(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the fixture `run`, stopped in its second epoch. Read only."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    config = override(load_recipe("tiny"), SETTINGS)
    with pytest.raises(InterruptedBySignalError):
        train(
            config,
            data=str(prepared),
            run=str(folder),
            initial_weights="none",
            on_progress=stop_after(STEPS + 1),
        )
    return folder


def needed(run: Path, kept: str) -> int:
    """Bytes that have to be free for a new `best` and `last` (0), or half of a checkpoint more."""
    weights = (run / "last.weights.h5").stat().st_size
    return {
        "nothing": 0,
        "half of the weights": weights // 2,
        "half of the checkpoint": 2**17 + (run / FILE).stat().st_size // 2,
    }[kept]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # h5py closes late
@pytest.mark.parametrize("kept", ["nothing", "half of the weights", "half of the checkpoint"])
def test_a_full_disk_costs_nothing_but_time(
    kept: str,
    stopped: Path,
    run: Path,
    prepared: Path,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(stopped, small_disk / "run")
    before = (folder / FILE).read_bytes()
    ballast = fill_disk(small_disk, needed(folder, kept))
    logs = kept == "nothing"  # once: they take a third of a short training
    code = command(prepared, folder, logs, monkeypatch)
    said = capfd.readouterr().err
    assert code == 6, said
    assert "No space left" in said
    assert (folder / FILE).read_bytes() == before
    has_new_weights = any(
        (folder / name).read_bytes() != (stopped / name).read_bytes()
        for name in ("best.weights.h5", "last.weights.h5")
    )
    assert has_new_weights == (kept == "half of the checkpoint")
    for name in ("best", "last"):
        Run.open(folder, name).load_model()
    json.loads((folder / "run.json").read_text())
    ballast.unlink()
    assert command(prepared, folder, logs, monkeypatch) == 0
    assert history(folder) == history(run)
    with np.load(folder / FILE) as mine, np.load(run / FILE) as theirs:
        for name in set(theirs.files) - {"state"}:
            np.testing.assert_array_equal(mine[name], theirs[name])
    for name in ("best", "last"):
        trained = [Run.open(each, name).load_model().get_weights() for each in (folder, run)]
        assert_equal(*trained)
