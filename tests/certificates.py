"""An authority and certificates of it, made by openssl for a test."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest


@dataclasses.dataclass(frozen=True)
class Certificate:
    certificate: str
    key: str


class Authority:
    """Signs certificates for 127.0.0.1, localhost and other names."""

    def __init__(self, folder: Path, name: str = "hospital") -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        self.folder, self.ca = folder, str(folder / f"{name}.pem")
        self._key = str(folder / f"{name}.key")
        self._run("req", "-x509", *_new(self._key), "-subj", f"/CN={name}", "-out", self.ca)

    def certificate(self, name: str, *hosts: str) -> Certificate:
        made = Certificate(str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key"))
        more = "".join(f",DNS:{host}" for host in hosts)
        names = f"subjectAltName=DNS:localhost,IP:127.0.0.1{more}"
        signed = ("-CA", self.ca, "-CAkey", self._key, "-addext", names)
        subject = ("-subj", f"/CN={name}", "-out", made.certificate)
        self._run("req", "-x509", *_new(made.key), *signed, *subject)
        return made

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


def _new(key: str) -> tuple[str, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    return (*curve, "-keyout", key, "-days", "2")
