import dataclasses
import json
import resource
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_epochs import MAES, FakeRun, fake_validation
from matplotlib.colors import to_rgb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from bone_age_tf.sex import Sex
from bone_age_tf.training.callbacks import ValidationResult
from bone_age_tf.training.logging import validation_figures
from bone_age_tf.training.logging.tensorboard_log import EventFile, image_pb

MakeRun = Callable[..., FakeRun]


@pytest.fixture
def fake_run(tmp_path: Path) -> MakeRun:
    return lambda *assignments: FakeRun(tmp_path / "fake", *assignments)


def read(run: FakeRun) -> EventAccumulator:
    """All that lies in the event files."""
    sizes = dict.fromkeys(("scalars", "images", "tensors"), 0)
    return EventAccumulator(str(run.folder / "tensorboard"), size_guidance=sizes).Reload()


def scalars(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.tensor_proto.float_val[0]) for event in events.Tensors(tag)]


def picture(events: EventAccumulator, tag: str, number: int = -1) -> np.ndarray:
    width, height, encoded = events.Tensors(tag)[number].tensor_proto.string_val
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (int(height), int(width), 3)
    return decoded[..., ::-1]


def hyper_parameters(events: EventAccumulator) -> dict[str, HParamsPluginData]:
    contents = events.summary_metadata
    return {
        tag: HParamsPluginData.FromString(metadata.plugin_data.content)
        for tag, metadata in contents.items()
        if metadata.plugin_data.plugin_name == "hparams"
    }


def test_every_epoch_has_its_numbers(fake_run: MakeRun) -> None:
    run = fake_run()
    run.process(until=3)
    events = read(run)
    plugins = {tag: of.plugin_data.plugin_name for tag, of in events.summary_metadata.items()}
    assert {tag for tag, plugin in plugins.items() if plugin == "scalars"} == {
        "learning_rate",
        "mae_months/best_validation",
        "mae_months/train",
        "mae_months/validation",
        "speed/images_per_second",
        "speed/waiting_share",
        "validation_by_age/0-4 years",
        "validation_by_age/16-20 years",
        "validation_by_age/8-12 years",
        "validation_by_sex/F",
        "validation_by_sex/M",
    }
    assert scalars(events, "mae_months/train") == [(1, 30), (2, 29), (3, 28)]
    assert scalars(events, "mae_months/validation") == list(enumerate(MAES, 1))
    assert scalars(events, "mae_months/best_validation") == [(1, 20), (2, 12.5), (3, 12.5)]
    assert scalars(events, "validation_by_sex/F") == [(1, 25.0), (2, 15.625), (3, 17.5)]
    assert scalars(events, "validation_by_age/8-12 years") == [(1, 30.0), (2, 18.75), (3, 21.0)]


def test_pictures_of_every_validation_and_once_of_the_inputs(fake_run: MakeRun) -> None:
    run = fake_run()
    run.process(until=2)
    events = read(run)
    assert [event.step for event in events.Tensors("validation/true_and_predicted")] == [1, 2]
    assert [event.step for event in events.Tensors("validation/worst")] == [1, 2]
    assert [event.step for event in events.Tensors("augmented_inputs")] == [0]
    assert picture(events, "validation/true_and_predicted").shape == (900, 900, 3)
    assert picture(events, "augmented_inputs").shape == (2 * (52 + 6), 4 * (40 + 6), 3)
    assert run.shown == [[2, 1, 0, 3]] * 2  # the worst first, asked for once an epoch


def test_settings_and_result_are_in_the_table_of_runs(fake_run: MakeRun) -> None:
    run = fake_run("train.epochs=7", "train.global_clipnorm=none")
    run.process(until=2)
    found = hyper_parameters(read(run))
    start = found["_hparams_/session_start_info"].session_start_info
    assert start.hparams["train.epochs"].number_value == 7
    assert start.hparams["train.global_clipnorm"].string_value == "null"
    assert start.hparams["augmentation.mirror"].bool_value is False
    assert not any(name.startswith("logging.") for name in start.hparams)
    (metric,) = found["_hparams_/experiment"].experiment.metric_infos
    assert metric.name.tag == "mae_months/best_validation"
    assert "_hparams_/session_end_info" in found


def test_the_resolved_configuration_is_there_as_text(fake_run: MakeRun) -> None:
    run = fake_run()
    run.process(until=1)
    text = read(run).Tensors("run")[0].tensor_proto.string_val[0].decode()
    shown = json.loads(text.removeprefix("```json\n").removesuffix("\n```"))
    assert shown["config"]["recipe"] == "tiny"
    assert shown["initial_weights"] == "none"


def test_a_resumed_run_goes_on_without_doubles(fake_run: MakeRun) -> None:
    run = fake_run()
    run.process(until=2, is_last=False)
    assert "_hparams_/session_end_info" not in hyper_parameters(read(run))
    run.process(first=2, until=3)
    events = read(run)
    assert len(list((run.folder / "tensorboard").iterdir())) == 2
    assert scalars(events, "mae_months/best_validation") == [(1, 20), (2, 12.5), (3, 12.5)]
    assert len(events.Tensors("augmented_inputs")) == len(events.Tensors("run")) == 1
    assert "_hparams_/session_end_info" in hyper_parameters(events)


def test_a_finished_run_is_left_as_it_is(fake_run: MakeRun) -> None:
    run = fake_run()
    run.process(until=1)
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    run.process(first=1, until=1)
    assert {p: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()} == before


def test_without_validation_there_are_no_pictures_of_it(fake_run: MakeRun) -> None:
    run = fake_run()
    log = next(log for log in run.logs() if type(log).__name__ == "TensorBoardLog")
    log.on_epoch_begin(0)
    log.on_epoch_end(0, {"mae_months": 5.0})
    log.on_train_end()
    tags = set(read(run).Tags()["tensors"])
    assert "mae_months/train" in tags
    assert not {tag for tag in tags if "validation" in tag}


def test_tensorboard_can_be_left_out(fake_run: MakeRun) -> None:
    run = fake_run("logging.tensorboard=false")
    run.process(until=1)
    assert {path.name for path in run.folder.iterdir()} == {"history.csv", "speed.csv"}


def test_what_the_file_system_refuses_is_raised(tmp_path: Path) -> None:
    file = EventFile(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError):
            file.add(image_pb("noise", noise), step=1)
            file.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    file.close()


def has_colour_of(figure: np.ndarray, sex: Sex) -> bool:
    points = 255 * (0.65 * np.array(to_rgb(validation_figures.COLOURS[sex])) + 0.35)
    return bool((np.abs(figure - points).max(-1) < 6).any())


def test_the_scatter_has_a_colour_for_each_sex_that_there_is() -> None:
    both = fake_validation(20.0)
    figure = validation_figures.scatter(both, "epoch 1")
    assert (figure.shape, figure.dtype) == ((900, 900, 3), np.uint8)
    assert has_colour_of(figure, Sex.F)
    assert has_colour_of(figure, Sex.M)
    girls = dataclasses.replace(both, sex=np.zeros(4, int))
    assert not has_colour_of(validation_figures.scatter(girls, "epoch 1"), Sex.M)


def test_a_wild_prediction_lies_at_the_edge_of_the_scatter() -> None:
    ages = np.array([120.0])
    girl = np.array([0])
    wild = validation_figures.scatter(ValidationResult(ages, ages + 9000, girl), "epoch 1")
    edge = validation_figures.scatter(ValidationResult(ages, ages + 130, girl), "epoch 1")
    np.testing.assert_array_equal(wild[150:], edge[150:])  # below what is written in words


def test_the_worst_are_at_most_eight_and_sorted() -> None:
    errors = np.array([1.0, -50, 3, 4, -5, 6, 7, 8, 9, -10])
    result = ValidationResult(np.full(10, 100.0), 100 + errors, np.zeros(10, int))
    assert validation_figures.worst_rows(result) == [1, 9, 8, 7, 6, 5, 4, 3]


@pytest.mark.parametrize(("count", "lines"), [(1, 1), (4, 1), (5, 2), (8, 2)])
def test_a_sheet_shows_the_radiographs_that_there_are(count: int, lines: int) -> None:
    result = ValidationResult(np.full(count, 100.0), np.full(count, 90.0), np.ones(count, int))
    radiographs = np.full((count, 26, 20, 1), 77, np.uint8)
    figure = validation_figures.worst_sheet(result, list(range(count)), radiographs, "epoch 1")
    grey = (figure == 77).all(-1).astype(np.uint8)
    _, _, statistics, _ = cv2.connectedComponentsWithStats(grey)
    assert (statistics[1:, cv2.CC_STAT_AREA] > 50_000).sum() == count
    height = validation_figures.HEADING + lines * (2.7 * 1.3 + validation_figures.CAPTION)
    assert figure.shape == (round(100 * height), 1140, 3)
