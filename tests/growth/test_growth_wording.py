"""An assessment in sentences."""

from bone_age_tf.growth import Heights, assess
from bone_age_tf.growth.wording import (
    adult_height_sentences,
    possible_columns,
    target_height_sentence,
)


def sentences(child: float | str | None, bone_age: float, age: float | None, half: float) -> str:
    found = assess(
        Heights(child),
        bone_age_months=bone_age,
        chronological_age_months=age,
        sex="M",
        low_months=bone_age - half,
        high_months=bone_age + half,
        reading_method="greulich_pyle",
    )
    difference = None if age is None else bone_age - age
    return " ".join(adult_height_sentences(found, difference, 0.9))


def test_both_columns_are_said_at_the_one_year_rule() -> None:
    text = sentences(140.0, 123, 113, 8)
    assert text.startswith(
        "Predicted adult height 177.0 cm, 90 % interval 176.4 to 185.1 cm by that of the bone age"
    )
    assert "average 66 % (177.0 cm), accelerated 34 % (185.1 cm)" in text
    assert "SD 2.9 cm in healthy children" in text
    assert "uncertain" not in sentences(140.0, 123, 123, 2)


def test_a_missing_height_has_its_reason() -> None:
    text = sentences(165.0, 157, 169, 17)
    assert text.startswith("No predicted adult height: the bone age is above the last row")
    assert "delayed 50 % (outside the table)" in text
    assert "is outside the table, which then gives no height" in text
    assert "without a chronological age" in sentences(140.0, 123, None, 8)
    assert sentences(None, 123, 113, 8) == ""


def test_a_bone_age_far_off_is_warned_of() -> None:
    assert "more than two years behind" in sentences(140.0, 120, 150, 8)


def test_a_column_that_is_next_to_impossible_is_not_shown() -> None:
    found = assess(
        Heights(140.0),
        bone_age_months=120,
        chronological_age_months=120,
        sex="F",
        low_months=108,
        high_months=120.1,
        coverage=0.9999,
        reading_method="greulich_pyle",
    )
    assert found.adult_height_delayed_probability is not None
    assert [one.name for one in possible_columns(found)] == ["average"]


def test_the_target_height_names_its_convention() -> None:
    found = assess(
        Heights(None, 165, 180),
        bone_age_months=None,
        chronological_age_months=None,
        sex="F",
        reading_method=None,
    )
    text = "Target height by the parents 166.0 cm, range 157.5 to 174.5 cm (Tanner 1970, 3rd to 97th centile)."
    assert target_height_sentence(found) == text
