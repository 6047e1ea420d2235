"""`bone-age-tf serve` as a process of its own, in this thread's network, with its usual ports."""

import os
import subprocess
import sys
from pathlib import Path

SECONDS = 60


class Serve:
    """A running server of a model folder; with `token`, its clients must send it."""

    rest = "http://127.0.0.1:8501"
    page = "http://127.0.0.1:8000"
    grpc = "127.0.0.1:8500"

    def __init__(self, model: Path, *options: str, token: str | None = None) -> None:
        self.model = model
        words = ["serve", "--model", str(model), "--quiet", *options]
        environment = {name: text for name, text in os.environ.items() if name != "BONE_AGE_TOKEN"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bone_age_tf", *words],
            env=environment | ({"BONE_AGE_TOKEN": token} if token else {}),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        for _ in range(3):  # REST, gRPC, page: then it has a model
            assert self.process.stdout.readline()

    def stop(self) -> int:
        """Its exit code."""
        self.process.terminate()
        return self.process.wait(SECONDS)

    def close(self) -> None:
        """Stop it, where it runs."""
        if self.process.poll() is None:
            self.stop()
        assert self.process.stdout is not None
        self.process.stdout.close()
