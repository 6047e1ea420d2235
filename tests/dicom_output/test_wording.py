"""What a picture says of a result."""

import dataclasses

import pytest
from dicom_results import MODEL, PREDICTION, result_of_phantom

from bone_age_tf.config import RESEARCH_ONLY
from bone_age_tf.dicom_output.wording import headline_of, interval_label, wording_of


@pytest.mark.parametrize(
    ("months", "text"),
    [
        *[(0.3, "0 months"), (1.0, "1 month"), (11.6, "1 year"), (24.0, "2 years")],
        *[(121.34, "10 years 1 month"), (239.0, "19 years 11 months")],
    ],
)
def test_the_headline_is_in_years_and_months(months: float, text: str) -> None:
    row = dataclasses.replace(PREDICTION, bone_age_months=months)
    assert headline_of(row) == f"Bone age {text}"


def test_all_that_is_known_is_said() -> None:
    wording = wording_of(result_of_phantom(1, prediction={"sex": "F", "warning": "right_hand"}))
    assert wording.months == "121.3 months"
    assert dict(wording.rows) == {
        "90 % prediction interval": "105.2 to 137.5 months (8 y 9 m to 11 y 6 m)",
        "Chronological age": "118.2 months (9 y 10 m)",
        "SD score": "+0.31 (average)",
        "Sex, side": "Female, left hand",
    }
    assert "right hand" in wording.warnings[0]
    notes = " ".join(wording.notes)
    for part in ("Green", "Brush Foundation", "bone_age, version 1", "abababababab", RESEARCH_ONLY):
        assert part in notes


def test_what_is_not_known_is_left_out() -> None:
    nothing = dict.fromkeys(
        (
            *("bone_age_low_months", "bone_age_high_months", "chronological_age_months"),
            *("sd_score", "verdict_probability", "difference_months"),
        )
    )
    result = result_of_phantom(
        1, without=("ImageLaterality",), prediction={"sex": "unknown", "verdict": "", **nothing}
    )
    wording = wording_of(result)
    assert dict(wording.rows) == {"Sex, side": "Sex unknown, side not stated"}
    assert "Brush" not in " ".join(wording.notes)
    other = result_of_phantom(1, model=dataclasses.replace(MODEL, coverage=None))
    assert interval_label(other) == "prediction interval"


def test_a_rejected_radiograph_has_its_reason_in_words() -> None:
    wording = wording_of(result_of_phantom(1, rejected="two_hands: there is more than one hand"))
    assert wording.headline == "No bone age: radiograph rejected" and wording.months == ""
    assert ("Reason", "There is more than one hand") in wording.rows
    assert "Green" not in " ".join(wording.notes)
