import importlib
import json

import pytest

from bone_age_tf.config import ExperimentConfig, LocalizerConfig, from_dict, to_dict
from bone_age_tf.models.bone_age_model import build_bone_age_model
from bone_age_tf.preprocessing.regions import crop_of
from bone_age_tf.recipes import load_recipe, recipe_names
from bone_age_tf.training.objectives import metric_of

EXPERIMENTS = [name for name in recipe_names() if name != "hand_localizer"]


def experiment(name: str) -> ExperimentConfig:
    recipe = load_recipe(name)
    assert isinstance(recipe, ExperimentConfig)
    return recipe


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_its_command_and_name(name: str) -> None:
    text = importlib.import_module(f"bone_age_tf.recipes.{name}").__doc__ or ""
    assert "Command: `bone-age-tf train " in text
    assert name == "default" or f"--recipe {name}" in text.replace("\n", " ")
    recipe = load_recipe(name)
    assert recipe.recipe == name
    kind = LocalizerConfig if name == "hand_localizer" else ExperimentConfig
    assert from_dict(kind, json.loads(json.dumps(to_dict(recipe)))) == recipe


@pytest.mark.parametrize("name", ["m46", "iglovikov_regression", "iglovikov_classification"])
@pytest.mark.parametrize("region", ["hand", "carpal", "metacarpal"])
def test_the_paper_s_network_takes_each_of_its_regions(name: str, region: str) -> None:
    recipe = experiment(name)
    options = to_dict(recipe.model) | {"head_units": 8, "age_mean_months": 120, "age_sd_months": 40}
    network = from_dict(type(recipe.model), options)
    model = build_bone_age_model(network, (520, 400), region=region)
    (above, below), (left, right) = crop_of(region, (520, 400))
    assert model.get_layer("m46").input.shape[1:3] == (520 - above - below, 400 - left - right)
    last = "logits" if name == "iglovikov_classification" else "score"
    names = [layer.name for layer in model.layers]
    first = names.index("flat")
    assert names[first : first + 6] == ["flat", "dropout_1", "joint", "dropout_2", "joint_2", last]
    assert model.get_layer("joint").activation.__name__ == "elu"


def test_both_of_the_paper_s_heads_are_trained_alike() -> None:
    one, other = experiment("iglovikov_regression"), experiment("iglovikov_classification")
    assert (one.train, one.augmentation, one.data) == (other.train, other.augmentation, other.data)
    assert other.train.label_distribution == 0


def test_the_sex_classifier_is_not_told_the_sex() -> None:
    recipe = experiment("sex_classifier")
    assert metric_of(recipe.model).name == "cross_entropy"
    assert (recipe.model.sex_units, recipe.augmentation.sex_dropout) == (0, 0)


def test_sixteen_bit_joins_49_places_and_the_sex_at_500_pixels() -> None:
    recipe = experiment("sixteen_bit")
    options = {"head_units": 2, "age_mean_months": 120, "age_sd_months": 40}
    network = from_dict(type(recipe.model), to_dict(recipe.model) | options)
    model = build_bone_age_model(network, (500, 500))
    assert model.get_layer("joint").kernel.shape == (100_352 + 32, 2)
    assert [layer.name for layer in model.layers if layer.name.startswith("joint")] == [
        "joint",
        "joint_2",
    ]
