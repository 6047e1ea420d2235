"""Probes, clients and smoke test of the serving kit, run against a fake of TensorFlow Serving."""

import base64
import importlib.util
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from dicom_files import dicom_of
from rest_stand_in import StandIn, stand_in

from bone_age_tf.dicom import reader
from bone_age_tf.export.export import GOLDEN_HAND
from bone_age_tf.export.exported_model import ExportedModel

SHELLS = [shell for shell in ("sh", "bash", "dash") if shutil.which(shell)]


@pytest.fixture(scope="module")
def model(deployed: Path) -> ExportedModel:
    return ExportedModel.open(deployed)


@pytest.fixture
def server(model: ExportedModel) -> Iterator[StandIn]:
    with stand_in("bone_age", 1, model.signatures["serving_default"]) as running:
        yield running


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def execute(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """A program of the kit, with no proxy between."""
    return subprocess.run(
        [str(word) for word in words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "no_proxy": "*", **variables},
    )


def expected(kit: Path) -> dict[str, list[Any]]:
    return json.loads((kit / "sample_requests/columns.expected.json").read_text())["outputs"]


# === Probes: bash alone ===


@pytest.fixture(scope="module")
def probes(kit: Path) -> list[list[str]]:
    """The commands of Kubernetes' probes and of Docker's health check."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    deployment = next(yaml.safe_load_all((kit / "kubernetes.yaml").read_text()))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    service = yaml.safe_load((kit / "docker-compose.yml").read_text())["services"]["bone-age"]
    found = [container[name]["exec"]["command"] for name in ("startupProbe", "readinessProbe")]
    return [*found, service["healthcheck"]["test"][1:]]


def probe_code(command: list[str], port: int) -> int:
    words = [word.replace("/8501", f"/{port}") for word in command]
    assert words != command
    return execute(*words).returncode


@pytest.mark.parametrize("state", ["START", "LOADING", "AVAILABLE", "UNLOADING", "END"])
def test_the_probes_tell_an_available_model(
    state: str, probes: list[list[str]], server: StandIn
) -> None:
    server.state = state
    codes = [probe_code(command, server.server_port) for command in probes]
    assert [code == 0 for code in codes] == [state == "AVAILABLE"] * 3


def test_the_probes_fail_where_nobody_listens(probes: list[list[str]]) -> None:
    assert all(probe_code(command, unused_port()) != 0 for command in probes)


# === client.py ===


@pytest.fixture(scope="module")
def client(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """client.py as a module; a copy, since Python keeps what it has compiled beside it."""
    copy = shutil.copy(kit / "client.py", tmp_path_factory.mktemp("client"))
    spec = importlib.util.spec_from_file_location("kit_client", copy)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A drawn hand, a blank picture and a file that is no picture."""
    hand = shutil.copy(GOLDEN_HAND, tmp_path / "a hand.png")
    assert cv2.imwrite(str(tmp_path / "blank.png"), np.zeros((300, 260), np.uint8))
    (tmp_path / "text.png").write_text("no picture")
    return {"hand": hand, "blank": tmp_path / "blank.png", "text": tmp_path / "text.png"}


def test_client_py_gives_months(kit: Path, server: StandIn, files: dict[str, Path]) -> None:
    for number, sex in enumerate(("F", "M", "unknown")):
        done = execute(
            sys.executable, kit / "client.py", files["hand"], "--sex", sex, "--url", server.url
        )
        assert (done.returncode, done.stderr) == (0, "")
        months = expected(kit)["bone_age_months"][number]
        assert done.stdout == f"{files['hand']}\t{months:.1f} months\n"
    assert server.requests == ["/v1/models/bone_age:predict"] * 3


def test_client_py_says_why_a_file_has_no_months(
    kit: Path, server: StandIn, files: dict[str, Path]
) -> None:
    paths = [files["text"], files["blank"], files["hand"], "no such file"]
    done = execute(
        sys.executable, kit / "client.py", *paths, "--sex", "F", "--url", f"{server.url}/"
    )
    assert done.returncode == 1
    assert f"{files['blank']}\trejected (blank)\n" in done.stdout
    assert f"{files['hand']}\t" in done.stdout
    first, last = done.stderr.splitlines()
    why = "refused (not_png_or_jpeg): the content is neither PNG nor JPEG"
    assert first == f"{files['text']}: {why}"
    assert "no such file" in last


def test_client_py_as_a_function(client: ModuleType, kit: Path, server: StandIn) -> None:
    answer = client.ask(GOLDEN_HAND.read_bytes(), "M", server.url)
    assert answer.status == "ok"
    assert answer.months == pytest.approx(expected(kit)["bone_age_months"][1], abs=0.01)
    assert answer.low is answer.high is None, "this model has no intervals"
    with pytest.raises(client.ServingError, match="sex must be F, M or unknown"):
        client.ask(GOLDEN_HAND.read_bytes(), "male", server.url)
    with pytest.raises(client.ServingError, match="HTTP 404: Could not find"):
        client.ask(GOLDEN_HAND.read_bytes(), "M", server.url, "other")
    with pytest.raises(client.ServingError, match="no answer from"):
        client.ask(GOLDEN_HAND.read_bytes(), "M", f"http://127.0.0.1:{unused_port()}")


def test_client_py_shows_an_interval(client: ModuleType) -> None:
    assert (
        client.describe(client.Answer("ok", 120.04, 101.5, 139.0)) == "120.0 months [101.5, 139.0]"
    )


def test_client_py_names_a_proxy_s_refusal(client: ModuleType) -> None:
    assert client._reason(413, b"<html>too large</html>").startswith("HTTP 413 ")


def test_client_py_wants_a_sex(kit: Path, files: dict[str, Path]) -> None:
    done = execute(sys.executable, kit / "client.py", files["hand"], "--sex", "male")
    assert done.returncode == 2
    assert "unknown" in done.stderr


def test_client_py_wants_a_sex_of_what_is_not_dicom(
    kit: Path, server: StandIn, files: dict[str, Path], dicom: Path
) -> None:
    done = execute(sys.executable, kit / "client.py", dicom, files["hand"], "--url", server.url)
    assert done.returncode == 2
    assert "--sex is required for files that are not DICOM" in done.stderr
    assert server.requests == []


# === client.py with DICOM ===


@pytest.fixture
def dicom(tmp_path: Path) -> Path:
    """A girl's radiograph."""
    pixels = cv2.imread(str(GOLDEN_HAND), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    path = tmp_path / "CANARY^NAME"
    path.write_bytes(dicom_of(pixels, StudyDescription="CANARY", PatientName="CANARY^NAME"))
    return path


def sent(body: bytes) -> tuple[bytes, str]:
    """The picture and the sex of a request, which holds nothing else."""
    content = json.loads(body)
    ((row,),) = content.values()
    assert set(row) == {"image_bytes", "sex"}
    return base64.b64decode(row["image_bytes"]["b64"]), row["sex"]


def chunks(png: bytes) -> set[str]:
    """The kinds of a PNG's chunks."""
    kinds, at = set(), 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kinds.add(png[at + 4 : at + 8].decode())
        at += length + 12
    return kinds


def test_client_py_sends_a_dicom_file_s_pixels_and_sex_alone(
    kit: Path, server: StandIn, dicom: Path
) -> None:
    for words, sex in (((), "F"), (("--sex", "M"), "M")):
        done = execute(sys.executable, kit / "client.py", dicom, "--url", server.url, *words)
        assert (done.returncode, done.stderr) == (0, "")
        months = expected(kit)["bone_age_months"]["FM".index(sex)]
        note = "" if words else "\tsex by the header: F"
        assert done.stdout == f"{dicom}\t{months:.1f} months{note}\n"
    assert [sent(body)[1] for body in server.bodies] == ["F", "M"]
    png, _ = sent(server.bodies[0])
    assert chunks(png) == {"IHDR", "IDAT", "IEND"}
    assert b"CANARY" not in png
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(decoded, reader.read_pixels(dicom.read_bytes()))


def test_client_py_does_not_send_what_its_header_makes_useless(
    kit: Path, server: StandIn, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(dicom_of(np.zeros((100, 100), np.uint16), BodyPartExamined="CHEST"))
    done = execute(sys.executable, kit / "client.py", file, "--url", server.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{file}: rejected (body_part): ")
    assert server.requests == []


def test_client_py_sends_unknown_where_the_header_does_not_tell_the_sex(
    kit: Path, server: StandIn, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(dicom_of(np.zeros((100, 100), np.uint16), PatientSex="O"))
    done = execute(sys.executable, kit / "client.py", file, "--url", server.url)
    assert done.stdout.rstrip().endswith("sex by the header: unknown")
    assert [sent(body)[1] for body in server.bodies] == ["unknown"]


def test_client_py_says_what_dicom_needs(kit: Path, server: StandIn, dicom: Path) -> None:
    bare = (sys.executable, "-I", "-S")
    done = execute(*bare, kit / "client.py", dicom, "--url", server.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'bone-age-tf[dicom]'" in done.stderr
    done = execute(*bare, kit / "client.py", GOLDEN_HAND, "--sex", "F", "--url", server.url)
    assert done.returncode == 0, "PNG needs nothing"


def test_client_sh_names_the_client_that_reads_dicom(kit: Path, dicom: Path) -> None:
    for shell in SHELLS:
        done = execute(shell, kit / "client.sh", dicom, "F")
        assert (done.returncode, done.stdout) == (2, "")
        assert "use client.py" in done.stderr


# === client.sh ===


@pytest.mark.parametrize("shell", SHELLS)
def test_client_sh_prints_the_answer(
    shell: str, kit: Path, server: StandIn, files: dict[str, Path]
) -> None:
    done = execute(shell, kit / "client.sh", files["hand"], "M", server.url)
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)["predictions"]
    assert row["bone_age_months"] == pytest.approx(expected(kit)["bone_age_months"][1], abs=0.01)
    assert row["status"] == "ok"


def test_client_sh_sends_a_file_of_many_megabytes(
    kit: Path, server: StandIn, tmp_path: Path
) -> None:
    """More than one argument of a command may hold."""
    noise = np.random.default_rng(0).integers(0, 256, (2000, 1600), np.uint8)
    assert cv2.imwrite(str(tmp_path / "noise.png"), noise)
    done = execute("sh", kit / "client.sh", tmp_path / "noise.png", "M", server.url)
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["predictions"][0]["status"] != "ok"


@pytest.mark.parametrize("shell", SHELLS)
def test_client_sh_fails_for_a_refused_radiograph(
    shell: str, kit: Path, server: StandIn, files: dict[str, Path]
) -> None:
    done = execute(shell, kit / "client.sh", files["blank"], "F", server.url)
    assert (done.returncode, done.stderr) == (1, "")
    (row,) = json.loads(done.stdout)["predictions"]
    assert (row["status"], row["bone_age_months"]) == ("blank", -1)


def test_client_sh_fails_with_the_server_s_words(
    kit: Path, server: StandIn, files: dict[str, Path]
) -> None:
    done = execute("sh", kit / "client.sh", files["text"], "F", server.url)
    assert done.returncode == 1
    assert "refused (not_png_or_jpeg)" in json.loads(done.stdout)["error"]
    nobody = f"http://127.0.0.1:{unused_port()}"
    done = execute("sh", kit / "client.sh", files["hand"], "F", nobody)
    assert done.returncode == 1
    assert "curl" in done.stderr


@pytest.mark.parametrize("words", [[], ["hand.png"], ["hand.png", "male"], ["no-such-file", "F"]])
def test_client_sh_refuses_wrong_usage(words: list[str], kit: Path) -> None:
    done = execute("sh", kit / "client.sh", *words)
    assert done.returncode == 2
    assert done.stderr


# === smoke.sh ===


@pytest.mark.parametrize("shell", SHELLS)
def test_smoke_sh_is_content_with_the_model(shell: str, kit: Path, server: StandIn) -> None:
    done = execute(shell, kit / "smoke.sh", server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "answers as it did" in done.stdout
    assert server.requests == ["/v1/models/bone_age/versions/1:predict"]


@pytest.mark.parametrize("shift", [0.06, -0.06, 100.0])
def test_smoke_sh_tells_another_answer(shift: float, kit: Path, server: StandIn) -> None:
    server.shift = shift
    done = execute("sh", kit / "smoke.sh", server.url)
    assert done.returncode == 1
    assert re.search(r"smoke: bone_age_\w+: expected .+\. Received: .+", done.stderr)


@pytest.mark.parametrize("shift", [0.04, -0.04])
def test_smoke_sh_allows_rounding(shift: float, kit: Path, server: StandIn) -> None:
    server.shift = shift
    assert execute("sh", kit / "smoke.sh", server.url).returncode == 0


@pytest.mark.parametrize("state", ["LOADING", "END"])
def test_smoke_sh_waits_and_says_what_it_saw(state: str, kit: Path, server: StandIn) -> None:
    server.state = state
    done = execute("sh", kit / "smoke.sh", server.url, SMOKE_SECONDS="1")
    assert done.returncode == 1
    assert "not AVAILABLE after 1 s" in done.stderr
    assert f'"state": "{state}"' in done.stderr
    assert server.requests == []


def test_smoke_sh_fails_where_nobody_listens(kit: Path) -> None:
    nobody = f"http://127.0.0.1:{unused_port()}"
    done = execute("sh", kit / "smoke.sh", nobody, SMOKE_SECONDS="1")
    assert done.returncode == 1
    assert "not AVAILABLE" in done.stderr


def test_smoke_sh_tells_a_missing_output(kit: Path, model: ExportedModel) -> None:
    serve = model.signatures["serving_default"]

    def poorer(**inputs: Any) -> dict[str, Any]:
        answer = dict(serve(**inputs))
        del answer["bone_age_months"]
        return answer

    with stand_in("bone_age", 1, poorer) as server:
        done = execute("sh", kit / "smoke.sh", server.url)
    assert done.returncode == 1
    assert "bone_age_months: expected" in done.stderr


# === Scripts ===


@pytest.mark.parametrize("name", ["client.sh", "smoke.sh"])
def test_scripts_are_plain_sh(name: str, kit: Path) -> None:
    assert os.access(kit / name, os.X_OK)
    assert (kit / name).read_text().startswith("#!/bin/sh\n")
    for shell in SHELLS:
        assert execute(shell, "-n", kit / name).returncode == 0
    shellcheck = shutil.which(
        "shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
    )
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    done = execute(shellcheck, kit / name)
    assert done.returncode == 0, done.stdout
