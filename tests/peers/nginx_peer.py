"""Debian's nginx in front of a server, by a configuration of this repository."""

import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from certificates import Certificate

PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
SECONDS = 30
MAIN = """daemon off;
pid nginx.pid;
error_log error.log info;
events {}
http {
    access_log access.log;
    client_body_temp_path bodies;
    proxy_temp_path answers;
    include site-*.conf;
}
"""


def require() -> None:
    """Skip the test where it is not installed."""
    if PROGRAM is None:
        pytest.skip("no nginx: apt-get install nginx")


class Nginx:
    """A running nginx with some sites, whose certificate is replaced. To be started in a network of its own."""

    def __init__(self, folder: Path, sites: Sequence[str], certificate: Certificate) -> None:
        self.folder = folder
        for number, site in enumerate(sites):
            (folder / f"site-{number}.conf").write_text(_with(certificate, site))
        (folder / "nginx.conf").write_text(MAIN)
        self._command = [str(PROGRAM), "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"]
        subprocess.run([*self._command, "-t", "-q"], check=True, timeout=SECONDS)
        self._process = subprocess.Popen(self._command)
        end = time.monotonic() + SECONDS
        while not (folder / "nginx.pid").exists():
            assert self._process.poll() is None and time.monotonic() < end, self.log
            time.sleep(0.05)

    @property
    def log(self) -> str:
        """What it has logged of its own."""
        return (self.folder / "error.log").read_text()

    @property
    def requests(self) -> list[str]:
        """A line for each request."""
        return (self.folder / "access.log").read_text().splitlines()

    @property
    def files(self) -> list[Path]:
        """Bodies and answers that it keeps on disk."""
        return [one for kind in ("bodies", "answers") for one in (self.folder / kind).rglob("*")]

    def close(self) -> None:
        """Stop it; requests in flight are answered first."""
        subprocess.run([*self._command, "-s", "quit"], check=True, timeout=SECONDS)
        self._process.wait(SECONDS)


def _with(certificate: Certificate, site: str) -> str:
    for setting, path in (
        ("ssl_certificate", certificate.certificate),
        ("ssl_certificate_key", certificate.key),
    ):
        site, count = re.subn(rf"^( *{setting}) .*;$", rf"\1 {path};", site, flags=re.MULTILINE)
        assert count == 1, setting
    return site
