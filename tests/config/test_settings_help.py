import dataclasses

from bone_age_tf.config import ExperimentConfig, LocalizerConfig
from bone_age_tf.config.settings_help import settings_help
from bone_age_tf.recipes import load_recipe


def words(config: ExperimentConfig) -> dict[str, str]:
    return {name: text for rows in settings_help(config).values() for name, text in rows}


def test_every_setting_has_its_name_its_value_and_a_text() -> None:
    config = load_recipe("m46")
    described = words(config)
    expected = {
        f"{section.name}.{setting.name}"
        for section in dataclasses.fields(config)
        if section.name != "recipe"
        for setting in dataclasses.fields(getattr(config, section.name))
    }
    assert {name.partition("=")[0] for name in described} == expected
    assert {"model.backbone=m46", "train.learning_rate=2e-05"} <= described.keys()
    assert all(len(text.split()) > 4 for text in described.values())


def test_types_and_ranges_are_in_words() -> None:
    described = words(ExperimentConfig())
    starts = {
        "train.epochs=24": "whole number, at least 1. Times",
        "train.global_clipnorm=none": "number, above 0, or none. Largest",
        "train.schedule=cosine": "cosine, linear or constant. Fall",
        "augmentation.mirror=true": "true or false. Mirror",
        "model.dropout=0.3": "number, at least 0, below 1. Dropout",
        "data.fold=none": "text, or none. `2/5`",
    }
    assert {name: described[name][: len(text)] for name, text in starts.items()} == starts


def test_a_localizer_has_settings_without_a_section() -> None:
    (rows,) = settings_help(LocalizerConfig()).values()
    assert ("steps=3000", "whole number, at least 1.") in [(n, t[:25]) for n, t in rows]
