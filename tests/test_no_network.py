"""The whole workflow in a network namespace that has no network, not even a loopback."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.release

ISOLATED = ["unshare", "--map-root-user", "--net"]
CONNECT = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"


def test_the_demo_needs_no_network(tmp_path: Path) -> None:
    if (
        shutil.which("unshare") is None
        or subprocess.run([*ISOLATED, "true"], check=False).returncode
    ):
        pytest.skip("no right to a network namespace")
    probe = subprocess.run(
        [*ISOLATED, sys.executable, "-c", CONNECT], capture_output=True, text=True, check=False
    )
    assert "Network is unreachable" in probe.stderr
    words = ["demo", "--output", str(tmp_path / "demo"), "--count", "24", "--epochs", "1"]
    done = subprocess.run(
        [*ISOLATED, sys.executable, "-m", "bone_age_tf", *words],
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "demo/demo.html").is_file()
