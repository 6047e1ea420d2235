import errno
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import cv2
import numpy as np
import pytest
from conftest import draw_phantom, write_kaggle_layout

from bone_age_tf import __version__
from bone_age_tf.cli import main as cli
from bone_age_tf.cli.main import COMMANDS, load_command
from bone_age_tf.config import CalibrationConfig
from bone_age_tf.export.export import GOLDEN_HAND


class Outcome(NamedTuple):
    """What a shell would see."""

    code: int
    stdout: str
    stderr: str


Shell = Callable[..., Outcome]


@pytest.fixture
def shell(capfd: pytest.CaptureFixture[str]) -> Shell:
    """Runs `bone-age-tf ARGUMENTS` in this process."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = cli.run([*map(str, arguments)])
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return run


@pytest.fixture
def hand(tmp_path: Path) -> Path:
    path = tmp_path / "hand.png"
    assert cv2.imwrite(str(path), draw_phantom(120, 1))
    return path


def assert_one_message(outcome: Outcome, code: int, text: str) -> None:
    assert outcome.code == code, outcome.stderr
    assert text in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert "bug" not in outcome.stderr
    assert outcome.stdout == ""


# === Without TensorFlow ===

START = """
import sys
sys.argv = ["bone-age-tf", *sys.argv[1:]]
from bone_age_tf.cli.main import main
try:
    main()
finally:
    heavy = {"tensorflow", "keras", "numpy", "pandas", "pydantic", "scipy", "cv2", "rich", "pydicom"}
    heavy &= set(sys.modules)
    assert not heavy, heavy
"""


def processor_seconds() -> float:
    """Of the ended child processes: not lengthened by what else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_without_a_model_it_says_how_to_get_one(
    shell: Shell, hand: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bone_age_tf.export.shipped_model._CLONE", tmp_path)
    monkeypatch.setattr("bone_age_tf.export.shipped_model._installed", lambda: ())
    outcome = shell("predict", hand, "--sex", "F", "--output", "predictions")
    assert_one_message(outcome, 2, "pip install dist/bone_age_tf_model")
    assert "or --model with the folder of an exported model" in outcome.stderr


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([name, "--help"] for name in ("train", "predict"))]
)
def test_help_and_version_answer_at_once_without_tensorflow(arguments: list[str]) -> None:
    seconds = []
    for _ in range(3):
        before = processor_seconds()
        done = subprocess.run(
            [sys.executable, "-c", START, *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        seconds.append(processor_seconds() - before)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
    assert min(seconds) < 0.3  # on a free core that is the time on the clock


def test_help_of_every_command_imports_nothing_heavy() -> None:
    names = "".join(f"    cli.run(['{name}', '--help'])\n" for name in COMMANDS)
    start = START.replace("    main()\n", f"    from bone_age_tf.cli import main as cli\n{names}")
    subprocess.run([sys.executable, "-c", start], check=True, capture_output=True, timeout=60)


def test_a_command_is_imported_when_it_is_asked_for() -> None:
    start = START.replace("    main()\n", "    main.__globals__['run'](['report', '--help'])\n")
    start += "loaded = {n for n in sys.modules if n.startswith('bone_age_tf.cli.')}\n"
    start += (
        "assert 'bone_age_tf.cli.report' in loaded\nassert 'bone_age_tf.cli.train' not in loaded\n"
    )
    subprocess.run([sys.executable, "-c", start], check=True, capture_output=True, timeout=60)


def test_phantom_waits_for_no_tensorflow(tmp_path: Path) -> None:
    start = START.replace('"numpy", "pandas", "pydantic", "scipy", "cv2", "rich"', '"pandas"')
    options = ["--output", str(tmp_path / "drawn"), "--count", "1", "--size", "64"]
    done = subprocess.run(
        [sys.executable, "-c", start, "phantom", *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "synthetic radiographs, not of children" in done.stderr


def test_phantom_leaves_other_files_alone(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    outcome = shell("phantom", "--output", tmp_path, "--count", 1)
    assert_one_message(outcome, 2, "Choose an empty folder")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_version_is_the_package_s(shell: Shell) -> None:
    assert shell("--version") == (0, f"bone-age-tf, version {__version__}\n", "")


def test_help_lists_every_command(shell: Shell) -> None:
    outcome = shell("--help")
    assert outcome.code == 0
    assert all(f"  {name} " in outcome.stdout for name in COMMANDS)
    assert "Not a medical device" in outcome.stdout
    listed = outcome.stdout.split("Commands:\n")[1].splitlines()[: len(COMMANDS)]
    assert [line.split()[0] for line in listed] == list(COMMANDS)
    assert not any(line.endswith("...") for line in listed)


def test_every_module_of_a_command_is_listed() -> None:
    others = {
        "__init__",
        "main",
        "options",
        "console",
        "result_tables",
        "stress_table",
        "demo_steps",
        "dicomweb_source",
        "height_options",
    }
    modules = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    assert modules - others == {name.replace("-", "_") for name in COMMANDS}


def test_main_exits_with_the_code_of_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bone-age-tf", "--no-such-option"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_examples_of_it(name: str, shell: Shell) -> None:
    text = shell(name, "--help").stdout
    assert f"bone-age-tf {name} " in text.split("Examples:")[1]


def _parts(command: click.Command) -> list[click.Command]:
    """A command, and those that it is a group of."""
    return [command, *(command.commands.values() if isinstance(command, click.Group) else ())]


@pytest.mark.parametrize("name", COMMANDS)
def test_options_of_the_examples_exist(name: str) -> None:
    command = load_command(name)
    known = {
        option for one in _parts(command) for parameter in one.params for option in parameter.opts
    }
    lines = [line for line in (command.help or "").splitlines() if f"bone-age-tf {name} " in line]
    assert lines
    for line in lines:
        assert {word for word in line.split() if word.startswith("--")} <= known


def test_every_option_has_a_help_text() -> None:
    silent = [
        f"{name} {parameter.opts[0]}"
        for name in COMMANDS
        for one in _parts(load_command(name))
        for parameter in one.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert silent == []


def test_calibrate_has_the_coverage_of_its_configuration() -> None:
    (option,) = (o for o in load_command("calibrate").params if o.name == "coverage")
    assert option.default == CalibrationConfig().coverage


# === Exit codes ===


def test_no_arguments_show_the_help(shell: Shell) -> None:
    outcome = shell()
    assert outcome.code == 2
    assert "Usage" in outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["predikt"], "predikt"),
        (["train", "--data"], "--data"),
        (["train", "--data", "no-such-folder", "--run", "r"], "no-such-folder"),
        (["prepare", ".", "--output", "o", "--split", "train=many"], "train=many"),
        (["prepare", ".", "--output", "o", "--split", "train=0.5"], "add up to 1"),
        (
            ["prepare", ".", "--output", "o", "--scale", "7"],
            "--scale must be less than or equal to 1",
        ),
        (["prepare", ".", "--output", "o", "--dry-run", "--preview", "9"], "Give one of them"),
        (["phantom", "--output", "o", "--count", "1", "--ages", "young"], "YOUNGEST:OLDEST"),
        (["phantom", "--output", "o", "--count", "1", "--ages", "200:100"], "between 0 and 300"),
        (
            ["phantom", "--output", "o", "--count", "0"],
            "--count must be greater than or equal to 1",
        ),
        (["phantom", "--output", "o"], "--count"),
        (["demo", "--count", "0"], "x>=20"),
        (["demo", "--epochs", "0"], "x>=1"),
        (["train", "--data", ".", "--run", "r", "--set", "train.epoch=3"], "'epoch'"),
        (["train", "--data", ".", "--run", "r", "--recipe", "none"], "no recipe 'none'"),
        (["train", "--recipe", "none", "--set", "help"], "no recipe 'none'"),
        (["train", "--config", "no.toml", "--data", ".", "--run", "r"], "no.toml"),
        (["train", "--data", ".", "--data", ".", "--run", "r"], "expected one data set"),
        (["train", "--data", ".", "--run", "r", "--set", "data.fold=6/5"], "I from 1 to K"),
        (["compare", ".", ".", "--split", "train", "--output", "o"], "--split needs --data"),
        (
            [
                "train",
                "--data",
                ".",
                "--run",
                "r",
                "--recipe",
                "hand_localizer",
                "--set",
                "steps=0",
            ],
            "steps",
        ),
        (["prepare", ".", "--output", "o", "--preprocess", "scale"], "letterbox"),
        (["predict", str(GOLDEN_HAND), "--model", ".", "--output", "o"], "--labels"),
        (["predict", ".", "--model", ".", "--output", "o", "--sex", "X"], "'X'"),
    ],
)
def test_wrong_usage_exits_2(
    arguments: list[str], text: str, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_one_message(shell(*arguments), 2, text)
    assert list(tmp_path.iterdir()) == []


def test_bad_input_data_exit_3(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcome = shell("train", "--data", tmp_path / "empty", "--run", tmp_path / "run")
    assert_one_message(outcome, 3, "manifest.json")
    assert not (tmp_path / "run").exists()


def test_a_rejected_file_exits_4_with_the_results_written(
    shell: Shell, hand: Path, exported: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    outcome = shell(
        "predict", hand, bad, "--model", exported, "--sex", "F", "--output", tmp_path / "out"
    )
    assert outcome.code == 4
    assert "not_png_or_jpeg" in outcome.stdout
    assert "1 predicted, 1 rejected" in outcome.stderr
    assert len((tmp_path / "out/predictions.csv").read_text().splitlines()) == 3


def test_a_rejected_radiograph_leaves_a_data_set_and_exits_4(shell: Shell, tmp_path: Path) -> None:
    raw = write_kaggle_layout(tmp_path / "raw", 6)
    path = raw / "boneage-training-dataset/1003.png"
    assert cv2.imwrite(str(path), cv2.imread(str(path), 0)[150:])
    arguments = ["prepare", raw, "--output", tmp_path / "data", "--scale", 0.05, "--preview", 3]
    outcome = shell(*arguments)
    assert outcome.code == 4, outcome.stderr
    assert "1 problem:" in outcome.stderr
    assert (tmp_path / "data/manifest.json").exists()
    names = {path.name for path in (tmp_path / "data/preview").iterdir()}
    assert names == {"sheet-001.jpg", "rejected-001.jpg"}
    again = shell(*arguments)
    assert again.code == 4
    assert "was already complete" in again.stderr


def test_a_damaged_radiograph_still_needs_skip_bad(shell: Shell, tmp_path: Path) -> None:
    raw = write_kaggle_layout(tmp_path / "raw", 4)
    (raw / "boneage-training-dataset/1002.png").write_bytes(b"")
    arguments = ["prepare", raw, "--output", tmp_path / "data", "--scale", 0.05]
    assert_one_message(shell(*arguments), 3, "--skip-bad")
    assert shell(*arguments, "--skip-bad").code == 4


def test_localize_exits_4_where_one_is_rejected(shell: Shell, hand: Path, tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "blank.png"), np.zeros((300, 260), np.uint8))
    outcome = shell("localize", hand, "--output", tmp_path / "one")
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.split() == ["status", "radiographs", "ok", "1"]
    outcome = shell("localize", hand, tmp_path / "blank.png", "--output", tmp_path / "two")
    assert outcome.code == 4
    assert "blank" in outcome.stdout
    lines = (tmp_path / "two/localization.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["ok", "blank"]


def test_a_folder_without_a_localizer_exits_5(shell: Shell, hand: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ["localize", hand, "--localizer", tmp_path / "empty", "--output", tmp_path / "out"]
    assert_one_message(shell(*arguments), 5, "hand_localizer")


def test_a_changed_model_exits_5(shell: Shell, hand: Path, exported: Path, tmp_path: Path) -> None:
    model = shutil.copytree(exported, tmp_path / "model")
    (model / "1/saved_model.pb").write_bytes(b"changed")
    outcome = shell("predict", hand, "--model", model, "--sex", "F", "--output", tmp_path / "out")
    assert_one_message(outcome, 5, "saved_model.pb")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_machine_that_says_no_exits_6(
    number: int,
    shell: Shell,
    hand: Path,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number), "predictions.csv")

    monkeypatch.setattr(os, "fsync", refuse)
    outcome = shell(
        "predict", hand, "--model", exported, "--sex", "F", "--output", tmp_path / "out"
    )
    assert_one_message(outcome, 6, os.strerror(number))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_of_which_tensorflow_tells_exits_6(
    shell: Shell, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**options: object) -> None:
        where = "{{function_node __wrapped__SaveV2_device_/CPU:0}} /disk/variables.data"
        raise RuntimeError(f"{where}; {os.strerror(errno.ENOSPC)} [Op:SaveV2]")

    monkeypatch.setattr("bone_age_tf.export.export.export_saved_model", full)
    outcome = shell("export", "--run", run, "--output", tmp_path / "out")
    assert_one_message(outcome, 6, "bone-age-tf: /disk/variables.data; No space left on device\n")


def test_an_output_below_a_file_exits_6(shell: Shell, hand: Path, exported: Path) -> None:
    outcome = shell("predict", hand, "--model", exported, "--sex", "F", "--output", hand / "out")
    assert_one_message(outcome, 6, str(hand))


def test_a_bug_exits_1_with_a_trace_only_in_debug(
    shell: Shell, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**options: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("bone_age_tf.export.export.export_saved_model", broken)
    arguments = ["export", "--run", run, "--output", tmp_path / "out"]
    silent, loud = shell(*arguments), shell(*arguments, "--debug")
    assert silent.code == loud.code == 1
    assert "ZeroDivisionError: oh" in silent.stderr
    assert "Traceback" not in silent.stderr
    assert "Traceback" in loud.stderr


def test_an_interruption_exits_130(
    shell: Shell, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(**options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bone_age_tf.export.export.export_saved_model", interrupt)
    assert_one_message(shell("export", "--run", run, "--output", tmp_path), 130, "Interrupted")


# === Results ===


def test_predict_prints_a_table_on_stdout_only(
    shell: Shell, hand: Path, exported: Path, tmp_path: Path
) -> None:
    outcome = shell(
        "predict", hand, "--model", exported, "--sex", "M", "--output", tmp_path / "out"
    )
    assert outcome.code == 0
    header, row = outcome.stdout.splitlines()
    assert header.split()[:3] == ["file", "sex", "months"]
    assert row.split()[:2] == ["hand.png", "M"]
    assert "Not a medical device" in outcome.stderr


def test_predict_prints_json_lines_without_a_network(
    shell: Shell, hand: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blocked(*args: object, **options: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", blocked)
    monkeypatch.setattr(socket, "create_connection", blocked)
    monkeypatch.setattr(socket, "getaddrinfo", blocked)
    outcome = shell(
        "predict", hand, "--model", exported, "--sex", "M", "--output", tmp_path / "out", "--json"
    )
    assert outcome.code == 0, outcome.stderr
    (line,) = outcome.stdout.splitlines()
    assert json.loads(line)["file"] == "hand.png"


def test_evaluate_prints_a_table_or_the_json(
    shell: Shell, exported: Path, prepared: Path, tmp_path: Path
) -> None:
    arguments = ["evaluate", "--model", exported, "--data", prepared, "--output", tmp_path]
    table, again = shell(*arguments), shell(*arguments, "--json")
    as_json = shell(*arguments, "--json", "--overwrite")
    assert (table.code, again.code, as_json.code) == (0, 2, 0)
    assert "overall" in table.stdout
    assert "replace them with --overwrite" in again.stderr
    assert json.loads(as_json.stdout) == json.loads((tmp_path / "evaluation.json").read_text())


def test_quiet_leaves_only_the_result(shell: Shell, phantoms: Path, tmp_path: Path) -> None:
    few = ["--scale", 0.05, "--limit", 6]
    outcome = shell("prepare", phantoms, "--output", tmp_path / "data", *few, "--quiet")
    assert outcome.code == 0
    assert "images/s" not in outcome.stderr
    assert "104 x 80" in outcome.stdout


def test_every_step_names_the_next_one(shell: Shell, phantoms: Path, tmp_path: Path) -> None:
    data, run, model = tmp_path / "data", tmp_path / "run", tmp_path / "model"
    steps = [
        (
            ["prepare", phantoms, "--output", data, "--scale", 0.05, "--limit", 20],
            "bone-age-tf train",
        ),
        (
            [
                "train",
                "--data",
                data,
                "--run",
                run,
                "--recipe",
                "tiny",
                "--initial-weights",
                "none",
                "--set",
                "train.epochs=1",
                "--set",
                "logging.tensorboard=false",
            ],
            "bone-age-tf evaluate",
        ),
        (
            ["evaluate", "--model", run, "--data", data, "--output", tmp_path / "evaluated"],
            None,
        ),
        (["export", "--run", run, "--output", model], "bone-age-tf predict"),
    ]
    for arguments, following in steps:
        outcome = shell(*arguments)
        assert outcome.code == 0, outcome.stderr
        assert outcome.stdout
        assert f"Next: {following or _after_evaluation(tmp_path / 'evaluated')}" in outcome.stderr


def _after_evaluation(folder: Path) -> str:
    """An export is offered only of a model that is better than a constant."""
    result = json.loads((folder / "evaluation.json").read_text())
    return "bone-age-tf export" if result["constant"]["model_is_better"] else "train longer"
