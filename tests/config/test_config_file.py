import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from bone_age_tf.config import ExperimentConfig, LocalizerConfig, to_dict
from bone_age_tf.config.config_file import apply_config_file, read_config_file, to_toml
from bone_age_tf.errors import UsageError
from bone_age_tf.recipes import load_recipe, recipe_names


def written(folder: Path, text: str, name: str = "run.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path, config: Any) -> Any:
    return apply_config_file(config, read_config_file(path), path)


@pytest.mark.parametrize("name", recipe_names())
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    config = load_recipe(name)
    start = type(config)(seed=9) if name == "hand_localizer" else load_recipe("m46")
    assert read(written(tmp_path, to_toml(config)), start) == config


def test_every_kind_of_value_survives(tmp_path: Path) -> None:
    default = ExperimentConfig()
    config = dataclasses.replace(
        default,
        data=dataclasses.replace(default.data, fold="2/5"),
        train=dataclasses.replace(default.train, learning_rate=1e-7, global_clipnorm=None),
        logging=dataclasses.replace(default.logging, project='Hände "1" \\ ☞ \n\t', wandb=True),
    )
    start = dataclasses.replace(
        default, train=dataclasses.replace(default.train, global_clipnorm=1.0)
    )
    assert read(written(tmp_path, to_toml(config)), start) == config


def test_a_run_json_is_read(tmp_path: Path) -> None:
    config = load_recipe("m46")
    text = json.dumps({"schema": "bone-age-tf/run/2", "config": to_dict(config)})
    assert read(written(tmp_path, text, "run.json"), ExperimentConfig()) == config


def test_a_file_changes_only_what_it_names(tmp_path: Path) -> None:
    path = written(tmp_path, 'train.epochs = 3\n[model]\nbackbone = "tiny"\ndropout = 0\n')
    changed = read(path, load_recipe("m46"))
    assert (changed.train.epochs, changed.model.backbone, changed.model.dropout) == (3, "tiny", 0.0)
    assert changed.train.learning_rate == load_recipe("m46").train.learning_rate


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.epoch = 3", r"run.toml: there is no setting 'train.epoch'. Expected one of: train.a"),
        ("epochs = 3", r"run.toml: there is no setting 'epochs'. Expected one of: augmentation, d"),
        ("[training]\nepochs = 3", "run.toml: there is no setting 'training'"),
        ("train = 3", "run.toml: train must be a table of settings. Received: 3"),
        ("train.epochs.more = 3", "run.toml: train.epochs must be one value. Received: {'more': 3}"),
        ("train.epochs = [3]", r"run.toml: train.epochs must be one value. Received: \[3\]"),
        ("train.epochs = 2026-01-31", "run.toml: train.epochs must be one value"),
        ('train.epochs = "3"', "run.toml: train.epochs must be a valid integer. Received: '3'"),
        ("train.epochs = 3.5", "run.toml: train.epochs must be a valid integer. Received: 3.5"),
        ("train.epochs = 0", "run.toml: train.epochs must be greater than or equal to 1. Received: 0"),
        ('train.epochs = "none"', "run.toml: train.epochs must be a valid integer. Received: None"),
        ("augmentation.mirror = 1", "run.toml: augmentation.mirror must be a valid boolean"),
        ('data.fold = "6/5"', "run.toml: data.fold must be I/K"),
        ("train.epochs 3", r"run.toml: expected TOML.*line 1"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_an_error_that_names_it_and_the_setting(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        read(written(tmp_path, text), ExperimentConfig())


@pytest.mark.parametrize("text", ["{}", "[]", '{"config": 3}', "train.epochs = 3"])
def test_other_json_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"run.json: expected the run.json of a run"):
        read_config_file(written(tmp_path, text, "run.json"))


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="expected TOML"):
        read_config_file(path)


def test_settings_of_another_kind_of_run_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, to_toml(LocalizerConfig()))
    with pytest.raises(UsageError, match="there is no setting 'steps'"):
        read(path, ExperimentConfig())
