"""The steps of the demo; its commands are run in this process."""

import logging
from pathlib import Path

import pytest

from bone_age_tf.cli import demo_steps
from bone_age_tf.cli import main as cli
from bone_age_tf.cli.console import NO_NEXT
from bone_age_tf.cli.demo import expected_minutes
from bone_age_tf.cli.demo_steps import DemoStepError, run_command, run_demo, steps


def _run(arguments: list[str]) -> int:
    return cli.run([*arguments, "--quiet"])


@pytest.mark.large
def test_it_goes_the_whole_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_steps, "run_command", _run)
    output = tmp_path / "demo"
    assert cli.run(["demo", "--output", str(output), "--count", "40", "--epochs", "1"]) == 0
    said = capsys.readouterr()
    assert " on 5 unseen synthetic radiographs" in said.out
    assert f"on one page: {output}/demo.html" in said.out
    assert (output / "demo.html").stat().st_size > 100_000
    assert not (output / "saved_models" / "bone_age").exists()  # where the shipped model is found
    assert len((output / "predictions" / "predictions.csv").read_text().splitlines()) == 7


def test_it_says_how_long_it_takes() -> None:
    assert expected_minutes(20, 1) <= 2
    assert expected_minutes(400, 10) == 3  # the defaults, as README says
    assert expected_minutes(4000, 10) > 10


def test_what_is_finished_is_not_done_again(tmp_path: Path) -> None:
    done: list[str] = []

    def run(arguments: list[str]) -> int:
        done.append(arguments[0])
        return 0

    listed = steps(str(tmp_path), 40, 1)
    for step in listed[:4]:
        if step.result is not None:
            step.result.parent.mkdir(parents=True)
            step.result.touch()
    run_demo(str(tmp_path), count=40, epochs=1, run=run)
    assert done == [step.arguments[0] for step in listed if step.arguments[0] != "evaluate"]


def test_its_commands_name_no_next_one(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["phantom", "--count", "1", "--size", "64"]
    assert run_command([*words, "--output", str(tmp_path / "1")]) == 0
    said = capfd.readouterr().err
    assert "is ready: synthetic radiographs" in said
    assert "Next" not in said
    monkeypatch.delenv(NO_NEXT, raising=False)
    assert cli.run([*words, "--output", str(tmp_path / "2")]) == 0
    assert "Next: bone-age-tf prepare" in capfd.readouterr().err


def test_it_stops_where_a_command_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []
    caplog.set_level(logging.INFO, "bone_age_tf.cli.demo_steps")

    def fail_at_train(arguments: list[str]) -> int:
        done.append(arguments[0])
        return 6 if arguments[0] == "train" else 0

    with pytest.raises(DemoStepError, match="train .*exit code 6") as caught:
        run_demo(str(tmp_path), count=40, epochs=1, run=fail_at_train)
    assert caught.value.exit_code == 6
    assert done == ["phantom", "prepare", "train"]
    for command in done:
        assert f"$ bone-age-tf {command} " in caplog.text


def test_its_commands_can_be_typed() -> None:
    for step in steps("demo", 10, 1):
        assert step.sentence
        name, *rest = step.arguments
        assert not cli.load_command(name).make_context(name, rest, resilient_parsing=True).args


def test_a_command_has_a_process_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert run_command(["trian"]) == 2
    said = capfd.readouterr()
    assert "bone-age-tf" in said.out
    assert "trian" in said.err
