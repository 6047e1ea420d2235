"""Effects of the settings of `train` on a complete run."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bone_age_tf.config import ExperimentConfig, override
from bone_age_tf.errors import InterruptedBySignalError
from bone_age_tf.recipes import load_recipe
from bone_age_tf.training.run import Run
from bone_age_tf.training.train import train

STEPS = 3
BATCH = 8
BACKBONE_VARIABLES = 4 * 5
"""A kernel and four of the normalization, in each of four layers."""

Notify = Callable[[str, int, int, str], None]
History = list[dict[str, Any]]


def tiny(*assignments: str) -> ExperimentConfig:
    return override(
        load_recipe("tiny"), ["train.precision=float32", "logging.tensorboard=false", *assignments]
    )


def start(
    data: Path, folder: Path, *assignments: str, on_progress: Notify | None = None
) -> History:
    config = tiny(*assignments)
    return train(
        config, data=str(data), run=str(folder), initial_weights="none", on_progress=on_progress
    ).history


def stop_after(step: int) -> Notify:
    sent: list[bool] = []

    def stop(stage: str, done: int, total: int, detail: str) -> None:
        if done == step * BATCH and not sent:
            sent.append(True)
            signal.raise_signal(signal.SIGTERM)

    return stop


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as stream:
        return list(csv.DictReader(stream))


def checkpoint(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "checkpoint.npz") as archive:
        return {name: archive[name] for name in archive.files if name != "state"}


def progress(folder: Path) -> dict[str, Any]:
    with np.load(folder / "checkpoint.npz") as archive:
        return json.loads(archive["state"].tobytes())


def backbone_and_head(folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Variables in the checkpoint `last`: those of the backbone, and the other trainable ones."""
    model = Run.open(folder, "last").load_model()
    backbone = model.get_layer("tiny")
    inside = {id(v) for v in backbone.variables}
    assert len(inside) == BACKBONE_VARIABLES
    others = [v for v in model.trainable_variables if id(v) not in inside]
    return [v.numpy() for v in backbone.variables], [v.numpy() for v in others]


def assert_close(first: History, second: History, rel: float = 1e-5) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert other == {name: pytest.approx(value, rel=rel) for name, value in one.items()}


def assert_finite(history: History) -> None:
    for row in history:
        assert np.isfinite(list(row.values())).all()


# === freeze_backbone_epochs ===

HEAD = ("train.epochs=2", "train.freeze_backbone_epochs=1", "train.ema_momentum=0")


@pytest.fixture(scope="module")
def head_first(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run with `HEAD`, and its folder as it was after steps of both epochs."""
    folder = tmp_path_factory.mktemp("head") / "run"
    copies = {}

    def copy(stage: str, done: int, total: int, detail: str) -> None:
        if (folder / "last.weights.h5").exists() and "1" not in copies:
            copies["1"] = shutil.copytree(folder, folder.with_name("after-1"))

    start(prepared, folder, *HEAD, on_progress=copy)
    return {"run": folder, **copies}


def test_the_backbone_stays_as_it_is_in_the_freeze_backbone_epochs(
    head_first: dict[str, Path], prepared: Path
) -> None:
    import keras

    from bone_age_tf.data.dataset import PreparedRadiographs
    from bone_age_tf.models.bone_age_model import build_bone_age_model

    config = Run.open(head_first["run"]).config
    keras.utils.set_random_seed(config.train.seed)
    model = build_bone_age_model(config.model, PreparedRadiographs.open(prepared).frame)
    backbone = model.get_layer("tiny")
    inside = {id(v) for v in backbone.variables}
    others = [v.numpy() for v in model.trainable_variables if id(v) not in inside]
    untouched, head = backbone_and_head(head_first["1"])
    for old, new in zip(backbone.variables, untouched, strict=True):
        np.testing.assert_array_equal(old.numpy(), new)
    for old, new in zip(others, head, strict=True):
        assert (old != new).any()


def test_the_whole_backbone_moves_after_the_freeze_backbone_epochs(
    head_first: dict[str, Path],
) -> None:
    before, _ = backbone_and_head(head_first["1"])
    after, _ = backbone_and_head(head_first["run"])
    for old, new in zip(before, after, strict=True):
        assert (old != new).any()


def test_stopped_and_resumed_with_freeze_backbone_epochs_is_bit_identical(
    head_first: dict[str, Path], prepared: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    for step in (STEPS, STEPS + 1):  # at the border, and behind it
        with pytest.raises(InterruptedBySignalError):
            start(prepared, folder, *HEAD, on_progress=stop_after(step))
    start(prepared, folder, *HEAD)
    expected, found = checkpoint(head_first["run"]), checkpoint(folder)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    assert table(folder) == table(head_first["run"])


# === Passes and calls ===


def test_two_passes_learn_what_one_does(prepared: Path, tmp_path: Path) -> None:
    """With the backbone as it is, as the batch statistics are a pass's."""
    settings = (
        "train.epochs=2",
        "train.freeze_backbone_epochs=2",
        "model.dropout=0",
        "train.global_clipnorm=0.1",
    )
    one = start(prepared, tmp_path / "1", *settings)
    two = start(prepared, tmp_path / "2", *settings, "train.gradient_accumulation_steps=2")
    assert_close(one, two)


def test_batch_statistics_are_of_a_pass(run: Path, prepared: Path, tmp_path: Path) -> None:
    """Otherwise the test above could not fail."""
    settings = ("train.epochs=1", "model.dropout=0")
    one = start(prepared, tmp_path / "1", *settings)
    two = start(prepared, tmp_path / "2", *settings, "train.gradient_accumulation_steps=2")
    assert one[0]["mae_months"] != pytest.approx(two[0]["mae_months"], rel=1e-5)


def test_two_steps_per_execution_are_the_same_steps(
    run: Path, prepared: Path, tmp_path: Path
) -> None:
    done = []
    start(
        prepared,
        tmp_path / "run",
        "train.epochs=2",
        "train.steps_per_execution=2",
        on_progress=lambda stage, count, total, detail: done.append(count // BATCH),
    )
    assert table(tmp_path / "run") == table(run)
    assert sorted(set(done)) == [0, 2, 3, 5, 6]


# === Precision ===


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_trains(precision: str, run: Path, prepared: Path, tmp_path: Path) -> None:
    history = start(prepared, tmp_path / "run", "train.epochs=2", f"train.precision={precision}")
    assert_finite(history)
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    assert description["precision"] == precision
    float32 = table(run)
    for row, same in zip(history, float32, strict=True):
        assert row["mae_months"] == pytest.approx(float(same["mae_months"]), rel=0.05)
    assert row["mae_months"] != float(same["mae_months"])


# === Others, together ===

OTHERS = (
    "train.epochs=2",
    "train.batch_size=10",
    "train.drop_remainder=false",
    "train.schedule=constant",
    "train.warmup_steps=2",
    "train.layerwise_lr_decay=0.3",
    "train.ema_momentum=0",
    "train.checkpoint_minutes=0",
)


@pytest.fixture(scope="module")
def others(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, History, list[tuple[int, int]]]:
    """A run with `OTHERS`, its history, and the checkpoints that were there after each step."""
    folder = tmp_path_factory.mktemp("others") / "run"
    found = []

    def look(stage: str, done: int, total: int, detail: str) -> None:
        if (folder / "checkpoint.npz").exists():
            state = progress(folder)
            found.append((state["epoch"], state["step"]))

    history = start(prepared, folder, *OTHERS, on_progress=look)
    return folder, history, found


def test_a_kept_last_batch_is_a_step_more(
    others: tuple[Path, History, list[tuple[int, int]]],
) -> None:
    folder, _, _ = others
    variables = checkpoint(folder).values()
    steps = [int(v) for v in variables if v.shape == () and v.dtype.kind in "iu"]
    assert 2 * 3 in steps  # 24 radiographs: 10 + 10 + 4


def test_a_constant_rate_is_in_the_history(
    others: tuple[Path, History, list[tuple[int, int]]],
) -> None:
    _, history, _ = others
    assert_finite(history)
    assert [row["learning_rate"] for row in history] == pytest.approx([2e-3, 2e-3])


def test_without_averaging_the_last_weights_are_the_variables(
    others: tuple[Path, History, list[tuple[int, int]]], run: Path
) -> None:
    folder, _, _ = others
    model = Run.open(folder, "last").load_model()
    weights = model.get_weights()
    kept = list(checkpoint(folder).values())
    floats = [value for value in kept if value.dtype == np.float32]
    for weight in weights:
        assert any(np.array_equal(weight, value) for value in floats)
    averaged = [v for v in checkpoint(run).values() if v.dtype == np.float32]
    assert len(averaged) == len(floats) + len(model.trainable_variables)


def test_the_first_layer_moves_by_its_rate(
    others: tuple[Path, History, list[tuple[int, int]]], prepared: Path
) -> None:
    import keras

    from bone_age_tf.data.dataset import PreparedRadiographs
    from bone_age_tf.models.bone_age_model import build_bone_age_model

    folder, _, _ = others
    config = Run.open(folder).config
    keras.utils.set_random_seed(config.train.seed)
    model = build_bone_age_model(config.model, PreparedRadiographs.open(prepared).frame)
    after = Run.open(folder, "last").load_model()

    def moved(one: keras.layers.Layer, other: keras.layers.Layer) -> float:
        return float(np.abs(one.get_weights()[0] - other.get_weights()[0]).max())

    backbones = [each.get_layer("tiny") for each in (model, after)]
    kernels = [
        [layer for layer in backbone.layers if isinstance(layer, keras.layers.Conv2D)]
        for backbone in backbones
    ]
    changes = [moved(*pair) for pair in zip(*kernels, strict=True)]
    assert 0 < changes[0] < 6 * 2e-3 * 1e-4 * 1.5
    assert changes[0] < changes[1] / 3 < changes[2] / 9 < changes[3] / 27
    assert moved(*(each.get_layer("joint") for each in (model, after))) > 2e-3


def test_checkpoint_minutes_0_writes_one_after_every_step(
    others: tuple[Path, History, list[tuple[int, int]]],
) -> None:
    _, _, found = others
    steps = list(dict.fromkeys(found))
    assert steps[:2] == [(0, 1), (0, 2)]
    assert {(1, 0), (1, 1), (1, 2)} <= set(steps)


# === deterministic ===

DETERMINISTIC = """
import json, sys
from bone_age_tf.config import override
from bone_age_tf.recipes import load_recipe
from bone_age_tf.training.train import train
data, run, *settings = sys.argv[1:]
report = train(override(load_recipe("tiny"), settings), data=data, run=run, initial_weights="none")
from tensorflow.python.framework import config
print(json.dumps([config.is_op_determinism_enabled(), report.history]))
"""


@pytest.mark.large
def test_deterministic_trains_the_same(run: Path, prepared: Path, tmp_path: Path) -> None:
    settings = ("train.epochs=2", "train.precision=float32", "train.deterministic=true")
    done = subprocess.run(
        [sys.executable, "-c", DETERMINISTIC, str(prepared), str(tmp_path / "run"), *settings],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    is_enabled, history = json.loads(done.stdout.splitlines()[-1])
    assert is_enabled
    expected = [{name: float(value) for name, value in row.items()} for row in table(run)]
    assert_close(expected, history)
