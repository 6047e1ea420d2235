"""deploy/flink/: the files are consistent, and Beam parses its options as intended."""

import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from bone_age_tf.cli import main as cli
from bone_age_tf.data_prep.beam_runner import beam_runner

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "deploy/flink/docker-compose.yml").read_text())["services"]


@pytest.fixture(scope="module")
def parameters(
    services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What the program makes of the command of `prepare`; the source is made up."""
    source = str(tmp_path_factory.mktemp("raw"))
    name, _, *words = services["prepare"]["command"]
    assert name == "prepare"
    with cli.load_command(name).make_context(name, [source, *words]) as context:
        return context.params


def test_worker_and_prepare_see_one_folder(services: dict[str, Any]) -> None:
    assert services["worker"]["volumes"] == services["prepare"]["volumes"]
    (mount,) = services["worker"]["volumes"]
    folder = mount.rpartition(":")[2]
    _, source, output, *_ = services["prepare"]["command"]
    assert source.startswith(f"{folder}/")
    assert output.startswith(f"--output={folder}/")
    assert services["worker"]["image"] == services["prepare"]["image"] == "bone-age-tf:beam"
    target = services["worker"]["build"]["target"]
    assert f" AS {target}\n" in (ROOT / "Dockerfile").read_text()


def test_the_services_find_each_other(services: dict[str, Any], parameters: dict[str, Any]) -> None:
    options = dict(
        option.removeprefix("--").partition("=")[::2] for option in parameters["beam_options"]
    )
    assert parameters["runner"] == "beam"
    master = re.fullmatch(r"http://(\w+):8081", options["flink_master"])
    assert master is not None
    assert master[1] in services
    for name in ("jobmanager", "taskmanager"):
        assert f"rpc.address: {master[1]}\n" in services[name]["environment"]["FLINK_PROPERTIES"]
    assert services["worker"]["network_mode"] == "service:taskmanager"
    (port,) = services["worker"]["command"]
    assert options["environment_config"] == f"localhost:{port.partition('=')[2]}"
    slots = re.search(
        r"numberOfTaskSlots: (\d+)", services["taskmanager"]["environment"]["FLINK_PROPERTIES"]
    )
    assert slots is not None
    assert options["parallelism"] == options["sdk_worker_parallelism"] == slots[1]


class Flink(BaseHTTPRequestHandler):
    """As much of Flink's REST interface as a submission needs; every job is finished at once."""

    jars: list[bytes]

    def do_GET(self) -> None:
        answers = {
            "config": {"flink-version": "1.20.0"},
            "execution-result": {"status": {"id": "COMPLETED"}},
            "exceptions": {"all-exceptions": []},
        }
        self._answer(answers.get(self.path.rpartition("/")[2], {"state": "FINISHED"}))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("upload"):
            self.jars.append(body[body.index(b"PK\x03\x04") :])
        self._answer({"filename": "jars/1_beam.jar", "jobid": "1"})

    def do_DELETE(self) -> None:
        self._answer({})

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Nothing."""


@pytest.fixture
def flink() -> Iterator[tuple[str, list[bytes]]]:
    """Address of a stand-in for a job manager, and the jars that it got."""
    jars: list[bytes] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Job", (Flink,), {"jars": jars}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", jars
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore")  # Beam's own
def test_beam_sends_flink_a_job_for_the_worker(
    parameters: dict[str, Any], flink: tuple[str, list[bytes]], tmp_path: Path
) -> None:
    pytest.importorskip("apache_beam", reason="Apache Beam (the extra `beam`) is not installed")
    address, jars = flink
    runner = tmp_path / "runner.jar"  # in place of Beam's own
    with zipfile.ZipFile(runner, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
    options = [
        f"--flink_master={address}" if "flink_master" in option else option
        for option in parameters["beam_options"]
    ]
    assert beam_runner([*options, f"--flink_job_server_jar={runner}"])([], lambda: None) == []
    (jar,) = jars
    with zipfile.ZipFile(io.BytesIO(jar)) as archive:
        texts = {
            Path(name).name: archive.read(name).decode()
            for name in archive.namelist()
            if name.endswith(".json")
        }
    pipeline = json.loads(texts["pipeline.json"])
    environments = pipeline["components"]["environments"].values()
    assert [each["urn"] for each in environments] == ["beam:env:external:v1"]
    assert "localhost:50000" in texts["pipeline-options.json"]
    sent = json.loads(texts["pipeline-options.json"])
    assert str(sent["beam:option:parallelism:v1"]) == "2"
    assert str(sent["beam:option:sdk_worker_parallelism:v1"]) == "2"
