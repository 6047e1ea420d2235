"""Debian's Slurm on one node, with a munge of its own, as a test starts them."""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
SECONDS = 60
SIOCSIFADDR = 0x8916
SETTINGS = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1
GresTypes=gpu
KillWait=60
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} Gres=gpu:1
PartitionName=all Nodes={host} Default=YES
"""
"""The node says that it has a GPU, so that a job may ask for one."""


def require() -> None:
    """Skip the test where it is not installed, or its daemons may not be root's."""
    missing = [name for name in PROGRAMS if _path_of(name) is None]
    if missing:
        pytest.skip(f"no {missing[0]}: apt-get install slurmctld slurmd slurm-client munge")
    if os.geteuid() != 0:
        pytest.skip("slurmd runs as root")


class Slurm:
    """A running cluster of one node. To be started in a network of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _add_address()
        (folder / "state").mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        host = socket.gethostname().partition(".")[0]
        values = {"host": host, "folder": folder, "cores": os.cpu_count()}
        (folder / "slurm.conf").write_text(SETTINGS.format(**values))
        (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
        self._environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        own = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        files = [f"--{name}={folder}/munge.{ending}" for name, ending in own.items()]
        # Forced: without it, folders that others cannot enter, like those of pytest, are refused.
        munged = ("munged", "--foreground", "--force", f"--key-file={key}")
        self._daemons = [self._start(*munged, *files)]
        _wait_for(folder / "munge.socket")
        self._daemons += [self._start("slurmctld", "-D"), self._start("slurmd", "-D")]
        end = time.monotonic() + SECONDS
        while "idle" not in self.ask("sinfo", "--noheader", "--format=%T"):
            assert time.monotonic() < end, self.log
            time.sleep(0.5)

    def ask(self, *command: str, check: bool = False, **more: str) -> str:
        """What one of its clients prints; `more` are variables of its environment."""
        done = subprocess.run(
            command,
            env=self._environment | more,
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def state_of(self, job: str) -> str:
        """As in RUNNING, COMPLETED, FAILED."""
        shown = self.ask("scontrol", "--oneliner", "show", "job", job, check=True)
        return shown.partition("JobState=")[2].split()[0]

    @property
    def log(self) -> str:
        """Of all its daemons."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        """Stop the daemons, the last one first."""
        for daemon in reversed(self._daemons):
            daemon.terminate()
            daemon.wait(SECONDS)

    def _start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.out").open("wb") as out:
            return subprocess.Popen(
                [str(_path_of(name)), *words], env=self._environment, stdout=out, stderr=out
            )


def _add_address() -> None:
    """Slurm resolves its addresses with AI_ADDRCONFIG, which takes 127.0.0.1 alone for no network at all."""
    address = struct.pack("16sH2x4s8x", b"lo:0", socket.AF_INET, socket.inet_aton("192.0.2.1"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, SIOCSIFADDR, address)


def _path_of(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin")


def _wait_for(path: Path) -> None:
    end = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.1)
