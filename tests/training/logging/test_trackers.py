"""Weights & Biases offline and MLflow on a local store, run for real if installed."""

import http.server
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fake_epochs import MAES, FakeRun

from bone_age_tf.errors import UsageError
from bone_age_tf.training.logging.trackers import MlflowLog, WandbLog

NOBODY = "http://127.0.0.1:9"
"""Nothing listens on the port `discard`."""

MakeRun = Callable[..., FakeRun]


@pytest.fixture
def fake_run(tmp_path: Path) -> MakeRun:
    return lambda *assignments: FakeRun(
        tmp_path / "fake", "logging.tensorboard=false", *assignments
    )


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The package, offline, and without what this account has stored of it."""
    package = pytest.importorskip("wandb", reason="wandb is not installed: no test of its log")
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    package.teardown()
    yield package
    package.teardown()


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package, with a database and pictures in a folder of this test."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("sqlalchemy", reason="sqlalchemy is not installed: no local MLflow store")
    return pytest.importorskip("mlflow", reason="mlflow is not installed: no test of its log")


def records(path: Path) -> list[Any]:
    """The messages in a `.wandb` file: LevelDB's log format after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, block = path.read_bytes(), 32768
    found, part, at = [], b"", 7
    while at + 7 <= len(content):
        if block - at % block < 7:
            at += block - at % block
            continue
        size, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        part += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            found.append(Record.FromString(part))
            part = b""
    return found


def wandb_runs(folder: Path) -> list[list[Any]]:
    """Of each run its messages, once the process that writes them has ended."""
    import wandb

    wandb.teardown()  # `finish` may return before the last message is on the disk
    return [records(path) for path in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]


def wandb_history(run: list[Any]) -> list[dict[str, Any]]:
    return [
        {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row.item}
        for row in (record.history for record in run if record.HasField("history"))
    ]


def wandb_config(run: list[Any]) -> dict[str, Any]:
    (begun,) = (record.run for record in run if record.HasField("run"))
    return {item.key: json.loads(item.value_json) for item in begun.config.update}


def test_wandb_offline_keeps_configuration_numbers_and_pictures(
    wandb: ModuleType, fake_run: MakeRun
) -> None:
    run = fake_run("logging.wandb=true", "logging.project=hands")
    run.process(until=2)
    (written,) = wandb_runs(run.folder)
    (begun,) = (record.run for record in written if record.HasField("run"))
    assert (begun.project, begun.display_name) == ("hands", "fake")
    config = wandb_config(written)
    assert (config["recipe"], config["train"]["batch_size"]) == ("tiny", 8)
    assert config["run"] == {"initial_weights": "none"}
    inputs, *epochs = wandb_history(written)
    assert inputs["augmented_inputs._type"] == "image-file"
    assert [row["_step"] for row in epochs] == [1, 2]
    assert [row["mae_months/validation"] for row in epochs] == list(MAES[:2])
    assert [row["validation_by_sex/F"] for row in epochs] == [25.0, 15.625]
    assert all(row["validation/worst._type"] == "image-file" for row in epochs)
    assert len(list(run.folder.glob("wandb/offline-run-*/files/media/images/**/*.png"))) == 5


def test_wandb_goes_on_in_the_same_run(wandb: ModuleType, fake_run: MakeRun) -> None:
    run = fake_run("logging.wandb=true")
    run.process(until=1)
    name = json.loads((run.folder / "trackers.json").read_text())["wandb"]
    run.process(first=1, until=3)
    assert json.loads((run.folder / "trackers.json").read_text()) == {"wandb": name}
    files = run.folder.glob("wandb/offline-run-*/*.wandb")
    assert [path.name for path in files] == [f"run-{name}.wandb"] * 2
    steps = [[row["_step"] for row in wandb_history(run)] for run in wandb_runs(run.folder)]
    assert steps == [[0, 1], [2, 3]]


def test_wandb_can_be_disabled_from_outside(
    wandb: ModuleType, fake_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    run = fake_run("logging.wandb=true")
    run.process(until=1)
    assert not list(run.folder.glob("wandb/*run-*"))


def test_wandb_that_fails_in_the_middle_is_one_warning(
    wandb: ModuleType,
    fake_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*arguments: Any, **more: Any) -> None:
        raise BrokenPipeError("the service is gone")

    monkeypatch.setattr(wandb.Run, "log", refuse)
    run = fake_run("logging.wandb=true")
    run.process(until=3)
    assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [
        "Weights & Biases does not answer; the training continues. (the service is gone)"
    ]


def test_wandb_without_a_login_is_rejected_before_anything_is_written(
    wandb: ModuleType, fake_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    run = fake_run("logging.wandb=true")
    with pytest.raises(UsageError, match="no login.*wandb login.*WANDB_MODE=offline"):
        run.logs()
    assert list(run.folder.iterdir()) == []


@pytest.fixture
def refusing_server() -> Iterator[str]:
    """A server on this machine that takes no login."""

    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b'{"errors": ["user is not logged in"]}')

        do_GET = do_POST  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_wandb_says_what_to_do_where_the_login_is_rejected(
    wandb: ModuleType, fake_run: MakeRun, monkeypatch: pytest.MonkeyPatch, refusing_server: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", refusing_server)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with pytest.raises(UsageError, match="not logged in.*WANDB_MODE=offline"):
        fake_run("logging.wandb=true").logs()


def test_mlflow_keeps_parameters_numbers_and_pictures(
    mlflow: ModuleType, fake_run: MakeRun
) -> None:
    run = fake_run("logging.mlflow=true", "logging.project=hands")
    run.process(until=2)
    client = mlflow.MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name("hands").experiment_id])
    assert (found.info.run_name, found.info.status) == ("fake", "FINISHED")
    assert found.data.params["train.batch_size"] == "8"
    assert found.data.metrics["mae_months/best_validation"] == min(MAES[:2])
    history = client.get_metric_history(found.info.run_id, "validation_by_age/0-4 years")
    assert [(metric.step, metric.value) for metric in history] == [(1, 10.0), (2, 6.25)]
    names = [Path(file.path).name for file in client.list_artifacts(found.info.run_id, "images")]
    assert sum(name.endswith(".png") for name in names) == 5
    kept = client.download_artifacts(found.info.run_id, "run.json")
    assert json.loads(Path(kept).read_text())["initial_weights"] == "none"


def test_mlflow_goes_on_in_the_same_run(mlflow: ModuleType, fake_run: MakeRun) -> None:
    run = fake_run("logging.mlflow=true")
    run.process(until=1, is_last=False)
    client = mlflow.MlflowClient()
    name = json.loads((run.folder / "trackers.json").read_text())["mlflow"]
    assert client.get_run(name).info.status == "RUNNING"
    run.process(first=1, until=3)
    history = client.get_metric_history(name, "mae_months/validation")
    assert [(metric.step, metric.value) for metric in history] == list(enumerate(MAES, 1))
    assert len(client.search_runs([client.get_run(name).info.experiment_id])) == 1
    assert client.get_run(name).info.status == "FINISHED"


def test_mlflow_that_comes_back_gets_what_it_missed(
    mlflow: ModuleType,
    fake_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = fake_run("logging.mlflow=true")
    (log,) = [log for log in run.logs() if isinstance(log, MlflowLog)]
    with monkeypatch.context() as away:
        log.on_epoch_begin(0)
        away.setattr(mlflow.MlflowClient, "log_batch", _refuse)
        run.epoch([log], 0)
        run.epoch([log], 1)
    run.epoch([log], 2)
    log.on_train_end()
    warnings = [r.message for r in caplog.records if r.name.startswith("bone_age_tf")]
    assert warnings == ["MLflow does not answer; the training continues. (nobody there)"]
    name = json.loads((run.folder / "trackers.json").read_text())["mlflow"]
    history = mlflow.MlflowClient().get_metric_history(name, "mae_months/validation")
    assert [(metric.step, metric.value) for metric in history] == list(enumerate(MAES, 1))


def test_mlflow_that_stays_away_is_said_at_the_end(
    mlflow: ModuleType,
    fake_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = fake_run("logging.mlflow=true")
    (log,) = [log for log in run.logs() if isinstance(log, MlflowLog)]
    log.on_epoch_begin(0)
    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", _refuse)
    for epoch in range(2):
        run.epoch([log], epoch)
    log.on_train_end()
    assert caplog.messages[-1] == "MLflow lacks the numbers of the last 2 epochs"


def _refuse(*arguments: Any, **more: Any) -> None:
    raise ConnectionError("nobody there")


def test_mlflow_that_is_not_there_at_the_start_is_an_error(
    mlflow: ModuleType, fake_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOBODY)
    with pytest.raises(UsageError, match="MLFLOW_TRACKING_URI"):
        fake_run("logging.mlflow=true").process(until=1)


def test_mlflow_says_what_to_do_where_the_login_is_rejected(
    mlflow: ModuleType, fake_run: MakeRun, monkeypatch: pytest.MonkeyPatch, refusing_server: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", refusing_server)
    with pytest.raises(UsageError, match="not logged in.*MLFLOW_TRACKING_TOKEN"):
        fake_run("logging.mlflow=true").process(until=1)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_named(
    name: str, fake_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"pip install 'bone-age-tf\[{name}\]'"):
        fake_run(f"logging.{name}=true").logs()


def test_nothing_is_tracked_unless_asked_for(fake_run: MakeRun) -> None:
    assert not [log for log in fake_run().logs() if isinstance(log, WandbLog | MlflowLog)]
