"""The release gate: every path from a file to months gives the same pixels and the same months."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import draw_phantom

from bone_age_tf.config import PrepareConfig, PreprocessingConfig, override
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.manifest import load_data_set
from bone_age_tf.data_prep.prepare import prepare
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.training.run import Run

SIZES = [
    (64, 64), (64, 65), (65, 64), (67, 101), (101, 67), (103, 79), (105, 81), (104, 80), (209, 161),
    (64, 1500), (1500, 64), (71, 997), (997, 71), (331, 257), (257, 331), (613, 612), (999, 333),
    (340, 260), (521, 401), (1201, 903),
]  # fmt: skip
SEXES = ("F", "M", "unknown")
TOLERANCE = 0.01
REGISTERED = PreprocessingConfig(scale=0.05)
LETTERBOX = PreprocessingConfig(method="letterbox", scale=0.05)


def write_source(folder: Path, hands: list[np.ndarray]) -> Path:
    """`images/` with 8-bit and 16-bit PNG and JPEG in turn, and `labels.csv`."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, hand in enumerate(hands):
        picture = hand.astype(np.uint16) * 250 + number if number % 3 == 1 else hand
        ending = ".jpg" if number % 3 == 2 else ".png"
        assert cv2.imwrite(str(folder / "images" / f"{number}{ending}"), picture)
        rows.append([f"{number}", 20 + 5 * number, SEXES[number % 3]])
    write_labels(folder / "labels.csv", rows)
    return folder


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 phantoms, one of every size. Read only."""
    hands = [
        draw_phantom(20 + 10 * n, n, height=height, width=width)
        for n, (height, width) in enumerate(SIZES)
    ]
    return write_source(tmp_path_factory.mktemp("awkward"), hands)


def write_whole(folder: Path) -> Path:
    """15 phantoms of many sizes, some of them turned, mirrored or inverted."""
    hands = []
    for number in range(15):
        height = 240 + 16 * number
        hand = draw_phantom(12 + 14 * number, number, height=height, width=round(0.8 * height))
        kind = number % 5
        if kind == 1:
            hand = hand[:, ::-1]
        if kind == 2:
            hand = 255 - hand
        if kind == 3:
            hand = np.rot90(hand)
        hands.append(np.ascontiguousarray(hand))
    return write_source(folder, hands)


def write_labels(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "boneage", "sex"], *rows])


def prepare_source(source: Path, config: PreprocessingConfig, folder: Path, split: str) -> Path:
    settings = PrepareConfig(
        source=str(source),
        output=str(folder),
        labels=str(source / "labels.csv"),
        preprocessing=config,
        split={split: 1.0},
    )
    prepare(settings)
    return folder


def command_line(source: Path, model: ExportedModel, output: Path) -> dict[str, dict[str, str]]:
    from bone_age_tf.cli.main import commands

    arguments = ["predict", str(source / "images"), "--model", str(model.folder)]
    arguments += ["--output", str(output), "--labels", str(source / "labels.csv"), "--quiet"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ExportedModel, "open", lambda path: model)  # seconds, and the same again
        assert commands.main(arguments, standalone_mode=False) in (0, 4)
    with (output / "predictions.csv").open() as stream:
        return {row["id"]: row for row in csv.DictReader(stream)}


def assert_parity(
    source: Path, config: PreprocessingConfig, run: Path, exported: Path, folder: Path
) -> int:
    """`source` holds `images/` and `labels.csv`. Returns how many of them are not rejected."""
    data = prepare_source(source, config, folder / "data", "test")
    records = list(PreparedRadiographs.open(data).examples("test").as_numpy_iterator())
    rejects = {row["id"]: row["code"] for row in load_data_set(data).rejects}
    ids = [row["id"].decode() for row in records]
    files = {path.stem: path.read_bytes() for path in (source / "images").iterdir()}
    assert {*ids, *rejects} == set(files)
    assert len(ids) + len(rejects) == len(files)
    statuses = {identifier: rejects.get(identifier, "ok") for identifier in files}

    model = ExportedModel.open(exported)
    encoded = list(files.values())
    answer = model.signatures["prepare"](image_bytes=encoded)
    assert [status.decode() for status in answer["status"]] == list(statuses.values())
    in_the_graph = dict(zip(files, answer["image"], strict=True))
    for row in records:
        identifier = row["id"].decode()
        np.testing.assert_array_equal(row["image"], in_the_graph[identifier], err_msg=identifier)
    assert not any(in_the_graph[identifier].any() for identifier in rejects)

    codes = dict(zip(ids, (row["sex"] for row in records), strict=True))
    sexes = [SEXES[codes.get(identifier, 2)] for identifier in files]
    served = model.signatures["serving_default"](image_bytes=encoded, sex=sexes)
    assert [status.decode() for status in served["status"]] == list(statuses.values())
    served_months = dict(zip(files, served["bone_age_months"].tolist(), strict=True))
    assert {served_months[identifier] for identifier in rejects} <= {-1.0}

    printed = command_line(source, model, folder / "predicted")
    assert set(printed) == set(files)
    for identifier, reason in rejects.items():
        assert printed[identifier]["bone_age_months"] == ""
        assert printed[identifier]["reason"].startswith(f"{reason}: ")

    images = np.stack([row["image"] for row in records])
    inputs = {"image": images, "sex": np.array([codes[identifier] for identifier in ids])}
    keras_months = Run.open(run).load_model().predict(inputs, verbose=0)
    ways = np.stack(
        [
            keras_months,
            np.array([served_months[identifier] for identifier in ids]),
            model.months_of_prepared(images, [SEXES[codes[identifier]] for identifier in ids]),
            np.array([float(printed[identifier]["bone_age_months"]) for identifier in ids]),
        ]
    )
    assert np.isfinite(ways).all()
    assert len(set(keras_months.tolist())) > len(ids) // 2
    assert np.ptp(ways, axis=0).max() <= TOLERANCE
    return len(ids)


def test_whole_drawn_hands(run: Path, exported: Path, tmp_path: Path) -> None:
    source = write_whole(tmp_path / "source")
    assert assert_parity(source, REGISTERED, run, exported, tmp_path) >= 13


def test_awkward_sizes(awkward: Path, run: Path, exported: Path, tmp_path: Path) -> None:
    """What is rejected of them depends on the localizer; every way must refuse the same."""
    count = assert_parity(awkward, REGISTERED, run, exported, tmp_path)
    assert 7 < count < len(SIZES)


@pytest.fixture(scope="module")
def letterboxed(awkward: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch on the awkward sizes letterboxed, and `model`, its export."""
    from bone_age_tf.export.export import export_saved_model
    from bone_age_tf.recipes import load_recipe
    from bone_age_tf.training.train import train

    folder = tmp_path_factory.mktemp("letterboxed")
    data = prepare_source(awkward, LETTERBOX, folder / "data", "train")
    settings = ["train.epochs=1", "train.precision=float32", "logging.tensorboard=false"]
    config = override(load_recipe("tiny"), settings)
    train(config, data=str(data), run=str(folder / "run"), initial_weights="none")
    export_saved_model(run=str(folder / "run"), output=str(folder / "model"))
    return folder


def test_awkward_sizes_letterboxed(awkward: Path, letterboxed: Path, tmp_path: Path) -> None:
    run, exported = letterboxed / "run", letterboxed / "model"
    assert assert_parity(awkward, LETTERBOX, run, exported, tmp_path) == len(SIZES)


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
    assert assert_parity(source, REGISTERED, run, exported, tmp_path) >= 8
