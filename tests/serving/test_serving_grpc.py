"""gRPC by TensorFlow Serving's stubs, on our server and, if TFSERVING_GRPC is set, on a real one.

`TFSERVING_GRPC=localhost:8500` is the address of a server of any exported model, as version 1 of `bone_age`.
"""

import base64
import os
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_phantom, encode
from running_server import Running
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from bone_age_tf.export.exported_model import ExportedModel

HANDS = [encode(draw_phantom(60 + 40 * number, number)) for number in range(3)]
SEXES = ["F", "M", "unknown"]


@pytest.fixture(scope="module")
def channel(request: pytest.FixtureRequest) -> Any:
    real = os.environ.get("TFSERVING_GRPC")
    with grpc.insecure_channel(real or request.getfixturevalue("server").grpc) as one:
        yield one


def asked(files: list[bytes], sexes: list[str], **spec: Any) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = spec.pop("name", "bone_age")
    version = spec.pop("version", None)
    if version is not None:
        request.model_spec.version.value = version
    for key, value in spec.items():
        setattr(request.model_spec, key, value)
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(files))
    request.inputs["sex"].CopyFrom(tf.make_tensor_proto(sexes))
    return request


def predicted(channel: grpc.Channel, request: predict_pb2.PredictRequest) -> dict[str, np.ndarray]:
    answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
    return {name: tf.make_ndarray(proto) for name, proto in answer.outputs.items()}


def test_four_ways_say_the_same(server: Running, client: httpx.Client, exported: Path) -> None:
    with grpc.insecure_channel(server.grpc) as channel:
        ours = predicted(channel, asked(HANDS, SEXES))
    direct = ExportedModel.open(exported).signatures["serving_default"](
        image_bytes=HANDS, sex=SEXES
    )
    encoded = [{"b64": base64.b64encode(hand).decode()} for hand in HANDS]
    rest = client.post(
        f"{server.model}:predict", json={"inputs": {"image_bytes": encoded, "sex": SEXES}}
    ).json()["outputs"]
    assert set(ours) == set(direct) == set(rest)
    for name in ("bone_age_months", "bone_age_low_months", "bone_age_high_months"):
        np.testing.assert_allclose(ours[name], direct[name], atol=0.01)
        np.testing.assert_allclose(rest[name], direct[name], atol=0.01)
    assert ours["status"].tolist() == [b"ok"] * 3


def test_the_answer_names_its_model(channel: grpc.Channel) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.Predict(asked(HANDS[:1], ["F"], version=1), timeout=60)
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("bone_age", 1)
    assert answer.model_spec.signature_name == "serving_default"


def test_values_are_in_the_field_of_their_type(channel: grpc.Channel) -> None:
    """Where clients read them that cannot make an array of bytes."""
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    outputs = stub.Predict(asked(HANDS[:2], ["F", "M"]), timeout=60).outputs
    assert len(outputs["bone_age_months"].float_val) == len(outputs["status"].string_val) == 2
    assert not any(one.tensor_content for one in outputs.values())


def test_outputs_are_filtered(channel: grpc.Channel) -> None:
    request = asked(HANDS[:1], ["F"])
    request.output_filter.append("bone_age_months")
    assert set(predicted(channel, request)) == {"bone_age_months"}


@pytest.mark.parametrize(
    ("request_made", "code"),
    [
        (asked(HANDS[:1], ["H"]), grpc.StatusCode.INVALID_ARGUMENT),
        (asked([b"AAAA"], ["F"]), grpc.StatusCode.INVALID_ARGUMENT),
        (asked(HANDS[:2], ["F"]), grpc.StatusCode.INVALID_ARGUMENT),
        (asked(HANDS[:1], ["F"], signature_name="x"), grpc.StatusCode.INVALID_ARGUMENT),
        (asked(HANDS[:1], ["F"], name="x"), grpc.StatusCode.NOT_FOUND),
        (asked(HANDS[:1], ["F"], version=9), grpc.StatusCode.NOT_FOUND),
        (asked(HANDS[:1], ["F"], version_label="x"), grpc.StatusCode.NOT_FOUND),
    ],
)
def test_errors_have_their_code(
    request_made: predict_pb2.PredictRequest, code: grpc.StatusCode, channel: grpc.Channel
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        predicted(channel, request_made)
    assert caught.value.code() is code  # type: ignore[attr-defined]
    assert caught.value.details()  # type: ignore[attr-defined]


def test_a_tensor_that_says_more_than_it_holds_is_refused(channel: grpc.Channel) -> None:
    request = asked(HANDS[:1], ["F"])
    for name in ("image_bytes", "sex"):
        request.inputs[name].tensor_shape.dim[0].size = 2_000_000_000
    with pytest.raises(grpc.RpcError) as caught:
        predicted(channel, request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert "2000000000 values" in str(caught.value.details())  # type: ignore[attr-defined]


def test_a_call_that_ends_early_frees_its_radiographs(
    server: Running, client: httpx.Client
) -> None:
    def in_flight() -> str:
        lines = client.get(f"{server.rest}/metrics").text.splitlines()
        return next(x for x in lines if x.startswith("bone_age_radiographs_in_progress "))

    with grpc.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        channel_ready = grpc.channel_ready_future(channel)
        channel_ready.result(30)
        call = stub.Predict.future(asked(HANDS[:1] * 60, ["F"] * 60), timeout=60)
        while in_flight().endswith(" 0.0") and not call.done():
            time.sleep(0.01)
        assert not call.done()
        call.cancel()
        started = time.monotonic()
        while not in_flight().endswith(" 0.0"):
            assert time.monotonic() - started < 5
            time.sleep(0.01)
        (row,) = predicted(channel, asked(HANDS[:1], ["F"]))["status"].tolist()
    assert row == b"ok"


def test_status(channel: grpc.Channel) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "bone_age"
    answer = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=60)
    (state,) = answer.model_version_status
    assert (state.version, state.status.error_code) == (1, 0)
    assert state.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE


def test_metadata(channel: grpc.Channel) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "bone_age"
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.GetModelMetadata(request, timeout=60)
    found = get_model_metadata_pb2.SignatureDefMap()
    answer.metadata["signature_def"].Unpack(found)
    assert "image_bytes" in found.signature_def["serving_default"].inputs
