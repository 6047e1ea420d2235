"""Kill exports with SIGKILL while another process polls the model folder, as TensorFlow Serving does.

    python benchmarks/export_kill.py --run runs/1 --kills 30

One third of the kills happen at random times, two thirds while the folder is being written or has just been
renamed. The watcher polls the folder continuously and verifies every numbered folder as soon as it appears:
all files listed in its manifest, with their sha256.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.errors import BoneAgeError
from bone_age_tf.export.exported_model import ExportedModel


class Watcher:
    """Polls `base` in a thread and verifies every new numbered folder."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.polls = 0
        self.seen: set[str] = set()
        self.broken: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.0005):
            self.polls += 1
            for path in self.base.iterdir() if self.base.exists() else ():
                if path.name.isdigit() and path.name not in self.seen:
                    self.seen.add(path.name)
                    self._check(path)

    def _check(self, path: Path) -> None:
        if not (path / MANIFEST).exists():
            self.broken.append(f"{path.name}: no manifest")
            return
        try:
            ExportedModel.open(path)
        except BoneAgeError as error:
            self.broken.append(f"{path.name}: {error}")

    def close(self) -> None:
        """Stop polling."""
        self._over.set()
        self._thread.join()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as work:
        base = Path(work) / "bone_age"
        command = [sys.executable, "-m", "bone_age_tf", "export", "--run", chosen.run]
        command += ["--output", str(base), "--quiet"]
        began = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        whole = time.monotonic() - began
        writing = base / ".writing-2"
        watcher = Watcher(base)
        where = {"before writing": 0, "while writing": 0, "after the rename": 0}
        for number in range(chosen.kills):
            versions = len([path for path in base.iterdir() if path.name.isdigit()])
            writing = base / f".writing-{versions + 1}"
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if number % 3 == 0:
                time.sleep(draw.uniform(0, whole))
            else:
                while process.poll() is None and not writing.exists():
                    time.sleep(0.001)
                time.sleep(draw.uniform(0, whole / 2))
            process.kill()
            process.wait()
            done = (base / str(versions + 1)).exists()
            kind = "after the rename" if done else "while writing" if writing.exists() else "before writing"  # fmt: skip
            where[kind] += 1
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        time.sleep(1)
        watcher.close()
        stray = sorted(path.name for path in base.iterdir() if not path.name.isdigit())
    print(f"an export takes {whole:.1f} s; {chosen.kills} kills: {where}")
    print(f"{watcher.polls} polls; {len(watcher.seen)} numbered folders seen; broken: {watcher.broken or 'none'}")  # fmt: skip
    print(f"left in the folder after a final, uninterrupted export: {stray or 'nothing'}")


if __name__ == "__main__":
    main()
