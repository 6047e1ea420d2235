"""Losses and metrics of the objectives, by hand and in whole runs."""

import csv
import functools
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bone_age_tf.config import ExperimentConfig, ModelConfig, override
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.errors import InterruptedBySignalError, UsageError
from bone_age_tf.metrics import sex as metrics
from bone_age_tf.models.bone_age_model import build_bone_age_model
from bone_age_tf.recipes import load_recipe
from bone_age_tf.training.objectives import (
    CROSS_ENTROPY,
    MAE,
    BoneAgeObjective,
    LabelDistributionObjective,
    Objective,
    SexObjective,
    metric_of,
    objective_of,
)
from bone_age_tf.training.run import Run
from bone_age_tf.training.train import TrainReport, train

BATCH = 8
FRAME = (64, 64)
MONTHS = np.array([30.0, 100.4, 228.0], np.float32)


def normal(centres: np.ndarray, sd: float) -> np.ndarray:
    """Logits [n, 240] of normal distributions over 1 to 240 months."""
    return (-0.5 * ((np.arange(1, 241) - centres[:, None]) / sd) ** 2).astype(np.float32)


def config(**model: object) -> ExperimentConfig:
    settings = {"backbone": "tiny", "age_mean_months": 120.0, "age_sd_months": 40.0, **model}
    return ExperimentConfig(model=ModelConfig(**settings))  # type: ignore[arg-type]


# === By hand ===


def test_bone_age_is_minimized_in_sds_and_judged_in_months() -> None:
    objective = BoneAgeObjective(40.0)
    predicted = tf.constant([50.0, 90.4, 228.0])
    losses, errors = objective.losses(predicted, {}, tf.constant(MONTHS))
    np.testing.assert_allclose(errors, [20, 10, 0], atol=1e-4)
    np.testing.assert_allclose(losses, [0.5, 0.25, 0], atol=1e-5)
    evaluated = objective.evaluate(predicted.numpy(), MONTHS, np.zeros(3))
    assert evaluated == {"mae_months": pytest.approx(10, abs=1e-4)}


def test_the_divergence_is_nothing_where_the_softmax_is_as_wanted() -> None:
    objective = LabelDistributionObjective(40.0, weight=2.0, label_sd_months=6.0)
    logits = tf.constant(normal(MONTHS, 6.0) + 3.0)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses, _ = objective.losses((tf.constant(MONTHS), logits), {}, tf.constant(MONTHS))
    np.testing.assert_allclose(losses, 0, atol=1e-5)
    np.testing.assert_allclose(tape.gradient(losses, logits), 0, atol=1e-5)


def test_the_divergence_of_two_normal_distributions() -> None:
    objective = LabelDistributionObjective(40.0, weight=0.5, label_sd_months=6.0)
    months = np.array([100.0, 110.0], np.float32)
    logits = tf.constant(normal(np.array([100.0, 116.0]), 12.0))
    predicted = tf.constant([100.0, 116.0])
    losses, errors = objective.losses((predicted, logits), {}, tf.constant(months))
    distance = np.array([0.0, 6.0])
    divergence = np.log(12 / 6) + (6**2 + distance**2) / (2 * 12**2) - 0.5
    np.testing.assert_allclose(errors, distance, atol=1e-5)
    np.testing.assert_allclose(losses, distance / 40 + 0.5 * divergence, rtol=1e-4)


def test_both_terms_are_of_one_size_at_the_start() -> None:
    ages = np.random.default_rng(0).normal(127, 41, 500).clip(1, 228).astype(np.float32)
    start = np.full(500, 127.0, np.float32)
    outputs = (tf.constant(start), tf.constant(normal(start, 41.0)))
    terms = [
        float(tf.reduce_mean(objective.losses(outputs, {}, tf.constant(ages))[0]))
        for objective in (
            LabelDistributionObjective(41.0, weight=0.0, label_sd_months=6.0),
            LabelDistributionObjective(41.0, weight=1.0, label_sd_months=6.0),
        )
    ]
    assert terms[0] == pytest.approx(0.8, abs=0.05)
    assert terms[1] - terms[0] == pytest.approx(1.9, abs=0.1)


def test_the_learner_of_a_label_distribution_is_the_same_network() -> None:
    model = build_bone_age_model(config(head="expectation").model, FRAME)
    learner = LabelDistributionObjective(40.0, 1.0, 6.0).training_model(model)
    inputs = {"image": np.zeros((2, *FRAME, 1), np.uint8), "sex": np.array([0, 1], np.int32)}
    months, logits = learner(inputs, training=False)
    np.testing.assert_array_equal(months, model(inputs, training=False))
    assert logits.shape == (2, 240)
    assert {id(v) for v in learner.variables} == {id(v) for v in model.variables}


def test_sex_is_minimized_and_judged_by_the_cross_entropy_of_the_probability() -> None:
    model = build_bone_age_model(config(target="sex").model, FRAME)
    learner = SexObjective().training_model(model)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, *FRAME, 1)).astype(np.uint8)
    inputs = {"image": images, "sex": np.array([0, 1, 1, 0, 1, 0], np.int32)}
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    outputs = learner(inputs, training=False)
    losses, errors = SexObjective().losses(outputs, tensors, tf.zeros(6))
    np.testing.assert_array_equal(losses, errors)
    probability = keras.ops.convert_to_numpy(model(inputs, training=False))
    right = np.where(inputs["sex"] == 1, probability, 1 - probability)
    np.testing.assert_allclose(losses, -np.log(right), rtol=1e-4)
    evaluated = SexObjective().evaluate(probability, np.zeros(6), inputs["sex"])
    assert list(evaluated) == ["cross_entropy", "accuracy", "auroc"]
    assert evaluated["cross_entropy"] == pytest.approx(float(np.mean(losses)), rel=1e-4)
    assert evaluated["auroc"] == metrics.auroc(probability, inputs["sex"] == 1)


def test_an_impossible_answer_has_a_finite_loss() -> None:
    inputs = {"sex": tf.constant([0, 1])}
    losses, _ = SexObjective().losses(tf.constant([[200.0], [-200.0]]), inputs, tf.zeros(2))
    np.testing.assert_allclose(losses, 200)
    evaluated = SexObjective().evaluate(np.array([1.0, 0.0]), np.zeros(2), np.array([0, 1]))
    assert np.isfinite(list(evaluated.values())).all()


def test_girls_alone_have_no_auroc() -> None:
    evaluated = SexObjective().evaluate(np.array([0.2, 0.6]), np.zeros(2), np.zeros(2))
    assert set(evaluated) == {"cross_entropy", "accuracy"}


def test_the_objective_follows_the_configuration() -> None:
    label = override(config(head="expectation"), ["train.label_distribution=0.5"])
    assert objective_of(config()) == BoneAgeObjective(40.0)
    assert objective_of(config(head="expectation")) == BoneAgeObjective(40.0)
    assert objective_of(label) == LabelDistributionObjective(40.0, 0.5, 6.0)
    assert objective_of(config(target="sex")) == SexObjective()
    assert metric_of(config().model) is MAE
    assert metric_of(config(target="sex").model) is CROSS_ENTROPY


@pytest.mark.parametrize("model", [{}, {"target": "sex"}])
def test_a_label_distribution_needs_a_softmax(model: dict[str, str]) -> None:
    wanted = override(config(**model), ["train.label_distribution=1"])
    with pytest.raises(UsageError, match=r"train\.label_distribution=1\.0.*head=expectation"):
        objective_of(wanted)


def learn(objective: Objective, model: keras.Model, steps: int) -> list[float]:
    """Losses while a network overfits eight images of noise."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (8, *FRAME, 1)).astype(np.uint8)
    inputs = {"image": tf.constant(images), "sex": tf.constant([0, 1] * 4)}
    months = tf.constant(np.linspace(30, 220, 8), tf.float32)
    learner, optimizer = objective.training_model(model), keras.optimizers.Adam(3e-3)

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            outputs = learner(inputs, training=True)
            loss = tf.reduce_mean(objective.losses(outputs, inputs, months)[0])
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return loss

    return [float(step()) for _ in range(steps)]


@pytest.mark.parametrize(
    ("settings", "train_settings"),
    [
        ({}, []),
        ({"head": "expectation"}, []),
        ({"head": "expectation"}, ["train.label_distribution=1"]),
        ({"target": "sex"}, []),
    ],
    ids=["regression", "expectation", "label distribution", "sex"],
)
def test_a_network_learns_by_it(settings: dict[str, str], train_settings: list[str]) -> None:
    _, losses = learned(*train_settings, **settings)
    assert losses[-1] < 0.3 * losses[0]


@functools.cache
def learned(*assignments: str, **settings: str) -> tuple[keras.Model, list[float]]:
    """A network that has overfitted the noise, and its losses; made once for all tests."""
    keras.utils.set_random_seed(0)
    wanted = override(config(**settings, dropout=0.0), assignments)
    model = build_bone_age_model(wanted.model, FRAME)
    return model, learn(objective_of(wanted), model, 60)


def test_the_label_distribution_narrows_the_softmax() -> None:
    spreads = []
    for assignments in ([], ["train.label_distribution=1"]):
        model, _ = learned(*assignments, head="expectation")
        logits = keras.Model(model.input, model.get_layer("logits").output)
        images = np.random.default_rng(0).integers(0, 256, (8, *FRAME, 1)).astype(np.uint8)
        found = logits({"image": images, "sex": np.array([0, 1] * 4, np.int32)}, training=True)
        shares, months = keras.ops.convert_to_numpy(keras.ops.softmax(found)), np.arange(1, 241)
        mean = (shares * months).sum(1, keepdims=True)
        spreads.append(float(np.sqrt((shares * (months - mean) ** 2).sum(1)).mean()))
    assert spreads[1] < 15 < spreads[0]


# === Whole runs ===

SEX = ("model.target=sex",)
LABEL = ("model.head=expectation", "train.label_distribution=1")


def start(
    data: Path,
    folder: Path,
    *assignments: str,
    on_progress: Callable[[str, int, int, str], None] | None = None,
) -> TrainReport:
    logs = "logging.tensorboard=false"
    settings = ["train.epochs=2", "train.precision=float32", logs, *assignments]
    wanted = override(load_recipe("tiny"), settings)
    return train(
        wanted, data=str(data), run=str(folder), initial_weights="none", on_progress=on_progress
    )


def signal_after(step: int) -> Callable[[str, int, int, str], None]:
    def watch(stage: str, done: int, total: int, detail: str) -> None:
        if done == step * BATCH:
            signal.raise_signal(signal.SIGINT)

    return watch


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def sex_run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of the tiny recipe with the target sex. Read only."""
    folder = tmp_path_factory.mktemp("sex") / "run"
    start(prepared, folder, *SEX, "logging.tensorboard=true")
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(SEX, marks=pytest.mark.release, id="sex"),
        pytest.param(LABEL, marks=pytest.mark.large, id="label distribution"),
    ],
)
def test_stopped_and_resumed_is_bit_identical(
    settings: tuple[str, ...], prepared: Path, tmp_path: Path
) -> None:
    start(prepared, tmp_path / "whole", *settings)
    with pytest.raises(InterruptedBySignalError):
        start(prepared, tmp_path / "run", *settings, on_progress=signal_after(4))
    start(prepared, tmp_path / "run", *settings)
    assert history(tmp_path / "run") == history(tmp_path / "whole")
    runs = [Run.open(tmp_path / name).load_model().get_weights() for name in ("run", "whole")]
    for mine, theirs in zip(*runs, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_sex_run_is_judged_on_its_validation_split(sex_run: Path, prepared: Path) -> None:
    (batch,) = PreparedRadiographs.open(prepared).examples("validation").batch(100)
    model, boys = Run.open(sex_run).load_model(), batch["sex"].numpy() == 1
    inputs = {"image": batch["image"], "sex": batch["sex"]}
    probability = keras.ops.convert_to_numpy(model(inputs, training=False))
    best = json.loads((sex_run / "run.json").read_text())["result"]["best_validation_cross_entropy"]
    rows = history(sex_run)
    assert list(rows[0]) == [
        "epoch", "cross_entropy", "learning_rate", "validation_cross_entropy", "validation_accuracy",
        "validation_auroc",
    ]  # fmt: skip
    assert best == min(float(row["validation_cross_entropy"]) for row in rows)
    assert best == pytest.approx(metrics.cross_entropy(probability, boys), rel=1e-4)
    (row,) = (row for row in rows if float(row["validation_cross_entropy"]) == best)
    assert float(row["validation_accuracy"]) == metrics.accuracy(probability, boys)


def test_a_sex_run_is_not_told_the_sex_and_masks_none(sex_run: Path) -> None:
    trained = Run.open(sex_run)
    assert trained.target == "sex"
    assert (trained.config.model.sex_units, trained.config.augmentation.sex_dropout) == (0, 0)


def test_the_logs_of_a_sex_run_say_nothing_of_months(sex_run: Path) -> None:
    sizes = dict.fromkeys(("scalars", "images", "tensors"), 0)
    events = EventAccumulator(str(sex_run / "tensorboard"), size_guidance=sizes).Reload()
    plugins = {tag: of.plugin_data.plugin_name for tag, of in events.summary_metadata.items()}
    assert {tag for tag, plugin in plugins.items() if plugin != "hparams"} == {
        "accuracy/validation",
        "auroc/validation",
        "cross_entropy/best_validation",
        "cross_entropy/train",
        "cross_entropy/validation",
        "learning_rate",
        "speed/images_per_second",
        "speed/waiting_share",
        "augmented_inputs",
        "run",
    }


def test_progress_of_a_sex_run(prepared: Path, tmp_path: Path) -> None:
    details: list[str] = []
    report = start(
        prepared,
        tmp_path / "run",
        *SEX,
        "train.epochs=1",
        on_progress=lambda stage, done, total, detail: details.append(detail),
    )
    assert details[-1].startswith("epoch 1/1  cross-entropy 0.")
    assert details[-1].endswith(" nats")
    assert report.best_validation is not None
    assert report.metric.say(report.best_validation).startswith("cross-entropy 0.")


def test_radiographs_of_unknown_sex_teach_nothing(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SelectedError(Exception):
        pass

    asked: list[bool] = []

    def watched(*arguments: object, known_sex_only: bool) -> object:
        asked.append(known_sex_only)
        raise SelectedError

    monkeypatch.setattr("bone_age_tf.training.train.select", watched)
    for assignments in (SEX, ()):
        with pytest.raises(SelectedError):
            start(prepared, tmp_path / "run", *assignments)
    assert asked == [True, False]


def test_one_sex_alone_is_rejected(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="girls and of boys.*Received 12 and 0.*data.sex=both"):
        start(prepared, tmp_path / "run", *SEX, "data.sex=F")
    assert not (tmp_path / "run").exists()


def test_a_sex_run_without_validation_keeps_the_last(prepared: Path, tmp_path: Path) -> None:
    data = shutil.copytree(prepared, tmp_path / "data")
    manifest = json.loads((data / "manifest.json").read_text())
    for shard in manifest["shards"]:
        if shard["split"] == "validation":
            (data / shard["name"]).unlink()
    manifest["shards"] = [s for s in manifest["shards"] if s["split"] != "validation"]
    (data / "manifest.json").write_text(json.dumps(manifest))
    report = start(data, tmp_path / "run", *SEX, "train.epochs=1")
    assert report.best_validation is None
    assert list(history(tmp_path / "run")[0]) == ["epoch", "cross_entropy", "learning_rate"]
