"""Kill a training run repeatedly with SIGKILL and check that the result is bit-identical.

    python benchmarks/resume.py --data prepared --output resume --kills 20 --inside-writes 8

One run is uninterrupted; the other is killed with `kill -9` at random times, some of them while a checkpoint
is being written (its unfinished file is on the disk), and resumed with the same command each time. Dropout,
augmentation, averaged weights and a decaying learning rate are on. Prints the sha256 of the final weights, of the
checkpoint (every variable) and of history.csv.
"""

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path

from bone_age_tf.files.hashing import sha256_of

FILES = ("last.weights.h5", "best.weights.h5", "checkpoint.npz", "history.csv")
WRITING = ".checkpoint.npz.writing"


def command(data: str, run: Path, settings: list[str]) -> list[str]:
    """The training, with a checkpoint after every step."""
    chosen = ["train.checkpoint_minutes=0", *settings]
    sets = [word for setting in chosen for word in ("--set", setting)]
    program = [sys.executable, "-m", "bone_age_tf", "train", "--data", data, "--run", str(run)]
    return [*program, "--recipe", "phantom", "--initial-weights", "none", *sets]


def train_and_kill(words: list[str], run: Path, seconds: float, inside: bool) -> str:
    """`finished`, or where the kill hit: `inside` a checkpoint write or `between`."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until = time.monotonic() + seconds
    while process.poll() is None:
        due = time.monotonic() >= until
        if due and (not inside or (run / WRITING).exists()):
            process.kill()
            process.wait()
            return "inside" if (run / WRITING).exists() else "between"
        time.sleep(0.0005 if due else 0.02)
    if process.returncode:
        sys.exit(process.stderr.read().decode()[-3000:] if process.stderr else "failed")
    return "finished"


def digests(run: Path) -> dict[str, str]:
    """sha256 of the files that must be equal."""
    return {name: sha256_of(run / name) for name in FILES}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--inside-writes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="settings", action="append", default=["train.epochs=6"])
    chosen = parser.parse_args()
    whole, killed = chosen.output / "whole", chosen.output / "killed"
    start = time.monotonic()
    subprocess.run(command(chosen.data, whole, chosen.settings), check=True, capture_output=True)
    print(f"uninterrupted: {time.monotonic() - start:.0f} s")
    rng = random.Random(chosen.seed)
    kinds = [number < chosen.inside_writes for number in range(chosen.kills)]
    rng.shuffle(kinds)
    words = command(chosen.data, killed, chosen.settings)
    for inside in kinds:
        hit = train_and_kill(words, killed, rng.uniform(3, 13), inside)
        print(f"kill -9: {hit}", flush=True)
        if hit == "finished":
            sys.exit(
                "The training finished before all kills were done; set more epochs with --set train.epochs=N"
            )
    train_and_kill(words, killed, float("inf"), False)
    first, second = digests(whole), digests(killed)
    for name in FILES:
        print(
            f"{name:16} {first[name][:16]} {second[name][:16]} equal: {first[name] == second[name]}"
        )
    sys.exit(first != second)


if __name__ == "__main__":
    main()
