"""Debian's Prometheus with the files of `deploy/prometheus`: what it scrapes of `serve`, and alerts that fire."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ROOT
from serve_peer import Serve

pytestmark = pytest.mark.release
FILES = ROOT / "deploy/prometheus"
UNIT_TESTS = Path(__file__).with_name("alerts.test.yml")
TOKEN = "0123456789abcdef"
URL = "http://127.0.0.1:9090/api/v1"
SECONDS = 120


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"no {name}: apt-get install prometheus")
    return path


def promtool(*words: object) -> str:
    command = [program("promtool"), *(str(word) for word in words)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of `deploy/prometheus`, with a token, and seconds in place of minutes."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "token").write_text(TOKEN)
    shutil.copy(FILES / "alerts.yml", folder)
    text = (FILES / "prometheus.yml").read_text().replace("/etc/prometheus/bone-age.token", "token")
    (folder / "prometheus.yml").write_text(text)
    return folder


def test_promtool_finds_nothing(files: Path) -> None:
    said = promtool("check", "config", "--lint-fatal", files / "prometheus.yml")
    assert "SUCCESS: 1 rule files found" in said
    assert "SUCCESS: 10 rules found" in said


def test_each_rule_fires_when_it_should_and_not_before() -> None:
    assert "SUCCESS" in promtool("test", "rules", UNIT_TESTS)
    names = re.findall(r"alert: (\w+)", (FILES / "alerts.yml").read_text())
    assert set(names) <= set(re.findall(r"alertname: (\w+)", UNIT_TESTS.read_text()))


@pytest.fixture(scope="module")
def server(
    files: Path, shipped: Path, network: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serve]:
    """`serve`, scraped every second."""
    prometheus = program("prometheus")
    for name, number in (("prometheus.yml", "15s"), ("alerts.yml", r"\d+m")):
        pattern = rf"^( *(?:scrape_interval|evaluation_interval|for)): {number}"
        text = re.sub(pattern, r"\1: 1s", (files / name).read_text(), flags=re.MULTILINE)
        (files / name).write_text(text)
    model = shutil.copytree(shipped, tmp_path_factory.mktemp("scraped") / "bone_age")
    one = Serve(model, "--poll-seconds", "0.5", token=TOKEN)
    command = [prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    command += ["--web.listen-address=127.0.0.1:9090", "--log.level=warn"]
    with subprocess.Popen(command, cwd=files) as running:
        yield one
        running.terminate()
    one.close()


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + SECONDS
    while True:
        try:
            if found := condition():
                return found
        except httpx.TransportError:
            pass  # it is still starting
        assert time.monotonic() < end
        time.sleep(0.2)


def query(expression: str) -> dict[str, float]:
    """Value by the labels other than job and instance."""
    answer = httpx.get(f"{URL}/query", params={"query": expression}).raise_for_status()
    return {
        " ".join(v for k, v in sorted(one["metric"].items()) if k not in ("job", "instance", "__name__")):
        float(one["value"][1])
        for one in answer.json()["data"]["result"]
    }  # fmt: skip


def firing() -> set[str]:
    alerts = httpx.get(f"{URL}/alerts").raise_for_status().json()["data"]["alerts"]
    return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}


def test_it_scrapes_the_server_with_its_token(server: Serve) -> None:
    assert until(lambda: query('up{job="bone-age-serve"} == 1'))
    assert query("bone_age_model_version") == {"available 1": 1.0}
    assert until(lambda: query('bone_age_requests_total{kind="GET metrics"}'))
    until(lambda: firing() == {"BoneAgeNodeDown"})  # no node runs here


def test_a_version_that_does_not_pass_fires_an_alert_until_it_is_gone(server: Serve) -> None:
    (server.model / "2").mkdir()
    until(lambda: "BoneAgeVersionRefused" in firing())
    (server.model / "2").rmdir()
    until(lambda: "BoneAgeVersionRefused" not in firing())


def test_a_server_that_stops_fires_an_alert(server: Serve) -> None:
    until(lambda: "BoneAgeServerDown" not in firing())  # nor where a scrape came late
    server.stop()
    until(lambda: "BoneAgeServerDown" in firing())
