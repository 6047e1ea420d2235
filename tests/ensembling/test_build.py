import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from bone_age_tf import config as configuration
from bone_age_tf.cli.result_tables import ensemble_table
from bone_age_tf.config import ExperimentConfig, override
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.splits import select
from bone_age_tf.ensembling.build import ensemble
from bone_age_tf.ensembling.ensemble import Ensemble, is_trained, open_trained, shares_of
from bone_age_tf.ensembling.families import families_of
from bone_age_tf.errors import BoneAgeError, InputDataError, ModelRefusedError, UsageError
from bone_age_tf.evaluation.evaluate import evaluate
from bone_age_tf.export.export import export_saved_model
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.models.ensemble_model import Member, build_ensemble_model
from bone_age_tf.models.views import VIEWS
from bone_age_tf.postprocessing.bias_correction import (
    NO_CORRECTION,
    SexSpecificRecalibration,
    fit_lines,
)
from bone_age_tf.postprocessing.conformal import fit_intervals
from bone_age_tf.training.run import Run

MakeRun = Callable[..., str]


@pytest.fixture(scope="module")
def make_run(run: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """A run folder like `run`'s with settings changed and random weights by `seed`."""
    base = tmp_path_factory.mktemp("runs")

    def make(*assignments: str, seed: int = 0, spread: float = 3, **changes: Any) -> str:
        folder = base / str(len(list(base.iterdir())))
        folder.mkdir()
        description = json.loads((run / "run.json").read_text()) | changes
        config = configuration.from_dict(ExperimentConfig, description["config"])
        config = override(config, [f"train.seed={seed}", "model.dropout=0", *assignments])
        description["config"] = configuration.to_dict(config)
        (folder / "run.json").write_text(json.dumps(description))
        keras.utils.set_random_seed(seed)
        made = Run.open(folder)
        model = _random_model(made, spread)
        for epoch in ("best", "last"):
            model.save_weights(folder / f"{epoch}.weights.h5")
        return str(folder)

    return make


def _random_model(made: Run, spread: float) -> keras.Model:
    from bone_age_tf.models.bone_age_model import build_bone_age_model

    model = build_bone_age_model(
        made.config.model, made.preprocessing.frame, region=made.config.data.region
    )
    weights = [value * spread for value in model.get_layer("score").get_weights()]
    model.get_layer("score").set_weights(weights)  # so that members differ by months
    return model


@pytest.fixture(scope="module")
def members(make_run: MakeRun) -> list[str]:
    """Two folds on the frame; on the hand, two networks for girls and one for boys."""
    return [
        make_run("data.fold=1/2", seed=1),
        make_run("data.fold=2/2", seed=2),
        make_run("data.region=hand", "data.sex=F", "data.fold=1/2", seed=3),
        make_run("data.region=hand", "data.sex=F", "data.fold=2/2", seed=4),
        make_run("data.region=hand", "data.sex=M", seed=5),
    ]


@pytest.fixture(scope="module")
def made(
    members: list[str], prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """An ensemble of `members`, its folder and description. Read only."""
    output = tmp_path_factory.mktemp("ensembles") / "1"
    return output, ensemble(members, data=str(prepared), output=str(output), tta="warps")


@pytest.fixture(scope="module")
def everyone(prepared: Path) -> dict[str, np.ndarray]:
    """All radiographs of the splits train and validation: `id`, `image`, `sex`, by id."""
    radiographs = PreparedRadiographs.open(prepared)
    examples = [e for s in ("train", "validation") for e in radiographs.examples(s)]
    names = ("id", "image", "sex", "bone_age_months")
    return {name: np.stack([e[name].numpy() for e in examples]) for name in names}


def answers(folder: str, inputs: dict[str, np.ndarray], sex: np.ndarray) -> np.ndarray:
    return Run.open(folder).load_model().predict_on_batch({"image": inputs["image"], "sex": sex})


def read_predictions(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_members_that_differ_in_data_and_seed_alone_are_a_family() -> None:
    base = ExperimentConfig()
    changes = [
        ["data.fold=1/5", "model.age_mean_months=120"],
        ["data.fold=2/5", "train.seed=3", "model.age_mean_months=110"],
        ["data.region=hand"],
        ["train.epochs=3"],
        ["data.region=hand", "logging.wandb=true"],
        ["data.region=hand", "data.sex=M"],
        ["data.region=hand", "data.sex=F", "data.fold=1/5"],
        ["data.fold=3/5", "train.readers=2", "train.cache=no", "train.normalization=synchronized"],
    ]
    names, families = families_of([override(base, change) for change in changes])
    assert families == [0, 0, 1, 2, 1, 3, 3, 0]
    frame = "inception_v3 frame regression"
    hand = "inception_v3 hand regression"
    assert names == [frame, hand, f"{frame} 2", f"{hand} by sex"]


def test_shares_add_up_for_every_sex() -> None:
    shares = shares_of(["both", "F", "M", "M"], [0, 1, 1, 1], [0.4, 0.6])
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    np.testing.assert_allclose(shares[:, 0], [0.4, 0.6, 0, 0])
    np.testing.assert_allclose(shares[:, 1], [0.4, 0, 0.3, 0.3])
    np.testing.assert_allclose(shares[:, 2], [0.4, 0.3, 0.15, 0.15])


def test_held_out_predictions_are_those_of_members_that_did_not_learn(
    members: list[str], prepared: Path, everyone: dict[str, np.ndarray], tmp_path: Path
) -> None:
    output = tmp_path / "folds"
    made = ensemble(members[:2], data=str(prepared), output=str(output))
    rows = {row["id"]: row for row in read_predictions(output)}
    assert made["held_out"] == {"radiographs": 32, "of": 32}
    assert len(rows) == 32
    ids = [identifier.decode() for identifier in everyone["id"]]
    radiographs = PreparedRadiographs.open(prepared)
    for folder in members[:2]:
        held_out = select(radiographs, Run.open(folder).config.data).validation
        assert held_out is not None
        months = dict(zip(ids, answers(folder, everyone, everyone["sex"]), strict=True))
        for identifier in held_out.ids:
            received = float(rows[identifier]["tiny frame regression"])
            assert received == pytest.approx(float(months[identifier]), abs=0.0101)


def test_the_correction_is_fitted_on_what_was_held_out(
    make_run: MakeRun, prepared: Path, tmp_path: Path
) -> None:
    folders = [make_run(f"data.fold={n}/2", seed=n, spread=60) for n in (1, 2)]
    folder = tmp_path / "spread"
    description = ensemble(folders, data=str(prepared), output=str(folder))
    rows = read_predictions(folder)
    true = np.array([float(row["bone_age_months_true"]) for row in rows])
    names = [family["name"] for family in description["families"]]
    plain = np.mean([[float(row[name]) for row in rows] for name in names], axis=0)
    sex = np.array(["FM".index(row["sex"]) for row in rows])
    lines = fit_lines(sex, plain, true)
    assert description["correction"]["kept"]
    shown = ensemble_table(description)
    for line, name in zip(lines.maps, ("F", "M", "unknown"), strict=True):
        kept = description["correction"][name]
        assert kept["slope"] == pytest.approx(line.slope, rel=0.01)
        assert f"{name} {kept['intercept_months']:+.2f} months + {kept['slope']:.3f}" in shown
    result = description["result"]
    assert result["before_correction"]["overall"]["mae_months"]["value"] == pytest.approx(
        np.abs(plain - true).mean(), abs=0.01
    )
    corrected = np.array([float(row["bone_age_months"]) for row in rows])
    evaluated = result["after_correction"]["overall"]["mae_months"]
    assert evaluated["value"] == pytest.approx(np.abs(corrected - true).mean(), abs=0.01)
    assert evaluated["low"] < evaluated["value"] < evaluated["high"]
    assert (
        evaluated["value"] > np.abs(lines(plain, sex) - true).mean()
    )  # what was fitted to them flatters


def test_a_correction_that_does_not_help_is_left_out(
    made: tuple[Path, dict[str, Any]],
) -> None:
    """Random networks that all but agree: any slope fits chance."""
    folder, description = made
    lines = {"method": "linear", "kept": False, **NO_CORRECTION.describe()}
    assert description["correction"] == lines
    before, after = (
        description["result"][f"{time}_correction"]["overall"]["mae_months"]["value"]
        for time in ("before", "after")
    )
    assert after > before
    written = [
        abs(float(r["bone_age_months"]) - float(r["bone_age_months_true"]))
        for r in read_predictions(folder)
    ]
    assert np.mean(written) == pytest.approx(before, abs=0.01)


def test_the_epoch_is_the_last_or_the_best_of_each_member(
    make_run: MakeRun, prepared: Path, tmp_path: Path
) -> None:
    folders = [make_run(f"data.fold={n}/2", seed=n) for n in (1, 2)]
    for number, folder in enumerate(folders):
        (Path(folder) / "best.weights.h5").write_bytes(
            (Path(folders[1 - number]) / "last.weights.h5").read_bytes()
        )
    for epoch in ("best", "last"):
        ensemble(folders, data=str(prepared), output=str(tmp_path / epoch), checkpoint=epoch)
    best, last = (Ensemble.open(tmp_path / epoch).members for epoch in ("best", "last"))
    assert [run.checkpoint for run in best] == ["best", "best"]
    assert best[0].weights_sha256() == last[1].weights_sha256()
    with pytest.raises(UsageError, match="--checkpoint last: .* is an ensemble"):
        open_trained(tmp_path / "last", "last")


def test_only_radiographs_that_every_family_holds_out_are_evaluated(
    made: tuple[Path, dict[str, Any]], everyone: dict[str, np.ndarray], prepared: Path
) -> None:
    """The boys' network on the hand has the split validation alone."""
    folder, description = made
    radiographs = PreparedRadiographs.open(prepared)
    validation = radiographs.records("validation")
    expected = int((everyone["sex"] == 0).sum() + (validation.sex == 1).sum())
    assert description["held_out"] == {"radiographs": expected, "of": 32}
    rows = read_predictions(folder)
    assert len(rows) == expected
    by_sex = description["result"]["before_correction"]["by_sex"]
    assert {sex: summary["n"] for sex, summary in by_sex.items()} == {
        sex: sum(row["sex"] == sex for row in rows) for sex in ("F", "M")
    }


def test_the_model_is_its_members_weighted_and_corrected(
    members: list[str], made: tuple[Path, dict[str, Any]], everyone: dict[str, np.ndarray]
) -> None:
    folder, description = made
    opened = Ensemble.open(folder)
    plain = Ensemble(**{**vars(opened), "tta": "none"})
    sex = np.resize(np.array([0, 1, 2], np.int32), 32)
    months = plain.load_model().predict_on_batch({"image": everyone["image"], "sex": sex})
    first, second = (answers(folder, everyone, sex) for folder in members[:2])
    girls = [answers(folder, everyone, np.zeros_like(sex)) for folder in members[2:4]]
    boys = answers(members[4], everyone, np.ones_like(sex))
    of_girls = np.mean(girls, axis=0)
    hand = np.choose(sex, [of_girls, boys, (of_girls + boys) / 2])
    together = ((first + second) / 2 + hand) / 2
    expected = SexSpecificRecalibration.of(description["correction"])(together, sex)
    np.testing.assert_allclose(months, expected, rtol=1e-3, atol=0.05)


def test_the_folder_needs_nothing_else(
    made: tuple[Path, dict[str, Any]], tmp_path: Path, everyone: dict[str, np.ndarray]
) -> None:
    inputs = {name: everyone[name][:4] for name in ("image", "sex")}
    moved = shutil.copytree(made[0], tmp_path / "moved")
    months = [
        open_trained(folder).load_model().predict_on_batch(inputs) for folder in (made[0], moved)
    ]
    assert months[0].tolist() == months[1].tolist()
    assert is_trained(moved)
    assert open_trained(moved).weights_sha256() == open_trained(made[0]).weights_sha256()
    members = made[1]["members"]
    assert [member["family"] for member in members] == [0, 0, 1, 1, 1]
    assert len({member["weights_sha256"] for member in members}) == 5


@pytest.mark.large
def test_it_is_evaluated_and_exported_like_a_run(
    made: tuple[Path, dict[str, Any]], prepared: Path, tmp_path: Path
) -> None:
    folder = str(made[0])
    evaluated = evaluate(model=folder, data=str(prepared), output=str(tmp_path / "one"))
    assert evaluated["model"]["kind"] == "ensemble"
    exported = export_saved_model(
        run=folder, output=str(tmp_path / "model"), evaluation=str(tmp_path / "one/evaluation.json")
    )
    model = ExportedModel.open(exported)  # refuses operations that are not allowed
    again = evaluate(model=str(exported), data=str(prepared), output=str(tmp_path / "two"))
    for one, two in zip(*map(read_predictions, (tmp_path / "one", tmp_path / "two")), strict=True):
        assert one["id"] == two["id"]
        assert float(one["bone_age_months"]) == pytest.approx(
            float(two["bone_age_months"]), abs=0.05
        )
    assert again["model"]["weights_sha256"] == evaluated["model"]["weights_sha256"]
    assert model.manifest["config"]["ensemble"]["tta"] == "warps"
    assert len(model.manifest["config"]["members"]) == 5
    assert model.manifest["metrics"]["training"] == made[1]["result"]


def test_one_run_gets_views_and_correction(
    members: list[str], prepared: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    made = ensemble(
        members[:1], data=str(prepared), output=str(alone), tta="warps", correction="none"
    )
    lines = {"method": "none", "kept": False, **NO_CORRECTION.describe()}
    assert made["correction"] == lines
    assert [family["weight"] for family in made["families"]] == [1.0]
    result = made["result"]
    assert result["before_correction"] == result["after_correction"]
    assert result["families"]["tiny frame regression"] == result["before_correction"]


def test_fitted_weights_add_up(members: list[str], prepared: Path, tmp_path: Path) -> None:
    made = ensemble(
        members,
        data=str(prepared),
        output=str(tmp_path / "fitted"),
        weighting="fitted",
        correction="none",
    )
    weights = [family["weight"] for family in made["families"]]
    assert sum(weights) == pytest.approx(1)
    assert min(weights) >= 0
    assert weights != [0.5, 0.5]
    assert Ensemble.open(tmp_path / "fitted").weights == tuple(weights)


@pytest.mark.parametrize(
    ("runs", "settings", "error", "message"),
    [
        ([["data.fold=1/2"]], {"tta": "mirror"}, UsageError, "not trained on mirrored hands"),
        ([["data.sex=F"]], {}, UsageError, "no member for boys.*data.sex=M"),
        ([[]], {}, InputDataError, "8 radiographs were held out.*at least 20"),
        ([[]], {"tta": "many"}, UsageError, "--tta: expected one of none, mirror"),
        ([[]], {"weighting": "best"}, UsageError, "--weighting: expected one of mean, fitted"),
        ([{"fingerprint": "0" * 64}], {}, ModelRefusedError, "in another way.*000000000000"),
        ([{"data": {"plan": "other"}}], {}, ModelRefusedError, "another data set than"),
        ([["model.target=sex"]], {}, ModelRefusedError, "predicts the sex"),
    ],
)
def test_what_does_not_go_together_is_refused(
    runs: list[Any],
    settings: dict[str, str],
    error: type[BoneAgeError],
    message: str,
    make_run: MakeRun,
    prepared: Path,
    tmp_path: Path,
) -> None:
    folders = [make_run(**r) if isinstance(r, dict) else make_run(*r) for r in runs]
    with pytest.raises(error, match=message):
        ensemble(folders, data=str(prepared), output=str(tmp_path / "output"), **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_run_counts_once(members: list[str], prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="twice"):
        ensemble([members[0]] * 2, data=str(prepared), output=str(tmp_path / "output"))


def test_nothing_is_overwritten(members: list[str], prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        ensemble(members, data=str(prepared), output=str(tmp_path))


@pytest.mark.parametrize("change", ["weights", "description", "no weights"])
def test_a_changed_folder_is_refused(
    change: str, made: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = shutil.copytree(made[0], tmp_path / "copy")
    if change == "description":
        (folder / "ensemble.json").write_text("{}")
    elif change == "weights":
        shutil.copy(folder / "members/1/last.weights.h5", folder / "members/2/last.weights.h5")
    else:
        (folder / "members/2/last.weights.h5").unlink()
    with pytest.raises(ModelRefusedError, match="not an ensemble|not the weights"):
        Ensemble.open(folder)


@pytest.fixture(scope="module")
def folds(make_run: MakeRun, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of two folds whose correction is kept. Read only."""
    output = tmp_path_factory.mktemp("folds") / "2"
    runs = [make_run(f"data.fold={n}/2", seed=n, spread=60) for n in (1, 2)]
    ensemble(runs, data=str(prepared), output=str(output), tta="warps")
    return output


@pytest.mark.large
def test_a_run_is_exported_with_what_its_folds_held_out(
    folds: Path, make_run: MakeRun, everyone: dict[str, np.ndarray], tmp_path: Path
) -> None:
    whole = make_run(seed=5)
    exported = export_saved_model(
        run=whole, output=str(tmp_path / "model"), cross_validation=str(folds), checkpoint="last"
    )
    model, opened = ExportedModel.open(exported), Ensemble.open(folds)
    assert opened.description["correction"]["kept"]
    network = Run.open(whole, "last").load_model()
    sex, inputs = everyone["sex"], {name: everyone[name] for name in ("image", "sex")}
    names = ["FM"[code] for code in sex]
    received = model.answers_of_prepared(everyone["image"], names)
    for views, months in (
        ("warps", received["bone_age_months"]),
        ("none", model.months_of_one_view(everyone["image"], names)),
    ):
        alone = build_ensemble_model([Member(network, (1, 1, 1))], VIEWS[views])
        expected = opened.correction(alone.predict_on_batch(inputs), sex)
        np.testing.assert_allclose(months, expected, atol=0.05)
    fitted = fit_intervals(*_columns(read_predictions(folds)))
    assert model.manifest["intervals"] == fitted.describe()
    down = fitted.offsets_of(sex, received["bone_age_months"])[:, 0]
    low = np.clip(received["bone_age_months"] + down, 0, 240)
    np.testing.assert_allclose(received["bone_age_low_months"], low, atol=0.01)
    section = model.manifest["metrics"]["cross_validation"]
    assert section["result"] == opened.description["result"]
    assert section["tta"] == "warps"


def _columns(rows: list[dict[str, str]]) -> list[np.ndarray]:
    """Sex codes, predicted and true months."""
    sex = np.array(["FM".index(row["sex"]) for row in rows])
    names = ("bone_age_months", "bone_age_months_true")
    return [sex, *(np.array([float(row[name]) for row in rows]) for name in names)]


@pytest.mark.parametrize(
    ("settings", "changes", "error", "message"),
    [
        (["train.learning_rate=0.5"], {}, ModelRefusedError, "with other settings"),
        ([], {"data": {"plan": "other"}}, ModelRefusedError, "another data set"),
        (["data.fold=1/2"], {}, ModelRefusedError, "is a fold itself"),
    ],
)
def test_folds_of_something_else_are_refused(
    settings: list[str],
    changes: dict[str, Any],
    error: type[BoneAgeError],
    message: str,
    folds: Path,
    make_run: MakeRun,
    tmp_path: Path,
) -> None:
    whole = make_run(*settings, **changes)
    with pytest.raises(error, match=message):
        export_saved_model(
            run=whole,
            output=str(tmp_path / "model"),
            cross_validation=str(folds),
            checkpoint="last",
        )
    with pytest.raises(UsageError, match="has its own held-out predictions"):
        export_saved_model(
            run=str(folds), output=str(tmp_path / "model"), cross_validation=str(folds)
        )
    assert not list((tmp_path / "model").glob("*"))


def test_folds_count_once_and_with_the_exported_epoch(
    folds: Path, make_run: MakeRun, prepared: Path, tmp_path: Path
) -> None:
    whole, output = make_run(seed=5), str(tmp_path / "model")
    with pytest.raises(ModelRefusedError, match="each fold once.*best"):
        export_saved_model(run=whole, output=output, cross_validation=str(folds))
    twice = [make_run(f"data.fold={n}/2", seed=seed) for n in (1, 2) for seed in (1, 2)]
    ensemble(twice, data=str(prepared), output=str(tmp_path / "twice"))
    with pytest.raises(ModelRefusedError, match="each fold once.*1/2, 1/2, 2/2, 2/2"):
        export_saved_model(
            run=whole, output=output, cross_validation=str(tmp_path / "twice"), checkpoint="last"
        )
    with pytest.raises(UsageError, match="Give one of them"):
        export_saved_model(
            run=whole, output=output, cross_validation=str(folds), evaluation="e.json"
        )


@pytest.mark.large
def test_an_ensemble_is_exported_with_intervals(folds: Path, tmp_path: Path) -> None:
    exported = export_saved_model(run=str(folds), output=str(tmp_path / "model"))
    fitted = fit_intervals(*_columns(read_predictions(folds)))
    assert ExportedModel.open(exported).manifest["intervals"] == fitted.describe()
