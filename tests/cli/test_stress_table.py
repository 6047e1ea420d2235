"""The table of `stress` on the terminal."""

from typing import Any

from bone_age_tf.cli.stress_table import stress_table
from bone_age_tf.evaluation.stress.perturbations import GROUP_OF, GROUPS


def estimate(value: float, half_width: float = 1.5) -> dict[str, float]:
    return {"value": value, "low": value - half_width, "high": value + half_width}


CHANGE = {
    "n": 951,
    "rejected": 13,
    "rejection_reasons": {"mask_touches_top": 9, "no_whole_hand": 3, "implausible_proportions": 1},
    "accepted_only_changed": 2,
    "mae_shift_months": estimate(12.34),
    "mean_shift_months": estimate(-1.52),
    "mean_absolute_shift_months": estimate(12.5),
    "p95_absolute_shift_months": 34.56,
    "largest_absolute_shift_months": 134.5,
    "significant_changes": None,
}
NOTHING_LEFT = {
    **{name: None for name in CHANGE if "months" in name},
    "n": 0,
    "rejected": 951,
    "rejection_reasons": {"blank": 951},
    "accepted_only_changed": 0,
}


def result(*, labelled: int = 951, trained_on: int = 0) -> dict[str, Any]:
    changes = [
        {"change": name, "group": group, **(NOTHING_LEFT if name == "inverted" else CHANGE)}
        for name, group in GROUP_OF.items()
    ]
    return {
        "changes": changes,
        "left_out": {"no_sex": 3, "only_in_second": 2},
        "radiographs": {
            "n": 959,
            "labelled": labelled,
            "trained_on": trained_on,
            "rejected_unchanged": 8,
            "rejection_reasons": {"two_hands": 5, "no_whole_hand": 3},
        },
        "mae_months": estimate(9.9) if labelled else None,
        "confidence_interval": "95 % bootstrap, 2000 resamples of radiographs, paired",
    }


def test_it_fits_the_terminal_and_has_every_change_below_its_group() -> None:
    lines = stress_table(result(trained_on=951)).splitlines()
    assert max(map(len, lines)) <= 80
    firsts = [line for line in lines if line in GROUPS]
    assert firsts == list(GROUPS)
    row = next(line for line in lines if line.startswith("  CLAHE clip 4"))
    assert lines.index("processing") < lines.index(row) < lines.index("borders")
    assert "+12.3 [10.8, 13.8]" in row
    assert row.split()[-2:] == ["34.6", "134.5"]


def test_a_change_that_leaves_nothing_has_no_numbers() -> None:
    lines = stress_table(result()).splitlines()
    assert next(line for line in lines if line.startswith("  inverted")).split()[1:] == ["0", "951"]
    assert "  inverted: blank 951" in lines


def test_reasons_and_what_was_left_out_are_told() -> None:
    text = stress_table(result(trained_on=7))
    words = " ".join(text.split())
    assert "as they are: two_hands 5, no_whole_hand 3" in words
    assert "CLAHE clip 4: mask_touches_top 9, no_whole_hand 3" in words
    assert "left out: no_sex 3, only_in_second 2" in words
    assert "Warning: the model was trained on 7 of them" in words
    assert "accepted only when changed: rotation" in words


def test_without_labels_the_shift_takes_the_place_of_the_mae() -> None:
    text = stress_table(result(labelled=0))
    assert "MAE" not in text
    assert "-1.5 [-3.0, 0.0]" in text  # not -0.0
