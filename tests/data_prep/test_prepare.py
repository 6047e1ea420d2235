import dataclasses
import hashlib
import json
import pickle
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, draw_phantom, png_without_pixels, write_kaggle_layout
from filelock import FileLock

from bone_age_tf import record
from bone_age_tf.cli import main as cli
from bone_age_tf.config import LabelOptions, PrepareConfig, PreprocessingConfig
from bone_age_tf.data.manifest import load_data_set
from bone_age_tf.data_prep.prepare import PrepareReport, prepare
from bone_age_tf.data_prep.shards import ShardResult, ShardTask, write_shard
from bone_age_tf.errors import (
    EnvironmentFaultError,
    InputDataError,
    ModelRefusedError,
    UsageError,
)
from bone_age_tf.preprocessing import pipeline
from bone_age_tf.preprocessing.localizer import weights as localizer
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.preprocessing.rejections import EXPLANATIONS
from bone_age_tf.sex import Sex

TABLE = "boneage-training-dataset.csv"
IMAGES = "boneage-training-dataset"
SMALL = PreprocessingConfig(scale=0.05)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """12 phantoms, ids 1000 to 1011 in rows 2 to 13; a test may damage them."""
    return write_kaggle_layout(tmp_path / "raw", 12)


def _config(source: Path, output: Path, **settings: Any) -> PrepareConfig:
    chosen: dict[str, Any] = {"preprocessing": SMALL, "shards": 3, "jobs": 2} | settings
    return PrepareConfig(source=str(source), output=str(output), **chosen)


def _prepare(source: Path, output: Path, **settings: Any) -> PrepareReport:
    return prepare(_config(source, output, **settings))


def _digests(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _records(folder: Path, shards: str = "*.tfrecord-*") -> dict[str, dict[str, Any]]:
    """The records, image still encoded, by their identifier."""
    paths = sorted(str(path) for path in folder.glob(shards))
    serialized = list(tf.data.TFRecordDataset(paths).as_numpy_iterator())
    parsed = record.parse_batch(tf.constant(serialized, tf.string))
    items = [
        {name: column[row] for name, column in parsed.items()} for row in range(len(serialized))
    ]
    return {str(item["id"].numpy(), "utf-8"): item for item in items}


def _pixels(item: dict[str, Any], encoding: str = "png") -> np.ndarray:
    """The image of one record, uint8 [height, width, 1]."""
    return record.decode_images(item["image"][tf.newaxis], SMALL.frame, encoding)[0].numpy()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `raw` holds before a test damages it. Read only."""
    return write_kaggle_layout(tmp_path_factory.mktemp("whole") / "raw", 12)


@pytest.fixture(scope="module")
def straight(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of it, made without a disturbance. Read only."""
    folder = tmp_path_factory.mktemp("straight") / "out"
    _prepare(whole, folder)
    return folder


def _write_blank(path: Path) -> None:
    """A radiograph that only preprocessing refuses."""
    assert cv2.imwrite(str(path), np.full((300, 260), 80, np.uint8))


# === What the data set holds ===


def test_tensorflow_datasets_reads_the_folder_as_it_is(prepared: Path) -> None:
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(prepared))
    sizes = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert sizes == load_data_set(prepared).splits
    examples = list(builder.as_dataset(split="test"))
    assert len(examples) == sizes["test"]
    assert examples[0]["image"].shape == (104, 80, 1)
    assert examples[0]["image"].dtype == tf.uint8
    assert builder.info.features["sex"].names == ["F", "M", "unknown"]


def test_records_hold_the_labels_and_the_prepared_pixels(whole: Path, straight: Path) -> None:
    records = _records(straight)
    rows = [line.split(",") for line in (whole / TABLE).read_text().splitlines()[1:]]
    assert set(records) == {identifier for identifier, _, _ in rows}
    preprocessor = Preprocessor(SMALL)
    for identifier, age, male in rows:
        item = records[identifier]
        assert item["bone_age_months"].numpy() == float(age)
        assert item["sex"].numpy() == (Sex.M if male == "True" else Sex.F)
        encoded = (whole / IMAGES / f"{identifier}.png").read_bytes()
        expected = preprocessor(tf.constant(encoded))
        assert expected.status == "ok"
        np.testing.assert_array_equal(_pixels(item), expected.image)


def test_splits_csv_says_where_every_record_is(raw: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    report = _prepare(raw, output, split={"train": 0.75, "test": 0.25})
    lines = [line.split(",") for line in (output / "splits.csv").read_text().splitlines()]
    assert lines[0] == ["id", "sex", "bone_age_months", "split", "group", "sha256"]
    for split in ("train", "test"):
        ids = set(_records(output, f"bone_age-{split}.tfrecord-*"))
        assert ids == {line[0] for line in lines[1:] if line[3] == split}
        assert len(ids) == report.splits[split]
    assert report.splits == {"train": 9, "test": 3}
    for line in lines[1:]:
        content = (raw / IMAGES / f"{line[0]}.png").read_bytes()
        assert line[5] == hashlib.sha256(content).hexdigest()


def test_patients_are_part_of_the_plan_for_folds_are_dealt_by_them(
    raw: Path, tmp_path: Path
) -> None:
    lines = (raw / TABLE).read_text().splitlines()
    names = ["patient", *(f"P{number // 2}" for number in range(len(lines) - 1))]
    table = "\n".join(",".join(pair) for pair in zip(lines, names, strict=True))
    (raw / TABLE).write_text(table + "\n")
    split = {"train": 1.0}
    _prepare(raw, tmp_path / "plain", split=split)
    options = LabelOptions(group_column="patient")
    _prepare(raw, tmp_path / "grouped", split=split, label_options=options)
    plans = {load_data_set(tmp_path / name).plan for name in ("plain", "grouped")}
    assert len(plans) == 2


def test_manifest_holds_what_decides_the_content(raw: Path, tmp_path: Path) -> None:
    report = _prepare(raw, tmp_path / "out")
    manifest = load_data_set(tmp_path / "out")
    assert manifest.fingerprint == report.fingerprint == pipeline.fingerprint(SMALL)
    assert manifest.config["seed"] == 0
    assert manifest.config["encoding"] == manifest.encoding == "png"
    assert manifest.preprocessing == SMALL
    assert manifest.rejects == ()
    ages = [float(line.split(",")[2]) for line in _splits_of(tmp_path / "out", "train")]
    statistics = manifest.labels["train"]
    assert statistics["count"] == len(ages)
    assert statistics["mean_months"] == pytest.approx(np.mean(ages))
    assert statistics["sd_months"] == pytest.approx(np.std(ages))


def _splits_of(folder: Path, split: str) -> list[str]:
    lines = (folder / "splits.csv").read_text().splitlines()[1:]
    return [line for line in lines if line.split(",")[3] == split]


def test_unlabelled_radiographs_have_no_bone_age(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    assert cv2.imwrite(str(tmp_path / "raw/x.png"), draw_phantom(90, 0))
    _prepare(tmp_path / "raw", tmp_path / "out", label_options=LabelOptions(unlabelled=True))
    (item,) = _records(tmp_path / "out").values()
    assert np.isnan(item["bone_age_months"].numpy())
    assert item["sex"].numpy() == Sex.UNKNOWN
    assert load_data_set(tmp_path / "out").labels == {}


def test_limit_draws_that_many_rows_by_the_seed(raw: Path, tmp_path: Path) -> None:
    samples = []
    for number, seed in enumerate((0, 0, 1)):
        output = tmp_path / f"out{number}"
        assert sum(_prepare(raw, output, limit=5, seed=seed).splits.values()) == 5
        samples.append(set(_records(output)))
    assert samples[0] == samples[1] != samples[2]


def test_nothing_tells_where_the_source_lay_or_what_else_the_table_says(tmp_path: Path) -> None:
    canary = "CanaryOfThePatient"
    raw = write_kaggle_layout(tmp_path / canary, 6)
    lines = (raw / TABLE).read_text().splitlines()
    table = "\n".join([f"{lines[0]},name", *(f"{line},{canary}" for line in lines[1:])])
    (raw / TABLE).write_text(table)
    (raw / IMAGES).rename(raw / f"{canary}Images")
    _prepare(raw, tmp_path / "out", label_options=LabelOptions(id_column="id"))
    for path in (tmp_path / "out").iterdir():
        assert canary.encode() not in path.read_bytes(), path.name
        assert str(tmp_path).encode() not in path.read_bytes(), path.name


# === Encoding ===


@pytest.fixture(scope="module")
def both(whole: Path, straight: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same radiographs as a data set of each encoding. Read only."""
    unpacked = tmp_path_factory.mktemp("raw_records") / "out"
    _prepare(whole, unpacked, encoding="raw")
    return {"png": straight, "raw": unpacked}


def test_raw_records_hold_the_pixels_of_the_png_ones(both: dict[str, Path]) -> None:
    png, raw_pixels = (_records(both[encoding]) for encoding in ("png", "raw"))
    assert list(raw_pixels) == list(png)
    for identifier, item in raw_pixels.items():
        pixels = _pixels(png[identifier])
        assert pixels.std() > 10  # a picture, not a blank one that anything equals
        np.testing.assert_array_equal(_pixels(item, "raw"), pixels)
        assert item["image"].numpy() == pixels.tobytes()
        for name in (record.ID, record.SEX, record.BONE_AGE_MONTHS):
            assert item[name] == png[identifier][name]


def test_manifest_says_the_encoding(both: dict[str, Path]) -> None:
    manifests = {encoding: load_data_set(folder) for encoding, folder in both.items()}
    assert {name: manifest.encoding for name, manifest in manifests.items()} == {
        "png": "png",
        "raw": "raw",
    }
    assert manifests["png"].plan != manifests["raw"].plan
    assert manifests["png"].fingerprint == manifests["raw"].fingerprint  # the same pixels
    older = {name: value for name, value in manifests["png"].config.items() if name != "encoding"}
    assert dataclasses.replace(manifests["png"], config=older).encoding == "png"


def test_tensorflow_datasets_reads_the_same_from_both(both: dict[str, Path]) -> None:
    import tensorflow_datasets as tfds

    found = {}
    for encoding, folder in both.items():
        builder = tfds.builder_from_directory(str(folder))
        assert builder.info.features["image"].shape == (*SMALL.frame, 1)
        assert builder.info.features["image"].dtype == np.uint8
        examples = [item for split in builder.info.splits for item in builder.as_dataset(split)]
        found[encoding] = {bytes(item["id"].numpy()).decode(): item for item in examples}
    assert len(found["png"]) == 12
    assert list(found["raw"]) == list(found["png"])
    stored = _records(both["png"])
    for identifier, item in found["raw"].items():
        assert item["image"].dtype == tf.uint8
        np.testing.assert_array_equal(item["image"], found["png"][identifier]["image"])
        np.testing.assert_array_equal(item["image"], _pixels(stored[identifier]))
        for name in (record.SEX, record.BONE_AGE_MONTHS):
            assert item[name] == found["png"][identifier][name]


def test_tasks_sent_to_other_processes_keep_their_encoding(
    raw: Path, both: dict[str, Path], tmp_path: Path
) -> None:
    """As Beam sends them: `test_beam_runner.py` needs Beam itself."""

    def runner(tasks: Sequence[ShardTask], on_record: Callable[[], None]) -> list[ShardResult]:
        return [write_shard(pickle.loads(pickle.dumps(task))) for task in tasks]

    prepare(_config(raw, tmp_path / "sent", encoding="raw"), runner=runner)
    assert _digests(tmp_path / "sent") == _digests(both["raw"])


def _run_command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bone-age-tf", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_command_takes_the_encoding(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    arguments = [
        "prepare",
        raw,
        "--output",
        output,
        "--scale",
        0.05,
        "--encoding",
        "raw",
        "--quiet",
    ]
    assert _run_command(monkeypatch, *arguments) == 0
    assert load_data_set(output).encoding == "raw"


def test_an_unknown_encoding_is_a_usage_error(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="--encoding must be 'png' or 'raw'. Received: 'nonsense'"):
        _config(raw, tmp_path / "out", encoding="nonsense")
    arguments = ["prepare", raw, "--output", tmp_path / "out", "--encoding", "nonsense"]
    assert _run_command(monkeypatch, *arguments) == 2
    assert "'nonsense'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# === Same bytes ===


def test_bytes_do_not_depend_on_jobs_folder_or_order_of_rows(raw: Path, tmp_path: Path) -> None:
    _prepare(raw, tmp_path / "one", jobs=1)
    moved = Path(shutil.copytree(raw, tmp_path / "elsewhere/moved"))
    header, *lines = (moved / TABLE).read_text().splitlines()
    (moved / TABLE).write_text("\n".join([header, *reversed(lines)]) + "\n")
    _prepare(moved, tmp_path / "elsewhere/two", jobs=2)
    digests = _digests(tmp_path / "one")
    assert digests == _digests(tmp_path / "elsewhere/two")
    assert sum("tfrecord" in name for name in digests) == 5
    assert set(digests) >= {"manifest.json", "splits.csv", "dataset_info.json", "features.json"}


def test_another_seed_gives_another_order(raw: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        _prepare(raw, tmp_path / str(seed), seed=seed, split={"train": 1.0}, shards=1)
    first, second = (list(_records(tmp_path / str(seed))) for seed in (0, 1))
    assert sorted(first) == sorted(second)
    assert first != second


# === Problems ===


def test_problems_are_written_and_nothing_is_published(raw: Path, tmp_path: Path) -> None:
    (raw / IMAGES / "1003.png").write_bytes(b"")
    (raw / IMAGES / "1004.png").unlink()
    with pytest.raises(InputDataError, match=r"2 problems(.|\n)*--skip-bad") as caught:
        _prepare(raw, tmp_path / "out")
    assert caught.value.exit_code == 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["problems.csv"]
    lines = (tmp_path / "out/problems.csv").read_text().splitlines()
    assert [line.split(",")[1:3] for line in lines] == [["row", "id"], ["5", "1003"], ["6", "1004"]]


def test_mended_source_leaves_no_problems_behind(raw: Path, straight: Path, tmp_path: Path) -> None:
    content = (raw / IMAGES / "1003.png").read_bytes()
    (raw / IMAGES / "1003.png").write_bytes(b"")
    with pytest.raises(InputDataError):
        _prepare(raw, tmp_path / "out")
    (raw / IMAGES / "1003.png").write_bytes(content)
    assert _prepare(raw, tmp_path / "out").problems == ()
    assert _digests(tmp_path / "out") == _digests(straight)


def test_skip_bad_goes_on_without_them_and_lists_them(raw: Path, tmp_path: Path) -> None:
    (raw / IMAGES / "1003.png").write_bytes(b"")
    (raw / IMAGES / "1004.png").unlink()
    report = _prepare(raw, tmp_path / "out", skip_bad=True)
    assert [problem.code for problem in report.problems] == ["empty", "no_image"]
    assert sum(report.splits.values()) == 10
    assert {reject["id"] for reject in load_data_set(tmp_path / "out").rejects} == {"1003", "1004"}
    assert (tmp_path / "out/problems.csv").read_text().count("\n") == 3


def test_pixels_that_cannot_be_decoded_are_listed_and_left_out(raw: Path, tmp_path: Path) -> None:
    (raw / IMAGES / "1003.png").write_bytes(png_without_pixels())
    with pytest.raises(InputDataError, match="not published"):
        _prepare(raw, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.tfrecord*"))
    assert not (tmp_path / "out/manifest.json").exists()
    report = _prepare(raw, tmp_path / "out", skip_bad=True)
    _assert_left_out(tmp_path / "out", report, "damaged")


REJECTED = {
    "blank": lambda hand: np.full_like(hand, 80),
    "not_a_hand": lambda hand: np.random.default_rng(0).integers(0, 256, hand.shape, np.uint8),
    "two_hands": lambda hand: np.hstack([hand, hand[:, ::-1]]),
    "no_whole_hand": lambda hand: hand[hand.shape[0] * 5 // 10 :],
}


@pytest.mark.parametrize("code", REJECTED)
def test_what_is_not_one_whole_hand_is_left_out_with_its_reason(
    raw: Path, tmp_path: Path, code: str
) -> None:
    """It is no error, and needs no --skip-bad."""
    picture = REJECTED[code](draw_phantom(120, 3))
    assert cv2.imwrite(str(raw / IMAGES / "1003.png"), picture)
    report = _prepare(raw, tmp_path / "out")
    _assert_left_out(tmp_path / "out", report, code)
    assert report.problems[0].message == EXPLANATIONS[code]


def _assert_left_out(output: Path, report: PrepareReport, code: str) -> None:
    assert [(problem.row, problem.id, problem.code) for problem in report.problems] == [
        (5, "1003", code)
    ]
    (reject,) = load_data_set(output).rejects
    assert (reject["id"], reject["code"]) == ("1003", code)
    assert "1003" not in _records(output)
    assert len(_records(output)) == sum(report.splits.values()) == 11
    assert "1003," not in (output / "splits.csv").read_text()
    (line,) = (output / "problems.csv").read_text().splitlines()[1:]
    assert code in line


def test_a_rejected_radiograph_does_not_excuse_a_damaged_one(raw: Path, tmp_path: Path) -> None:
    _write_blank(raw / IMAGES / "1003.png")
    (raw / IMAGES / "1005.png").write_bytes(png_without_pixels())
    with pytest.raises(InputDataError, match="2 problems(.|\n)*not published"):
        _prepare(raw, tmp_path / "out")
    report = _prepare(raw, tmp_path / "out", skip_bad=True)
    codes = {problem.id: problem.code for problem in report.problems}
    assert codes == {"1003": "blank", "1005": "damaged"}


@pytest.mark.parametrize("method", ["registered", "letterbox"])
def test_every_way_of_preprocessing_refuses_a_blank_one(
    raw: Path, tmp_path: Path, method: str
) -> None:
    _write_blank(raw / IMAGES / "1003.png")
    config = PreprocessingConfig(method=method, scale=0.05)
    report = _prepare(raw, tmp_path / "out", preprocessing=config)
    _assert_left_out(tmp_path / "out", report, "blank")
    assert load_data_set(tmp_path / "out").preprocessing == config


def test_the_letterbox_takes_what_is_no_hand(raw: Path, tmp_path: Path) -> None:
    picture = REJECTED["not_a_hand"](draw_phantom(120, 3))
    assert cv2.imwrite(str(raw / IMAGES / "1003.png"), picture)
    config = PreprocessingConfig(method="letterbox", scale=0.05)
    assert sum(_prepare(raw, tmp_path / "out", preprocessing=config).splits.values()) == 12


def test_shard_of_which_nothing_is_left_does_not_disturb_readers(raw: Path, tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    _write_blank(raw / IMAGES / "1003.png")
    _prepare(raw, tmp_path / "out", split={"train": 1.0}, shards=12)
    assert load_data_set(tmp_path / "out").splits == {"train": 11}
    builder = tfds.builder_from_directory(str(tmp_path / "out"))
    assert len(list(builder.as_dataset(split="train"))) == 11


def test_row_that_stays_when_its_repetition_is_left_out_is_in_every_list(
    raw: Path, tmp_path: Path
) -> None:
    first_row = (raw / TABLE).read_text().splitlines()[1]
    with (raw / TABLE).open("a") as stream:
        stream.write(f"{first_row}\n")
    report = _prepare(raw, tmp_path / "out", skip_bad=True)
    assert [(problem.row, problem.code) for problem in report.problems] == [(14, "duplicate_id")]
    assert sum(report.splits.values()) == 12
    assert "1000" in _records(tmp_path / "out")
    assert "\n1000," in (tmp_path / "out/splits.csv").read_text()
    labels = load_data_set(tmp_path / "out").labels
    assert sum(statistics["count"] for statistics in labels.values()) == 12


@pytest.mark.parametrize(
    "spoil", [lambda path: path.write_bytes(b""), _write_blank], ids=["empty", "blank"]
)
def test_nothing_left_is_rejected_as_bad_input(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    raw = write_kaggle_layout(tmp_path / "raw", 1)
    spoil(raw / IMAGES / "1000.png")
    with pytest.raises(InputDataError, match="No radiograph is left"):
        _prepare(raw, tmp_path / "out", skip_bad=True)
    assert not (tmp_path / "out/manifest.json").exists()


def test_table_without_rows_is_rejected_and_leaves_nothing(raw: Path, tmp_path: Path) -> None:
    shutil.rmtree(raw / IMAGES)
    (raw / IMAGES).mkdir()
    with pytest.raises(InputDataError):
        _prepare(raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_dry_run_finds_the_problems_and_writes_nothing(raw: Path, tmp_path: Path) -> None:
    (raw / IMAGES / "1003.png").write_bytes(b"")
    report = prepare(_config(raw, tmp_path / "out"), dry_run=True)
    assert [(problem.id, problem.code) for problem in report.problems] == [("1003", "empty")]
    assert sum(report.splits.values()) == 11
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


# === Again, and side by side ===


def test_running_again_finds_the_data_set_complete(raw: Path, tmp_path: Path) -> None:
    first = _prepare(raw, tmp_path / "out")
    before = _digests(tmp_path / "out")
    again = _prepare(raw, tmp_path / "out", jobs=1)
    assert not first.already_complete
    assert again.already_complete
    assert again.splits == first.splits
    assert _digests(tmp_path / "out") == before


def test_running_again_reports_the_same_rejects(raw: Path, tmp_path: Path) -> None:
    _write_blank(raw / IMAGES / "1003.png")
    first = _prepare(raw, tmp_path / "out")
    again = _prepare(raw, tmp_path / "out")
    assert again.already_complete
    assert again.problems == first.problems
    assert [problem.code for problem in first.problems] == ["blank"]


# === A localizer of one's own ===


@pytest.fixture
def own_localizer(tmp_path: Path) -> Path:
    """The shipped one in another folder, with another limit."""
    folder = Path(shutil.copytree(localizer.SHIPPED, tmp_path / "own_localizer"))
    description = json.loads((folder / localizer.DESCRIPTION).read_text())
    description["limits"]["edge"] -= 0.005
    (folder / localizer.DESCRIPTION).write_text(json.dumps(description))
    return folder


def test_an_own_localizer_goes_with_the_data_set(
    raw: Path, tmp_path: Path, own_localizer: Path
) -> None:
    config = PreprocessingConfig(scale=0.05, localizer=str(own_localizer))
    report = _prepare(raw, tmp_path / "out", preprocessing=config)
    assert report.fingerprint != pipeline.fingerprint(SMALL)
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    shutil.rmtree(own_localizer)
    assert str(tmp_path).encode() not in (moved / "manifest.json").read_bytes()
    manifest = load_data_set(moved)
    assert manifest.preprocessing.localizer == str(moved / "localizer")
    assert (
        pipeline.fingerprint(manifest.preprocessing) == manifest.fingerprint == report.fingerprint
    )


def test_a_folder_that_is_no_localizer_is_rejected_before_any_work(
    raw: Path, tmp_path: Path
) -> None:
    config = PreprocessingConfig(scale=0.05, localizer=str(tmp_path / "nowhere"))
    with pytest.raises(ModelRefusedError, match="nowhere"):
        _prepare(raw, tmp_path / "out", preprocessing=config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": 1},
        {"shards": 2},
        {"limit": 6},
        {"encoding": "raw"},
        {"preprocessing": PreprocessingConfig(scale=0.06)},
        {"preprocessing": PreprocessingConfig(method="letterbox", scale=0.05)},
    ],
    ids=["seed", "shards", "limit", "encoding", "scale", "method"],
)
def test_other_settings_are_rejected_and_the_data_set_stays(
    raw: Path, straight: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    shutil.copytree(straight, tmp_path / "out")
    before = _digests(tmp_path / "out")
    with pytest.raises(UsageError, match="other settings"):
        _prepare(raw, tmp_path / "out", **settings)
    assert _digests(tmp_path / "out") == before


def test_damaged_data_set_is_not_taken_for_complete(
    raw: Path, straight: Path, tmp_path: Path
) -> None:
    shutil.copytree(straight, tmp_path / "out")
    shard = next((tmp_path / "out").glob("*.tfrecord-*"))
    shard.write_bytes(b"")
    with pytest.raises(InputDataError, match=shard.name):
        _prepare(raw, tmp_path / "out")


def test_second_process_is_turned_away_and_changes_nothing(raw: Path, tmp_path: Path) -> None:
    work = tmp_path / "out/.prepare"
    work.mkdir(parents=True)
    with FileLock(work / "lock"):
        with pytest.raises(EnvironmentFaultError, match="another process") as caught:
            _prepare(raw, tmp_path / "out")
        assert caught.value.exit_code == 6
        assert [path.name for path in (tmp_path / "out").rglob("*")] == [".prepare", "lock"]


def test_lock_file_of_a_dead_owner_is_taken_over(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "out/.prepare").mkdir(parents=True)
    (tmp_path / "out/.prepare/lock").write_text("left behind")
    assert sum(_prepare(raw, tmp_path / "out").splits.values()) == 12
    assert not (tmp_path / "out/.prepare").exists()


# === Killed ===


class _StopError(Exception):
    pass


def test_interrupted_run_goes_on_with_its_finished_shards(raw: Path, tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("prepare", 8):
            raise _StopError

    config = _config(raw, tmp_path / "out", split={"train": 1.0}, shards=4, jobs=1)
    with pytest.raises(_StopError):
        prepare(config, on_progress=stop)
    finished = {
        path.name: path.stat().st_ino
        for path in (tmp_path / "out/.prepare").rglob("bone_age-*")
        if path.suffix != ".json"
    }
    assert 2 <= len(finished) < 4
    prepare(config)
    for name, inode in finished.items():
        assert (tmp_path / "out" / name).stat().st_ino == inode
    prepare(_config(raw, tmp_path / "straight", split={"train": 1.0}, shards=4, jobs=1))
    assert _digests(tmp_path / "out") == _digests(tmp_path / "straight")


@pytest.mark.parametrize("settings", [{"seed": 1}, {"encoding": "raw"}], ids=["seed", "encoding"])
def test_unfinished_work_of_other_settings_is_not_mixed_in(
    raw: Path, straight: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("prepare", 8):
            raise _StopError

    with pytest.raises(_StopError):
        prepare(_config(raw, tmp_path / "out", **settings), on_progress=stop)
    _prepare(raw, tmp_path / "out")
    assert _digests(tmp_path / "out") == _digests(straight)


_KILLER = """
import os, pathlib, signal, sys, time
sys.path.insert(0, sys.argv[1])
import conftest
from bone_age_tf.data_prep.prepare import prepare
from bone_age_tf.config import PrepareConfig, PreprocessingConfig
import tensorflow_datasets

def start(output, last_file=None):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if last_file:
                die_before(last_file)
            prepare(PrepareConfig(source=sys.argv[2], output=output, shards=6, jobs=2,
                                  preprocessing=PreprocessingConfig(scale=0.05)))
            code = 0
        finally:
            os._exit(code)
    return pid

def die_before(name):
    replace = pathlib.Path.replace
    def replace_or_die(path, target):
        if pathlib.Path(target).name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(path, target)
    pathlib.Path.replace = replace_or_die

def finish(output):
    assert os.waitstatus_to_exitcode(os.waitpid(start(output), 0)[1]) == 0

raw, straight, anywhere, publishing = sys.argv[2:6]
finish(straight)
began = time.monotonic()
finish(straight + " again")
seconds = time.monotonic() - began
for share in sys.argv[6:]:
    pid = start(anywhere)
    time.sleep(seconds * float(share))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
finish(anywhere)
for name in ("splits.csv", "manifest.json"):
    status = os.waitpid(start(publishing, name), 0)[1]
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
finish(publishing)
"""


@pytest.mark.release
def test_killed_runs_end_byte_identical_to_an_undisturbed_one(tmp_path: Path) -> None:
    """One process that loads TensorFlow once, and a fork of it for every run.

    One folder's runs are killed at random shares of an undisturbed run's time, the other's just
    before a file is put in its place.
    """
    raw = write_kaggle_layout(tmp_path / "raw", 30)
    folders = [tmp_path / name for name in ("straight", "anywhere", "publishing")]
    shares = [f"{random.uniform(low, low + 0.3):.4f}" for low in (0.0, 0.3, 0.6)]
    finished = subprocess.run(
        [sys.executable, "-c", _KILLER, str(ROOT / "tests"), str(raw), *map(str, folders), *shares],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert finished.returncode == 0, f"killed after {shares}: {finished.stderr[-2000:]}"
    straight = _digests(folders[0])
    for folder in folders[1:]:
        assert _digests(folder) == straight, f"{folder.name}, killed after {shares}"
        assert not (folder / ".prepare").exists()


def test_run_killed_after_publishing_is_tidied_up_by_the_next(
    raw: Path, straight: Path, tmp_path: Path
) -> None:
    shutil.copytree(straight, tmp_path / "out")
    before = _digests(tmp_path / "out")
    work = tmp_path / "out/.prepare"
    work.mkdir()
    for name in before:  # as they lie there until the manifest is written
        if "tfrecord" in name:
            shutil.copyfile(tmp_path / "out" / name, work / name)
    assert _prepare(raw, tmp_path / "out").already_complete
    assert _digests(tmp_path / "out") == before


def test_unpublished_folder_is_no_data_set_and_the_next_run_finishes_it(
    raw: Path, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow_datasets as tfds

    def fail(**_: Any) -> None:
        raise _StopError

    with monkeypatch.context() as patched:
        patched.setattr(tfds.folder_dataset, "write_metadata", fail)
        with pytest.raises(_StopError):
            _prepare(raw, tmp_path / "out")
    with pytest.raises(InputDataError, match=r"manifest\.json"):
        load_data_set(tmp_path / "out")
    _prepare(raw, tmp_path / "out")
    assert _digests(tmp_path / "out") == _digests(straight)


def test_refusal_leaves_a_finished_data_set_as_it_was(raw: Path, tmp_path: Path) -> None:
    (raw / IMAGES / "1002.png").write_bytes(b"")
    _prepare(raw, tmp_path / "out", skip_bad=True)
    before = _digests(tmp_path / "out")
    with pytest.raises(InputDataError):
        _prepare(raw, tmp_path / "out")
    assert _digests(tmp_path / "out") == before
