import base64
import json
from typing import Any

import numpy as np
import pytest

from bone_age_tf.serving.contract import Code, Request, ServingError, Tensor, parse, reply

STRINGS = Tensor(np.dtype(object), (None,))
SIGNATURES = {
    "serving_default": {"image_bytes": STRINGS, "sex": STRINGS},
    "prepare": {"image_bytes": STRINGS},
    "predict_prepared": {
        "image": Tensor(np.dtype(np.uint8), (None, 2, 3, 1)),
        "sex": STRINGS,
    },
}
B64 = {"b64": base64.b64encode(b"\x89PNG").decode()}


def parsed(content: Any) -> Request:
    return parse(json.dumps(content).encode(), SIGNATURES)


def refused(content: Any) -> str:
    with pytest.raises(ServingError) as caught:
        parse(content if isinstance(content, bytes) else json.dumps(content).encode(), SIGNATURES)
    assert caught.value.code is Code.INVALID_ARGUMENT
    return str(caught.value)


def test_rows_and_columns_are_the_same_request() -> None:
    rows = parsed(
        {"instances": [{"image_bytes": B64, "sex": "F"}, {"image_bytes": B64, "sex": "M"}]}
    )
    columns = parsed({"inputs": {"image_bytes": [B64, B64], "sex": ["F", "M"]}})
    assert rows.signature == columns.signature == "serving_default"
    assert (rows.is_rows, columns.is_rows) == (True, False)
    for name in ("image_bytes", "sex"):
        assert rows.inputs[name].tolist() == columns.inputs[name].tolist()
    assert rows.inputs["image_bytes"].tolist() == [b"\x89PNG", b"\x89PNG"]


@pytest.mark.parametrize(
    "content",
    [
        {"signature_name": "prepare", "instances": [B64]},
        {"signature_name": "prepare", "instances": [{"image_bytes": B64}]},
        {"signature_name": "prepare", "inputs": [B64]},
        {"signature_name": "prepare", "inputs": {"image_bytes": [B64]}},
    ],
)
def test_a_single_input_needs_no_name(content: Any) -> None:
    assert parsed(content).inputs["image_bytes"].tolist() == [b"\x89PNG"]


def test_base64_may_have_line_breaks_and_no_padding() -> None:
    text = base64.encodebytes(b"\x89PNG" * 40).decode().rstrip("=\n")
    content = {"signature_name": "prepare", "instances": [{"b64": text}]}
    assert parsed(content).inputs["image_bytes"].tolist() == [b"\x89PNG" * 40]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "JSON parse error"),
        (b"\xff\xfe{}", "JSON parse error"),
        (b"[" * 100_000, "JSON parse error"),
        ([], "must be a JSON object"),
        ({}, "exactly one of"),
        ({"instances": [], "inputs": {}}, "exactly one of"),
        ({"instances": []}, "entry for each"),
        ({"instances": 3}, "entry for each"),
        ({"instances": ["x"]}, "must be an object with image_bytes, sex"),
        ({"instances": [{"image_bytes": B64}]}, "Missing: sex"),
        ({"instances": [{"image_bytes": B64, "sex": "F", "age": 3}]}, "Unknown: age"),
        ({"inputs": {"image_bytes": [B64, B64], "sex": ["F"]}}, "different numbers"),
        ({"inputs": {"image_bytes": [], "sex": []}}, "no radiograph"),
        ({"inputs": {"image_bytes": B64, "sex": ["F"]}}, "must be a list"),
        ({"inputs": {"image_bytes": [3], "sex": ["F"]}}, "Received int"),
        ({"inputs": {"image_bytes": [{"b64": "!!"}], "sex": ["F"]}}, "not base64"),
        ({"signature_name": "other", "instances": [B64]}, "There are: predict_prepared"),
        ({"signature_name": ["x"], "instances": [B64]}, "not found"),
    ],
)
def test_what_is_wrong_is_said(content: Any, message: str) -> None:
    assert message in refused(content)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ([[[1, 2], [3]]], "not an array of numbers"),
        ([["x"]], "not an array of numbers"),
        (np.zeros((1, 3, 2, 1), int).tolist(), "shape [None, 2, 3, 1]"),
        (np.full((1, 2, 3, 1), 256).tolist(), "outside of uint8"),
        (np.full((1, 2, 3, 1), -1).tolist(), "outside of uint8"),
        (np.full((1, 2, 3, 1), 0.5).tolist(), "not an array of numbers"),
        (np.zeros((1, 2, 3, 1), bool).tolist(), "not an array of numbers"),
    ],
)
def test_prepared_radiographs_have_their_type_and_shape(image: Any, message: str) -> None:
    content = {"signature_name": "predict_prepared", "inputs": {"image": image, "sex": ["F"]}}
    assert message in refused(content)


def test_prepared_radiographs_pass() -> None:
    image = np.arange(6).reshape(1, 2, 3, 1)
    found = parsed(
        {"signature_name": "predict_prepared", "inputs": {"image": image.tolist(), "sex": ["F"]}}
    )
    assert found.inputs["image"].dtype == np.uint8
    np.testing.assert_array_equal(found.inputs["image"], image)


OUTPUTS = {
    "months": np.array([126.1, 7], np.float32),
    "status": np.array([b"ok", b"blank"], object),
}


def test_answers_have_the_form_of_the_request() -> None:
    rows = reply(Request("s", {}, True), OUTPUTS)
    assert rows == {
        "predictions": [{"months": 126.1, "status": "ok"}, {"months": 7, "status": "blank"}]
    }
    columns = reply(Request("s", {}, False), OUTPUTS)
    assert columns == {"outputs": {"months": [126.1, 7], "status": ["ok", "blank"]}}


def test_a_single_output_stands_without_its_name() -> None:
    one = {"months": OUTPUTS["months"]}
    assert reply(Request("s", {}, True), one) == {"predictions": [126.1, 7.0]}
    assert reply(Request("s", {}, False), one) == {"outputs": [126.1, 7.0]}


def test_bytes_go_out_as_base64() -> None:
    outputs = {"image_bytes": np.array([b"\x00\xff"], object)}
    assert reply(Request("s", {}, False), outputs) == {"outputs": [{"b64": "AP8="}]}
