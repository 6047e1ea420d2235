"""The adult height as reports and the page show it."""

from typing import Any

from bone_age_tf.growth import Heights, assess
from bone_age_tf.report.adult_height import MIN_AXIS_CM, adult_height_view


def view(*heights: Any, bone_age: float = 123, half: float | None = 8, **other: Any) -> Any:
    given: dict[str, Any] = {
        "bone_age_months": bone_age,
        "chronological_age_months": 113,
        "sex": "M",
        "low_months": None if half is None else bone_age - half,
        "high_months": None if half is None else bone_age + half,
        "reading_method": "greulich_pyle",
    }
    found = assess(Heights(*heights), **(given | other))
    return adult_height_view(found, bone_age - 113, 0.9)


def test_every_column_is_shown_with_its_probability() -> None:
    shown = view(140.0, 165.0, 180.0)
    assert [(one["name"], one["is_chosen"]) for one in shown["columns"]] == [
        ("average", True),
        ("accelerated", False),
    ]
    assert sum(one["probability"] for one in shown["columns"]) > 0.99
    assert shown["target"]["title"].startswith("Tanner 1970")
    assert "less than a year" in shown["notes"][0]


def test_the_scale_holds_all_and_is_never_short() -> None:
    for shown in (
        view(140.0, 165.0, 180.0),
        view(140.0),
        view(None, 150.0, 200.0),
        view(140.0, half=1),
    ):
        first, last, step = shown["axis"]
        ends = [*(one[n] for one in shown["columns"] for n in ("low_cm", "high_cm", "centimetres"))]
        if shown["target"]:
            ends += [shown["target"]["low_cm"], shown["target"]["high_cm"]]
        assert first < min(ends) < max(ends) < last
        assert last - first >= MIN_AXIS_CM
        assert first % step in (0, 5)
        assert (last - first) / step <= 12


def test_without_an_interval_there_is_one_column() -> None:
    [column] = view(140.0, half=None)["columns"]
    assert (column["name"], column["low_cm"]) == ("average", None)


def test_a_reason_is_in_words_and_there_is_nothing_to_draw() -> None:
    shown = view(140.0, sex="unknown")
    assert shown["reason_code"] == "sex_unknown"
    assert shown["reason"] == "girls and boys have different tables, and the sex is unknown"
    assert shown["columns"] == []
    assert shown["axis"] is None
    assert not view(None, 165.0, 180.0)["is_asked"]
