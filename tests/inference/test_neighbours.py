import csv
import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import distance

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.errors import ModelRefusedError, UsageError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.signatures import EXPLAIN
from bone_age_tf.inference import neighbours
from bone_age_tf.inference.explain import explain
from bone_age_tf.inference.neighbours import CACHE, COUNT, Reference, strip


@pytest.fixture(scope="module")
def model(exported: Path) -> ExportedModel:
    return ExportedModel.open(exported)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("neighbours") / CACHE


@pytest.fixture(scope="module")
def reference(model: ExportedModel, prepared: Path, cache: Path) -> Reference:
    return Reference(model, str(prepared), cache=cache)


def training(prepared: Path) -> dict[str, np.ndarray]:
    examples = PreparedRadiographs.open(prepared).examples("train").batch(1000)
    return next(iter(examples.as_numpy_iterator()))


def features(model: ExportedModel, images: np.ndarray) -> np.ndarray:
    return model.signatures[EXPLAIN](image=images, sex=["F"] * len(images))["features"]


def test_the_order_is_that_of_scipy_s_cosines(
    reference: Reference, model: ExportedModel, prepared: Path
) -> None:
    known = training(prepared)
    every = features(model, known["image"])
    query = features(model, np.flip(known["image"][:1], axis=2))[0]
    centred = every - every.mean(axis=0)
    similarities = [1 - distance.cosine(one, query - every.mean(axis=0)) for one in centred]
    expected = np.argsort(similarities)[::-1][:COUNT]
    found = reference.nearest(query)
    assert [one.id for one in found] == [known["id"][row].decode() for row in expected]
    for one, row in zip(found, expected, strict=True):
        assert one.similarity == pytest.approx(similarities[row], abs=1e-4)
        assert one.bone_age_months == pytest.approx(known["bone_age_months"][row])
        np.testing.assert_array_equal(one.image, known["image"][row, ..., 0])


def test_a_file_is_not_its_own_neighbour(
    reference: Reference, model: ExportedModel, prepared: Path, phantoms: Path
) -> None:
    known = training(prepared)
    identifier = known["id"][0].decode()
    encoded = next(phantoms.rglob(f"{identifier}.png")).read_bytes()
    own = features(model, known["image"][:1])[0]
    assert reference.nearest(own)[0].id == identifier
    others = reference.nearest(own, encoded, count=10_000)
    assert len(others) == len(known["id"]) - 1
    assert identifier not in {one.id for one in others}


def test_features_are_computed_once(
    model: ExportedModel,
    prepared: Path,
    cache: Path,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query = features(model, training(prepared)["image"][:1])[0]
    before = [one.id for one in reference.nearest(query)]

    def never(*_: object) -> np.ndarray:
        raise AssertionError("computed again")

    monkeypatch.setattr(neighbours, "_features", never)
    again = Reference(model, str(prepared), cache=cache)
    assert [one.id for one in again.nearest(query)] == before


@pytest.mark.parametrize("spoilt", ["text", "cut", "other model"])
def test_what_is_kept_of_something_else_is_not_taken(
    spoilt: str, model: ExportedModel, prepared: Path, tmp_path: Path
) -> None:
    path = tmp_path / CACHE
    if spoilt == "text":
        path.write_text("not an archive")
    else:
        np.savez(path, features=np.zeros((3, 2)), key=np.array("another"))
    if spoilt == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    reference = Reference(model, str(prepared), cache=path)
    assert len(reference) == len(training(prepared)["id"])
    with np.load(path) as stored:
        assert len(stored["features"]) == len(reference)


def test_a_model_without_features_is_named(
    model: ExportedModel, prepared: Path, tmp_path: Path
) -> None:
    mute = dataclasses.replace(
        model, signatures={n: s for n, s in model.signatures.items() if n != EXPLAIN}
    )
    with pytest.raises(UsageError, match="ensemble"):
        Reference(mute, str(prepared), cache=tmp_path / CACHE)


def test_another_preparation_is_refused(
    model: ExportedModel, prepared: Path, tmp_path: Path
) -> None:
    other = dataclasses.replace(model, manifest=dict(model.manifest) | {"fingerprint": "0" * 64})
    with pytest.raises(ModelRefusedError, match="another way"):
        Reference(other, str(prepared), cache=tmp_path / CACHE)


def test_a_strip_has_a_panel_for_each(reference: Reference, model: ExportedModel) -> None:
    frame = PreprocessingConfig(**model.manifest["preprocessing"]).frame
    found = reference.nearest(features(model, np.zeros((1, *frame, 1), np.uint8))[0], count=3)
    picture = strip(found[0].image, "answer 100 months, F", found)
    assert picture.shape[1] == 4 * 320 + 3 * 8
    assert picture[:30, :300].max() > 200


def test_explain_writes_them(
    exported: Path, prepared: Path, phantoms: Path, tmp_path: Path
) -> None:
    file = sorted(phantoms.rglob("*.png"))[0]
    output = tmp_path / "out"
    explain([str(file)], model=str(exported), output=str(output), sex="F", neighbours=str(prepared))
    with (output / "neighbours.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, COUNT + 1)]
    assert {row["file"] for row in rows} == {file.name}
    assert file.stem not in {row["id"] for row in rows}
    similarities = [float(row["similarity"]) for row in rows]
    assert similarities == sorted(similarities, reverse=True)
    assert cv2.imread(str(output / f"pictures/0001-{file.stem}-neighbours.png")) is not None
