import csv
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_phantom

from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.inference.explain import explain
from bone_age_tf.inference.saliency import (
    ZONES,
    blurred,
    explain_prepared,
    occlusion,
    on_frame,
    on_original,
    over,
    without_zones,
    zones_of,
)
from bone_age_tf.models.parts import split
from bone_age_tf.preprocessing.regions import crop_of
from bone_age_tf.preprocessing.rejections import Rejection
from bone_age_tf.training.run import Run


@pytest.fixture(scope="module")
def images(prepared: Path) -> np.ndarray:
    """The test radiographs, uint8 [8, height, width, 1]."""
    examples = PreparedRadiographs.open(prepared).examples("test").as_numpy_iterator()
    return np.stack([example["image"] for example in examples])


@pytest.fixture(scope="module")
def network(run: Path) -> keras.Model:
    return Run.open(run).load_model()


def heat_of(exported: Path, images: np.ndarray, sex: str) -> dict[str, np.ndarray]:
    model = ExportedModel.open(exported)
    return model.signatures["explain"](image=images, sex=[sex] * len(images))


# === Grad-CAM ===


def test_parts_together_are_the_network(network: keras.Model, images: np.ndarray) -> None:
    backbone, head = split(network)
    sex = np.resize(np.array([0, 1, 2], np.int32), len(images))
    whole = network({"image": images, "sex": sex}, training=False)
    maps = backbone({"image": images, "sex": sex}, training=False)
    np.testing.assert_allclose(head([maps, tf.constant(sex)]), whole, rtol=1e-5)


def test_heat_is_what_finite_differences_say(
    exported: Path, network: keras.Model, images: np.ndarray
) -> None:
    """Each cell's features a little larger: the months rise by the cell's heat times that little."""
    backbone, head = split(network)
    sex = tf.zeros(1, tf.int32)
    heat = heat_of(exported, images[:1], "F")["heat"][0]
    image = tf.constant(images[:1])
    maps = backbone({"image": image, "sex": sex}, training=False).numpy().astype(np.float64)
    step = 1e-2
    for row, column in [(0, 0), (3, 2), (heat.shape[0] - 1, heat.shape[1] - 1)]:
        rise = []
        for factor in (1 + step, 1 - step):
            changed = maps.copy()
            changed[0, row, column] *= factor
            rise.append(float(head([tf.constant(changed, tf.float32), sex])[0]))
        slope = (rise[0] - rise[1]) / (2 * step)
        assert heat[row, column] == pytest.approx(slope, abs=0.02 + 0.02 * abs(slope))


def test_heat_is_that_of_tf_keras_vis(
    exported: Path, network: keras.Model, images: np.ndarray
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        from tf_keras_vis.gradcam import Gradcam
    backbone, head = split(network)
    maps = backbone({"image": images, "sex": np.zeros(len(images), np.int32)}, training=False)
    given = keras.Input(maps.shape[1:])
    seen = keras.layers.Activation("linear", name="seen")(given)
    girls = keras.ops.cast(given[:, 0, 0, 0] * 0, "int32")
    model = keras.Model(given, keras.layers.Reshape((1,))(head([seen, girls])))
    theirs = Gradcam(model, clone=False)(
        lambda months: months[:, 0],
        maps,
        penultimate_layer="seen",
        seek_penultimate_conv_layer=False,
        expand_cam=False,
        normalize_cam=False,
    )
    ours = heat_of(exported, images, "F")["heat"]
    np.testing.assert_allclose(np.maximum(ours, 0), theirs, atol=1e-3)


def test_features_are_means(exported: Path, network: keras.Model, images: np.ndarray) -> None:
    backbone, _ = split(network)
    maps = backbone({"image": images, "sex": np.zeros(len(images), np.int32)}, training=False)
    features = heat_of(exported, images, "M")["features"]
    np.testing.assert_allclose(features, np.mean(maps, axis=(1, 2)), atol=1e-4)


@pytest.mark.parametrize("region", ["frame", "carpal"])
def test_heat_lies_where_the_network_looks(region: str) -> None:
    frame = (208, 160)
    placed = on_frame(np.ones((4, 3), np.float32), frame, region)
    (above, below), (left, right) = crop_of(region, frame)
    assert placed.shape == frame
    inside = np.zeros(frame)
    inside[above : frame[0] - below, left : frame[1] - right] = 1
    np.testing.assert_allclose(placed, inside, atol=1e-5)


# === Occlusion ===


def reads_brightness_at(rows: slice, columns: slice) -> Callable[[np.ndarray], np.ndarray]:
    """A model that answers with the contrast of one place alone."""
    return lambda images: images[:, rows, columns, 0].astype(float).std(axis=(1, 2)) + 100


def test_occlusion_points_at_what_the_answer_depends_on() -> None:
    image = draw_phantom(120, 3, height=208, width=160)[..., None]
    answers = reads_brightness_at(slice(128, 144), slice(61, 74))  # one cell of the grid
    months = float(answers(image[None])[0])
    falls = occlusion(answers, image, months)
    row, column = np.unravel_index(np.abs(falls).argmax(), falls.shape)
    assert falls[row, column] > 3
    assert 124 <= row < 148
    assert 57 <= column < 78
    assert np.abs(falls[:90]).max() < 0.3


def test_a_zone_counts_its_own_bones_alone() -> None:
    frame = (208, 160)
    image = draw_phantom(120, 3, height=208, width=160)[..., None]
    zone = zones_of(frame) == 1 + ZONES.index("carpals")
    rows, columns = (np.flatnonzero(zone.any(axis=axis)) for axis in (1, 0))
    middle = (
        slice(int(rows.mean()) - 5, int(rows.mean()) + 5),
        slice(int(columns.mean()) - 5, int(columns.mean()) + 5),
    )
    answers = reads_brightness_at(*middle)
    falls = without_zones(answers, image, float(answers(image[None])[0]))
    assert list(falls) == list(ZONES)
    assert falls["carpals"] > 1
    assert all(falls[name] == 0 for name in ZONES if name != "carpals")


def test_zones_lie_where_the_bones_are() -> None:
    """The frame's own points: capitate at (1600, 800), middle fingertip at (100, 800), of 2080 x 1600."""
    zones = zones_of((2080, 1600))
    assert ZONES[zones[1600, 800] - 1] == "carpals"
    assert ZONES[zones[150, 800] - 1] == "distal phalanges"
    assert ZONES[zones[1200, 800] - 1] == "metacarpals"
    assert ZONES[zones[2000, 750] - 1] == "radius and ulna"
    assert ZONES[zones[1000, 1450] - 1] == "thumb"
    assert set(np.unique(zones)) == set(range(1, len(ZONES) + 1))


def test_blur_takes_the_bones_and_leaves_the_hand() -> None:
    image = draw_phantom(120, 3, height=208, width=160)[..., None].copy()
    image[:20] = 0
    smooth = blurred(image)
    assert smooth.shape == image.shape
    assert (smooth[image == 0] == 0).all()
    hand = image > 0
    assert smooth[hand].mean() == pytest.approx(image[hand].mean(), rel=0.1)

    def detail(picture: np.ndarray) -> float:
        inside = cv2.erode(hand[..., 0].astype(np.uint8), np.ones((9, 9))) > 0
        edges = cv2.Laplacian(picture[..., 0].astype(np.float32), cv2.CV_32F)
        return float(np.abs(edges[inside]).mean())

    assert detail(smooth) < detail(image) / 5


# === On the original ===


def test_a_map_goes_back_through_the_matrix(images: np.ndarray) -> None:
    values = np.zeros((104, 80), np.float32)
    values[40:44, 30:34] = 1
    angle, scale = np.deg2rad(90), 4.0
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    matrix = np.array([[cos, -sin, 400], [sin, cos, 20]])
    moved = on_original(values, matrix, (500, 600))
    y, x = (float(np.mean(place)) for place in np.nonzero(moved > 0.5))
    expected = matrix @ [31.5, 41.5, 1]
    assert (x, y) == pytest.approx(expected.tolist(), abs=1.5)


def test_colours_tell_older_from_younger() -> None:
    grey = np.full((2, 3), 100, np.uint8)
    values = np.array([[1.0, 0, -1], [0.5, 0, -0.5]])
    blue, _, red = np.moveaxis(over(grey, values, 1.0).astype(int), 2, 0)
    assert (red > blue)[:, 0].all()
    assert (blue > red)[:, 2].all()
    assert (over(grey, values, 1.0)[:, 1] == 100).all()
    assert red[0, 0] > red[1, 0]


# === The command's function ===


@pytest.fixture
def hands(tmp_path: Path) -> Path:
    folder = tmp_path / "hands"
    folder.mkdir()
    for number in range(2):
        cv2.imwrite(str(folder / f"h{number}.png"), draw_phantom(60 + 60 * number, number))
    cv2.imwrite(str(folder / "grey.png"), np.full((300, 200), 90, np.uint8))
    return folder


def test_every_file_is_a_row_with_a_picture_or_a_reason(
    hands: Path, exported: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    table = tmp_path / "labels.csv"
    table.write_text("id,sex\nh0,M\n")
    counts = explain(
        [str(hands)], model=str(exported), output=str(output), sex="F", labels=str(table)
    )
    with (output / "explanations.csv").open() as stream:
        rows = {row["file"]: row for row in csv.DictReader(stream)}
    assert counts["explained"] + counts["rejected"] == len(rows) == 3
    assert (rows["h0.png"]["sex"], rows["h1.png"]["sex"]) == ("M", "F")
    for row in rows.values():
        assert bool(row["reason"]) != bool(row["picture"])
        if row["picture"]:
            assert cv2.imread(str(output / row["picture"])) is not None
            assert all(np.isfinite(float(row[zone])) for zone in ZONES)
    assert rows["grey.png"]["reason"]


def test_months_and_zones_are_the_model_s_own(hands: Path, exported: Path) -> None:
    model = ExportedModel.open(exported)
    made = model.prepare_with_matrix((hands / "h1.png").read_bytes())
    assert not isinstance(made, Rejection)
    explanation = explain_prepared(model, *made, "M")
    image = made[0]
    expected = model.months_of_prepared(image[None], ["M"])[0]
    assert explanation.bone_age_months == pytest.approx(float(expected))
    mask = (zones_of(image.shape[:2]) == 1 + ZONES.index("thumb"))[..., None]
    without = np.where(mask, blurred(image), image)
    fall = expected - model.months_of_prepared(without[None], ["M"])[0]
    assert explanation.zones["thumb"] == pytest.approx(float(fall), abs=1e-3)
    assert explanation.heat is not None
    assert explanation.heat.shape == explanation.occlusion.shape == image.shape[:2]


def test_nothing_to_explain_is_an_error(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputDataError, match="No radiographs found"):
        explain([str(tmp_path / "empty")], model=str(exported), output=str(tmp_path / "o"), sex="F")


def test_zones_need_a_registered_frame(hands: Path, exported: Path, tmp_path: Path) -> None:
    model = shutil.copytree(exported, tmp_path / "model")
    manifest = json.loads((model / "1/manifest.json").read_text())
    manifest["preprocessing"]["method"] = "letterbox"
    (model / "1/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="not registered"):
        explain([str(hands)], model=str(model), output=str(tmp_path / "o"), sex="F")
