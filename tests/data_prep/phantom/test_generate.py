"""A folder of phantoms."""

import csv
import dataclasses
import hashlib
import json
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from bone_age_tf.config import PhantomConfig, PrepareConfig, PreprocessingConfig
from bone_age_tf.data_prep.phantom import maturation
from bone_age_tf.data_prep.phantom.generate import write_phantoms
from bone_age_tf.data_prep.prepare import prepare
from bone_age_tf.errors import EnvironmentFaultError, UsageError
from bone_age_tf.files import locks


def _config(output: Path, **changes) -> PhantomConfig:
    return PhantomConfig(**{"output": str(output), "count": 10, "size": 96, "jobs": 1, **changes})


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "made"
    write_phantoms(_config(folder, style="varied"))
    return folder


def test_layout_and_truth(phantoms: Path) -> None:
    labels = _rows(phantoms / "boneage-training-dataset.csv")
    assert [row["id"] for row in labels] == [str(number) for number in range(1, 11)]
    assert {row["male"] for row in labels} == {"True", "False"}
    assert all(12 <= int(row["boneage"]) <= 228 for row in labels)
    shape = cv2.imread(str(phantoms / "boneage-training-dataset" / "3.png"), 0).shape
    for kind in ("masks", "bones"):
        assert cv2.imread(str(phantoms / "truth" / kind / "3.png"), 0).shape == shape
    points = [row for row in _rows(phantoms / "truth" / "key_points.csv") if row["id"] == "3"]
    assert {"middle_tip", "thumb_tip", "capitate", "index_mcp", "little_mcp", "wrist"} <= {
        row["point"] for row in points
    }
    taken = _rows(phantoms / "truth" / "radiographs.csv")
    assert [row["bone_age_months"] for row in taken] == [f"{row['boneage']}.0" for row in labels]
    assert "synthetic" in (phantoms / "README.txt").read_text()


def test_the_files_do_not_depend_on_the_processes(phantoms: Path, tmp_path: Path) -> None:
    write_phantoms(_config(tmp_path / "two", style="varied", jobs=2))
    assert _digests(tmp_path / "two") == _digests(phantoms)


def test_a_radiograph_does_not_depend_on_the_count(phantoms: Path, tmp_path: Path) -> None:
    write_phantoms(_config(tmp_path / "few", style="varied", count=3))
    name = "boneage-training-dataset/3.png"
    assert (tmp_path / "few" / name).read_bytes() == (phantoms / name).read_bytes()


def test_prepare_reads_them_as_radiographs_and_not_their_truth(
    phantoms: Path, tmp_path: Path
) -> None:
    config = PrepareConfig(
        source=str(phantoms),
        output=str(tmp_path / "data"),
        preprocessing=PreprocessingConfig(method="letterbox", scale=0.05),
    )
    report = prepare(config)
    assert report.layout == "rsna"
    assert sum(report.splits.values()) == 10
    assert not report.problems


def test_ages_sex_and_seed_are_kept(tmp_path: Path) -> None:
    write_phantoms(_config(tmp_path / "boys", sex="M", ages=(30, 33), count=6))
    labels = _rows(tmp_path / "boys" / "boneage-training-dataset.csv")
    assert {row["male"] for row in labels} == {"True"}
    assert all(30 <= int(row["boneage"]) <= 33 for row in labels)
    write_phantoms(_config(tmp_path / "other", sex="M", ages=(30, 33), count=6, seed=1))
    pictures = [
        (tmp_path / name / "boneage-training-dataset" / "1.png").read_bytes()
        for name in ("boys", "other")
    ]
    assert pictures[0] != pictures[1]


def test_the_same_children_are_turned_and_the_truth_has_the_angle(tmp_path: Path) -> None:
    angles = {}
    for name, limits in (("flat", (0, 0)), ("turned", (30, 60))):
        write_phantoms(_config(tmp_path / name, count=6, out_of_plane=limits))
        rows = _rows(tmp_path / name / "truth" / "radiographs.csv")
        angles[name] = [float(row["out_of_plane_degrees"]) for row in rows]
    assert set(angles["flat"]) == {0.0}
    assert all(30 <= abs(angle) <= 60 for angle in angles["turned"])
    assert min(angles["turned"]) < 0 < max(angles["turned"])
    tables = [tmp_path / name / "boneage-training-dataset.csv" for name in angles]
    assert tables[0].read_bytes() == tables[1].read_bytes()


def test_no_bones_leaves_labels_and_masks(tmp_path: Path) -> None:
    for name, with_bones in (("with", True), ("without", False)):
        write_phantoms(_config(tmp_path / name, count=2, with_bones=with_bones))
    with_bones, without = _digests(tmp_path / "with"), _digests(tmp_path / "without")
    same = {name for name, digest in with_bones.items() if without[name] == digest}
    assert {"boneage-training-dataset.csv", "truth/masks/1.png", "truth/bones/1.png"} <= same
    assert "boneage-training-dataset/1.png" not in same


def test_an_interrupted_run_goes_on_and_a_finished_one_is_left(tmp_path: Path) -> None:
    config = _config(tmp_path / "k", count=3)
    write_phantoms(config)
    before = _digests(tmp_path / "k")
    description = json.loads((tmp_path / "k" / "phantom.json").read_text())
    (tmp_path / "k" / "phantom.json").write_text(json.dumps({**description, "finished": False}))
    (tmp_path / "k" / "boneage-training-dataset.csv").unlink()
    assert not write_phantoms(config).already_complete
    assert _digests(tmp_path / "k") == before
    assert write_phantoms(config).already_complete


def test_a_missing_file_is_drawn_again(tmp_path: Path) -> None:
    config = _config(tmp_path / "k", count=3)
    write_phantoms(config)
    before = _digests(tmp_path / "k")
    (tmp_path / "k" / "truth" / "masks" / "2.png").unlink()
    assert not write_phantoms(config).already_complete
    assert _digests(tmp_path / "k") == before


def test_a_run_stopped_at_its_very_start_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    assert write_phantoms(_config(tmp_path, count=1)).counts


@pytest.mark.parametrize("content", ["{}", "[]", "no json", ""])
def test_a_foreign_description_is_rejected(tmp_path: Path, content: str) -> None:
    (tmp_path / "phantom.json").write_text(content)
    with pytest.raises(UsageError, match="empty folder"):
        write_phantoms(_config(tmp_path))


def test_a_corrected_table_does_not_pass_for_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_phantoms(_config(tmp_path, count=1))
    monkeypatch.setattr(maturation, "table_sha256", lambda: "another table")
    with pytest.raises(UsageError, match="maturation_sha256"):
        write_phantoms(_config(tmp_path, count=1))


def test_two_at_once_do_not_meet(tmp_path: Path) -> None:
    with (
        locks.held(tmp_path / ".lock", "mine"),
        pytest.raises(EnvironmentFaultError, match="another"),
    ):
        write_phantoms(_config(tmp_path))


@pytest.mark.parametrize(
    ("number", "code", "jobs"), [(signal.SIGTERM, 143, "2"), (signal.SIGINT, 130, "1")]
)
def test_a_signal_ends_all_processes(tmp_path: Path, number: int, code: int, jobs: str) -> None:
    command = ["phantom", "--output", str(tmp_path / "many"), "--count", "4000", "--jobs", jobs]
    process = subprocess.Popen(
        [sys.executable, "-m", "bone_age_tf", *command],
        stderr=subprocess.PIPE,
        text=True,
    )
    parent = psutil.Process(process.pid)
    _wait_for(lambda: any((tmp_path / "many").rglob("*.png")))
    children = parent.children(recursive=True)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "starts again" in said
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(children, timeout=20)
    assert jobs == "1" or len(children) >= 2
    assert not alive


def test_a_killed_process_is_the_machine_s_fault(tmp_path: Path) -> None:
    config = _config(tmp_path / "many", count=4000, jobs=2)

    def kill_one(stage: str, done: int, total: int) -> None:
        del stage, total
        if done == 8:
            multiprocessing.active_children()[0].kill()

    with pytest.raises(EnvironmentFaultError, match="--jobs"):
        write_phantoms(config, on_progress=kill_one)


def _wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_other_content_is_not_overwritten(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="empty folder"):
        write_phantoms(_config(phantoms, count=4))
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="empty folder"):
        write_phantoms(_config(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [{"count": 0}, {"size": 10}, {"sex": "unknown"}, {"ages": (60, 20)}, {"ages": (0, 999)},
     {"style": "odd"}, {"jobs": 0}, {"seed": -1}],
)  # fmt: skip
def test_settings_are_checked(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(UsageError, match="--"):
        dataclasses.replace(_config(tmp_path), **changes)


def test_progress_is_told(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    write_phantoms(_config(tmp_path / "p", count=3), on_progress=lambda *step: seen.append(step))
    assert seen[0] == ("draw", 0, 3)
    assert seen[-1] == ("draw", 3, 3)


def test_radiographs_spread_over_the_ages(tmp_path: Path) -> None:
    write_phantoms(_config(tmp_path / "many", count=60, size=64))
    ages = [
        int(row["boneage"]) for row in _rows(tmp_path / "many" / "boneage-training-dataset.csv")
    ]
    assert np.ptp(ages) > 150
