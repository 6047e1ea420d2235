"""`POST /growth`: the adult height by an estimate and heights, without a radiograph or a server."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse

from bone_age_tf.growth import predict_adult_height
from bone_age_tf.serving.contract import ServingError
from bone_age_tf.serving.growth import growth_of_body
from bone_age_tf.serving.guards import kind_of

MODEL: Any = SimpleNamespace(coverage=0.9, manifest={"reading_method": "greulich_pyle"})
ESTIMATE = {
    "sex": "M",
    "bone_age_months": 123,
    "bone_age_low_months": 115,
    "bone_age_high_months": 131,
    "chronological_age_months": 113,
}


def answer(model: Any = MODEL, **values: Any) -> dict[str, Any]:
    return growth_of_body(json.dumps(ESTIMATE | values).encode(), model)


def test_an_estimate_and_a_height_are_enough() -> None:
    found = answer(height_cm="140", mother_height_cm=165, father_height_cm="180 cm")
    expected = predict_adult_height(123, 113, 140.0, "M").centimetres
    assert found["prediction"]["adult_height_cm"] == expected
    assert found["view"]["target"]["centimetres"] == 179.0
    assert [one["name"] for one in found["view"]["columns"]] == ["average", "accelerated"]
    assert found["faults"] == []


def test_another_unit_is_asked_about_field_by_field() -> None:
    found = answer(height_cm="1.4", mother_height_cm="5'6", father_height_cm="tall")
    first, second, third = found["faults"]
    assert first == {"field": "height_cm", "unit": "metres", "centimetres": 140.0}
    assert second == {"field": "mother_height_cm", "unit": "feet and inches", "centimetres": 167.6}
    assert third["field"] == "father_height_cm"
    assert third["reason"].startswith("Expected a height in centimetres")
    assert found["prediction"]["adult_height_cm"] is None
    assert answer(height_cm=55)["faults"][0]["unit"] == "inches"


def test_a_model_by_another_method_gives_no_height_and_says_so() -> None:
    other = SimpleNamespace(coverage=0.9, manifest={"reading_method": "tanner_whitehouse"})
    found = answer(other, height_cm=140)
    assert found["view"]["reason_code"] == "not_greulich_pyle"
    assert "Tanner-Whitehouse" in found["view"]["reason"]


def test_without_an_age_there_is_a_reason() -> None:
    found = answer(height_cm=140, chronological_age_months=None)
    assert found["view"]["reason_code"] == "no_chronological_age"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"height_cm": ""},
        {"height_cm": True},
        {"height_cm": [140]},
        {"height_cm": 140, "sex": "x"},
        {"height_cm": 140, "bone_age_months": None},
        {"height_cm": 140, "bone_age_months": "120"},
        {"height_cm": 140, "bone_age_months": 1e9},
        {"height_cm": 140, "chronological_age_months": -1},
        {"height_cm": 140, "name": "somebody"},
        {"height_cm": 10**400},
        {"height_cm": 140, "father_height_cm": -(10**400)},
        {"height_cm": 140, "bone_age_months": 10**400},
        {"height_cm": 140, "chronological_age_months": 10**400},
        {"height_cm": 140, "chronological_age_months": 361},
        {"height_cm": 140, "bone_age_months": 241, "bone_age_high_months": 241},
        {"height_cm": 140, "bone_age_high_months": 241},
        {"height_cm": 140, "bone_age_low_months": 131, "bone_age_high_months": 115},
        {"height_cm": 140, "bone_age_low_months": 124},
        {"height_cm": 140, "bone_age_high_months": 122},
        {"height_cm": 140, "bone_age_low_months": None},
        {"height_cm": 140, "sex": ["M"]},
        {"height_cm": float("nan")},
        {"height_cm": 140, "mother_height_cm": float("inf")},
    ],
)
def test_a_request_that_cannot_be_answered_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ServingError) as caught:
        answer(**wrong)
    assert caught.value.http_status == 400


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b'{"height_cm": NaN', b'{"height_cm": 1e400}']
)
def test_what_is_no_json_is_an_error(body: bytes) -> None:
    with pytest.raises(ServingError):
        growth_of_body(body, MODEL)


@pytest.mark.parametrize(
    "height", [f"{'9' * 500} m", "9" * 500, "\ud800", "NaN", "140\ud800" * 999]
)
@pytest.mark.parametrize("field", ["height_cm", "father_height_cm"])
def test_any_text_is_a_fault_that_can_be_sent(field: str, height: str) -> None:
    found = answer(**{"mother_height_cm": 165, field: height})
    (fault,) = found["faults"]
    assert fault["field"] == field
    assert "Received" in fault["reason"]
    assert len(JSONResponse(found).body) < 3000


def test_an_error_says_what_was_expected() -> None:
    with pytest.raises(ServingError, match="from 0 to 240"):
        answer(height_cm=140, bone_age_months=241)
    expected = "bone_age_low_months <= bone_age_months <= .*Received 124, 123 and 131"
    with pytest.raises(ServingError, match=expected):
        answer(height_cm=140, bone_age_low_months=124)


def test_requests_for_growth_are_counted_by_their_name() -> None:
    scope = {"type": "http", "method": "POST", "path": "/growth", "headers": []}
    assert kind_of(Request(scope)) == "POST growth"
    assert kind_of(Request({**scope, "path": "/somebody"})) == "other"
