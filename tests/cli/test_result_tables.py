"""Tables on the terminal: within 80 columns, and unchanged when copied."""

from types import SimpleNamespace
from typing import Any

import pytest

from bone_age_tf.cli import console, result_tables
from bone_age_tf.config import TTA_VIEWS
from bone_age_tf.growth import Heights, assess
from bone_age_tf.inference.sentences import WARNINGS
from bone_age_tf.metrics.bone_age import AGE_BANDS

INTERVAL = "95 % bootstrap, 2000 resamples of radiographs"
SHARES = {
    f"within_{months}_months": {"value": 0.5, "low": 0.4, "high": 0.6} for months in (6, 12, 24)
}


def statistic(value: float, half_width: float = 0.5) -> dict[str, float]:
    return {"value": value, "low": value - half_width, "high": value + half_width}


def errors(n: int) -> dict[str, Any]:
    return {
        "n": n,
        "mae_months": statistic(8.92),
        "rmse_months": statistic(11.25),
        "bias_months": statistic(-1.04),
        **SHARES,
    }


CONSTANT = {
    "months": 127.9,
    "mean_of": "training",
    "mae_months": statistic(33.25),
    "difference_months": statistic(-24.33),
    "model_is_better": True,
}
EVALUATION = {
    "trained_on_split": False,
    "left_out": {"by_prepare": 8, "reasons": {"two_hands": 5, "no_whole_hand": 3}},
    "constant": CONSTANT,
    "overall": errors(1425),
    "by_sex": {"F": errors(652), "M": errors(773)},
    "by_age_band": dict.fromkeys(AGE_BANDS, errors(285)),
    "confidence_interval": INTERVAL,
    "data": {"split": "validation"},
}
LINE = {"intercept_months": -3.25, "slope": 1.021}
CORRECTION = {"method": "linear", "kept": True, "F": LINE, "M": LINE, "unknown": LINE}
BY_AGE = {
    kind: {band: {"n": 285, "bias_months": statistic(-2.71)} for band in AGE_BANDS}
    for kind in ("by_true_age", "by_predicted_age")
}
HELD = {
    "coverage": statistic(0.9, 0.05),
    "by_predicted_age": {band: {"n": 285, "coverage": statistic(0.9, 0.05)} for band in AGE_BANDS},
}
BY_SEX = {"overall": errors(951), "by_sex": {"F": errors(430), "M": errors(521)}}
ENSEMBLE = {
    "families": [{"name": "high_resolution frame 325 x 250", "weight": 1.0}],
    "result": {
        "families": {"high_resolution frame 325 x 250": BY_SEX},
        "before_correction": BY_SEX,
        "after_correction": BY_SEX,
        "constant": CONSTANT,
        "confidence_interval": INTERVAL,
        "bias_by_age": {"before": BY_AGE, "after": BY_AGE},
        "coverage_cross_validated": HELD,
    },
    "correction": CORRECTION,
    "held_out": {"radiographs": 951, "of": 951},
}
CALIBRATION = {
    "correction": CORRECTION,
    "intervals": {
        "coverage": 0.9,
        "by_predicted_age": {
            sex: {band: {"low_months": -17.31, "high_months": 22.14} for band in AGE_BANDS}
            for sex in ("F", "M", "unknown")
        },
    },
    "result": {
        "before": BY_SEX,
        "after_cross_validated": BY_SEX,
        "confidence_interval": INTERVAL,
        "bias_by_age": {"before": BY_AGE, "after": BY_AGE},
        "coverage_cross_validated": HELD,
    },
}
CURVE = {"predicted_months": [0, 48, 144, 240], "months": [-8.2, 43.12, 141.0, 244.0]}
CURVES = {"method": "monotone", "kept": True, "F": CURVE, "M": CURVE, "unknown": CURVE}
COMPARISON = {
    "first": "default",
    "second": "high_resolution",
    "trained_on_split": [False, True],
    "n": 951,
    "mae_months": {"first": statistic(8.98), "second": statistic(8.34)},
    "difference_months": statistic(-0.64, 0.2),
    "by_sex": {"F": {"n": 430, **statistic(-0.7)}},
    "by_age_band": {},
    "verdict": "second",
    "notable_months": 6.0,
    "notably_better": 40,
    "notably_worse": 21,
    "confidence_interval": f"{INTERVAL}, paired",
}


@pytest.mark.parametrize(
    "text",
    [
        result_tables.evaluation_table(EVALUATION),
        result_tables.ensemble_table(ENSEMBLE),
        result_tables.calibration_table(CALIBRATION),
        result_tables.calibration_table(CALIBRATION | {"correction": CURVES}),
        result_tables.comparison_text(COMPARISON),
    ],
    ids=["evaluation", "ensemble", "calibration", "curves", "comparison"],
)
def test_a_result_fits_80_columns(text: str) -> None:
    assert max(map(len, text.splitlines())) <= 80
    assert text.isprintable() or text.replace("\n", "").isprintable()


def test_a_curve_is_shown_by_its_points_within_the_scale() -> None:
    lines = result_tables.calibration_table(CALIBRATION | {"correction": CURVES}).splitlines()
    start = lines.index("recalibration, months") + 1
    assert lines[start].split() == ["from", "0", "48", "144", "240"]
    assert lines[start + 1].split() == ["to,", "F", "0.0", "43.1", "141.0", "240.0"]


NO_BETTER = CONSTANT | {"difference_months": statistic(0.2), "model_is_better": False}


def test_what_a_reader_must_know_comes_first() -> None:
    leaky = {"trained_on_split": True, "leakage": "runs/1 was trained on it (data leakage)."}
    text = result_tables.evaluation_table(EVALUATION | leaky | {"constant": NO_BETTER})
    first = " ".join(text[: text.index("months  ")].split())
    assert first == (
        "Warning: runs/1 was trained on it (data leakage). Warning: prepare left out 8 radiographs of this data set "
        "(two_hands 5, no_whole_hand 3): not in the errors. Warning: The model is no better than a constant prediction "
        "of 127.9 months (the mean of the training set), whose MAE is 33.25 (difference +0.20 [-0.30, "
        "0.70] months)."
    )


def test_a_constant_stands_beside_the_model() -> None:
    lines = result_tables.evaluation_table(EVALUATION).splitlines()
    overall = next(number for number, line in enumerate(lines) if line.startswith("overall"))
    assert lines[overall + 1].split() == ["constant", "1425", "33.25"]
    assert "constant: always 127.9 months (the mean of the training set)" in lines
    assert "33.25 [32.75, 33.75]" in result_tables.ensemble_table(ENSEMBLE)


def test_the_accuracy_of_predictions_is_wrapped() -> None:
    accuracy = {"overall": errors(40), "constant": NO_BETTER, "trained_on_split": False}
    text = result_tables.accuracy_text(accuracy)
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("Warning: The model is no better than a constant")
    assert "40 radiographs with a true bone age:\nMAE  8.92 [8.42, 9.42] months" in text
    assert "MAE of a constant 33.25 [32.75, 33.75] months\nconstant: always 127.9" in text


def test_columns_are_aligned() -> None:
    text = console.table([["split", "radiographs"], ["train", "9876"], ["test", "8"]])
    assert text == "split  radiographs\ntrain         9876\ntest             8"


def test_a_cell_is_no_markup_and_is_never_cut() -> None:
    name = "[red]" + "long" * 60 + ":smile:.png"
    header, row = console.table([["file", "sex"], [name, "F"]]).splitlines()
    assert header.startswith("file ")
    assert row == f"{name}    F"


def test_a_statistic_without_interval_stands_alone() -> None:
    few = {"value": 8.92, "low": None, "high": None}
    without = EVALUATION | {"overall": errors(3) | {"mae_months": few}}
    (row,) = (
        line for line in result_tables.evaluation_table(without).splitlines() if "overall" in line
    )
    assert row.split()[:4] == ["overall", "3", "8.92", "11.25"]


def test_a_leaky_comparison_says_so() -> None:
    text = result_tables.comparison_text(COMPARISON)
    assert text.startswith("Warning: high_resolution was trained or fitted on these radiographs")
    assert "data leakage" in text
    assert "high_resolution is better." in text


def test_predictions_have_columns_for_what_there_is() -> None:
    row = SimpleNamespace(
        file="hand.png",
        sex="F",
        bone_age_months=125.7,
        bone_age_low_months=None,
        bone_age_high_months=None,
        bone_age_months_true=None,
        chronological_age_months=None,
        difference_months=None,
        verdict="",
        reason="",
        warning="infant",
        status="ok",
        growth=None,
    )
    reason = "blank: all pixels have nearly the same grey level"
    rejected = SimpleNamespace(**{**vars(row), "bone_age_months": None, "reason": reason})
    report = SimpleNamespace(first=[row, rejected], predicted=8, rejected=1)
    lines = result_tables.prediction_table(report).splitlines()
    assert lines[0].split() == ["file", "sex", "months", "years", "status"]
    assert lines[1].split() == ["hand.png", "F", "125.7", "10y", "6m", "infant"]
    assert lines[2].split() == ["hand.png", "F", "blank"]
    assert lines[3:5] == ["... and 7 more", f"hand.png: {reason}"]
    assert " ".join(lines[5:]) == f"infant: {WARNINGS['infant']}"
    assert max(map(len, lines)) <= 80
    known = SimpleNamespace(**{**vars(row), "bone_age_months_true": 120.0})
    lost = SimpleNamespace(**{**vars(rejected), "bone_age_months_true": 96.0})
    report = SimpleNamespace(first=[known, lost, row], predicted=2, rejected=1)
    lines = result_tables.prediction_table(report).splitlines()
    assert lines[0].split() == ["file", "sex", "months", "true", "error", "years", "status"]
    assert lines[1].split()[2:5] == ["125.7", "120.0", "+5.7"]
    assert lines[2].split() == ["hand.png", "F", "96.0", "blank"]
    assert lines[3].split() == ["hand.png", "F", "125.7", "10y", "6m", "infant"]


def test_adult_heights_have_a_column_and_reasons_in_words() -> None:
    row = {"sex": "M", "bone_age_months": 123.0, "bone_age_low_months": None, "verdict": ""}
    row |= {"bone_age_high_months": None, "bone_age_months_true": None, "status": "ok"}
    row |= {
        "chronological_age_months": 98.0,
        "difference_months": 25.0,
        "reason": "",
        "warning": "",
    }
    given = {"bone_age_months": 123.0, "chronological_age_months": 98.0, "sex": "M"}
    shown = [
        SimpleNamespace(file=name, growth=growth, **row)
        for name, growth in (
            ("a", assess(Heights(140.0), **given, reading_method="greulich_pyle")),
            ("b", assess(Heights("1.4"), **given, reading_method="greulich_pyle")),
            ("c", None),
        )
    ]
    report = SimpleNamespace(first=shown, predicted=3, rejected=0)
    lines = result_tables.prediction_table(report).splitlines()
    assert lines[0].split()[-3:] == ["adult", "cm", "status"]
    assert [line.split()[-2] for line in lines[1:3]] == ["185.9", "bad_input"]
    text = " ".join(lines[4:])
    assert "b: bad_input: height_cm: expected a height in centimetres" in text
    assert "The bone age is more than two years ahead" in text
    assert max(map(len, lines)) <= 80


def test_long_names_of_files_are_shortened_in_the_middle() -> None:
    names = ["hand.png", "a" * 28, "a patient with a very long name, left hand.png"]
    row = {"sex": "F", "bone_age_months": 125.7, "bone_age_low_months": 110.0, "verdict": ""}
    row |= {"bone_age_high_months": 140.0, "chronological_age_months": None}
    row |= {"bone_age_months_true": None}
    row |= {"reason": "", "warning": "", "status": "ok", "growth": None}
    shown = [SimpleNamespace(file=name, **row) for name in names]
    report = SimpleNamespace(first=shown, predicted=3, rejected=0)
    lines = result_tables.prediction_table(report).splitlines()
    files = [line.partition("  F ")[0].rstrip() for line in lines[1:]]
    assert files == ["hand.png", "a" * 28, "a patient with …eft hand.png"]
    assert max(map(len, lines)) <= 80


def test_the_choices_are_the_names_of_the_views() -> None:
    from bone_age_tf.models.views import VIEWS

    assert set(TTA_VIEWS) == set(VIEWS)
