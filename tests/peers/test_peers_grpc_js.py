"""`serve` and a client that is not Python: gRPC for Node, with the .proto files of TensorFlow Serving."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ROOT
from grpc_js_peer import GrpcJs, predict_request
from serve_peer import Serve

pytestmark = pytest.mark.release
TOKEN = "0123456789abcdef"
HAND = (ROOT / "bone_age_tf/assets/golden_hand.png").read_bytes()
SEXES = ["F", "M", "unknown"]
SPEC = {"model_spec": {"name": "bone_age"}}


@pytest.fixture(scope="module")
def server(grpc_js: GrpcJs, shipped: Path, network: None) -> Iterator[Serve]:
    one = Serve(shipped, token=TOKEN)
    yield one
    one.close()


@pytest.fixture
def call(server: Serve, grpc_js: GrpcJs) -> Any:
    def calling(method: str, request: dict[str, Any], **connection: str) -> dict[str, Any]:
        return grpc_js.call(method, request, server.grpc, **{"token": TOKEN} | connection)

    return calling


@pytest.fixture(scope="module")
def expected(server: Serve) -> dict[str, list[Any]]:
    """By REST."""
    picture = {"b64": base64.b64encode(HAND).decode()}
    body = {"inputs": {"image_bytes": [picture] * 3, "sex": SEXES}}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"{server.rest}/v1/models/bone_age:predict"
    return httpx.post(url, json=body, headers=headers, timeout=120).json()["outputs"]


def test_predictions_are_in_the_fields_of_their_types(
    call: Any, expected: dict[str, list[Any]]
) -> None:
    """As TensorFlow Serving sends them: a client without TensorFlow cannot read `tensor_content`."""
    said = call("Predict", predict_request([HAND] * 3, SEXES))
    assert (said["code"], said["details"]) == ("OK", "")
    outputs = said["answer"]["outputs"]
    assert set(outputs) == set(expected)
    statuses = [base64.b64decode(one).decode() for one in outputs["status"].pop("string_val")]
    assert statuses == expected["status"] == ["ok"] * 3
    for name in expected.keys() - {"status"}:
        assert outputs[name]["dtype"] == "DT_FLOAT"
        assert outputs[name]["tensor_shape"]["dim"][0]["size"] == 3
        assert outputs[name]["float_val"] == pytest.approx(expected[name], abs=1e-3)
    assert said["answer"]["model_spec"]["version"]["value"] == 1


def test_a_rejected_radiograph_is_a_row(call: Any) -> None:
    """Beside one that is read."""
    said = call("Predict", predict_request([HAND, b"no picture"], ["F", "F"]))
    outputs = said["answer"]["outputs"]
    assert outputs["bone_age_months"]["float_val"][1] == -1
    assert base64.b64decode(outputs["status"]["string_val"][1]) != b"ok"


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"sexes": ["H"]}, "INVALID_ARGUMENT", "sex"),
        ({"sexes": ["F", "M"]}, "INVALID_ARGUMENT", ""),
        ({"files": [b"no picture"]}, "INVALID_ARGUMENT", "rejected"),
        ({"name": "other"}, "NOT_FOUND", "other"),
        ({"version": {"value": 9}}, "NOT_FOUND", "9"),
        ({"version_label": "stable"}, "NOT_FOUND", "stable"),
        ({"signature_name": "other"}, "INVALID_ARGUMENT", "other"),
    ],
)
def test_an_error_has_a_code_and_words(
    call: Any, changes: dict[str, Any], code: str, word: str
) -> None:
    said = call("Predict", predict_request(**{"files": [HAND], "sexes": ["F"]} | changes))
    assert said["code"] == code
    assert word in said["details"]
    assert said["details"]


def test_a_call_without_the_token_is_denied(call: Any) -> None:
    assert call("GetModelStatus", SPEC, token="")["code"] == "UNAUTHENTICATED"


def test_status_and_metadata(call: Any) -> None:
    (state,) = call("GetModelStatus", SPEC)["answer"]["model_version_status"]
    assert (state["version"], state["state"]) == (1, "AVAILABLE")
    said = call("GetModelMetadata", SPEC | {"metadata_field": ["signature_def"]})
    signatures = said["answer"]["metadata"]["signature_def"]["signature_def"]
    inputs = signatures["serving_default"]["inputs"]
    assert {name: one["dtype"] for name, one in inputs.items()} == {
        "image_bytes": "DT_STRING",
        "sex": "DT_STRING",
    }


def test_the_example_of_the_documentation(
    server: Serve, grpc_js: GrpcJs, expected: dict[str, list[Any]], tmp_path: Path
) -> None:
    (example,) = re.findall(
        r"^```js\n(.*?)^```", (ROOT / "docs/serving.md").read_text(), re.MULTILINE | re.DOTALL
    )
    (grpc_js.folder / "bone_age.mjs").write_text(example)
    (tmp_path / "hand.png").write_bytes(HAND)
    words = ["bone_age.mjs", str(tmp_path / "hand.png"), "F", server.grpc]
    said = grpc_js.run(words, BONE_AGE_TOKEN=TOKEN).split()
    assert said[0] == "ok"
    assert float(said[1]) == pytest.approx(expected["bone_age_months"][0], abs=1e-3)
