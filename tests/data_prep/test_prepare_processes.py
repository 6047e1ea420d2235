"""`prepare` in processes that are killed, and in several at once. One process loads TensorFlow; each run is a fork of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, write_kaggle_layout

pytestmark = pytest.mark.release

KILLS = 100

_START = """
import hashlib, json, os, random, shutil, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import conftest
from bone_age_tf.config import PrepareConfig, PreprocessingConfig
from bone_age_tf.data_prep.prepare import prepare
from bone_age_tf.errors import BoneAgeError
import tensorflow_datasets

raw, work = sys.argv[2], Path(sys.argv[3])

def start(output):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            prepare(PrepareConfig(source=raw, output=str(output), shards=6, jobs=2,
                                  preprocessing=PreprocessingConfig(method="letterbox", scale=0.05)))
            code = 0
        except BoneAgeError as error:
            code = error.exit_code
        finally:
            os._exit(code)
    return pid

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def digests(folder):
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}

straight = work / "straight"
assert ended(start(straight)) == 0
expected = digests(straight)
assert not [name for name in expected if name.startswith(".")]
"""

_KILL = """
began = time.monotonic()
assert ended(start(work / "timed")) == 0
seconds = time.monotonic() - began
draw = random.Random(0)
killed = published = 0
while killed < int(sys.argv[4]):
    pid = start(work / "killed")
    time.sleep(draw.uniform(0, seconds))
    os.kill(pid, signal.SIGKILL)
    killed += ended(pid) == -signal.SIGKILL
    if (work / "killed/manifest.json").exists():
        assert ended(start(work / "killed")) == 0
        assert digests(work / "killed") == expected
        shutil.rmtree(work / "killed")
        published += 1
assert ended(start(work / "killed")) == 0
assert digests(work / "killed") == expected
print(json.dumps({"killed": killed, "published": published + 1}))
"""

_AT_ONCE = """
codes = [ended(pid) for pid in [start(work / "same") for _ in range(int(sys.argv[4]))]]
assert digests(work / "same") == expected
print(json.dumps(codes))
"""


def run(script: str, tmp_path: Path, number: int) -> object:
    """What the script prints, as JSON."""
    raw = write_kaggle_layout(tmp_path / "raw", 30)
    words = [str(ROOT / "tests"), str(raw), str(tmp_path), str(number)]
    done = subprocess.run(
        [sys.executable, "-c", _START + script, *words],
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_kills_at_random_instants_change_nothing(tmp_path: Path) -> None:
    found = run(_KILL, tmp_path, KILLS)
    assert isinstance(found, dict)
    assert found["killed"] == KILLS
    assert found["published"] > 1


@pytest.mark.parametrize("processes", [2, 8])
def test_of_several_at_once_one_writes(processes: int, tmp_path: Path) -> None:
    codes = run(_AT_ONCE, tmp_path, processes)
    assert isinstance(codes, list)
    assert len(codes) == processes
    assert set(codes) <= {0, 6}  # one that starts late finds the data set complete
    assert 0 in codes and 6 in codes
