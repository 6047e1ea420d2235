"""TensorFlow Serving's REST contract, on our server and, if TFSERVING_URL is set, on a real one.

`TFSERVING_URL=http://localhost:8501/v1/models/bone_age` is the address of any exported model.
"""

import base64
import os
from typing import Any

import cv2
import grpc
import httpx
import numpy as np
import pytest
from conftest import draw_phantom, encode, png_without_pixels
from running_server import Running

HAND = {"b64": base64.b64encode(encode(draw_phantom(120, 1))).decode()}
ROW = {"image_bytes": HAND, "sex": "F"}


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> str:
    real = os.environ.get("TFSERVING_URL")
    return real or request.getfixturevalue("server").model


@pytest.fixture(scope="module")
def ours(server: Running) -> str:
    """What TensorFlow Serving does otherwise, or not at all."""
    return server.model


def post(client: httpx.Client, url: str, content: Any) -> httpx.Response:
    return client.post(f"{url}:predict", json=content)


def test_rows(client: httpx.Client, url: str) -> None:
    answer = post(client, url, {"instances": [ROW, {**ROW, "sex": "M"}]})
    assert answer.status_code == 200
    (girl, boy) = answer.json()["predictions"]
    assert set(girl) == {
        "bone_age_months", "bone_age_low_months", "bone_age_high_months", "status"
    }  # fmt: skip
    assert girl["status"] == boy["status"] == "ok"
    assert 0 <= girl["bone_age_months"] <= 240
    assert girl["bone_age_months"] != boy["bone_age_months"]


def test_words_of_the_sex_are_read_by_our_server(client: httpx.Client, ours: str) -> None:
    rows = [{**ROW, "sex": sex} for sex in ("M", "männlich", "Hombre")]
    months = [
        row["bone_age_months"]
        for row in post(client, ours, {"instances": rows}).json()["predictions"]
    ]
    assert months == [months[0]] * 3
    made = post(client, ours, {"signature_name": "prepare", "instances": [HAND]})
    (prepared,) = made.json()["predictions"]
    row = {"image": prepared["image"], "sex": "homme"}
    asked = {"signature_name": "predict_prepared", "instances": [row]}
    (again,) = post(client, ours, asked).json()["predictions"]
    assert again["bone_age_months"] == pytest.approx(months[0], abs=0.01)


def test_columns_say_the_same(client: httpx.Client, url: str) -> None:
    rows = post(client, url, {"instances": [ROW, ROW]}).json()["predictions"]
    inputs = {"image_bytes": [HAND, HAND], "sex": ["F", "F"]}
    columns = post(client, url, {"inputs": inputs}).json()["outputs"]
    for name in columns:
        assert columns[name] == pytest.approx([row[name] for row in rows])


def test_a_signature_is_chosen_by_name(client: httpx.Client, url: str) -> None:
    made = post(client, url, {"signature_name": "prepare", "instances": [HAND]})
    (prepared,) = made.json()["predictions"]
    assert prepared["status"] == "ok"
    row = {"image": prepared["image"], "sex": "F"}
    asked = {"signature_name": "predict_prepared", "instances": [row]}
    (again,) = post(client, url, asked).json()["predictions"]
    (direct,) = post(client, url, {"instances": [ROW]}).json()["predictions"]
    assert again["bone_age_months"] == pytest.approx(direct["bone_age_months"], abs=0.01)


def test_a_picture_without_a_hand_is_a_row_with_its_reason(client: httpx.Client, url: str) -> None:
    grey = encode(np.full((300, 200), 90, np.uint8))
    row = {"image_bytes": {"b64": base64.b64encode(grey).decode()}, "sex": "F"}
    good, refused = post(client, url, {"instances": [ROW, row]}).json()["predictions"]
    assert good["status"] == "ok"
    assert refused["status"] == "blank"
    assert refused["bone_age_months"] == refused["bone_age_low_months"] == -1


def test_versions(client: httpx.Client, url: str) -> None:
    (state,) = client.get(url).json()["model_version_status"]
    assert state["state"] == "AVAILABLE"
    assert state["status"] == {"error_code": "OK", "error_message": ""}
    version = state["version"]
    assert client.get(f"{url}/versions/{version}").json()["model_version_status"] == [state]
    named = post(client, f"{url}/versions/{version}", {"instances": [ROW]})
    assert named.json() == post(client, url, {"instances": [ROW]}).json()


def test_metadata(client: httpx.Client, url: str) -> None:
    content = client.get(f"{url}/metadata").json()
    assert content["model_spec"]["name"] == url.rpartition("/")[2]
    signatures = content["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "predict_prepared", "prepare"} <= set(signatures)
    image = signatures["predict_prepared"]["inputs"]["image"]
    assert image["dtype"] == "DT_UINT8"
    assert [size["size"] for size in image["tensor_shape"]["dim"]][::3] == ["-1", "1"]
    assert signatures["serving_default"]["inputs"]["image_bytes"]["dtype"] == "DT_STRING"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"instances": [{"image_bytes": HAND}]}, 400),
        ({"instances": [{"image_bytes": HAND, "sex": "H"}]}, 400),
        ({"instances": [{"image_bytes": {"b64": "AAAA"}, "sex": "F"}]}, 400),
        ({"instances": [ROW], "inputs": {}}, 400),
        ({"signature_name": "no such", "instances": [ROW]}, 400),
        ({}, 400),
    ],
)
def test_errors_have_their_status_and_a_text(
    content: Any, status: int, client: httpx.Client, url: str
) -> None:
    answer = post(client, url, content)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert answer.json()["error"]


def test_what_is_not_there_is_not_found(client: httpx.Client, url: str) -> None:
    other = f"{url.rpartition('/')[0]}/no_such_model"
    for address in (f"{url}/versions/999", other):
        answer = post(client, address, {"instances": [ROW]})
        assert answer.status_code == 404
        assert "not found" in answer.json()["error"].lower()
    assert client.get(other).status_code == 404


def test_no_json_is_an_error(client: httpx.Client, url: str) -> None:
    answer = client.post(f"{url}:predict", content=b"{'instances'")
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]


# === Of ours alone ===


def test_a_bad_file_fails_no_other_one(client: httpx.Client, ours: str) -> None:
    """TensorFlow Serving fails the whole request."""
    pictures = {
        "damaged": png_without_pixels(),
        "not_png_or_jpeg": b"%PDF-1.4 and so on",
        "too_small": encode(np.zeros((10, 10), np.uint8)),
    }
    bad = [
        {"image_bytes": {"b64": base64.b64encode(each).decode()}, "sex": "F"}
        for each in pictures.values()
    ]
    answer = post(client, ours, {"instances": [*bad, ROW]})
    assert answer.status_code == 200
    *refused, good = answer.json()["predictions"]
    assert [row["status"] for row in refused] == list(pictures)
    assert {row["bone_age_months"] for row in refused} == {-1}
    (alone,) = post(client, ours, {"instances": [ROW]}).json()["predictions"]
    assert good["bone_age_months"] == pytest.approx(alone["bone_age_months"], abs=0.01)


@pytest.mark.parametrize(
    ("encoded", "words"),
    [
        (base64.b64encode(encode(draw_phantom(60, 2))), "encoded twice"),
        (b"[[0, 1, 2]]", "JSON list"),
        (b"%PDF-1.4", "PDF"),
        (png_without_pixels(), "rejected (damaged)"),
    ],
)
def test_a_bad_file_alone_is_an_error_with_a_hint(
    encoded: bytes, words: str, client: httpx.Client, ours: str
) -> None:
    row = {"image_bytes": {"b64": base64.b64encode(encoded).decode()}, "sex": "F"}
    answer = post(client, ours, {"instances": [row]})
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_too_many_at_a_time_are_refused(client: httpx.Client, ours: str) -> None:
    answer = post(client, ours, {"instances": [ROW] * 65})
    assert answer.status_code == 400
    assert "64" in answer.json()["error"]


def test_jpeg_and_png_are_read(client: httpx.Client, ours: str) -> None:
    picture = draw_phantom(120, 1)
    jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    row = {"image_bytes": {"b64": base64.b64encode(jpeg).decode()}, "sex": "F"}
    one, other = post(client, ours, {"instances": [ROW, row]}).json()["predictions"]
    assert one["bone_age_months"] == pytest.approx(other["bone_age_months"], abs=6)


def test_tiff_and_bmp_are_read_as_png_is(client: httpx.Client, ours: str) -> None:
    hands = [
        {"b64": base64.b64encode(encode(draw_phantom(120, 1), ending)).decode()}
        for ending in (".png", ".tif", ".bmp")
    ]
    rows = [{"image_bytes": hand, "sex": "F"} for hand in hands]
    answers = post(client, ours, {"instances": rows}).json()["predictions"]
    months = [answer["bone_age_months"] for answer in answers]
    assert months == pytest.approx([months[0]] * 3, abs=0.01)
    prepared = post(client, ours, {"signature_name": "prepare", "instances": hands}).json()
    assert len({str(one["image"]) for one in prepared["predictions"]}) == 1


def test_what_is_not_read_has_the_same_reason_under_every_signature(
    client: httpx.Client, ours: str
) -> None:
    webp = {"b64": base64.b64encode(encode(draw_phantom(120, 1), ".webp")).decode()}
    predict = {"instances": [{"image_bytes": webp, "sex": "F"}]}
    for asked in (predict, {"signature_name": "prepare", "instances": [webp]}):
        answer = post(client, ours, asked)
        assert answer.status_code == 400
        assert "rejected (not_png_or_jpeg): the file is a WebP: save" in answer.json()["error"]


def test_health_and_readiness(client: httpx.Client, server: Running) -> None:
    assert client.get(f"{server.rest}/healthz").text == "ok\n"
    assert client.get(f"{server.rest}/readyz").text == "version 1\n"


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("rest", {"/healthz": 200, "/readyz": 200, "/metrics": 200, "/": 404}),
        ("page", {"/healthz": 404, "/readyz": 404, "/metrics": 404, "/": 200}),
    ],
)
def test_probes_are_answered_where_the_documentation_says(
    port: str, expected: dict[str, int], client: httpx.Client, server: Running
) -> None:
    address = getattr(server, port)
    assert {path: client.get(address + path).status_code for path in expected} == expected


def test_metrics_ask_for_the_token_and_a_known_host(client: httpx.Client, guarded: Running) -> None:
    right = {"Authorization": f"Bearer {guarded.config.token}"}
    address = f"{guarded.rest}/metrics"
    assert client.get(address).status_code == 401
    assert client.get(address, headers={**right, "Host": "10.0.0.7:8501"}).status_code == 400
    assert client.get(address, headers=right).status_code == 200


def test_grpc_has_no_health_service(server: Running) -> None:
    with grpc.insecure_channel(server.grpc) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        with pytest.raises(grpc.RpcError) as refused:
            check(b"", timeout=10)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_metrics_count_what_was_answered(client: httpx.Client, server: Running) -> None:
    def counted(status: str) -> float:
        lines = client.get(f"{server.rest}/metrics").text.splitlines()
        name = f'bone_age_radiographs_total{{status="{status}"}}'
        return next((float(line.split()[-1]) for line in lines if line.startswith(name)), 0.0)

    before = counted("ok"), counted("not_png_or_jpeg")
    bad = {"image_bytes": {"b64": "AAAA"}, "sex": "F"}
    post(client, server.model, {"instances": [ROW, ROW]})
    assert post(client, server.model, {"instances": [bad]}).status_code == 400
    assert (counted("ok"), counted("not_png_or_jpeg")) == (before[0] + 2, before[1] + 1)


def test_metrics_tell_the_state_of_each_version(client: httpx.Client, server: Running) -> None:
    lines = client.get(f"{server.rest}/metrics").text.splitlines()
    assert 'bone_age_model_version{state="available",version="1"} 1.0' in lines
