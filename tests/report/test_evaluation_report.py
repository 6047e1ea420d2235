import itertools
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes
from page_reader import Page

from bone_age_tf.errors import InputDataError
from bone_age_tf.evaluation.evaluate import EVALUATION_SCHEMA, evaluate
from bone_age_tf.evaluation.stress.perturbations import GROUP_OF, GROUPS
from bone_age_tf.evaluation.stress.stress import STRESS_SCHEMA
from bone_age_tf.files.atomic import write_json
from bone_age_tf.files.provenance import model_name, write_provenance
from bone_age_tf.inference.sentences import years
from bone_age_tf.metrics.baseline import constant_baseline
from bone_age_tf.metrics.error_tables import tables
from bone_age_tf.metrics.predictions import LabelledPredictions, write_predictions
from bone_age_tf.report import figures
from bone_age_tf.report.evaluation_report import write_evaluation_report
from bone_age_tf.report.page import estimate, signed


def write_evaluation(folder: Path, count: int, *, identifier: str = "hand") -> Path:
    """An evaluation folder of so many drawn numbers, with pictures and intervals."""
    random = np.random.default_rng(count)
    true = random.uniform(3, 225, count).round()
    answers = np.clip(true + random.normal(0, 9, count), 0, 240)
    predictions = LabelledPredictions.of(
        [f"{identifier}{n}" for n in range(count)],
        random.integers(0, 3, count),
        true,
        answers,
        np.clip(answers - 15, 0, 240),
        np.clip(answers + 15, 0, 240),
    )
    (folder / "pictures").mkdir(parents=True)
    result = {
        "schema": EVALUATION_SCHEMA,
        "model": {"kind": "run", "weights_sha256": "0" * 64, "checkpoint": "best"},
        "target": "bone_age",
        "data": {"plan": "1" * 64, "split": "test"},
        "fingerprint": "2" * 64,
        "trained_on_split": False,
        "confidence_interval": "95% bootstrap",
        **tables(predictions),
        "constant": constant_baseline(predictions.predicted, true, None),
    }
    for kind in ("worst", "best"):
        for number, entry in enumerate(result[kind]):
            entry["picture"] = f"pictures/{kind}-{number}.png"
            cv2.imwrite(str(folder / entry["picture"]), np.full((13, 10), 90, np.uint8))
    write_predictions(folder, predictions)
    write_json(folder / "evaluation.json", result)
    write_provenance(folder, "evaluate", model="1")
    return folder


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("count", [1, 2, 40, 2000])
def test_a_page_holds_all_it_shows(count: int, tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "evaluation", count)
    path = write_evaluation_report(str(folder), str(tmp_path / "deep/report.html"))
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.named("svg")) == 4
    shown = min(count, 20) + min(8, max(0, count - 20))
    sources = [image["src"] or "" for image in page.named("img") if "alt" in image]
    assert len(sources) == shown
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    addresses = re.findall(r"""(?:src|href)=["']?([^"'\s>]+)|url\(([^)]+)\)""", text)
    for address in filter(None, (part for pair in addresses for part in pair)):
        assert address.startswith(("data:", "#")), address  # nothing comes from elsewhere
    assert page.named("script") == page.named("link") == []
    assert len(text) < 3_000_000
    assert page.text.count("Not a medical device") == 1
    assert ("Only" in page.text) == (count < 100)


def test_the_numbers_are_those_of_the_evaluation(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "evaluation", 300)
    page = read(write_evaluation_report(str(folder), str(tmp_path / "report.html")))
    result = json.loads((folder / "evaluation.json").read_text())
    assert estimate(result["overall"]["mae_months"]) in page.text
    for name in ("by_sex", "by_age_band", "by_stage"):
        for summary in result[name].values():
            assert estimate(summary["rmse_months"]) in page.text
    covered = result["prediction_intervals"]["by_age_band"]["8-12 years"]
    assert estimate(covered["coverage"], 0, 100) in page.text
    bands = [
        page.text.index(band) for band in ("0-4 years", "4-8 years", "8-12 years", "12-16 years")
    ]
    assert bands == sorted(bands)
    for entry in result["worst"]:
        assert entry["id"] in page.text
        assert years(entry["bone_age_months"]) in page.text


def test_shares_within_six_and_twelve_months_are_at_the_top(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "evaluation", 300)
    page = read(write_evaluation_report(str(folder), str(tmp_path / "report.html")))
    overall = json.loads((folder / "evaluation.json").read_text())["overall"]
    for months in (6, 12):
        share = 100 * overall[f"within_{months}_months"]["value"]
        assert f"{share:.0f} %within {months} months" in page.text


def test_a_model_is_named_by_more_than_a_number() -> None:
    named = {"runs/1": "runs/1", "saved_models/bone_age": "bone_age", "a/bone_age/2": "bone_age/2"}
    assert {path: model_name(path) for path in named} == named


@pytest.mark.parametrize("kind", ["wide", "far", "equal", "few"])
def test_limits_of_agreement_are_inside_the_axes(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = {"wide": [-29, 29, 29], "far": [95, 100, 130], "equal": [4, 4, 4], "few": [90, -90]}[
        kind
    ]
    true = np.full(len(errors), 100.0)
    predictions = LabelledPredictions.of(
        list("abc")[: len(true)], [0] * len(true), true, true + errors
    )
    drawn: list[Axes] = []
    draw = Axes.set_xticks
    monkeypatch.setattr(Axes, "set_xticks", lambda axes, *a, **k: (drawn.append(axes), draw(axes, *a, **k)))  # fmt: skip
    figures.bland_altman(predictions)
    (axes,) = {id(one): one for one in drawn}.values()
    low, high = axes.get_ylim()
    heights = [line.get_ydata()[0] for line in axes.get_lines()]
    assert len(heights) == (1 if kind == "few" else 3)
    assert all(low < height < high for height in [*heights, *errors])
    labels = sorted(text.xy[1] for text in axes.texts)
    apart = 0.16 * high
    assert all(b - a >= apart for a, b in itertools.pairwise(labels))


def test_names_are_text_not_html(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "evaluation", 3, identifier="<script>alert(1)</script>")
    page = read(write_evaluation_report(str(folder), str(tmp_path / "report.html")))
    assert page.named("script") == []
    assert "<script>alert(1)</script>0" in page.text


def test_an_evaluation_of_a_run_becomes_a_page(run: Path, prepared: Path, tmp_path: Path) -> None:
    evaluate(model=str(run), data=str(prepared), split="train", output=str(tmp_path / "evaluated"))
    page = read(write_evaluation_report(str(tmp_path / "evaluated"), str(tmp_path / "r.html")))
    assert len(page.named("img")) >= 20
    assert "was trained on the split 'train': its errors are optimistically biased" in page.text
    assert "MAE of a constant prediction" in page.text


def write_stress(folder: Path, **other: Any) -> str:
    """A `stress.json` with every change; returns its folder."""
    number = {"value": 0.5, "low": -1.0, "high": 2.0}
    summary = {
        "n": 9,
        "rejected": 3,
        "rejection_reasons": {"two_hands": 2, "blank": 1},
        "accepted_only_changed": 0,
        "mean_shift_months": number,
        "mean_absolute_shift_months": number,
        "p95_absolute_shift_months": None,
        "largest_absolute_shift_months": 7.0,
        "mae_shift_months": number,
        "significant_changes": None,
    }
    written = {
        "schema": STRESS_SCHEMA,
        "model": {"version": "1", "manifest_sha256": "a" * 64},
        "radiographs": {"n": 12, "labelled": 12, "trained_on": 0, "rejected_unchanged": 0},
        "mae_months": number,
        "changes": [{"change": n, "group": g, **summary} for n, g in GROUP_OF.items()],
    }
    folder.mkdir()
    write_json(folder / "stress.json", written | other)
    return str(folder)


@pytest.fixture
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("true_and_predicted", "bland_altman", "error_by_age", "within"):
        monkeypatch.setattr(figures, name, lambda *_: "")


@pytest.mark.usefixtures("_no_figures")
def test_stress_is_shown_by_group_from_the_weakest_on(tmp_path: Path) -> None:
    folder, output = write_evaluation(tmp_path / "evaluation", 30), str(tmp_path / "r.html")
    stress = write_stress(tmp_path / "stress")
    page = read(write_evaluation_report(str(folder), output, stress=stress))
    names = (*GROUPS["sharpness"], "processing", "CLAHE clip 2", "CLAHE clip 4")
    places = [page.text.index(name) for name in ("sharpness", *names)]
    assert places == sorted(places)
    assert page.text.count("0.50 [\N{MINUS SIGN}1.00, 2.00]") >= 3 * len(GROUP_OF)
    assert "3 (two_hands 2, blank 1)" in page.text
    assert "change of MAE" in page.text
    assert "was trained on" not in page.text


@pytest.mark.usefixtures("_no_figures")
def test_stress_without_labels_has_no_mae(tmp_path: Path) -> None:
    folder, output = write_evaluation(tmp_path / "evaluation", 30), str(tmp_path / "r.html")
    counts = {"n": 12, "labelled": 0, "trained_on": 5, "rejected_unchanged": 0}
    stress = write_stress(tmp_path / "stress", mae_months=None, radiographs=counts)
    page = read(write_evaluation_report(str(folder), output, stress=stress))
    assert "change of MAE" not in page.text
    assert "The model was trained on 5 of them" in page.text


def test_other_folders_are_refused(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "evaluation", 5)
    with pytest.raises(InputDataError, match=r"stress\.json: expected"):
        write_evaluation_report(str(folder), str(tmp_path / "r.html"), stress=str(folder))
    values = json.loads((folder / "evaluation.json").read_text())
    write_json(folder / "evaluation.json", values | {"target": "sex"})
    with pytest.raises(InputDataError, match="evaluates the sex"):
        write_evaluation_report(str(folder), str(tmp_path / "r.html"))
    write_json(folder / "evaluation.json", values | {"schema": "bone-age-tf/evaluation/1"})
    with pytest.raises(InputDataError, match="expected 'bone-age-tf/evaluation/4'"):
        write_evaluation_report(str(folder), str(tmp_path / "r.html"))
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("months", "text"), [(0, "0 y 0 m"), (11.6, "1 y 0 m"), (123, "10 y 3 m"), (239.4, "19 y 11 m")]
)
def test_months_are_shown_as_years(months: float, text: str) -> None:
    assert years(months) == text


def test_signs_are_typographic() -> None:
    assert (signed(1.25), signed(-0.4)) == ("+1.2", "\N{MINUS SIGN}0.4")
    assert estimate({"value": None, "low": None, "high": None}) == "\N{EN DASH}"
    assert estimate({"value": -0.04, "low": -0.06, "high": -0.01}, 1) == (
        "0.0 [\N{MINUS SIGN}0.1, 0.0]"
    )
