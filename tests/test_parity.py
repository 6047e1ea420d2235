"""The release gate: every way from a file to months gives the same pixels and the same months."""

import csv
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from conftest import draw_hand

from bone_age_tf.config import PrepareConfig, PreprocessingConfig
from bone_age_tf.exported_model import ExportedModel
from bone_age_tf.input_pipeline import PreparedRadiographs
from bone_age_tf.runs import Run

SIZES = [
    (64, 64), (64, 65), (65, 64), (67, 101), (101, 67), (103, 79), (105, 81), (104, 80), (209, 161),
    (64, 1500), (1500, 64), (71, 997), (997, 71), (331, 257), (257, 331), (613, 612), (999, 333),
    (340, 260), (521, 401), (1201, 903),
]  # fmt: skip
SEXES = ("F", "M", "unknown")
TOLERANCE = 0.01


def write_awkward(folder: Path) -> Path:
    """40 drawn radiographs: every size twice; 8-bit and 16-bit PNG, JPEG; `labels.csv`."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(2 * len(SIZES)):
        height, width = SIZES[number % len(SIZES)]
        hand = draw_hand(20 + 5 * number, number, height=height, width=width)
        ending = ".jpg" if number % 3 == 2 else ".png"
        if number % 3 == 1:
            hand = hand.astype(np.uint16) * 250 + number
        assert cv2.imwrite(str(folder / "images" / f"{number}{ending}"), hand)
        rows.append([f"{number}", 20 + 5 * number, SEXES[number % 3]])
    write_labels(folder / "labels.csv", rows)
    return folder


def write_labels(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "boneage", "sex"], *rows])


def command_line_months(images: Path, labels: Path, model: Path, output: Path) -> dict[str, float]:
    from bone_age_tf.cli import commands

    arguments = ["predict", str(images), "--model", str(model), "--labels", str(labels)]
    code = commands.main([*arguments, "--output", str(output), "--quiet"], standalone_mode=False)
    assert code == 0
    with (output / "predictions.csv").open() as stream:
        return {row["id"]: float(row["bone_age_months"]) for row in csv.DictReader(stream)}


def assert_parity(source: Path, run: Path, exported: Path, folder: Path, count: int) -> None:
    """`source` holds `images/` and `labels.csv`."""
    from bone_age_tf.data_prep.prepare import prepare

    prepare(
        PrepareConfig(
            source=str(source),
            output=str(folder / "data"),
            labels=str(source / "labels.csv"),
            preprocessing=PreprocessingConfig(scale=0.05),
            split={"test": 1.0},
        )
    )
    records = list(PreparedRadiographs.open(folder / "data").examples("test").as_numpy_iterator())
    assert len(records) == count
    ids = [row["id"].decode() for row in records]
    images = np.stack([row["image"] for row in records])
    codes = np.array([row["sex"] for row in records])
    sexes = [SEXES[code] for code in codes]
    files = {path.stem: path.read_bytes() for path in (source / "images").iterdir()}
    encoded = tf.constant([files[identifier] for identifier in ids])

    model = ExportedModel.open(exported)
    in_the_graph = model.signatures["prepare"](image_bytes=encoded)["image"].numpy()
    for identifier, recorded, served in zip(ids, images, in_the_graph, strict=True):
        np.testing.assert_array_equal(recorded, served, err_msg=f"radiograph {identifier}")

    keras_months = Run.open(run).load_model().predict({"image": images, "sex": codes}, verbose=0)
    printed = command_line_months(
        source / "images", source / "labels.csv", exported, folder / "predicted"
    )
    served = model.signatures["serving_default"](image_bytes=encoded, sex=tf.constant(sexes))
    ways = np.stack(
        [
            keras_months,
            served["bone_age_months"].numpy(),
            model.months_of_prepared(images, sexes),
            np.array([printed[identifier] for identifier in ids]),
        ]
    )
    assert np.isfinite(ways).all()
    assert len(set(keras_months.tolist())) > count // 2
    assert np.ptp(ways, axis=0).max() <= TOLERANCE


def test_drawn_radiographs_of_awkward_sizes(run: Path, exported: Path, tmp_path: Path) -> None:
    source = write_awkward(tmp_path / "source")
    assert_parity(source, run, exported, tmp_path, 2 * len(SIZES))


def test_real_radiographs(real_data: Path, run: Path, exported: Path, tmp_path: Path) -> None:
    kaggle = real_data / "rsna-bone-age"
    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    pictures = sorted((kaggle / "boneage-training-dataset").rglob("*.png"))[:10]
    with (kaggle / "boneage-training-dataset.csv").open() as stream:
        labels = {row["id"]: row for row in csv.DictReader(stream)}
    for picture in pictures:
        (source / "images" / picture.name).write_bytes(picture.read_bytes())
    write_labels(
        source / "labels.csv",
        [
            [p.stem, labels[p.stem]["boneage"], "M" if labels[p.stem]["male"] == "True" else "F"]
            for p in pictures
        ],
    )
    assert_parity(source, run, exported, tmp_path, 10)
