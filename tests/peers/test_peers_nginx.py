"""nginx in front of `serve`, by the serving kit's configuration and by that of `deploy/serve`."""

import base64
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import nginx_peer
import pytest
from certificates import Authority
from conftest import ROOT
from grpc_js_peer import GrpcJs, predict_request
from nginx_peer import Nginx
from serve_peer import Serve

pytestmark = pytest.mark.release
HOST = "bone-age.example"
TOKEN = "0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
HAND = (ROOT / "bone_age_tf/assets/golden_hand.png").read_bytes()
ROW = {"instances": [{"image_bytes": {"b64": base64.b64encode(HAND).decode()}, "sex": "F"}]}
MEBIBYTE = 2**20


class Site:
    """A client of one of the two configurations."""

    def __init__(self, name: str, ca: str) -> None:
        self.is_kit = name == "kit"
        port, self.host = (8443, "localhost") if self.is_kit else (443, HOST)
        self.address = f"127.0.0.1:{port}"
        self.grpc = {"ca": ca, "authority": self.host, "token": TOKEN}
        self.client = httpx.Client(
            base_url=f"https://{self.address}",
            headers={"Host": self.host, **BEARER},
            verify=ssl.create_default_context(cafile=ca),
            timeout=60,
        )

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        return self.client.request(method, path, extensions={"sni_hostname": self.host}, **content)


@pytest.fixture(scope="module")
def server(grpc_js: GrpcJs, shipped: Path, network: None) -> Iterator[Serve]:
    nginx_peer.require()
    one = Serve(shipped, "--max-in-flight", "4", "--allowed-host", HOST, token=TOKEN)
    yield one
    one.close()


@pytest.fixture(scope="module")
def authority(
    server: Serve, shipped: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Authority]:
    """That of the certificate of a running nginx with both configurations."""
    folder = tmp_path_factory.mktemp("nginx")
    one = Authority(folder)
    files = [path / "nginx.conf" for path in (shipped / "serving-kit", ROOT / "deploy/serve")]
    kit, serve = (file.read_text() for file in files)
    small = kit.replace("8443", "8444").replace(
        "client_max_body_size 32m", "client_max_body_size 1m"
    )
    nginx = Nginx(folder, [kit, serve, small], one.certificate("proxy", HOST))
    yield one
    nginx.close()
    assert nginx.files == []


@pytest.fixture(params=["kit", "serve"])
def site(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Site]:
    one = Site(request.param, authority.ca)
    yield one
    one.client.close()


def spec(**more: Any) -> dict[str, Any]:
    return {"model_spec": {"name": "bone_age", **more}}


# === REST ===


def test_the_answer_is_the_server_s(site: Site) -> None:
    through = site.ask("POST", "/v1/models/bone_age:predict", json=ROW)
    direct = httpx.post(
        f"{Serve.rest}/v1/models/bone_age:predict", json=ROW, headers=BEARER, timeout=60
    )
    assert (through.status_code, through.content) == (200, direct.content)
    assert through.json()["predictions"][0]["status"] == "ok"
    assert through.headers["cache-control"] == "no-store"
    assert site.ask("GET", "/v1/models/bone_age").json()["model_version_status"]


def test_a_body_of_32_mebibytes_passes_and_a_larger_one_does_not(site: Site) -> None:
    largest = site.ask("POST", "/v1/models/bone_age:predict", content=b" " * (32 * MEBIBYTE))
    assert largest.status_code == 400
    assert "error" in largest.json()
    larger = site.ask("POST", "/v1/models/bone_age:predict", content=b" " * (32 * MEBIBYTE + 1))
    assert larger.status_code == 413
    assert "nginx" in larger.text


def test_a_busy_server_s_503_passes_with_its_header(site: Site) -> None:
    body = {"instances": ROW["instances"] * 4}
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda _: site.ask("POST", "/v1/models/bone_age:predict", json=body), range(6))
        )
    by_status = {answer.status_code: answer for answer in answers}
    assert set(by_status) == {200, 503}
    assert by_status[503].headers["retry-after"] == "1"
    assert "capacity" in by_status[503].json()["error"]


def test_metrics_do_not_pass(site: Site) -> None:
    for path in ("/metrics", "/v1/metrics", "/monitoring/prometheus/metrics"):
        assert site.ask("GET", path).status_code == 404


def test_an_unknown_host_is_refused(site: Site) -> None:
    answer = site.ask("GET", "/v1/models/bone_age", headers={"Host": "elsewhere.example"})
    assert (answer.status_code, answer.text) == (400, "Invalid host header")


# === The page, by deploy/serve ===


@pytest.mark.parametrize("host", [HOST, f"{HOST}:8443"])
def test_the_page_reads_a_radiograph_also_by_a_forwarded_port(site: Site, host: str) -> None:
    if site.is_kit:
        pytest.skip("TensorFlow Serving has no page")
    page = site.ask("GET", "/", headers={"Host": host})
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    own = {"Host": host, "Origin": f"https://{host}"}
    answer = site.ask("POST", "/read?sex=F", content=HAND, headers=own)
    assert answer.status_code == 200, answer.text
    other = own | {"Origin": "https://elsewhere.example"}
    assert site.ask("POST", "/read?sex=F", content=HAND, headers=other).status_code == 403


def test_what_needs_the_token_and_what_does_not(site: Site, grpc_js: GrpcJs) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    assert site.ask("GET", "/v1/models/bone_age", headers=wrong).status_code == 401
    if not site.is_kit:
        assert site.ask("POST", "/read?sex=F", content=b"", headers=wrong).status_code == 401
        assert site.ask("GET", "/readyz", headers=wrong).status_code == 200
    said = grpc_js.call(
        "Predict", predict_request([HAND], ["F"]), site.address, **site.grpc | {"token": "wrong"}
    )
    assert said["code"] == "UNAUTHENTICATED"


# === gRPC ===


def test_grpc_passes(site: Site, grpc_js: GrpcJs) -> None:
    direct = months(site)
    said = grpc_js.call("Predict", predict_request([HAND], ["F"]), site.address, **site.grpc)
    assert (said["code"], said["details"]) == ("OK", "")
    assert said["answer"]["outputs"]["bone_age_months"]["float_val"] == pytest.approx([direct])
    status = grpc_js.call("GetModelStatus", spec(), site.address, **site.grpc)
    assert status["answer"]["model_version_status"][0]["state"] == "AVAILABLE"
    unknown = grpc_js.call("GetModelStatus", spec(version={"value": 9}), site.address, **site.grpc)
    assert unknown["code"] == "NOT_FOUND"


def months(site: Site) -> float:
    answer = site.ask("POST", "/v1/models/bone_age:predict", json=ROW)
    return answer.json()["predictions"][0]["bone_age_months"]


def test_the_server_s_word_on_a_large_message_passes(site: Site, grpc_js: GrpcJs) -> None:
    said = grpc_js.call(
        "Predict", predict_request([bytes(33 * MEBIBYTE)], ["F"]), site.address, **site.grpc
    )
    assert said["code"] == "RESOURCE_EXHAUSTED"
    assert "larger than max" in said["details"]


def test_nginx_has_a_status_of_grpc_for_one_that_it_stops(site: Site, grpc_js: GrpcJs) -> None:
    """TensorFlow Serving sets no limit."""
    address = "127.0.0.1:8444"  # the same with a lower limit
    said = grpc_js.call(
        "Predict", predict_request([bytes(2 * MEBIBYTE)], ["F"]), address, **site.grpc
    )
    assert said["code"] == "RESOURCE_EXHAUSTED"
    assert "32 MB" in said["details"]


# === A server that is not there ===


def test_without_a_server_clients_are_told_to_try_again(
    server: Serve, authority: Authority, grpc_js: GrpcJs
) -> None:
    assert server.stop() == 128 + 15
    for name in ("kit", "serve"):
        site = Site(name, authority.ca)
        assert site.ask("GET", "/v1/models/bone_age").status_code == 502
        said = grpc_js.call("GetModelStatus", spec(), site.address, **site.grpc)
        assert said["code"] == "UNAVAILABLE"
        site.client.close()
