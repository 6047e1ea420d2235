"""Cross-validation of the key points of the hand localizer on annotated real radiographs.

    BONE_AGE_REAL_DATA=... python benchmarks/localizer_cross_validation.py --run runs/localizer --phantoms phantoms --work FOLDER

Five folds over the annotated radiographs of `rsna-bone-age`: the recipe `hand_localizer` is trained on four
fifths of them and on all radiographs without key points (mined); the remaining fifth is used for neither. The
first round is trained on phantoms alone, so that all folds reuse it from the run. Errors are in % of the
distance from the capitate to the tip of the middle finger.
"""

import argparse
import os
import shutil
from pathlib import Path

import numpy as np

from bone_age_tf.preprocessing.localizer.network import (
    POINTS,
    build_hand_localizer,
    fold_normalization,
)
from bone_age_tf.recipes import load_recipe
from bone_age_tf.training.localizer.examples import Example, read_examples
from bone_age_tf.training.localizer.limits import scorer
from bone_age_tf.training.localizer.train import Examples, train_rounds

FOLDS = 5


def errors(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Points [N, points, 2] -> errors [N, points] in % of the distance capitate - middle fingertip."""
    tip, capitate = POINTS.index("middle_tip"), POINTS.index("capitate")
    unit = np.hypot(*(true[:, tip] - true[:, capitate]).T)[:, np.newaxis]
    return 100 * np.hypot(*np.moveaxis(found - true, 2, 0)) / unit


def show(error: np.ndarray) -> None:
    """Print one row per key point, and one for all."""
    print("point         n  median  90 %  95 %  over 10 %")
    for column, name in (*enumerate(POINTS), (slice(None), "all")):
        one = error[:, column]
        one = one[~np.isnan(one)]
        if not one.size:  # fingertips that nobody annotated
            continue
        middle, ninety, most = np.percentile(one, (50, 90, 95))
        print(
            f"{name:11} {one.size:4} {middle:7.2f} {ninety:5.1f} {most:5.1f} {100 * (one > 10).mean():8.1f} %"
        )


def main() -> None:
    """Train five times, evaluate each network on its held-out fold, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="run folder with round-0.*")
    parser.add_argument("--phantoms", required=True)
    parser.add_argument("--work", type=Path, required=True)
    chosen = parser.parse_args()
    phantoms = read_examples(chosen.phantoms)
    real = read_examples(Path(os.environ["BONE_AGE_REAL_DATA"]) / "rsna-bone-age")
    annotated = [example for example in real if example.points is not None]
    unannotated = [example for example in real if example.points is None]
    phantoms_only = build_hand_localizer(for_training=True)
    phantoms_only.load_weights(chosen.run / "round-0.weights.h5")
    score = scorer(fold_normalization(phantoms_only))
    print("phantoms only")
    show_errors({example.id: score(example.image).points for example in annotated}, annotated)
    order = np.random.default_rng(0).permutation(len(annotated))
    found: dict[str, np.ndarray] = {}
    for fold in range(FOLDS):
        held_out = [annotated[i] for i in order[fold::FOLDS]]
        names = {example.id for example in held_out}
        examples = Examples(phantoms, [e for e in annotated if e.id not in names], unannotated)
        folder = chosen.work / f"fold-{fold}"
        folder.mkdir(parents=True, exist_ok=True)
        for file in chosen.run.glob("round-0.*"):
            shutil.copy(file, folder)
        network, accepted = train_rounds(
            load_recipe("hand_localizer"), examples, folder, lambda *state, **details: None
        )
        score = scorer(fold_normalization(network))
        found |= {example.id: score(example.image).points for example in held_out}
        print(f"fold {fold}: accepted {accepted}", flush=True)
        show_errors(found, [example for example in annotated if example.id in found])


def show_errors(found: dict[str, np.ndarray], annotated: list[Example]) -> None:
    """Print the errors of the radiographs predicted so far."""
    true = np.stack([example.points for example in annotated])
    show(errors(np.stack([found[example.id] for example in annotated]), true))


if __name__ == "__main__":
    main()
