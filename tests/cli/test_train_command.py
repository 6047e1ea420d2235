import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bone_age_tf.cli import main as cli
from bone_age_tf.recipes import load_recipe, recipe_summaries

WITHOUT_TENSORFLOW = """
import sys
from bone_age_tf.cli.main import run
code = run(sys.argv[1:])
assert "tensorflow" not in sys.modules
sys.exit(code)
"""


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The configurations that `train` would train."""
    from bone_age_tf.training import train as module
    from bone_age_tf.training.objectives import MAE

    configs: list[Any] = []
    report = module.TrainReport(3, MAE, None, None, [])
    monkeypatch.setattr(module, "train", lambda config, **rest: configs.append(config) or report)
    return configs


def test_help_lists_the_recipes(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "--help"]) == 0
    text = " ".join(capfd.readouterr().out.split())
    for name, summary in recipe_summaries().items():
        assert f" {name} {summary}" in text


def test_set_help_lists_every_setting_without_data_or_tensorflow(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('recipe = "tiny"\ntrain.epochs = 77\n')
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, "train", "--config", str(file), "--set", "help"]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    for words in (
        "of the recipe tiny",
        "train.epochs=77 ",
        "model.backbone=tiny",
        "data.fold=none",
    ):
        assert words in done.stdout
    assert max(map(len, done.stdout.replace(str(file), "").splitlines())) <= 80


def test_a_config_file_is_between_the_recipe_and_set(
    trained: list[Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.toml"
    file.write_text('recipe = "tiny"\n[train]\nepochs = 3\nbatch_size = 4\n')
    given = ["train", "--data", str(tmp_path), "--run", "r", "--config", str(file)]
    assert cli.run([*given, "--set", "train.batch_size=2"]) == 0
    settings = load_recipe("tiny")
    changed = dataclasses.replace(settings.train, epochs=3, batch_size=2)
    assert trained == [dataclasses.replace(settings, train=changed)]
    assert cli.run([*given, "--recipe", "tiny"]) == 0
    capfd.readouterr()
    assert cli.run([*given, "--recipe", "m46"]) == 2
    assert "run.toml are those of the recipe tiny. Leave out" in capfd.readouterr().err
    file.write_text("recipe = 3")
    assert cli.run(given) == 2
    assert "run.toml: recipe must be one of default," in capfd.readouterr().err


def test_the_settings_of_a_run_can_be_given_to_another(
    trained: list[Any], run: Path, tmp_path: Path
) -> None:
    given = ["train", "--data", str(tmp_path), "--run", "r"]
    assert cli.run([*given, "--config", str(run / "run.toml")]) == 0
    assert cli.run([*given, "--config", str(run / "run.json")]) == 0
    first, second = trained
    assert first == second
    assert first.recipe == "tiny"
    assert first.model.age_mean_months is not None  # resolved
