"""`deploy/slurm/train.sbatch` on Debian's Slurm, with one node: it trains, is stopped by a signal, and resumes."""

import csv
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import slurm_peer
from conftest import ROOT
from slurm_peer import Slurm

pytestmark = pytest.mark.release
SCRIPT = ROOT / "deploy/slurm/train.sbatch"
EPOCHS = 30
SECONDS = 600


@pytest.fixture
def slurm(network: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    slurm_peer.require()
    one = Slurm(tmp_path_factory.mktemp("slurm"))
    yield one
    one.close()


def until(condition: Callable[[], bool], say: Callable[[], str]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, say()
        time.sleep(0.2)


def epochs(run: Path) -> list[str]:
    """Those that are in the history."""
    history = run / "history.csv"
    if not history.exists():
        return []
    with history.open() as rows:
        return [row["epoch"] for row in csv.DictReader(rows)]


def test_a_job_that_is_stopped_resumes_when_it_is_submitted_again(
    slurm: Slurm, prepared: Path, tmp_path: Path
) -> None:
    log, run = tmp_path / "job.log", tmp_path / "run"
    sets = (f"train.epochs={EPOCHS}", "train.batch_size=4", "train.readers=1")
    settings = [word for one in sets for word in ("--set", one)]
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DATA": str(prepared),
        "RUN": str(run),
    }

    def submit() -> str:
        where = ("--nodes=1", "--cpus-per-task=1", f"--output={log}", f"--chdir={tmp_path}")
        words = ("--recipe", "tiny", "--initial-weights", "none", *settings)
        said = slurm.ask(
            "sbatch", "--parsable", *where, str(SCRIPT), *words, check=True, **variables
        )
        return said.strip()

    def ended(job: str) -> bool:
        return slurm.state_of(job) not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING")

    first = submit()
    until(lambda: len(epochs(run)) >= 2 or ended(first), log.read_text)
    slurm.ask("scancel", "--signal=TERM", first, check=True)
    until(lambda: ended(first), log.read_text)
    assert slurm.state_of(first) == "FAILED", log.read_text()  # with 143, not killed
    assert 2 <= len(epochs(run)) < EPOCHS

    second = submit()
    until(lambda: ended(second), log.read_text)
    assert slurm.state_of(second) == "COMPLETED", log.read_text()
    assert epochs(run) == [str(number) for number in range(1, EPOCHS + 1)]
