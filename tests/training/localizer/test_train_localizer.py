import csv
import dataclasses
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from bone_age_tf.config import LocalizerConfig, PhantomConfig, PreprocessingConfig
from bone_age_tf.data_prep.phantom.generate import write_phantoms
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.preprocessing import pipeline
from bone_age_tf.preprocessing.localizer import decoding as localization
from bone_age_tf.preprocessing.localizer import weights as localizer
from bone_age_tf.preprocessing.localizer.network import (
    IMAGE_CLASSES,
    OUTPUTS,
    POINTS,
    STRIDE,
    VIEW,
)
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.training.localizer import limits as localizer_limits
from bone_age_tf.training.localizer import train as training
from bone_age_tf.training.localizer.examples import SIDE, Example, read_examples
from bone_age_tf.training.localizer.limits import _threshold, scorer, set_limits
from bone_age_tf.training.localizer.loss import heat_loss, mask_loss
from bone_age_tf.training.localizer.mining import mine
from bone_age_tf.training.localizer.sampler import HAND, NO_WHOLE_HAND, Sampler

QUICK = LocalizerConfig(steps=2, mining_rounds=1, mining_steps=1, batch_size=2)
IMAGES = "boneage-training-dataset"


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("localizer") / "phantoms"
    write_phantoms(PhantomConfig(output=str(folder), count=8, size=400, seed=4, jobs=1))
    return folder


@pytest.fixture(scope="module")
def examples(phantoms: Path) -> list[Example]:
    return read_examples(phantoms)


@pytest.fixture(scope="module")
def others(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two radiographs without masks; one of them has key points."""
    folder = tmp_path_factory.mktemp("others")
    for number in (1, 2):
        shutil.copy(phantoms / IMAGES / f"{number}.png", folder)
    with (phantoms / "truth/key_points.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["id"] == "1"]
    with (folder / "key_points.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["file", "point", "x", "y"])
        writer.writeheader()
        for row in rows:
            writer.writerow({"file": "1.png", **{k: row[k] for k in ("point", "x", "y")}})
    return folder


@pytest.fixture(scope="module")
def trained(phantoms: Path, others: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three steps are no training, so the limits are those of the shipped localizer."""
    folder = tmp_path_factory.mktemp("run") / "localizer"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "set_limits", lambda *given: localizer.load("shipped").limits)
        patch.setattr(training, "CHECKPOINT_STEPS", 1)
        training.train_localizer(QUICK, data=[str(phantoms), str(others)], run=str(folder))
    return folder


def test_examples_are_read_with_what_is_known(phantoms: Path, others: Path) -> None:
    synthetic = read_examples(phantoms)
    assert [example.id for example in synthetic] == [str(n) for n in range(1, 9)]
    for example in synthetic:
        assert max(example.image.shape) == SIDE
        assert example.mask.shape == example.image.shape
        inside = example.mask[tuple(np.round(example.points[2, ::-1]).astype(int))]
        assert inside == 255, "the capitate lies in the hand"
    annotated, bare = read_examples(others)
    np.testing.assert_allclose(annotated.points, synthetic[0].points, atol=0.01)
    assert annotated.tilt == 0.0
    assert annotated.mask is None
    assert bare.points is None


def test_a_table_without_coordinates_is_rejected_by_row(others: Path, tmp_path: Path) -> None:
    shutil.copy(others / "1.png", tmp_path)
    (tmp_path / "key_points.csv").write_text("id,point,x,y\n1,capitate,3,4\n1,wrist,,4\n")
    with pytest.raises(InputDataError, match=r"key_points\.csv, row 3"):
        read_examples(tmp_path)


def test_without_masks_there_is_nothing_to_begin_with(others: Path, tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="bone-age-tf phantom"):
        training.train_localizer(QUICK, data=[str(others)], run=str(tmp_path / "run"))


def test_samples_are_well_formed_and_of_every_kind(examples: list[Example]) -> None:
    sampler = Sampler([(1.0, examples)], seed=3, negative_share=0.6)
    samples = [sampler.draw() for _ in range(150)]
    assert {sample.image_class for sample in samples} == set(range(len(IMAGE_CLASSES)))
    assert {sample.inverted for sample in samples} == {True, False}
    for sample in samples:
        assert sample.view.shape == (*VIEW, 1)
        assert sample.view.dtype == np.uint8
        assert 0 <= sample.mask.min() <= sample.mask.max() <= 1
        known = ~np.isnan(sample.points).any(axis=1)
        if sample.image_class == HAND:
            assert known.all()
        elif sample.image_class != NO_WHOLE_HAND:
            assert not known.any()
        assert np.isnan(sample.tilt) == (sample.image_class != HAND)
    cut = [sample for sample in samples if sample.image_class == NO_WHOLE_HAND]
    assert 0.2 < np.mean([np.isnan(sample.points).any() for sample in cut]) < 0.9
    hands = [sample for sample in samples if sample.image_class == HAND]
    for sample in hands:
        assert (sample.points > 0).all()
        assert (sample.points < VIEW[::-1]).all()
        column, row = np.round(sample.points[POINTS.index("capitate")]).astype(int)
        assert sample.mask[row, column, 0] > 0.5, "mask and key points move together"


def test_the_same_seed_draws_the_same_samples(examples: list[Example]) -> None:
    first, second = (Sampler([(1.0, examples)], seed=9) for _ in range(2))
    for _ in range(20):
        one, other = first.draw(), second.draw()
        np.testing.assert_array_equal(one.view, other.view)
        np.testing.assert_array_equal(one.points, other.points)


def test_mask_loss_by_hand() -> None:
    mask = np.zeros((2, *VIEW, 1), np.float32)
    mask[:, 50:100, 40:90] = 1
    right, weight = np.where(mask > 0, 30.0, -30.0), np.ones_like(mask)
    assert float(mask_loss(np.concatenate([mask, weight], -1), right)) == pytest.approx(0, abs=1e-4)
    wrong = float(mask_loss(np.concatenate([mask, weight], -1), -right))
    whole = VIEW[0] * VIEW[1]
    assert wrong == pytest.approx(30 - np.log(20 / (whole + 20)), rel=1e-3)
    assert float(mask_loss(np.concatenate([mask, 0 * weight], -1), -right)) == 0
    half = np.concatenate([mask, weight * np.array([1, 0])[:, None, None, None]], -1)
    assert float(mask_loss(half, -right)) == pytest.approx(wrong / 2, rel=1e-3)


def test_heat_loss_is_least_at_the_point_and_leaves_unknown_ones_out() -> None:
    size = (VIEW[0] // STRIDE, VIEW[1] // STRIDE)
    points = np.full((1, len(POINTS), 2), np.nan, np.float32)
    points[0, 2] = 60.5, 80.5  # pixel (40, 30) of the map
    rows, columns = np.mgrid[: size[0], : size[1]]

    def loss_at(row: int, column: int) -> float:
        plane = -((rows - row) ** 2 + (columns - column) ** 2) / (2 * 1.5**2)
        return float(heat_loss(points, np.repeat(plane[None, ..., None], len(POINTS), -1)))

    assert loss_at(40, 30) < min(loss_at(41, 30), loss_at(40, 29), loss_at(39, 31))
    assert loss_at(40, 30) == pytest.approx(np.log(2 * np.pi * 1.5**2) + 1, abs=0.02)


def test_limits_separate_good_from_negatives() -> None:
    assert _threshold(np.array([0.9, 0.95, 1.0]), np.array([0.0, 0.2])) == pytest.approx(
        0.55, abs=0.03
    )


def test_limits_hold_the_good_radiographs(
    examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localizer_limits, "NEGATIVES", 12)
    network = localizer.load("shipped").network
    with pytest.raises(InputDataError, match="in 8 of 8 good radiographs; expected at least 30"):
        set_limits(network, examples, examples, seed=0)
    monkeypatch.setattr(localizer_limits, "MIN_HANDS", 8)
    limits = set_limits(network, examples, examples, seed=0)
    score = scorer(network)
    rows = [score(example.image) for example in examples]
    assert limits.hand <= np.quantile([row.hand for row in rows], 0.01)
    assert 0 < limits.certainty <= min(row.certainty for row in rows) + 1e-3
    assert 0.5 < limits.coverage <= min(row.coverage for row in rows) + 1e-3
    least = min(row.resolution / e.scale for row, e in zip(rows, examples, strict=True))
    assert limits.resolution == pytest.approx(least / 2, rel=0.01)
    assert len(limits.mean) == len(limits.precision) == 8


def test_mining_accepts_hands_and_nothing_else(examples: list[Example]) -> None:
    network = localizer.load("shipped").network
    noise = np.random.default_rng(0).integers(0, 255, (SIDE, 260)).astype(np.uint8)
    bare = [Example(e.id, e.image, e.scale) for e in examples[:4]]
    found = mine(network, [*bare, Example("noise", noise, 1.0)], lambda done, total: None)
    assert len(found) >= 3
    assert "noise" not in {example.id for example in found}
    truth = {example.id: example for example in examples}
    for mined in found:
        true = truth[mined.id]
        one, other = mined.mask > 127, true.mask > 127
        assert (one & other).sum() > 0.9 * (one | other).sum()
        unit = np.hypot(*(true.points[0] - true.points[2]))
        assert np.hypot(*(mined.points - true.points).T).max() < 0.06 * unit


@pytest.mark.large
def test_a_run_writes_what_it_promises(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names >= {"run.json", "round-0.weights.h5", "round-1.weights.h5", "round-1.json"}
    assert "checkpoint.npz" not in names
    description = json.loads((trained / "hand_localizer.json").read_text())
    assert description["trained_on"] == {
        "phantoms": 8, "annotated": 1, "unannotated": 1, "mined": description["trained_on"]["mined"],
    }  # fmt: skip
    assert (trained / "hand_localizer.weights.h5").stat().st_size < 4e6


@pytest.mark.large
def test_the_localizer_of_a_run_prepares(trained: Path, phantoms: Path) -> None:
    own = PreprocessingConfig(scale=0.05, localizer=str(trained))
    encoded = (phantoms / IMAGES / "1.png").read_bytes()
    assert Preprocessor(own).graph(encoded).image.shape == (*own.frame, 1)
    assert pipeline.fingerprint(own) != pipeline.fingerprint(PreprocessingConfig(scale=0.05))


@pytest.mark.large
def test_finished_rounds_are_not_trained_again(
    trained: Path,
    phantoms: Path,
    others: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = shutil.copytree(trained, tmp_path / "run")
    for name in ("round-1.json", "hand_localizer.json", "hand_localizer.weights.h5"):
        (copy / name).unlink()
    rounds = []

    def watched(network: object, config: object, number: int, *rest: object) -> None:
        rounds.append(number)

    monkeypatch.setattr(training, "_train_round", watched)
    monkeypatch.setattr(training, "mine", lambda *given: [])
    monkeypatch.setattr(training, "set_limits", lambda *given: localizer.load("shipped").limits)
    training.train_localizer(QUICK, data=[str(phantoms), str(others)], run=str(copy))
    assert rounds == [1]
    assert (copy / "hand_localizer.json").exists()


def weights_in(path: Path) -> dict[str, bytes]:
    """The arrays of a file by their names."""
    found: dict[str, bytes] = {}

    def take(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tobytes()

    with h5py.File(path) as file:
        file.visititems(take)
    return found


KILLABLE = """
import json, sys
from bone_age_tf.config import LocalizerConfig
from bone_age_tf.preprocessing.localizer import weights
from bone_age_tf.training.localizer import train
train.CHECKPOINT_STEPS = 2
train.set_limits = lambda *given: weights.load("shipped").limits  # a few steps find no hands
run, *data = sys.argv[1:]
config = LocalizerConfig(steps=6, mining_rounds=1, mining_steps=5, batch_size=2)
train.train_localizer(config, data=data, run=run)
"""


@pytest.mark.release
def test_killed_in_each_round_and_resumed_is_bit_identical(
    phantoms: Path, others: Path, tmp_path: Path
) -> None:
    def start(run: Path) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", KILLABLE, str(run), str(phantoms), str(others)]
        return subprocess.Popen(words, stderr=subprocess.PIPE)

    def finish(run: Path) -> None:
        process = start(run)
        _, errors = process.communicate(timeout=1800)
        assert process.returncode == 0, errors.decode()[-3000:]

    run, whole = tmp_path / "run", tmp_path / "whole"
    for number in range(2):
        process = start(run)
        while not (
            (run / "checkpoint.npz").exists() and len(list(run.glob("round-*.json"))) == number
        ):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        with np.load(run / "checkpoint.npz") as archive:
            progress = json.loads(archive["state"].tobytes())
        assert progress["epoch"] == number
        assert progress["step"] in (2, 4)
    finish(run)
    finish(whole)
    assert not (run / "checkpoint.npz").exists()
    for name in ("round-0.weights.h5", "round-1.weights.h5", "hand_localizer.weights.h5"):
        mine, theirs = weights_in(run / name), weights_in(whole / name)
        assert len(mine) > 10
        assert mine == theirs


@pytest.mark.large
def test_other_settings_are_rejected_with_what_changed(
    trained: Path, phantoms: Path, others: Path
) -> None:
    changed = LocalizerConfig(steps=3, mining_rounds=1, mining_steps=1, batch_size=2)
    with pytest.raises(UsageError, match=r"config\.steps: was 2, now 3"):
        training.train_localizer(changed, data=[str(phantoms), str(others)], run=str(trained))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: (folder / "1.png").write_bytes(b""),
            r"1\.png: expected a DICOM, PNG, JPEG, TIFF or BMP",
        ),
        (lambda folder: (folder / "1.png").write_bytes(b"GIF89a"), r"1\.png: the file is a GIF"),
        (lambda folder: (folder / "key_points.csv").write_bytes(b"\xff\xfe"), "expected UTF-8"),
        (
            lambda folder: (folder / "1.png").unlink(),
            "key points of radiographs that are not there: 1",
        ),
    ],
    ids=["empty", "gif", "not-text", "no-image"],
)
def test_bad_examples_are_named(
    spoil: Callable[[Path], object], message: str, others: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(others, tmp_path / "others")
    spoil(folder)
    with pytest.raises(InputDataError, match=message):
        read_examples(folder)


def test_two_radiographs_of_one_name_are_rejected(
    phantoms: Path, others: Path, tmp_path: Path
) -> None:
    folders = [str(phantoms), str(others), str(shutil.copytree(others, tmp_path / "again"))]
    with pytest.raises(InputDataError, match="2 radiographs have the name of another"):
        training.Examples.read(folders)


@pytest.mark.large
def test_other_data_of_the_same_size_are_rejected(
    trained: Path, phantoms: Path, others: Path, tmp_path: Path
) -> None:
    changed = shutil.copytree(others, tmp_path / "others")
    shutil.copy(phantoms / IMAGES / "3.png", changed / "2.png")
    with pytest.raises(UsageError, match=r"data\.sha256"):
        training.train_localizer(QUICK, data=[str(phantoms), str(changed)], run=str(trained))


def test_batches_hold_what_the_network_reads(examples: list[Example]) -> None:
    sampler, again = (Sampler([(1.0, examples)], seed=5) for _ in range(2))
    view, targets = next(iter(training.batches(sampler, 3)))
    samples = [again.draw() for _ in range(3)]
    for row, sample in enumerate(samples):
        levels = sample.view.astype(np.int32) * 257
        np.testing.assert_array_equal(view[row], localization.network_input(levels))
        np.testing.assert_array_equal(targets[OUTPUTS.mask][row, ..., :1], sample.mask)
        assert (targets[OUTPUTS.mask][row, ..., 1] == sample.mask_weight).numpy().all()
        np.testing.assert_array_equal(targets[OUTPUTS.heat][row], sample.points)
    assert targets[OUTPUTS.image_class].numpy().tolist() == [
        sample.image_class for sample in samples
    ]
    np.testing.assert_array_equal(targets[OUTPUTS.tilt][:, 0], [s.tilt for s in samples])
    assert targets[OUTPUTS.inverted].numpy()[:, 0].tolist() == [s.inverted for s in samples]


def test_a_share_without_radiographs_goes_to_the_phantoms(examples: list[Example]) -> None:
    config = LocalizerConfig(annotated_share=0.35, mined_share=0.3)
    annotated = [dataclasses.replace(examples[0], id="a", mask=None)]
    known = training.Examples(examples[2:], annotated, [])
    mined = [dataclasses.replace(examples[0], id="a"), dataclasses.replace(examples[1], id="b")]

    def shares(number: int, found: list[Example]) -> list[tuple[float, list[str]]]:
        groups = training._groups(config, number, known, found)
        return [(round(share, 6), [example.id for example in group]) for share, group in groups]

    synthetic = [example.id for example in examples[2:]]
    assert shares(0, mined) == [(1.0, synthetic)]
    assert shares(1, []) == [(0.65, synthetic), (0.35, ["a"])]
    assert shares(1, mined) == [(0.35, synthetic), (0.35, ["a"]), (0.3, ["b"])]
    (_, (with_mask,)) = training._groups(config, 1, known, mined)[1]
    assert with_mask.mask is examples[0].mask
