"""TensorFlow Serving's gRPC services, by its own protocol: Predict, GetModelMetadata, GetModelStatus."""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message

from bone_age_tf.serving import contract
from bone_age_tf.serving.admission import Admission
from bone_age_tf.serving.bodies import LARGEST_BODY
from bone_age_tf.serving.contract import Code, ServingError
from bone_age_tf.serving.metrics import Metrics
from bone_age_tf.serving.model_folder import ModelFolder
from bone_age_tf.serving.served_model import ServedModel
from bone_age_tf.serving.tensor_protos import array_of, proto_of
from bone_age_tf.tensorflow_c.protos import without_tensorflow

with without_tensorflow():
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

log = logging.getLogger(__name__)

THREADS = 32
CONNECTION_SECONDS = 600
"""After that a client has to connect again, and calls that never sent their message end."""
GRACE_SECONDS = 60
_STATUS = {code: getattr(grpc.StatusCode, code.name) for code in Code}


class Answers(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """Both services over a model folder, in gRPC's own threads; answers are made on the event loop."""

    def __init__(
        self,
        models: ModelFolder,
        admission: Admission,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._models = models
        self._admission = admission
        self._metrics = metrics
        self._loop = loop

    def Predict(  # noqa: N802 - the protocol's name
        self, request: Any, context: grpc.ServicerContext
    ) -> Message:
        """Outputs for a batch of radiographs."""
        return self._answer("Predict", request, context, lambda r: self._predict(r, context))

    def GetModelMetadata(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Message:
        """The signatures."""
        return self._answer("GetModelMetadata", request, context, self._metadata)

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Message:  # noqa: N802
        """State of the versions."""
        return self._answer("GetModelStatus", request, context, self._status)

    def _answer(
        self,
        kind: str,
        request: Any,
        context: grpc.ServicerContext,
        method: Callable[[Any], Message],
    ) -> Message:
        started, code = time.monotonic(), "OK"
        try:
            return method(request)
        except Exception as error:
            failure = _as_failure(error)
            code = failure.code.name
        finally:
            self._metrics.observe(f"gRPC {kind}", code, time.monotonic() - started)
        context.abort(_STATUS[failure.code], str(failure))
        raise AssertionError

    def _predict(self, request: Any, context: grpc.ServicerContext) -> Message:
        model = self._model(request.model_spec)
        name = request.model_spec.signature_name or contract.DEFAULT_SIGNATURE
        inputs = contract.to_arrays(_arrays(request), _expected(model, name))
        outputs = self._on_loop(self._admission.predict(model, name, inputs), context)
        wanted = list(request.output_filter) or list(outputs)
        answer = predict_pb2.PredictResponse()
        for key in wanted:
            if key not in outputs:
                raise contract.invalid(f"There is no output {key[:40]!r} for output_filter.")
            answer.outputs[key].CopyFrom(proto_of(outputs[key]))
        self._describe(answer.model_spec, model, name)
        return answer

    def _on_loop(
        self, work: Coroutine[Any, Any, dict[str, np.ndarray]], context: grpc.ServicerContext
    ) -> dict[str, np.ndarray]:
        """Its result; cancelled where the call is cancelled or its deadline passes."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        if not context.add_callback(lambda: _cancel(future)):
            future.cancel()  # the call has ended already
        return future.result()

    def _metadata(self, request: Any) -> Message:
        if list(request.metadata_field) != ["signature_def"]:
            raise contract.invalid("The metadata field must be 'signature_def', and only that.")
        model = self._model(request.model_spec)
        found = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in model.signature_defs.items():
            found.signature_def[name].CopyFrom(signature)
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.metadata["signature_def"].Pack(found)
        self._describe(answer.model_spec, model, "")
        return answer

    def _status(self, request: Any) -> Message:
        version, label = _choice(request.model_spec)
        self._require_name(request.model_spec)
        body = self._models.status(version, label)
        for state in body["model_version_status"]:
            if state["status"]["error_code"] == "OK":
                state["status"] = {}
        return json_format.ParseDict(body, get_model_status_pb2.GetModelStatusResponse())

    def _model(self, spec: Any) -> ServedModel:
        self._require_name(spec)
        return self._models.get(*_choice(spec))

    def _require_name(self, spec: Any) -> None:
        if spec.name != self._models.name:
            raise ServingError(
                Code.NOT_FOUND, f"Servable not found for request: Latest({spec.name[:40]})"
            )

    def _describe(self, spec: Any, model: ServedModel, signature: str) -> None:
        spec.name, spec.signature_name = self._models.name, signature
        spec.version.value = model.version


class _TokenCheck(grpc.ServerInterceptor):
    """Turns away calls without the token, before anything of their message is read."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()
        self._denied = grpc.unary_unary_rpc_method_handler(self._deny)

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The call's handler, or one that denies it."""
        sent: Mapping[str, Any] = {str(k): v for k, v in handler_call_details.invocation_metadata}
        given = str(sent.get("authorization", "")).encode()
        is_known = hmac.compare_digest(given, self._expected)
        return continuation(handler_call_details) if is_known else self._denied

    @staticmethod
    def _deny(request: Any, context: grpc.ServicerContext) -> None:
        context.abort(
            grpc.StatusCode.UNAUTHENTICATED, "Expected the metadata 'authorization: Bearer TOKEN'."
        )


def start_grpc(
    answers: Answers, address: str, *, token: str | None = None
) -> tuple[grpc.Server, int]:
    """A running server and its port; with `token`, every call must send it. Raises `RuntimeError` where the address is taken."""
    limits = [
        ("grpc.max_receive_message_length", LARGEST_BODY),
        ("grpc.max_send_message_length", LARGEST_BODY),
        ("grpc.so_reuseport", 0),
        ("grpc.max_connection_age_ms", 1000 * CONNECTION_SECONDS),
        ("grpc.max_connection_age_grace_ms", 1000 * GRACE_SECONDS),
    ]
    server = grpc.server(
        futures.ThreadPoolExecutor(THREADS, thread_name_prefix="grpc"),
        options=limits,
        interceptors=[_TokenCheck(token)] if token else [],
        maximum_concurrent_rpcs=4 * THREADS,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(answers, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(answers, server)
    port = server.add_insecure_port(address)
    server.start()
    return server, port


def _as_failure(error: Exception) -> ServingError:
    if isinstance(error, ServingError):
        return error
    if isinstance(error, futures.CancelledError):
        return ServingError(Code.UNAVAILABLE, "The call was cancelled, or the server is stopping.")
    log.error("A bug in bone-age-tf", exc_info=error)
    return ServingError(Code.INTERNAL, "A bug in bone-age-tf; see its log.")


def _cancel(future: "futures.Future[Any]") -> None:
    future.cancel()


def _expected(model: ServedModel, name: str) -> Mapping[str, contract.Tensor]:
    if name not in model.inputs:
        raise contract.invalid(
            f"Serving signature name: {name[:40]!r} not found. There are: {', '.join(model.inputs)}."
        )
    return model.inputs[name]


def _arrays(request: Any) -> dict[str, np.ndarray]:
    try:
        return {key: array_of(proto) for key, proto in request.inputs.items()}
    except (TypeError, ValueError) as error:
        raise contract.invalid(f"An input is not a tensor: {str(error)[:200]}") from error


def _choice(spec: Any) -> tuple[int | None, str | None]:
    version = int(spec.version.value) if spec.HasField("version") else None
    return version, spec.version_label or None
