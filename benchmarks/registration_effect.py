"""The effect of registration: the same network and settings on letterboxed and on registered data.

    BONE_AGE_REAL_DATA=... python benchmarks/registration_effect.py --work FOLDER --weights inception.weights.h5

Both data sets have the same splits. Both models predict the test split unchanged, rotated by 30 degrees,
mirrored, inverted and at half brightness. Reported are the MAE in months with a bootstrap confidence interval
over radiographs, and the shift of the MAE, paired on the radiographs that neither variant rejects.
"""

import argparse
import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

SPLIT = "train=0.7,validation=0.1,test=0.2"
METHODS = ("letterbox", "registered")


def rotated(image: np.ndarray) -> np.ndarray:
    """Rotate by 30 degrees on a canvas enlarged to hold the whole image."""
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 30, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (round(height * sine + width * cosine), round(height * cosine + width * sine))
    matrix[:, 2] += (np.array(size) - (width, height)) / 2
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)


VARIANTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "unchanged": lambda image: image,
    "rotated 30": rotated,
    "mirrored": lambda image: image[:, ::-1],
    "inverted": lambda image: 255 - image,
    "half brightness": lambda image: image // 2,
}


def run(*arguments: object, may_reject: bool = False) -> None:
    """Print and run one `bone-age-tf` command."""
    words = [str(word) for word in arguments]
    print("$ bone-age-tf", *words, flush=True)
    code = subprocess.run(
        [sys.executable, "-m", "bone_age_tf", *words, "--quiet"],
        check=False,
        stdout=subprocess.DEVNULL,
    ).returncode
    if code not in ((0, 4) if may_reject else (0,)):
        raise SystemExit(f"exit code {code}")


def train(work: Path, source: Path, method: str, weights: str, epochs: int, scale: str) -> Path:
    """Data set, run and exported model of one preprocessing method."""
    data, model = work / f"data-{method}", work / f"model-{method}"
    run("prepare", source, "--output", data, "--preprocess", method, "--scale", scale,
        "--split", SPLIT, may_reject=True)  # fmt: skip
    run("train", "--data", data, "--run", work / f"run-{method}", "--initial-weights", weights,
        "--set", f"train.epochs={epochs}")  # fmt: skip
    if not model.exists():
        run("export", "--run", work / f"run-{method}", "--output", model)
    return model


def write_variants(work: Path, images: Path, ids: list[str]) -> None:
    """Write the test radiographs once per variant."""
    for name, change in VARIANTS.items():
        folder = work / "variants" / name.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        for identifier in ids:
            path = folder / f"{identifier}.png"
            if not path.exists():
                image = cv2.imread(str(images / f"{identifier}.png"), cv2.IMREAD_GRAYSCALE)
                cv2.imwrite(str(path), change(image))


def errors_of(work: Path, method: str, model: Path, name: str, labels: Path) -> dict[str, float]:
    """Identifier -> signed error in months, of the radiographs that were not rejected."""
    folder = name.replace(" ", "-")
    output = work / "predicted" / method / folder
    run("predict", work / "variants" / folder, "--model", model, "--labels", labels,
        "--output", output, may_reject=True)  # fmt: skip
    with (output / "predictions.csv").open(newline="") as stream:
        return {
            row["id"]: float(row["bone_age_months"]) - float(row["bone_age_months_true"])
            for row in csv.DictReader(stream)
            if row["status"] == "ok"
        }


def interval(values: np.ndarray) -> str:
    """Mean [95 % bootstrap confidence interval]."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (4000, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{values.mean():6.2f} [{low:5.2f}, {high:5.2f}]"


def main() -> None:
    """Train both models, evaluate both on every variant, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--scale", default="0.125")
    chosen = parser.parse_args()
    source = Path(os.environ["BONE_AGE_REAL_DATA"]) / "rsna-bone-age"
    models = {
        method: train(chosen.work, source, method, chosen.weights, chosen.epochs, chosen.scale)
        for method in METHODS
    }
    with (chosen.work / "data-letterbox/splits.csv").open(newline="") as stream:
        ids = [row["id"] for row in csv.DictReader(stream) if row["split"] == "test"]
    write_variants(chosen.work, source / "boneage-training-dataset", ids)
    labels = source / "boneage-training-dataset.csv"
    errors = {
        (method, name): errors_of(chosen.work, method, model, name, labels)
        for method, model in models.items()
        for name in VARIANTS
    }
    print(
        f"\n{len(ids)} test radiographs; MAE in months; shift relative to the same radiographs unchanged"
    )
    print("method      variant            n  rejected  MAE                    shift")
    for (method, name), found in errors.items():
        plain = errors[method, "unchanged"]
        both = [identifier for identifier in found if identifier in plain]
        shift = np.array([abs(found[i]) - abs(plain[i]) for i in both])
        mae = interval(np.abs(np.array(list(found.values()))))
        print(
            f"{method:11} {name:15} {len(found):4} {len(ids) - len(found):9}  {mae}  {interval(shift)}"
        )
    both = sorted(set(errors["letterbox", "unchanged"]) & set(errors["registered", "unchanged"]))
    gain = np.array(
        [
            abs(errors["registered", "unchanged"][i]) - abs(errors["letterbox", "unchanged"][i])
            for i in both
        ]
    )
    print(f"registered - letterbox, paired, n {len(both)}: {interval(gain)}")


if __name__ == "__main__":
    main()
