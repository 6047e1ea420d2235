"""Faithfulness of explanations, on synthetic radiographs (phantoms) with known bone masks.

    python benchmarks/explanation_faithfulness.py --model MODEL --phantoms FOLDER

`FOLDER` is the output of `bone-age-tf phantom`; the model should be trained on phantoms. In each hand, the
bone with the highest saliency (Grad-CAM: mean absolute value over the bone) is blurred, and so is, one at a
time, every other bone with at least half and at most twice its area. Reported is the paired difference of the
change in predicted months: highlighted bone minus the mean of the others, with a bootstrap confidence
interval over hands. The same is measured for occlusion.
"""

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.inference.saliency import blurred, explain_prepared
from bone_age_tf.preprocessing.rejections import Rejection

MARGIN = 3
"""Pixels by which the mask of a bone is dilated before it is blurred."""
MIN_PIXELS = 12


def bones_in_frame(path: Path, matrix: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
    """The label of the bone under each pixel of the prepared radiograph."""
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert labels is not None
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(labels, matrix.astype(np.float64), frame[::-1], flags=flags)


def prediction_changes(
    model: ExportedModel, image: np.ndarray, masks: list[np.ndarray], sex: str
) -> np.ndarray:
    """Absolute change in predicted months with each mask blurred."""
    smooth = blurred(image)
    images = [image] + [np.where(mask[..., None], smooth, image) for mask in masks]
    months = np.concatenate(
        [
            model.months_of_prepared(np.stack(part), [sex] * len(part))
            for part in (images[i : i + 16] for i in range(0, len(images), 16))
        ]
    )
    return np.abs(months[1:] - months[0])


def compared(
    model: ExportedModel, image: np.ndarray, bones: np.ndarray, heat: np.ndarray, sex: str
) -> tuple[float, float] | None:
    """Change for the highlighted bone, and the mean change for the bones of similar area, in months."""
    areas = {label: int((bones == label).sum()) for label in np.unique(bones[bones > 0])}
    areas = {label: area for label, area in areas.items() if area >= MIN_PIXELS}
    if len(areas) < 3:
        return None
    top = max(areas, key=lambda label: np.abs(heat[bones == label]).mean())
    others = [b for b, a in areas.items() if b != top and 0.5 <= a / areas[top] <= 2]
    if not others:
        return None
    kernel = np.ones((2 * MARGIN + 1,) * 2, np.uint8)
    masks = [cv2.dilate((bones == b).astype(np.uint8), kernel) > 0 for b in (top, *others)]
    changes = prediction_changes(model, image, masks, sex)
    return float(changes[0]), float(changes[1:].mean())


def row(name: str, pairs: list[tuple[float, float]]) -> str:
    """A row of the table."""
    top, others = np.array(pairs).T
    rng = np.random.default_rng(0)
    gains = (top - others)[rng.integers(0, len(top), (2000, len(top)))].mean(axis=1)
    low, high = np.quantile(gains, (0.025, 0.975))
    share = 100 * (top > others).mean()
    return (
        f"| {name} | {len(top)} | {top.mean():.2f} | {others.mean():.2f} | "
        f"{(top - others).mean():+.2f} [{low:+.2f}, {high:+.2f}] | {share:.0f} % |"
    )


def main() -> None:
    """Explain all radiographs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--phantoms", type=Path, required=True)
    chosen = parser.parse_args()
    tf.get_logger().setLevel("ERROR")
    model = ExportedModel.open(chosen.model)
    with (chosen.phantoms / "boneage-training-dataset.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    found: dict[str, list[tuple[float, float]]] = {"Grad-CAM": [], "occlusion": []}
    for one in rows:
        sex = "M" if one["male"] == "True" else "F"
        encoded = (chosen.phantoms / f"boneage-training-dataset/{one['id']}.png").read_bytes()
        made = model.prepare_with_matrix(encoded)
        if isinstance(made, Rejection):
            continue
        explanation = explain_prepared(model, *made, sex)
        frame = made[0].shape[:2]
        bones = bones_in_frame(chosen.phantoms / f"truth/bones/{one['id']}.png", made[1], frame)
        for name, heat in (("Grad-CAM", explanation.heat), ("occlusion", explanation.occlusion)):
            assert heat is not None
            pair = compared(model, made[0], bones, heat, sex)
            if pair is not None:
                found[name].append(pair)
    print(
        "| method | hands | highlighted bone, months | similar bones, months | difference | larger |"
    )
    print("|---|---|---|---|---|---|")
    for name, pairs in found.items():
        print(row(name, pairs))


if __name__ == "__main__":
    main()
