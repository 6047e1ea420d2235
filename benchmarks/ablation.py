"""Ablation of the training recipe: one change at a time, the same budget, one fold of real radiographs.

    BONE_AGE_REAL_DATA=... python benchmarks/ablation.py --work FOLDER --weights inception.weights.h5 --only default letterboxed

Every variant is trained on folds 2 to 5 of 5 and evaluated on fold 1 with its last weights, so that no epoch
is selected on the evaluation data. Reported are the MAE in months with a bootstrap confidence interval, and the
paired difference to the variant that it changes, on their common radiographs. A finished variant is not
trained again.
"""

import argparse
import csv
import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bone_age_tf import record
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.splits import select
from bone_age_tf.ensembling.ensemble import fixed_sex
from bone_age_tf.metrics import bootstrap
from bone_age_tf.models.ensemble_model import Member, build_ensemble_model
from bone_age_tf.models.views import VIEWS, is_mirrored
from bone_age_tf.postprocessing.bias_correction import fit_line, fit_lines, parts_of
from bone_age_tf.sex import Sex
from bone_age_tf.training.run import Run

FOLD = "1/5"
PHANTOMS = 2400
PHANTOM_EPOCHS = 4
STRONG = ("contrast", "cutout", "elastic")
"""Settings of the augmentation."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """A training run, as changes to the default recipe."""

    against: str
    """The variant that it is compared with."""
    sets: tuple[str, ...] = ()
    method: str = "registered"
    scale: str = "0.1"
    recipe: str = "default"
    start: str = "imagenet"
    """Initial weights: `imagenet` (the file of --weights), `none`, `phantom`, or the name of a variant."""


VARIANTS = {
    "default": Variant(""),
    "letterboxed": Variant("default", method="letterbox"),
    "no variants": Variant("default", ("augmentation.variants=0",)),
    "weak augmentation": Variant("default", tuple(f"augmentation.{name}=0" for name in STRONG)),
    "no mirroring": Variant("default", ("augmentation.mirror=false",)),
    "all of InceptionV3": Variant("default", ("model.backbone=inception_v3",)),
    "regression head": Variant("default", ("model.head=regression", "train.label_distribution=0")),
    "no label distribution": Variant("default", ("train.label_distribution=0",)),
    "phantoms first": Variant("default", start="phantom"),
    "high resolution": Variant(
        "default", scale="0.15625", recipe="high_resolution", start="default"
    ),
    "no dropout": Variant("default", ("model.dropout=0",)),
    "no sex dropout": Variant("default", ("augmentation.sex_dropout=0",)),
    "no sex input": Variant("default", ("model.sex_units=0", "augmentation.sex_dropout=0")),
    "age sampling 0.5": Variant("default", ("train.age_sampling=0.5",)),
    "carpal": Variant("default", ("data.region=carpal",)),
    "metacarpal": Variant("default", ("data.region=metacarpal",)),
    "girls only": Variant("default", ("data.sex=F", "augmentation.sex_dropout=0")),
    "boys only": Variant("default", ("data.sex=M", "augmentation.sex_dropout=0")),
    "backbone small": Variant("default", ("model.backbone=small",), start="none"),
}
"""In the order of the table."""


TTA = {"5 views": "warps", "mirrored view": "mirror"}


def _views_of(folder: Path) -> dict[str, str]:
    """The test-time augmentations that the run supports."""
    mirrors = Run.open(folder, "last").config.augmentation.mirror
    return {name: tta for name, tta in TTA.items() if mirrors or not is_mirrored(tta)}


def run(*arguments: object) -> None:
    """Print and run one `bone-age-tf` command."""
    words = [str(word) for word in arguments]
    print("$ bone-age-tf", *words, flush=True)
    command = [sys.executable, "-m", "bone_age_tf", *words, "--quiet"]
    code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
    if code not in (0, 4):
        raise SystemExit(f"exit code {code}")


def prepared(work: Path, method: str, scale: str) -> Path:
    """The prepared data set of real radiographs."""
    data = work / f"data-{method}-{scale}"
    if not (data / "manifest.json").exists():
        source = Path(os.environ["BONE_AGE_REAL_DATA"]) / "rsna-bone-age"
        run("prepare", source, "--output", data, "--preprocess", method, "--scale", scale,
            "--encoding", "raw", "--split", "train=1.0", "--variants", 4)  # fmt: skip
    return data


def phantom_run(work: Path, settings: list[str], weights: str) -> Path:
    """A pre-training run of the same network on phantoms."""
    drawn, data, folder = work / "phantoms", work / "data-phantoms", work / "run-phantoms"
    if not (data / "manifest.json").exists():
        run("phantom", "--output", drawn, "--count", PHANTOMS, "--size", 480, "--style", "varied")
        run("prepare", drawn, "--output", data, "--scale", "0.1", "--encoding", "raw",
            "--split", "train=0.9,validation=0.1")  # fmt: skip
    run("train", "--data", data, "--run", folder, "--initial-weights", weights,
        "--set", f"train.epochs={PHANTOM_EPOCHS}", *settings)  # fmt: skip
    return folder


def trained(work: Path, name: str, weights: str, epochs: int) -> tuple[Path, Path, float]:
    """Run folder, data set and training time in seconds of a variant."""
    variant, folder = VARIANTS[name], work / name.replace(" ", "-").replace(",", "")
    data = prepared(work, variant.method, variant.scale)
    settings = [word for text in variant.sets for word in ("--set", text)]
    before = time.monotonic()
    if variant.start == "phantom":
        start = str(phantom_run(work, settings, weights))
    elif variant.start in VARIANTS:
        start = str(trained(work, variant.start, weights, epochs)[0])
    else:
        start = {"imagenet": weights, "none": "none"}[variant.start]
    length = [] if variant.recipe == "high_resolution" else ["--set", f"train.epochs={epochs}"]
    run("train", "--data", data, "--run", folder, "--recipe", variant.recipe, "--initial-weights", start,
        "--set", f"data.fold={FOLD}", *length, *settings)  # fmt: skip
    return folder, data, time.monotonic() - before


def predictions(folder: Path, data: Path, tta: str = "none", sex_input: int | None = None) -> dict:
    """Identifier -> (sex, true months, predicted months) on the held-out fold, with the last weights."""
    trained_run = Run.open(folder, "last")
    radiographs = PreparedRadiographs.open(data)
    records = select(radiographs, trained_run.config.data).validation
    assert records is not None
    sex = fixed_sex(trained_run.config.data.sex) if sex_input is None else sex_input
    member = Member(trained_run.load_model(), (1.0, 1.0, 1.0), sex)
    network = build_ensemble_model([member], VIEWS[tta])
    found = {}
    for batch in radiographs.examples_of(records).batch(32).as_numpy_iterator():
        months = network.predict_on_batch({n: batch[n] for n in (record.IMAGE, record.SEX)})
        columns = (batch[record.ID], batch[record.SEX], batch[record.BONE_AGE_MONTHS], months)
        for identifier, code, true, predicted in zip(*columns, strict=True):
            found[identifier.decode()] = (int(code), float(true), float(predicted))
    return found


def recalibrated_by_sex(found: dict) -> dict:
    """Apply sex-specific linear recalibration, cross-validated in ten parts."""
    sex, true, months = (np.array(column) for column in zip(*found.values(), strict=True))
    parts, after = parts_of(len(true)), months.copy()
    for part in range(parts.max() + 1):
        out, rest = parts == part, parts != part
        lines = fit_lines(sex[rest].astype(int), months[rest], true[rest])
        after[out] = lines(months[out], sex[out].astype(int))
    return {
        i: (int(s), float(t), float(p)) for i, s, t, p in zip(found, sex, true, after, strict=True)
    }


def cached(path: Path, make) -> dict:
    """Predictions from a CSV file, which is written first if it does not exist."""
    if not path.exists():
        rows = make()
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows((key, *value) for key, value in rows.items())
    with path.open(newline="") as stream:
        return {i: (int(s), float(t), float(p)) for i, s, t, p in csv.reader(stream)}


def interval(errors: np.ndarray, sign: str = "") -> str:
    """Mean [95 % bootstrap confidence interval]."""
    rng = np.random.default_rng(0)
    means = errors[rng.integers(0, len(errors), (bootstrap.RESAMPLES, len(errors)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{errors.mean():{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


def row(name: str, against: str, tables: dict[str, dict], minutes: str) -> str:
    """A row of the table."""
    mine, theirs = tables[name], tables.get(against, {})
    error = {i: abs(p - t) for i, (_, t, p) in mine.items()}
    signed = np.array([p - t for _, t, p in mine.values()])
    _, true, predicted = np.array(list(mine.values())).T
    slope = fit_line(true, predicted).slope
    both = [i for i in mine if i in theirs]
    change = np.array([error[i] - abs(theirs[i][2] - theirs[i][1]) for i in both])
    by_sex = ", ".join(
        f"{np.mean([error[i] for i in mine if mine[i][0] == code]):.2f}"
        for code in (Sex.F, Sex.M)
        if any(mine[i][0] == code for i in mine)
    )
    compared = f"{interval(change, '+')} v {against}" if both else ""
    mae = interval(np.array(list(error.values())))
    return (
        f"| {name} | {len(mine)} | {mae} | {compared} | {by_sex} | {signed.mean():+.1f}, {slope:.2f} "
        f"| {minutes} |"
    )


def main() -> None:
    """Train the requested variants, evaluate all finished ones, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    for name in chosen.only:
        table = chosen.work / f"{name}.csv"
        if not table.exists():
            folder, data, seconds = trained(chosen.work, name, chosen.weights, chosen.epochs)
            cached(table, lambda f=folder, d=data: predictions(f, d))
            for views, tta in _views_of(folder).items():
                cached(
                    chosen.work / f"{name} + {views}.csv",
                    lambda f=folder, d=data, t=tta: predictions(f, d, t),
                )
            cached(chosen.work / f"{name}, sex unknown.csv",
                   lambda f=folder, d=data: predictions(f, d, sex_input=int(Sex.UNKNOWN)))  # fmt: skip
            (chosen.work / f"{name}.minutes").write_text(f"{seconds / 60:.0f}")
    print("| variant | n | MAE, months | change | girls, boys | bias, slope | minutes |")
    print("|---|---|---|---|---|---|---|")
    tables: dict[str, dict] = {}
    for name, variant in VARIANTS.items():
        if not (chosen.work / f"{name}.minutes").exists():
            continue
        minutes = (chosen.work / f"{name}.minutes").read_text()
        tables[name] = cached(chosen.work / f"{name}.csv", dict)
        print(row(name, variant.against, tables, minutes))
        for more in (*(f"{name} + {views}" for views in TTA), f"{name}, sex unknown"):
            if (chosen.work / f"{more}.csv").exists():
                tables[more] = cached(chosen.work / f"{more}.csv", dict)
                print(row(more, name, tables, ""))
        recalibrated = f"{name} + recalibration"
        tables[recalibrated] = recalibrated_by_sex(tables[name])
        print(row(recalibrated, name, tables, ""))


if __name__ == "__main__":
    main()
