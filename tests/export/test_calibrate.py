import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import prepare_hands

from bone_age_tf.cli.result_tables import calibration_table
from bone_age_tf.config import CalibrationConfig
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.errors import BoneAgeError, InputDataError, ModelRefusedError, UsageError
from bone_age_tf.evaluation.evaluate import evaluate
from bone_age_tf.export.calibrate import calibrate, doubts
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.files.provenance import PROVENANCE
from bone_age_tf.metrics.bone_age import age_band
from bone_age_tf.postprocessing.bias_correction import (
    SexSpecificRecalibration,
    cross_validated,
    fit_line,
    fit_lines,
)

WritePredictions = Callable[..., Path]
SIGNATURES = ("serving_default", "predict_prepared")


def place(girls: int, boys: int, *, noise: float = 0.0) -> tuple[np.ndarray, ...]:
    """Sex, predicted and true months of a place where girls are read 9 too high, boys 20 % too low."""
    random = np.random.default_rng(1)
    sex = np.array([0] * girls + [1] * boys)
    predicted = random.uniform(20, 180, girls + boys)
    true = (
        np.where(sex == 0, predicted - 9, 1.2 * predicted) + random.normal(0, 1, len(sex)) * noise
    )
    return sex, predicted, true


@pytest.fixture
def write_predictions(exported: Path, tmp_path: Path) -> WritePredictions:
    """`predictions.csv` and `provenance.json` as `predict` writes them; `change` is done to each row."""

    def write(
        girls: int = 40,
        boys: int = 40,
        *,
        noise: float = 3.0,
        model: Path = exported / "1",
        change: Callable[[list[str]], list[str]] = lambda row: row,
    ) -> Path:
        folder = tmp_path / "predictions"
        folder.mkdir(exist_ok=True)
        names = ["id", "sex", "bone_age_months", "bone_age_months_true", "status"]
        rows = [
            change([f"{n}", "FM"[sex], f"{predicted:.2f}", f"{true:.2f}", "ok"])
            for n, (sex, predicted, true) in enumerate(
                zip(*place(girls, boys, noise=noise), strict=True)
            )
        ]
        rows.append(["bad", "F", "", "", "rejected"])
        with (folder / "predictions.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([names, *rows])
        made_by = {"model": {"manifest_sha256": sha256_of(model / "manifest.json")}}
        (folder / PROVENANCE).write_text(json.dumps(made_by))
        return folder / "predictions.csv"

    return write


def golden_answers(model: ExportedModel, signature: str, prepared: Path) -> list[np.ndarray]:
    """Months, low and high for F, M and unknown of the first test radiograph, or the golden picture."""
    names = ("bone_age_months", "bone_age_low_months", "bone_age_high_months")
    if signature == "serving_default":
        return [np.array(model.manifest["golden"][name]) for name in names]
    sexes = ["F", "M", "unknown"]
    image = next(iter(PreparedRadiographs.open(prepared).examples("test")))["image"]
    answer = model.signatures[signature](image=np.stack([image] * 3), sex=sexes)
    return [answer[name] for name in names]


def golden_months(model: ExportedModel, signature: str, prepared: Path) -> np.ndarray:
    return golden_answers(model, signature, prepared)[0]


def test_each_sex_gets_its_line() -> None:
    sex, predicted, true = place(5000, 5000)
    girls, boys, unknown = fit_lines(sex, predicted, true).maps
    assert (girls.intercept_months, girls.slope) == pytest.approx((-9, 1), abs=0.2)
    assert (boys.intercept_months, boys.slope) == pytest.approx((0, 1.2), abs=0.2)
    assert unknown == fit_line(predicted, true)


def test_a_sex_with_few_radiographs_gets_nearly_the_common_line() -> None:
    months = np.array([60.0, 120, 180])
    away = []
    for girls in (0, 2, 20, 500):
        own, _, common = fit_lines(*place(girls, 100)).maps
        away.append(np.abs(own(months) - common(months)).mean())
        exact = np.abs(own(months) - (months - 9)).mean()
    assert away[0] == pytest.approx(0, abs=1e-9)
    assert away[0] < away[1] < away[2] / 2
    assert exact < 1


def leave_one_out(sex: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Recalibrated months [n], each from lines fitted on all other radiographs."""
    return cross_validated(fit_lines, np.arange(len(sex)), sex, predicted, true)


def test_leave_one_out_leaves_it_out() -> None:
    sex, predicted, true = place(15, 15, noise=3)
    changed = true.copy()
    changed[4] += 50
    first, second = (leave_one_out(sex, predicted, labels) for labels in (true, changed))
    assert first[4] == second[4]
    assert (np.delete(first, 4) != np.delete(second, 4)).all()


def test_a_new_version_answers_on_the_lines(
    exported: Path,
    prepared: Path,
    tmp_path: Path,
    write_predictions: WritePredictions,
) -> None:
    output = tmp_path / "local"
    made = calibrate(
        model=str(exported), predictions=str(write_predictions()), output=str(output), version=7
    )
    assert made["folder"] == str(output / "7")
    before, after = ExportedModel.open(exported), ExportedModel.open(output)
    lines = [made["correction"][sex] for sex in ("F", "M", "unknown")]
    for signature in SIGNATURES:
        months = golden_months(before, signature, prepared)
        expected = np.array([line["intercept_months"] for line in lines])
        expected += [line["slope"] * m for line, m in zip(lines, months, strict=True)]
        np.testing.assert_allclose(golden_months(after, signature, prepared), expected, rtol=1e-4)
        assert np.abs(expected - months).min() > 1


def test_only_correction_and_intervals_change(
    exported: Path, tmp_path: Path, write_predictions: WritePredictions
) -> None:
    made = calibrate(
        model=str(exported), predictions=str(write_predictions()), output=str(tmp_path / "local")
    )
    old, new = exported / "1", Path(made["folder"])
    assert sha256_of(old / "saved_model.pb") == sha256_of(new / "saved_model.pb")
    readers = [tf.train.load_checkpoint(str(f / "variables/variables")) for f in (old, new)]
    names = set(readers[0].get_variable_to_shape_map())
    assert names == set(readers[1].get_variable_to_shape_map())
    changed = [
        name for name in names if np.any(readers[0].get_tensor(name) != readers[1].get_tensor(name))
    ]
    assert sorted(name.split("/")[0] for name in changed) == ["correction", "intervals"]
    fingerprints = [tf.saved_model.experimental.read_fingerprint(str(f)) for f in (old, new)]
    assert fingerprints[0].checkpoint_hash != fingerprints[1].checkpoint_hash
    assert fingerprints[0].graph_def_program_hash == fingerprints[1].graph_def_program_hash


def test_the_manifest_says_what_was_done(
    exported: Path, tmp_path: Path, write_predictions: WritePredictions
) -> None:
    path = write_predictions(30, 50)
    made = calibrate(model=str(exported), predictions=str(path), output=str(tmp_path / "local"))
    manifest = json.loads((tmp_path / "local/1/manifest.json").read_text())
    section = manifest["calibration"]
    assert section == {name: value for name, value in made.items() if name != "folder"}
    assert section["radiographs"]["n"] == {"F": 30, "M": 50, "unknown": 0}
    assert section["radiographs"]["predictions_sha256"] == sha256_of(path)
    assert section["calibrated"]["manifest_sha256"] == sha256_of(exported / "1/manifest.json")
    result = section["result"]
    sex, predicted, true = place(30, 50, noise=3)
    before = result["before"]["overall"]["mae_months"]["value"]
    assert before == pytest.approx(np.abs(predicted - true).mean(), abs=0.01)
    after = np.abs(leave_one_out(sex, predicted, true) - true).mean()
    assert result["after_cross_validated"]["overall"]["mae_months"]["value"] == pytest.approx(
        after, abs=0.01
    )
    gain = result["gain_months"]
    assert gain["value"] == pytest.approx(before - after, abs=0.01)
    assert gain["low"] < gain["value"] < gain["high"]
    original = json.loads((exported / "1/manifest.json").read_text())
    assert {name for name in manifest if manifest[name] != original.get(name)} == {
        "calibration",
        "files",
        "golden",
        "intervals",
    }


def test_a_split_calibrates_and_the_result_is_better_on_it(
    exported: Path, local: Path, tmp_path: Path, write_predictions: WritePredictions
) -> None:
    def too_old(row: list[str]) -> list[str]:
        return [*row[:3], f"{float(row[2]) + 60:.2f}", "ok"]

    spoilt = calibrate(
        model=str(exported),
        predictions=str(write_predictions(change=too_old)),
        output=str(tmp_path / "spoilt"),
    )["folder"]
    made = calibrate(model=spoilt, data=str(local), split="train", output=str(tmp_path / "local"))
    assert made["correction"]["kept"]
    evaluated = [
        evaluate(model=str(m), data=str(local), split="train", output=str(tmp_path / name))
        for name, m in (("before", spoilt), ("after", made["folder"]))
    ]
    mae = [one["overall"]["mae_months"]["value"] for one in evaluated]
    assert made["result"]["before"]["overall"]["mae_months"]["value"] == pytest.approx(mae[0])
    assert mae[1] < mae[0]
    plan = PreparedRadiographs.open(local).manifest.plan
    assert made["radiographs"]["plan"] == plan


def test_leakage_is_found_where_a_model_was_fitted_to_the_split(
    exported: Path, local: Path, tmp_path: Path
) -> None:
    made = calibrate(
        model=str(exported), data=str(local), split="train", output=str(tmp_path / "local")
    )
    with pytest.raises(ModelRefusedError, match="fitted to the split 'train'"):
        calibrate(
            model=made["folder"], data=str(local), split="train", output=str(tmp_path / "again")
        )
    evaluated = [
        evaluate(model=str(m), data=str(local), split="train", output=str(tmp_path / name))
        for name, m in (("before", exported), ("after", made["folder"]))
    ]
    assert [one["trained_on_split"] for one in evaluated] == [False, True]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_that_the_model_was_trained_on_is_refused(
    exported: Path, prepared: Path, tmp_path: Path, split: str
) -> None:
    model = shutil.copytree(exported, tmp_path / "model")
    path = model / "1" / "manifest.json"
    values = json.loads(path.read_text())
    values["data"]["fold"] = "1/2" if split == "validation" else None
    path.write_text(json.dumps(values))
    with pytest.raises(
        ModelRefusedError, match=f"was trained .*on.* the split '{split}'.*data leakage"
    ):
        calibrate(model=str(model), data=str(prepared), split=split, output=str(tmp_path / "local"))
    assert not (tmp_path / "local").exists()


def test_radiographs_that_the_model_knows_from_another_data_set_are_refused(
    exported: Path, phantoms: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = prepare_hands(phantoms, tmp_path / "again", {"test": 1.0})
    with pytest.raises(
        ModelRefusedError, match="was trained on 24 of the 40 radiographs of the split 'test'"
    ):
        calibrate(model=str(exported), data=str(data), split="test", output=str(tmp_path / "local"))
    evaluated = evaluate(model=str(exported), data=str(data), output=str(tmp_path / "evaluated"))
    assert evaluated["trained_on_split"]
    assert "was trained on 24 of the 40 radiographs" in caplog.text


@pytest.mark.parametrize(
    ("count", "slopes", "kept", "said"),
    [
        (100, (1.0, 0.8), True, []),
        (99, (1.0, 1.0), True, ["99 radiographs are few"]),
        (400, (1.0, 0.08), True, ["recalibration for M has a slope of 0.08"]),
        (400, (12.0, 1.0), True, ["recalibration for F has a slope of 12.00"]),
        (400, (12.0, 1.0), False, []),
    ],
)
def test_what_is_strange_is_said(
    count: int, slopes: tuple[float, float], kept: bool, said: list[str]
) -> None:
    lines = {name: {"slope": slope} for name, slope in zip("FM", slopes, strict=True)}
    found = doubts({"kept": kept, **lines, "unknown": {"slope": 1.0}}, count)
    assert len(found) == len(said)
    for text, part in zip(found, said, strict=True):
        assert part in text


def test_few_radiographs_are_said(
    exported: Path,
    write_predictions: WritePredictions,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for each, is_few in ((40, True), (60, False)):
        caplog.clear()
        predictions = str(write_predictions(each, each))
        calibrate(model=str(exported), output=str(tmp_path / str(each)), predictions=predictions)
        assert ("80 radiographs are few" in caplog.text) == is_few


def test_a_second_calibration_comes_after_the_first(
    exported: Path, tmp_path: Path, write_predictions: WritePredictions
) -> None:
    output = str(tmp_path / "local")
    first = calibrate(
        model=str(exported),
        predictions=str(write_predictions()),
        output=output,
        reading_method="greulich_pyle",
    )
    again = write_predictions(model=Path(first["folder"]))
    second = calibrate(model=output, predictions=str(again), output=output)
    assert second["folder"] == f"{output}/2"
    manifests = [ExportedModel.open(made["folder"]).manifest for made in (first, second)]
    methods = [manifest.get("reading_method") for manifest in manifests]
    assert methods == ["greulich_pyle", None]  # that of other bone ages is not kept
    months = [
        np.array(ExportedModel.open(folder).manifest["golden"]["bone_age_months"])
        for folder in (exported, first["folder"], second["folder"])
    ]
    line = second["correction"]["F"]
    assert months[2][0] == pytest.approx(
        line["intercept_months"] + line["slope"] * months[1][0], rel=1e-4
    )
    assert len({values[0] for values in months}) == 3


def test_lines_that_do_not_help_are_left_out(
    exported: Path, tmp_path: Path, write_predictions: WritePredictions
) -> None:
    def perfect(row: list[str]) -> list[str]:
        wave = 5 if int(row[0].split(".")[0]) % 2 else -5
        return [*row[:3], f"{float(row[2]) + wave:.2f}", "ok"]

    path = write_predictions(12, 12, change=perfect)
    made = calibrate(model=str(exported), predictions=str(path), output=str(tmp_path / "local"))
    assert not made["correction"]["kept"]
    assert made["correction"]["F"] == {"intercept_months": 0.0, "slope": 1.0}
    assert made["result"]["gain_months"]["value"] < 0
    months = [
        ExportedModel.open(folder).manifest["golden"]["bone_age_months"]
        for folder in (exported, made["folder"])
    ]
    assert months[0] == months[1]
    cell = made["intervals"]["by_predicted_age"]["F"]["8-12 years"]
    assert (cell["low_months"], cell["high_months"]) == pytest.approx((-5, 5), abs=0.011)


@pytest.mark.large
def test_a_new_version_answers_on_the_curves(
    exported: Path, prepared: Path, tmp_path: Path, write_predictions: WritePredictions
) -> None:
    output = tmp_path / "local"
    path, config = write_predictions(100, 100), CalibrationConfig(correction="monotone")
    made = calibrate(model=str(exported), predictions=str(path), output=str(output), config=config)
    assert made["correction"]["kept"]
    assert made["correction"]["method"] == "monotone by sex"
    before, after = ExportedModel.open(exported), ExportedModel.open(output)  # allowed operations
    months = golden_months(before, "serving_default", prepared)
    curves = SexSpecificRecalibration.of(made["correction"])
    expected = curves(months, np.arange(3))
    np.testing.assert_allclose(
        golden_months(after, "serving_default", prepared), expected, atol=0.05
    )
    assert calibration_table(made)


def test_predictions_of_training_files_are_refused(
    exported: Path, tmp_path: Path, write_predictions: WritePredictions
) -> None:
    path = write_predictions(12, 12)
    header, first, *others = path.read_text().splitlines()
    rows = [f"{header},warning", f"{first},infant trained_on", *(f"{row}," for row in others)]
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(ModelRefusedError, match="trained on 1 of these 24 radiographs"):
        calibrate(model=str(exported), predictions=str(path), output=str(tmp_path / "local"))


def test_answers_come_with_their_interval(
    exported: Path,
    prepared: Path,
    tmp_path: Path,
    write_predictions: WritePredictions,
) -> None:
    output = tmp_path / "local"
    config = CalibrationConfig(coverage=0.8, correction="none")
    made = calibrate(
        model=str(exported),
        predictions=str(write_predictions(200, 200)),
        output=str(output),
        config=config,
    )
    assert not made["correction"]["kept"]
    before, after = ExportedModel.open(exported), ExportedModel.open(output)
    assert (before.coverage, after.coverage) == (None, 0.8)
    table = after.manifest["intervals"]["by_predicted_age"]
    for signature in SIGNATURES:
        months, low, high = golden_answers(after, signature, prepared)
        np.testing.assert_array_equal(months, golden_months(before, signature, prepared))
        of_sexes = zip(("F", "M", "unknown"), months, strict=True)
        cells = [table[sex][age_band(float(m))] for sex, m in of_sexes]
        down, up = (np.array([cell[f"{end}_months"] for cell in cells]) for end in ("low", "high"))
        assert (up - down).min() > 2
        np.testing.assert_allclose(low, np.clip(months + down, 0, 240), rtol=1e-5)
        np.testing.assert_allclose(high, np.clip(months + up, 0, 240), rtol=1e-5)
        assert set(golden_answers(before, signature, prepared)[1]) == {-1}
    held = made["result"]["coverage_cross_validated"]["coverage"]
    assert held["value"] == pytest.approx(0.8, abs=0.06)


def test_a_coverage_that_needs_more_radiographs_is_refused(
    exported: Path, tmp_path: Path, write_predictions: WritePredictions
) -> None:
    with pytest.raises(InputDataError, match="99% coverage needs at least 199 radiographs"):
        calibrate(
            model=str(exported),
            predictions=str(write_predictions(20, 20)),
            output=str(tmp_path / "local"),
            config=CalibrationConfig(coverage=0.99),
        )
    assert not (tmp_path / "local").exists()
    with pytest.raises(UsageError, match="coverage"):
        CalibrationConfig(coverage=1.0)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"girls": 9, "boys": 10}, InputDataError, "at least 20.*Received 19"),
        ({"change": lambda row: [*row[:3], "", "ok"]}, InputDataError, "no row has a bone_age"),
        ({"change": lambda row: [*row[:3], "1e9", "ok"]}, InputDataError, "row 2.*240 months"),
        ({"change": lambda row: ["a", "girl", *row[2:]]}, InputDataError, "row 2"),
    ],
    ids=["few", "unlabelled", "too old", "sex"],
)
def test_unusable_predictions_are_refused(
    settings: dict[str, object],
    error: type[BoneAgeError],
    message: str,
    exported: Path,
    tmp_path: Path,
    write_predictions: WritePredictions,
) -> None:
    path = write_predictions(**settings)
    with pytest.raises(error, match=message):
        calibrate(model=str(exported), predictions=str(path), output=str(tmp_path / "local"))
    assert not (tmp_path / "local").exists()


def test_predictions_of_another_model_are_refused(
    exported: Path, tmp_path: Path, write_predictions: WritePredictions
) -> None:
    path = write_predictions()
    (path.parent / PROVENANCE).write_text('{"model": {"manifest_sha256": "0"}}')
    with pytest.raises(ModelRefusedError, match="another model"):
        calibrate(model=str(exported), predictions=str(path), output=str(tmp_path / "local"))
    (path.parent / PROVENANCE).unlink()
    with pytest.raises(InputDataError, match="Give the file in its folder"):
        calibrate(model=str(exported), predictions=str(path), output=str(tmp_path / "local"))


def test_data_prepared_in_another_way_are_refused(
    exported: Path, prepared: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(prepared, tmp_path / "data")
    manifest = json.loads((data / "manifest.json").read_text()) | {"fingerprint": "0" * 64}
    (data / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelRefusedError, match="in another way"):
        calibrate(
            model=str(exported), data=str(data), split="train", output=str(tmp_path / "local")
        )


@pytest.mark.parametrize(
    "sources", [{}, {"data": "d"}, {"split": "s"}, {"data": "d", "split": "s", "predictions": "p"}]
)
def test_one_source_of_labels_is_needed(
    sources: dict[str, str], exported: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="either --data with --split, or --predictions"):
        calibrate(model=str(exported), output=str(tmp_path / "local"), **sources)
