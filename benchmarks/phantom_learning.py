"""What networks learn from synthetic radiographs (phantoms), by the commands of `bone-age-tf`.

    python benchmarks/phantom_learning.py reading --work FOLDER
    BONE_AGE_REAL_DATA=... python benchmarks/phantom_learning.py transfer --work FOLDER --weights FILE

`reading`: a small network is trained on 1,500 phantoms and evaluated on 300 held-out ones; the same without the
sex as an input; the same with the bones removed. `transfer`: training on 200 real radiographs from the initial
weights, against the same training with a backbone pre-trained on phantoms; evaluated on the remaining radiographs.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

SPLIT = "train=0.76923,validation=0.07693,test=0.15384"
SCALE = ("--scale", "0.125", "--preprocess", "letterbox")


def run(*arguments: object) -> None:
    """Print and run one `bone-age-tf` command."""
    words = [str(word) for word in arguments]
    print("$ bone-age-tf", *words, flush=True)
    subprocess.run([sys.executable, "-m", "bone_age_tf", *words, "--quiet"], check=True)


def mae(work: Path, name: str, data: Path) -> str:
    """MAE of a run on the test split of a data set."""
    output = work / f"evaluation-{name}"
    run("evaluate", "--model", work / f"run-{name}", "--data", data, "--output", output)
    result = json.loads((output / "evaluation.json").read_text())["overall"]
    value = result["mae_months"]
    return f"{value['value']:.2f} [{value['low']:.2f}, {value['high']:.2f}], n {result['n']}"


def table_of(source: Path, prepared: Path, path: Path, *, sex_known: bool) -> Path:
    """Labels of phantoms with the splits of a data set; the sex is `unknown` unless `sex_known`."""
    with (prepared / "splits.csv").open(newline="") as stream:
        split = {row["id"]: row["split"] for row in csv.DictReader(stream)}
    with (source / "boneage-training-dataset.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "months", "sex", "split"])
        for row in rows:
            sex = ("M" if row["male"] == "True" else "F") if sex_known else "unknown"
            writer.writerow([row["id"], row["boneage"], sex, split[row["id"]]])
    return path


def reading(work: Path) -> dict[str, str]:
    """MAE with bones and sex, without sex, and without bones."""
    drawn, boneless = work / "phantoms", work / "boneless"
    common = ("--count", 1950, "--size", 512, "--seed", 11)
    run("phantom", "--output", drawn, *common)
    run("phantom", "--output", boneless, *common, "--no-bones")
    data = {name: work / f"data-{name}" for name in ("all", "no-sex", "no-bones")}
    run("prepare", drawn, "--output", data["all"], *SCALE, "--split", SPLIT)
    columns = ("--id-column", "file", "--age-column", "months", "--sex-column", "sex", "--split-column", "split")  # fmt: skip
    for name, source, sex_known in (("no-sex", drawn, False), ("no-bones", boneless, True)):
        labels = table_of(source, data["all"], work / f"{name}.csv", sex_known=sex_known)
        images = source / "boneage-training-dataset"
        run("prepare", images, "--labels", labels, *columns, "--output", data[name], *SCALE)
    results = {}
    for name, folder in data.items():
        options = ("--recipe", "phantom", "--initial-weights", "none")
        run("train", "--data", folder, "--run", work / f"run-{name}", *options)
        results[name] = mae(work, name, folder)
    return results


def save_backbone(folder: Path, path: Path) -> Path:
    """Save the backbone's weights of a run's best checkpoint."""
    import keras

    from bone_age_tf.models.backbones import BACKBONES
    from bone_age_tf.training.run import Run

    model: keras.Model = Run.open(folder).load_model()
    (backbone,) = (layer for layer in model.layers if layer.name in BACKBONES)
    backbone.save_weights(path)
    return path


def transfer(work: Path, weights: str) -> dict[str, str]:
    """MAE with and without pre-training on phantoms, for two backbones."""
    real = work / "data-real"
    source = Path(os.environ["BONE_AGE_REAL_DATA"]) / "rsna-bone-age"
    split = ("--split", "train=0.2086,validation=0.1043,test=0.6871")
    run("prepare", source, "--output", real, *SCALE, *split)
    phantom_options = ("--count", 1600, "--size", 512, "--seed", 21, "--style", "varied")
    run("phantom", "--output", work / "varied", *phantom_options)
    phantoms = work / "data-varied"
    run(
        "prepare",
        work / "varied",
        "--output",
        phantoms,
        *SCALE,
        "--split",
        "train=0.9375,validation=0.0625",
    )
    results = {}
    backbones = {
        "small": (("--recipe", "phantom"), "none", 10, 60),
        "inception": (("--recipe", "default"), weights, 3, 25),
    }
    for name, (recipe, start, epochs_on_phantoms, epochs) in backbones.items():
        first = work / f"run-{name}-phantoms"
        options = (*recipe, "--set", f"train.epochs={epochs_on_phantoms}")
        run("train", "--data", phantoms, "--run", first, "--initial-weights", start, *options)
        pretrained = save_backbone(first, work / f"{name}.weights.h5")
        options = (*recipe, "--set", f"train.epochs={epochs}", "--set", "augmentation.mirror=false")
        for kind, begin in (("real", start), ("phantoms-then-real", pretrained)):
            folder = work / f"run-{name}-{kind}"
            run("train", "--data", real, "--run", folder, "--initial-weights", begin, *options)
            results[f"{name}, {kind}"] = mae(work, f"{name}-{kind}", real)
    return results


def main() -> None:
    """Run one of the two and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["reading", "transfer"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", default="imagenet")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    results = (
        reading(chosen.work) if chosen.what == "reading" else transfer(chosen.work, chosen.weights)
    )
    for name, result in results.items():
        print(f"{name:30} MAE, months {result}")


if __name__ == "__main__":
    main()
