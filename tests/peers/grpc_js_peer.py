"""gRPC's client for Node, from npm, with the .proto files of TensorFlow Serving."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from proto_files import write_proto_files

NODE, NPM = shutil.which("node"), shutil.which("npm")
PACKAGES = ("@grpc/grpc-js@1.14.7", "@grpc/proto-loader@0.8.1")
CALL = Path(__file__).with_name("grpc_call.mjs")
SECONDS = 120


class GrpcJs:
    """Its packages in a folder, to be made where npm reaches a registry."""

    def __init__(self, folder: Path) -> None:
        if NODE is None or NPM is None:
            pytest.skip("no Node or no npm: apt-get install nodejs npm")
        self.folder, self.protos = folder, folder / "protos"
        write_proto_files(self.protos)
        shutil.copy(CALL, folder)
        (folder / "package.json").write_text("{}")
        install = [NPM, "install", "--silent", "--no-audit", "--prefer-offline", *PACKAGES]
        done = subprocess.run(install, cwd=folder, check=False, capture_output=True, timeout=600)
        if done.returncode:
            pytest.skip(f"npm install {' '.join(PACKAGES)}: {done.stderr.decode()[:200]}")

    def call(
        self, method: str, request: dict[str, Any], address: str, **connection: str
    ) -> dict[str, Any]:
        """{"code": "OK", "details": "", "answer": {...}}; `connection` are `ca`, `authority` and `token`."""
        service = "ModelService" if method == "GetModelStatus" else "PredictionService"
        return json.loads(
            self.run(
                [CALL.name, str(self.protos), address, service, method],
                sent=json.dumps({"request": request, **connection}),
            )
        )

    def run(self, words: list[str], sent: str = "", **variables: str) -> str:
        """What a program in the folder prints, with more variables of the environment."""
        done = subprocess.run(
            [str(NODE), *words],
            input=sent,
            cwd=self.folder,
            env=os.environ | variables,
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def predict_request(files: list[bytes], sexes: list[str], **spec: Any) -> dict[str, Any]:
    """A request of Predict, in JSON; `spec` are further fields of the model's."""
    inputs = {"image_bytes": _strings(files), "sex": _strings([sex.encode() for sex in sexes])}
    return {"model_spec": {"name": "bone_age", **spec}, "inputs": inputs}


def _strings(values: list[bytes]) -> dict[str, Any]:
    return {
        "dtype": "DT_STRING",
        "tensor_shape": {"dim": [{"size": len(values)}]},
        "string_val": [base64.b64encode(value).decode() for value in values],
    }
