"""The steps of the demo; its commands are run in this process."""

import logging
from pathlib import Path

import pytest

from bone_age_tf.cli import main as cli
from bone_age_tf.cli.demo_steps import DemoStepError, run_command, run_demo, steps


def _run(arguments: list[str]) -> int:
    return cli.run([*arguments, "--quiet"])


@pytest.mark.large
def test_it_goes_the_whole_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bone_age_tf.cli.demo_steps")
    output = tmp_path / "demo"
    report = run_demo(str(output), count=40, epochs=1, run=_run)
    assert report.test_radiographs == 4
    assert 20 < report.constant_mae_months < 90
    assert report.mae_months > 0
    assert (output / "saved_models" / "bone_age" / "1" / "saved_model.pb").is_file()
    assert len((output / "predictions" / "predictions.csv").read_text().splitlines()) == 7
    assert "synthetic radiographs, not of children" in caplog.text
    assert "[1/7]" in caplog.text


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
    for what, arguments in steps("demo", 10, 1):
        assert what
        command = cli.load_command(arguments[0])
        assert not command.make_context(
            arguments[0], list(arguments[1:]), resilient_parsing=True
        ).args


def test_a_command_has_a_process_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert run_command(["trian"]) == 2
    said = capfd.readouterr()
    assert "bone-age-tf" in said.out
    assert "trian" in said.err
