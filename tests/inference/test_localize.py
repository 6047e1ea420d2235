import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import draw_phantom, encode

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.data_prep.phantom import draw
from bone_age_tf.errors import InputDataError, ModelRefusedError, UsageError
from bone_age_tf.inference.localize import LocalizeReport, localize
from bone_age_tf.preprocessing import pipeline
from bone_age_tf.preprocessing.localizer.network import POINTS
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.preprocessing.rejections import EXPLANATIONS

CONFIG = PreprocessingConfig(scale=0.125)
HAND, TRUTH = draw(100, "F", np.random.default_rng(5), size=360)
TRUE = np.array([TRUTH.key_points[name] for name in POINTS])
TURNED, MIRRORED = np.rot90(HAND), HAND[:, ::-1]


def lines(folder: Path) -> dict[str, dict]:
    read = [json.loads(line) for line in (folder / "localization.jsonl").read_text().splitlines()]
    return {line["file"]: line for line in read}


def points(folder: Path) -> dict[str, np.ndarray]:
    found: dict[str, list[tuple[float, float]]] = {}
    with (folder / "key_points.csv").open() as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["file"], []).append((float(row["x"]), float(row["y"])))
    return {name: np.array(at) for name, at in found.items()}


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("radiographs")
    (folder / "deeper").mkdir()
    pictures = {
        "hand.png": HAND,
        "turned.png": TURNED,
        "deeper/mirrored.jpg": MIRRORED,
        "faint.png": 255 * 200 - HAND.astype(np.uint16) * 100,
        "noise.png": np.random.default_rng(0).integers(0, 256, (300, 260)).astype(np.uint8),
        "two.png": np.hstack([draw_phantom(100, 1), draw_phantom(120, 2)]),
    }
    for name, picture in pictures.items():
        (folder / name).write_bytes(encode(picture, Path(name).suffix))
    (folder / "page.png").write_text("<html></html>")
    (folder / "notes.txt").write_text("no radiograph")
    return folder


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("localized") / "out"


@pytest.fixture(scope="module")
def report(radiographs: Path, output: Path) -> LocalizeReport:
    """What was found in `radiographs` and written to `output`."""
    return localize([str(radiographs)], output=str(output), config=CONFIG)


def test_every_file_is_counted(report: LocalizeReport) -> None:
    assert report.found == 4
    assert report.rejected == {"not_a_hand": 1, "two_hands": 1, "not_png_or_jpeg": 1}


def test_every_file_is_a_line_with_its_status(report: LocalizeReport, output: Path) -> None:
    found = lines(output)
    assert {name: line["status"] for name, line in found.items()} == {
        "hand.png": "ok",
        "turned.png": "ok",
        "deeper/mirrored.jpg": "ok",
        "faint.png": "ok",
        "noise.png": "not_a_hand",
        "two.png": "two_hands",
        "page.png": "not_png_or_jpeg",
    }
    assert found["noise.png"]["reason"] == EXPLANATIONS["not_a_hand"]
    assert found["page.png"]["reason"]
    assert found["hand.png"]["reason"] == ""


def test_key_points_of_whole_hands_are_near_the_truth(report: LocalizeReport, output: Path) -> None:
    found = points(output)
    assert set(found) == {"hand.png", "turned.png", "deeper/mirrored.jpg", "faint.png"}
    height, width = HAND.shape
    true = {
        "hand.png": TRUE,
        "turned.png": np.stack([TRUE[:, 1], width - 1 - TRUE[:, 0]], axis=1),
        "deeper/mirrored.jpg": np.stack([width - 1 - TRUE[:, 0], TRUE[:, 1]], axis=1),
        "faint.png": TRUE,
    }
    for name, expected in true.items():
        np.testing.assert_allclose(found[name], expected, atol=0.05 * height, err_msg=name)


def test_a_line_says_how_the_hand_lies(report: LocalizeReport, output: Path) -> None:
    found = lines(output)
    assert (found["hand.png"]["height"], found["hand.png"]["width"]) == HAND.shape
    assert abs(found["hand.png"]["rotation_degrees"]) < 15
    assert found["turned.png"]["rotation_degrees"] == pytest.approx(
        found["hand.png"]["rotation_degrees"] - 90, abs=4
    )
    mirrored = {name for name, line in found.items() if line.get("mirrored")}
    inverted = {name for name, line in found.items() if line.get("inverted")}
    assert mirrored & {"hand.png", "turned.png", "deeper/mirrored.jpg"} == {"deeper/mirrored.jpg"}
    assert inverted & {"hand.png", "turned.png", "faint.png"} == {"faint.png"}
    assert not found["hand.png"]["already_registered"]
    assert set(found["hand.png"]["scores"]) >= {"hand", "certainty", "distance", "edge"}


def test_matrices_lead_to_the_prepared_radiograph_and_back(
    report: LocalizeReport, output: Path
) -> None:
    line = lines(output)["hand.png"]
    assert line["prepared_frame"] == [260, 200]
    there, back = (
        np.vstack([line[name], [0, 0, 1]])
        for name in ("original_to_prepared", "prepared_to_original")
    )
    np.testing.assert_allclose(there @ back, np.eye(3), atol=1e-5)
    capitate = there @ [*line["key_points"]["capitate"], 1]
    np.testing.assert_allclose(capitate[:2], [800.5 / 8 - 0.5, 1600.5 / 8 - 0.5], atol=0.1)
    expected = Preprocessor(CONFIG).graph(encode(HAND)).prepared_to_original
    np.testing.assert_allclose(line["prepared_to_original"], expected, rtol=1e-6)


def test_masks_have_the_files_sizes(report: LocalizeReport, output: Path) -> None:
    names = {str(path.relative_to(output / "masks")) for path in (output / "masks").rglob("*.png")}
    assert names == {
        "hand.png", "turned.png", "deeper/mirrored.png", "faint.png", "noise.png", "two.png",
    }  # fmt: skip
    mask = cv2.imread(str(output / "masks/hand.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == HAND.shape
    assert set(np.unique(mask)) == {0, 255}
    true = TRUTH.mask > 127
    assert ((mask > 0) & true).sum() / ((mask > 0) | true).sum() > 0.93
    turned = cv2.imread(str(output / "masks/turned.png"), cv2.IMREAD_UNCHANGED)
    assert turned.shape == TURNED.shape


def test_pictures_are_there_for_people(report: LocalizeReport, output: Path) -> None:
    found = sorted(
        path.relative_to(output / "pictures") for path in (output / "pictures").rglob("*.jpg")
    )
    assert {str(path) for path in found} == {
        "hand.jpg", "turned.jpg", "deeper/mirrored.jpg", "faint.jpg", "noise.jpg", "two.jpg",
    }  # fmt: skip
    drawn = cv2.imread(str(output / "pictures/hand.jpg"))
    assert drawn.shape == (*HAND.shape, 3)
    coloured = np.ptp(drawn.astype(int), axis=-1) > 60
    assert 0.002 < coloured.mean() < 0.2
    refused = cv2.imread(str(output / "pictures/two.jpg"))
    assert refused.shape[0] > 340


def test_provenance_has_the_counts_and_the_fingerprint(
    report: LocalizeReport, output: Path
) -> None:
    description = json.loads((output / "provenance.json").read_text())
    assert (description["files"], description["found"]) == (7, 4)
    assert description["rejected"] == report.rejected
    assert description["fingerprint"] == pipeline.fingerprint(CONFIG)


def test_files_of_one_stem_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).write_bytes(encode(HAND, Path(name).suffix))
    archive = shutil.make_archive(str(tmp_path / "zipped/b"), "zip", tmp_path, "a.png")
    calls: list[tuple[int, int]] = []
    report = localize(
        [str(tmp_path / "a.png"), str(tmp_path / "a.jpg"), archive],
        output=str(tmp_path / "out"),
        config=CONFIG,
        on_progress=lambda stage, done, total: calls.append((done, total)),
    )
    assert report == LocalizeReport(3, {})
    names = {path.name for path in (tmp_path / "out/masks").rglob("*.png")}
    assert len(list((tmp_path / "out/masks").rglob("*.png"))) == 3, names
    assert calls == [(done, 3) for done in range(4)]


def test_what_it_writes_is_what_a_localizer_learns_from(tmp_path: Path) -> None:
    """`key_points.csv` and `masks/` beside the radiographs, as `train --recipe hand_localizer` reads."""
    from bone_age_tf.training.localizer.examples import SIDE, read_examples

    (tmp_path / "hand.png").write_bytes(encode(HAND))
    output = tmp_path / "localized"
    localize([str(tmp_path / "hand.png")], output=str(output), config=CONFIG)
    shutil.rmtree(output / "pictures")
    shutil.copy(tmp_path / "hand.png", output)
    (example,) = read_examples(output)
    scale = SIDE / max(HAND.shape)
    np.testing.assert_allclose(example.points, (TRUE + 0.5) * scale - 0.5, atol=0.05 * SIDE)
    assert example.mask is not None
    assert example.mask.shape == example.image.shape


def test_no_image_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="No radiographs found"):
        localize([str(tmp_path)], output=str(tmp_path / "out"))


def test_a_folder_without_a_localizer_is_refused(tmp_path: Path, radiographs: Path) -> None:
    config = PreprocessingConfig(localizer=str(tmp_path))
    with pytest.raises(ModelRefusedError, match="hand_localizer"):
        localize([str(radiographs)], output=str(tmp_path / "out"), config=config)


def test_a_folder_of_somebody_else_is_not_written_into(tmp_path: Path, radiographs: Path) -> None:
    own = tmp_path / "key_points.csv"
    own.write_text("id,point,x,y\n1,capitate,3,4\n")
    with pytest.raises(UsageError, match="empty folder"):
        localize([str(radiographs)], output=str(tmp_path), config=CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["key_points.csv"]


def test_a_second_run_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    first, second, output = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "out"
    for path in (first, second):
        path.write_bytes(encode(HAND))
        localize([str(path)], output=str(output), config=CONFIG, overwrite=True)
        (line,) = lines(output).values()
        assert (output / line["mask"]).is_file()
        assert (output / line["picture"]).is_file()
    assert [path.name for path in (output / "masks").iterdir()] == ["b.png"]
