"""Rejection rate, and the reasons given, for images that do not show exactly one whole hand.

    python benchmarks/negatives.py FOLDER && python benchmarks/rejection.py FOLDER

The folder holds images and `index.csv` with the columns `file` and `expected`, the expected reason.
"""

import argparse
import collections
import csv
from pathlib import Path

import tensorflow as tf

from bone_age_tf.config import SHIPPED_LOCALIZER, PreprocessingConfig
from bone_age_tf.preprocessing.examination import Examiner
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.preprocessing.rejections import OK, rejection_from


def status_of(examine: Examiner, path: Path) -> str:
    """`ok`, or the reason for rejection."""
    try:
        return examine(path.read_bytes()).status
    except tf.errors.InvalidArgumentError as error:
        return rejection_from(error).reason


def main() -> None:
    """Examine every image of the index and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--localizer", default=SHIPPED_LOCALIZER)
    chosen = parser.parse_args()
    examine = Examiner(Preprocessor(PreprocessingConfig(localizer=chosen.localizer)))
    with (chosen.folder / "index.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = {row["file"]: status_of(examine, chosen.folder / row["file"]) for row in rows}
    counts = collections.Counter((row["expected"], found[row["file"]]) for row in rows)
    print("expected            given                       images")
    for (expected, given), count in sorted(counts.items()):
        print(f"{expected:19} {given:24} {count:9}")
    missed = [name for name, status in found.items() if status == OK]
    print(
        f"{len(rows) - len(missed)} of {len(rows)} rejected. Not rejected: {', '.join(missed) or '-'}"
    )


if __name__ == "__main__":
    main()
