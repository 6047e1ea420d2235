import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from bone_age_tf.config import (
    ENCODINGS,
    SEX_LABELS,
    TTA_VIEWS,
    AugmentationConfig,
    CalibrationConfig,
    DataConfig,
    ExperimentConfig,
    LabelOptions,
    LocalizerConfig,
    ModelConfig,
    PhantomConfig,
    PrepareConfig,
    PreprocessingConfig,
    ServeConfig,
    TrainConfig,
    from_dict,
    override,
    to_dict,
)
from bone_age_tf.errors import UsageError
from bone_age_tf.sex import SEX_NAMES

PREPARE = PrepareConfig(
    source="raw",
    output="prepared",
    label_options=LabelOptions(age_unit="years", group_column="patient"),
    split={"train": 0.5, "test": 0.5},
    preprocessing=PreprocessingConfig(scale=0.1, localizer="runs/localizer"),
    limit=7,
)
EXPERIMENT = ExperimentConfig(
    data=DataConfig(region="carpal"),
    model=ModelConfig(backbone="tiny", age_mean_months=120.5),
    augmentation=AugmentationConfig(mirror=False),
    train=TrainConfig(epochs=3, learning_rate=1e-3),
)


LOCALIZER = LocalizerConfig(steps=12, negative_share=0.25, mining_rounds=0)
PHANTOM = PhantomConfig(output="o", count=3, ages=(20, 30))
SERVE = ServeConfig(model="m", allowed_hosts=("a", "b"), version_labels={"stable": 2})


@pytest.mark.parametrize("config", [PREPARE, EXPERIMENT, LOCALIZER], ids=lambda c: type(c).__name__)
def test_configuration_survives_json(config: Any) -> None:
    assert from_dict(type(config), json.loads(json.dumps(to_dict(config)))) == config


def test_from_dict_fills_up_with_defaults() -> None:
    assert from_dict(TrainConfig, {"epochs": 5}) == TrainConfig(epochs=5)


def test_from_dict_refuses_unknown_settings_by_name() -> None:
    with pytest.raises(UsageError, match="TrainConfig has no setting epoch, rate"):
        from_dict(TrainConfig, {"epoch": 5, "rate": 1})
    with pytest.raises(UsageError, match="ModelConfig has no setting backbones"):
        from_dict(ExperimentConfig, {"model": {"backbones": "tiny"}})


def test_override_changes_only_what_is_named() -> None:
    changed = override(
        EXPERIMENT,
        [
            "train.epochs=9",
            "train.learning_rate=2e-4",
            "model.backbone = xception",
            "model.age_mean_months=none",
            "augmentation.mirror=True",
            "train.epochs=10",
        ],
    )
    assert changed == ExperimentConfig(
        data=DataConfig(region="carpal"),
        model=ModelConfig(backbone="xception"),
        augmentation=AugmentationConfig(mirror=True),
        train=TrainConfig(epochs=10, learning_rate=2e-4),
    )
    assert EXPERIMENT.train.epochs == 3


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.epochs", "--set expects NAME=VALUE"),
        ("train.epoch=3", "there is no setting 'epoch' here"),
        ("epochs=3", "there is no setting 'epochs' here"),
        ("train=3", "there is no setting 'train' here"),
        ("train.epochs.more=3", "there is no setting 'epochs' here"),
        ("train.epochs=three", "train.epochs must be a valid integer"),
        ("train.epochs=3.5", "train.epochs must be a valid integer"),
        ("train.epochs=none", "train.epochs must be a valid integer"),
        ("augmentation.mirror=maybe", "augmentation.mirror must be a valid boolean"),
        ("train.epochs=0", "train.epochs must be greater than or equal to 1"),
        ("train.precision=float8", "train.precision must be 'auto', 'float32'"),
        ("train.learning_rate=nan", "train.learning_rate must be greater than 0"),
        ("model.dropout=1", "model.dropout must be less than 1"),
        ("model.target=age", "model.target must be 'bone_age' or 'sex'"),
        ("model.head=softmax", "model.head must be 'regression' or 'expectation'"),
        ("model.pooling=max", "model.pooling must be 'average', 'flatten' or"),
        ("model.activation=gelu", "model.activation must be 'relu' or 'elu'"),
        ("model.head_layers=0", "model.head_layers must be greater than or equal to 1"),
        ("model.sex_units=-1", "model.sex_units must be greater than or equal to 0"),
        ("train.beta_1=1", "train.beta_1 must be less than 1"),
        (
            "train.label_distribution=-1",
            "train.label_distribution must be greater than or equal to 0",
        ),
        (
            "train.label_distribution_sd_months=0",
            "label_distribution_sd_months must be greater than 0",
        ),
        ("data.fold=3", "data.fold must be I/K"),
        ("data.fold=6/5", "data.fold must be I/K"),
        ("data.fold=0/5", "data.fold must be I/K"),
        ("data.fold=1/1", "K at least 2"),
        ("data.fold=1/5/", "data.fold must be I/K"),
        ("data.sex=unknown", "data.sex must be 'both', 'F' or 'M'"),
        ("train.age_sampling=1.5", "train.age_sampling must be less than or equal to 1"),
    ],
)
def test_override_refuses_naming_what_the_user_typed(assignment: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        override(EXPERIMENT, [assignment])


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("steps=0", "steps must be greater than or equal to 1"),
        ("mining_steps=0", "mining_steps must be greater than or equal to 1"),
        ("mining_rounds=-1", "mining_rounds must be greater than or equal to 0"),
        ("negative_share=1", "negative_share must be less than 1"),
        ("annotated_share=-0.1", "annotated_share must be greater than or equal to 0"),
        ("annotated_share=0.8", "annotated_share + mined_share must be below 1"),
        ("train.epochs=3", "there is no setting 'train' here"),
    ],
)
def test_override_of_a_localizer_names_what_the_user_typed(assignment: str, message: str) -> None:
    assert override(LOCALIZER, ["steps=7"]) == dataclasses.replace(LOCALIZER, steps=7)
    with pytest.raises(UsageError, match=re.escape(message)):
        override(LOCALIZER, [assignment])


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"split": {"train": 0.8, "test": 0.1}}, "--split"),
        ({"split": {"train": 1.2, "test": -0.2}}, "--split"),
        ({"split": {"no name": 1.0}}, "--split"),
        ({"split": {}}, "--split"),
        ({"shards": 0}, "--shards"),
        ({"jobs": -1}, "--jobs"),
        ({"limit": 0}, "--limit"),
    ],
)
def test_prepare_refuses_impossible_settings_naming_the_flag(
    settings: dict[str, Any], flag: str
) -> None:
    with pytest.raises(UsageError, match=f"{flag} must be"):
        PrepareConfig(source="raw", output="prepared", **settings)


def test_preprocessing_and_label_options_name_their_flags() -> None:
    with pytest.raises(UsageError, match=r"--scale must be less than or equal to 1"):
        PreprocessingConfig(scale=2)
    with pytest.raises(UsageError, match="--age-unit must be 'months' or 'years'"):
        LabelOptions(age_unit="weeks")
    with pytest.raises(
        UsageError, match=r"preprocessing\.method must be 'registered' or 'letterbox'"
    ):
        PreprocessingConfig(method="scale")
    with pytest.raises(UsageError, match="percentiles"):
        PreprocessingConfig(low_percentile=99, high_percentile=1)


@pytest.mark.parametrize(
    ("scale", "frame"), [(0.25, (520, 400)), (1, (2080, 1600)), (0.05, (104, 80))]
)
def test_frame_follows_the_scale(scale: float, frame: tuple[int, int]) -> None:
    assert PreprocessingConfig(scale=scale).frame == frame


@pytest.mark.parametrize(
    ("config", "portable", "resolved"),
    [
        (PreprocessingConfig(), "shipped", "shipped"),
        (PreprocessingConfig(localizer="/home/me/own"), "localizer", "data/localizer"),
        (PreprocessingConfig(method="letterbox", localizer="/home/me/own"), "shipped", "shipped"),
    ],
    ids=["shipped", "own", "letterbox"],
)
def test_a_portable_configuration_names_no_path_of_this_machine(
    config: PreprocessingConfig, portable: str, resolved: str
) -> None:
    written = config.portable()
    assert written == dataclasses.replace(config, localizer=portable)
    assert written.resolved(Path("data")) == dataclasses.replace(config, localizer=resolved)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": "3"}, "train.epochs must be a valid integer. Received: '3'."),
        ({"epochs": 3.0}, "train.epochs must be a valid integer. Received: 3.0."),
        ({"epochs": True}, "train.epochs must be a valid integer. Received: True."),
        (
            {"learning_rate": "1e-3"},
            "train.learning_rate must be a valid number. Received: '1e-3'.",
        ),
        ({"drop_remainder": 1}, "train.drop_remainder must be a valid boolean. Received: 1."),
        ({"cache": None}, "train.cache must be 'auto', 'yes' or 'no'. Received: None."),
        ({"readers": 0}, "train.readers must be greater than or equal to 1. Received: 0."),
        ({"layerwise_lr_decay": 0}, "must be greater than 0. Received: 0."),
    ],
)
def test_nothing_is_guessed_from_values_of_another_type(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        TrainConfig(**settings)


def test_a_whole_number_is_a_number_and_none_is_taken_where_it_may_be() -> None:
    settings = TrainConfig(weight_decay=0, readers=None, global_clipnorm=1)
    assert (settings.weight_decay, settings.readers, settings.global_clipnorm) == (0, None, 1)


def test_a_section_must_be_one() -> None:
    with pytest.raises(UsageError, match="train must be an instance of TrainConfig"):
        ExperimentConfig(train={"epochs": 3})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "config", [PREPARE, EXPERIMENT, LOCALIZER, PHANTOM, SERVE, CalibrationConfig()]
)
def test_every_setting_refuses_what_it_cannot_be_and_names_it(config: Any) -> None:
    sections = [value for value in vars(config).values() if dataclasses.is_dataclass(value)]
    for each in (config, *sections):
        for field in dataclasses.fields(each):
            with pytest.raises(UsageError, match=re.sub("[_-]", "[_-]", field.name) + " must be"):
                dataclasses.replace(each, **{field.name: object()})


def test_a_whole_number_for_a_number_is_the_same_setting() -> None:
    written = to_dict(PreprocessingConfig(scale=1))
    assert json.dumps(written) == json.dumps(to_dict(PreprocessingConfig(scale=1.0)))


def test_what_must_be_given_and_what_does_not_exist_are_named() -> None:
    with pytest.raises(UsageError, match="--output must be given"):
        PrepareConfig(source="raw")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="LabelOptions has no setting id. Expected: age_column"):
        LabelOptions(id="case")  # type: ignore[call-arg]


def test_configurations_serve_as_keys() -> None:
    same = from_dict(ExperimentConfig, to_dict(EXPERIMENT))
    assert {EXPERIMENT: "run"}[same] == "run"


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("YES", True), ("False", False), ("0", False)]
)
def test_override_reads_words_as_flags_only_where_a_flag_is_expected(
    text: str, value: bool
) -> None:
    changed = override(ExperimentConfig(), [f"augmentation.mirror={text}", "train.cache=yes"])
    assert (changed.augmentation.mirror, changed.train.cache) == (value, "yes")


def test_tuples_and_mappings_survive_json() -> None:
    for config in (PHANTOM, SERVE):
        assert from_dict(type(config), json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"rest_port": 70_000},
            "--rest-port must be less than or equal to 65535. Received: 70000.",
        ),
        ({"max_in_flight": 0}, "--max-in-flight must be greater than or equal to 1"),
        ({"poll_seconds": 0}, "--poll-seconds must be greater than 0"),
        ({"engine": "onnx"}, "--engine must be 'tensorflow', 'openvino' or 'openvino-bfloat16'"),
        ({"host": "0.0.0.0"}, "BONE_AGE_TOKEN"),
        ({"token": "short"}, "16 or more"),
        ({"allowed_hosts": ("here:8501",)}, "--allowed-host must be a name"),
    ],
)
def test_serve_refuses_naming_the_flag(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        ServeConfig(model="m", **settings)


def test_the_choices_are_those_of_the_modules_that_the_command_line_does_not_import() -> None:
    from bone_age_tf import record
    from bone_age_tf.models.views import VIEWS

    assert (SEX_NAMES, record.ENCODINGS, tuple(VIEWS)) == (SEX_LABELS, ENCODINGS, TTA_VIEWS)


def test_configurations_are_frozen() -> None:
    with pytest.raises(AttributeError):
        PREPARE.limit = 8  # type: ignore[misc]
