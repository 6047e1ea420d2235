import hashlib
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_phantom, encode, write_kaggle_layout

from bone_age_tf import record
from bone_age_tf.config import PrepareConfig, PreprocessingConfig
from bone_age_tf.data import processing
from bone_age_tf.data.manifest import load_data_set
from bone_age_tf.data_prep import shards, variants
from bone_age_tf.data_prep.prepare import prepare
from bone_age_tf.data_prep.preview import FOLDER
from bone_age_tf.data_prep.shards import ShardResult, ShardTask, write_shard
from bone_age_tf.data_prep.variants import Variants
from bone_age_tf.errors import UsageError

COUNT = 3
SMALL = PreprocessingConfig(scale=0.05)
LETTERBOX = PreprocessingConfig(method="letterbox", scale=0.05)
SHA256 = hashlib.sha256(b"a radiograph").hexdigest()
HAND = draw_phantom(130, 5)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 phantoms, and a blank one, which is rejected. Read only."""
    folder = write_kaggle_layout(tmp_path_factory.mktemp("raw"), 6)
    blank = folder / "boneage-training-dataset" / "1002.png"
    assert cv2.imwrite(str(blank), np.full((300, 260), 80, np.uint8))
    return folder


def _config(raw: Path, output: Path, **settings: Any) -> PrepareConfig:
    chosen: dict[str, Any] = {"preprocessing": SMALL, "split": {"train": 1.0}} | settings
    return PrepareConfig(source=str(raw), output=str(output), **chosen)


@pytest.fixture(scope="module")
def plain(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`raw` as a data set. Read only."""
    folder = tmp_path_factory.mktemp("plain") / "out"
    prepare(_config(raw, folder))
    return folder


@pytest.fixture(scope="module")
def varied(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with variants. Read only."""
    folder = tmp_path_factory.mktemp("varied") / "out"
    prepare(_config(raw, folder, variants=COUNT, jobs=1))
    return folder


def _serialized(folder: Path) -> list[bytes]:
    paths = sorted(str(path) for path in folder.glob("*.tfrecord-*"))
    return list(tf.data.TFRecordDataset(paths).as_numpy_iterator())


def _variants_of(folder: Path, count: int, encoding: str = "png") -> np.ndarray:
    """uint8 [records, variants, *frame, 1]."""
    encoded = record.parse_variants(tf.constant(_serialized(folder)), count)
    return np.stack([record.decode_images(each, SMALL.frame, encoding).numpy() for each in encoded])


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.iterdir() if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# === Data sets ===


def test_nothing_but_the_variants_is_added(plain: Path, varied: Path) -> None:
    first, second = (record.parse_batch(tf.constant(_serialized(each))) for each in (plain, varied))
    assert len(first[record.ID]) == 5
    for name, column in first.items():
        np.testing.assert_array_equal(column, second[name])
    for name in ("splits.csv", "problems.csv", "features.json"):
        assert (plain / name).read_bytes() == (varied / name).read_bytes()
    assert load_data_set(plain).fingerprint == load_data_set(varied).fingerprint


def test_without_variants_a_record_has_no_further_feature(plain: Path) -> None:
    example = tf.train.Example.FromString(_serialized(plain)[0])
    assert set(example.features.feature) == {"id", "image", "sex", "bone_age_months"}
    assert load_data_set(plain).variants == 0
    assert "variants" not in load_data_set(plain).config


def test_variants_are_other_pictures_of_the_same_hand(varied: Path) -> None:
    assert load_data_set(varied).variants == COUNT
    assert load_data_set(varied).config["processing_version"] == processing.VERSION
    images = record.parse_batch(tf.constant(_serialized(varied)))[record.IMAGE]
    images = record.decode_images(images, SMALL.frame, "png").numpy()
    found = _variants_of(varied, COUNT)
    assert found.shape == (5, COUNT, *SMALL.frame, 1)
    for image, others in zip(images, found, strict=True):
        pictures = [image, *others]
        assert len({picture.tobytes() for picture in pictures}) == COUNT + 1
        for other in others:
            assert (other > 0).mean() == pytest.approx((image > 0).mean(), abs=0.03)
            assert np.corrcoef(image.ravel(), other.ravel())[0, 1] > 0.7


def test_bytes_do_not_depend_on_jobs_or_machines(raw: Path, varied: Path, tmp_path: Path) -> None:
    def runner(tasks: Sequence[ShardTask], on_record: Callable[[], None]) -> list[ShardResult]:
        return [write_shard(pickle.loads(pickle.dumps(task))) for task in tasks]  # as Beam does

    prepare(_config(raw, tmp_path / "out", variants=COUNT, jobs=4), runner=runner)
    assert _digests(tmp_path / "out") == _digests(varied)


def test_fewer_variants_are_the_first_ones_and_raw_ones_the_same(
    raw: Path, varied: Path, tmp_path: Path
) -> None:
    prepare(_config(raw, tmp_path / "out", variants=2, encoding="raw"))
    found = _variants_of(tmp_path / "out", 2, "raw")
    np.testing.assert_array_equal(found, _variants_of(varied, COUNT)[:, :2])


def test_another_number_or_version_is_another_data_set(
    raw: Path, plain: Path, varied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, count in ((plain, 1), (varied, COUNT + 1), (varied, 0)):
        with pytest.raises(UsageError, match="other settings"):
            prepare(_config(raw, folder, variants=count))
    monkeypatch.setattr(processing, "VERSION", processing.VERSION + 1)
    with pytest.raises(UsageError, match="other settings"):
        prepare(_config(raw, varied, variants=COUNT))


def test_the_preview_shows_them(raw: Path, tmp_path: Path) -> None:
    widths = []
    for count in (0, 2):
        output = tmp_path / str(count)
        prepare(_config(raw, output, variants=count, limit=1, preprocessing=LETTERBOX), preview=1)
        sheet = cv2.imread(str(tmp_path / str(count) / FOLDER / "sheet-001.jpg"))
        widths.append(sheet.shape[1])
    assert widths[1] - widths[0] == 2 * round(300 * 80 / 104)


# === One radiograph ===


@pytest.fixture(params=[SMALL, LETTERBOX], ids=["registered", "letterbox"])
def maker(request: pytest.FixtureRequest) -> Variants:
    return shards._variants(request.param)  # traced once for all tests


def _made(maker: Variants, picture: np.ndarray, count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """The prepared radiograph and its variants, without their last axis."""
    found = maker.find(encode(picture))
    made = [variant.numpy()[..., 0] for variant in maker.make(found, SHA256, count)]
    return found.image.numpy()[..., 0], np.stack(made)


def test_unchanged_pixels_give_the_unchanged_picture(
    maker: Variants, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "random_processing", lambda picture, rng: picture)
    for picture, rounding in ((HAND, 0), (np.pad(HAND, 90), 0), (255 - HAND, 1)):
        image, (same,) = _made(maker, picture, 1)
        assert image.max() > 200
        assert abs(same.astype(int) - image).max() <= rounding


def test_an_inverted_radiograph_has_the_same_variants(maker: Variants) -> None:
    image, expected = _made(maker, HAND)
    other_image, found = _made(maker, 255 - HAND)  # the hand may be found half a pixel away
    for variant, other in zip(expected, found, strict=True):
        changes = (variant.astype(int) - image, other.astype(int) - other_image)
        assert abs(changes[0]).mean() > 1
        assert np.corrcoef(*(change.ravel() for change in changes))[0, 1] > 0.7


def test_the_background_of_a_registered_radiograph_stays_0() -> None:
    maker = shards._variants(SMALL)
    image, _ = _made(maker, np.pad(HAND, 60), 1)
    large = cv2.resize(image, (400, 520), interpolation=cv2.INTER_LINEAR)
    found = maker.find(encode(large))
    assert found.examined.is_registered
    image, made = _made(maker, large)
    for variant in made:
        assert (variant[image == 0] == 0).all()
        assert (variant > 0).any()
