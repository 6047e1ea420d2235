"""The files of the serving kit, each parsed as by the program that reads it."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from bone_age_tf.cli import main as cli
from bone_age_tf.errors import UsageError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.serving.serving_kit import TEMPLATES, model_name, write_serving_kit

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

RENDERED = sorted(path.name for path in TEMPLATES.iterdir() if path.is_file())


def test_it_lies_beside_the_versions(deployed: Path) -> None:
    assert sorted(path.name for path in deployed.iterdir()) == ["1", "serving-kit"]
    there = {path.name for path in (deployed / "serving-kit").iterdir()}
    assert there == {*RENDERED, "sample_requests"}
    ExportedModel.open(deployed)


@pytest.mark.parametrize("name", RENDERED)
def test_nothing_is_left_of_the_template(name: str, kit: Path) -> None:
    text = (kit / name).read_text()
    assert "{{" not in text
    assert "bone_age" in text or name == "monitoring.config"
    assert text.endswith("\n")


def test_the_readme_has_a_line_for_each_file(kit: Path) -> None:
    named = set(re.findall(r"^\| `([^`]+)` \|", (kit / "README.md").read_text(), re.MULTILINE))
    there = {path.name for path in kit.iterdir()} - {"README.md", "sample_requests"}
    warm_up = "../1/assets.extra/tf_serving_warmup_requests"
    assert named == there | {"sample_requests/", warm_up}
    assert (kit / warm_up).is_file()


def test_every_file_says_what_it_is_not(kit: Path) -> None:
    for name in ("README.md", "client.py", "client.sh"):
        assert "Not a medical device" in (kit / name).read_text()


def test_the_readme_says_how_serve_gets_the_label(deployed: Path, kit: Path) -> None:
    line = next(x for x in (kit / "README.md").read_text().splitlines() if "labels/stable" in x)
    found = re.search(r"`(--label stable=\d+)`", line)
    assert found
    words = ["--model", str(deployed), *found[1].split()]
    context = cli.load_command("serve").make_context("serve", words)
    assert context.params["version_labels"] == {"stable": 1}


# === TensorFlow Serving's own files ===


def test_models_config_serves_this_version(kit: Path) -> None:
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    config = text_format.Parse((kit / "models.config").read_text(), ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("bone_age", "/models/bone_age")
    assert model.model_platform == "tensorflow"
    assert list(model.model_version_policy.specific.versions) == [1]
    assert dict(model.version_labels) == {"stable": 1}


def message(**messages: list[tuple[str, int, str]]) -> Any:
    """The last of some messages of TensorFlow Serving whose module `tensorflow-serving-api` leaves out.

    Their fields as in its .proto files: name, number, type.
    """
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {"bool": kinds.TYPE_BOOL, "string": kinds.TYPE_STRING}
    file = descriptor_pb2.FileDescriptorProto(name="kit.proto", package="kit", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    for name, fields in messages.items():
        described = file.message_type.add(name=name)
        for field, number, kind in fields:
            added = described.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
            added.type = scalars.get(kind, kinds.TYPE_MESSAGE)
            if kind not in scalars:
                added.type_name = f".{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    last = pool.FindMessageTypeByName(f"kit.{list(messages)[-1]}")
    return message_factory.GetMessageClass(last)()


def test_batching_config_is_one(kit: Path) -> None:
    """`servables/tensorflow/session_bundle_config.proto`."""
    names = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    fields = [
        (name, number, "google.protobuf.Int64Value") for number, name in enumerate(names, start=1)
    ]
    text = (kit / "batching.config").read_text()
    config = text_format.Parse(text, message(BatchingParameters=fields))
    assert config.max_batch_size.value == 8
    assert config.batch_timeout_micros.value == 2000
    assert config.num_batch_threads.value == config.max_enqueued_batches.value >= 1


def test_monitoring_config_is_one(kit: Path) -> None:
    """`config/monitoring_config.proto`."""
    empty = message(
        PrometheusConfig=[("enable", 1, "bool"), ("path", 2, "string")],
        MonitoringConfig=[("prometheus_config", 1, "kit.PrometheusConfig")],
    )
    config = text_format.Parse((kit / "monitoring.config").read_text(), empty)
    assert config.prometheus_config.enable
    assert config.prometheus_config.path == "/monitoring/prometheus/metrics"


FLAGS = {
    "model_config_file": "/models/bone_age/serving-kit/models.config",
    "monitoring_config_file": "/models/bone_age/serving-kit/monitoring.config",
    "allow_version_labels_for_unavailable_models": "true",
}


def flags(words: list[str]) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=") for word in words)


def in_container(path: str, kit: Path) -> Path:
    return kit.parent / Path(path).relative_to("/models/bone_age")


def test_the_docker_command_mounts_what_it_names(kit: Path) -> None:
    (line,) = re.findall(r"^docker run .*$", (kit / "README.md").read_text(), re.MULTILINE)
    words = shlex.split(line)
    image = next(n for n, word in enumerate(words) if word.startswith("tensorflow/serving:"))
    assert words[words.index("-v") + 1] == "$PWD:/models/bone_age:ro"
    assert words[words.index("-p") + 1] == "127.0.0.1:8501:8501"
    given = flags(words[image + 1 :])
    assert given.items() <= FLAGS.items()
    assert in_container(given["model_config_file"], kit) == kit / "models.config"


# === Docker, Kubernetes ===


def test_docker_compose(kit: Path) -> None:
    file = yaml.safe_load((kit / "docker-compose.yml").read_text())
    assert set(file) == {"services"}
    (service,) = file["services"].values()
    source, target, mode = service["volumes"][0].split(":")
    assert (kit / source).resolve() == kit.parent.resolve()
    assert (target, mode) == ("/models/bone_age", "ro")
    assert flags(service["command"]) == FLAGS
    assert all(in_container(path, kit).exists() for path in FLAGS.values() if path[0] == "/")
    assert service["ports"] == ["127.0.0.1:8501:8501"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "$" not in json.dumps(service), "Compose would replace it"


@pytest.fixture(scope="module")
def objects(kit: Path) -> dict[str, Any]:
    """The Kubernetes objects by kind."""
    return {
        each["kind"]: each for each in yaml.safe_load_all((kit / "kubernetes.yaml").read_text())
    }


def test_kubernetes_objects_belong_together(objects: dict[str, Any]) -> None:
    deployment, service = objects["Deployment"], objects["Service"]
    scaler = objects["HorizontalPodAutoscaler"]
    assert set(objects) == {"Deployment", "Service", "HorizontalPodAutoscaler"}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    target = scaler["spec"]["scaleTargetRef"]
    assert target == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert "replicas" not in deployment["spec"], "would undo what the autoscaler did"
    names = [each["metadata"]["name"] for each in objects.values()]
    assert set(names) == {"bone-age"}


def test_a_pod_has_what_it_mounts_and_few_rights(objects: dict[str, Any], kit: Path) -> None:
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert flags(container["args"]) == FLAGS
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    (models,) = [each for each in container["volumeMounts"] if each["name"] == "models"]
    assert models["mountPath"] == "/models/bone_age"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    assert {p["targetPort"] for p in objects["Service"]["spec"]["ports"]} == set(ports)
    assert pod["securityContext"]["runAsNonRoot"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["resources"]["requests"]["cpu"], "the autoscaler divides by it"


# === nginx ===


def test_nginx_reads_it(kit: Path, tmp_path: Path) -> None:
    crossplane = pytest.importorskip("crossplane")
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"events {{}}\nhttp {{\n    include {kit / 'nginx.conf'};\n}}\n")
    parsed = crossplane.parse(str(whole), strict=True)
    assert parsed["errors"] == []
    (server,) = parsed["config"][1]["parsed"]
    settings = {each["directive"]: each["args"] for each in server["block"]}
    assert settings["listen"] == ["127.0.0.1:8443", "ssl", "http2"]
    assert settings["client_max_body_size"] == settings["client_body_buffer_size"] == ["32m"]
    rest, grpc, _, others = [each for each in server["block"] if each["directive"] == "location"]
    proxy = {each["directive"]: each["args"] for each in rest["block"]}
    assert proxy["proxy_pass"] == ["http://127.0.0.1:8501"]
    assert proxy["proxy_cache"] == ["off"]
    assert {each["directive"]: each["args"] for each in grpc["block"]}["grpc_pass"] == [
        "grpc://127.0.0.1:8500"
    ]
    assert others["block"][0]["args"] == ["404"]


def test_nginx_passes_the_model_s_addresses_only(kit: Path) -> None:
    rest, grpc = re.findall(r"location ~ (\S+) \{", (kit / "nginx.conf").read_text())
    for path in ("", ":predict", "/versions/1", "/versions/1:predict", "/labels/stable:predict"):
        assert re.search(rest, f"/v1/models/bone_age{path}")
    for path in ("/v1/models/bone_age2", "/v1/models/other", "/monitoring/prometheus/metrics"):
        assert not re.search(rest, path)
    service = "/tensorflow.serving.PredictionService/Predict"
    assert re.search(grpc, service)
    assert not re.search(grpc, "/tensorflow.serving.ModelService/HandleReloadConfigRequest")


# === Samples ===


def test_samples_are_the_golden_picture_and_its_answer(deployed: Path, kit: Path) -> None:
    golden = json.loads((deployed / "1/manifest.json").read_text())["golden"]
    read = {
        path.name.removesuffix(".json"): json.loads(path.read_text())
        for path in (kit / "sample_requests").iterdir()
    }
    assert set(read) == {"rows", "rows.expected", "columns", "columns.expected"}
    picture = {"b64": golden["image_png_base64"]}
    assert read["columns"]["inputs"] == {"image_bytes": [picture] * 3, "sex": golden["sex"]}
    assert read["rows"]["instances"] == [{"image_bytes": picture, "sex": s} for s in golden["sex"]]
    outputs = read["columns.expected"]["outputs"]
    assert outputs["bone_age_months"] == golden["bone_age_months"]
    assert read["rows.expected"]["predictions"] == [
        {name: values[n] for name, values in outputs.items()} for n in range(3)
    ]


# === Writing it ===


def test_the_next_export_writes_it_anew(deployed: Path, tmp_path: Path) -> None:
    models = shutil.copytree(deployed, tmp_path / "bone_age")
    (models / "1").rename(models / "7")
    assert write_serving_kit(models / "7") == models / "serving-kit"
    assert "versions: 7" in (models / "serving-kit/models.config").read_text()
    assert os.access(models / "serving-kit/smoke.sh", os.X_OK)


@pytest.mark.parametrize("name", ["bone age", "1", "a$b", "bone:age", "ä", "", "a" * 51])
def test_a_name_that_is_no_part_of_an_address_is_refused_before_work(
    name: str, run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / name if name else Path("/")
    with pytest.raises(UsageError, match="Choose another --output"):
        cli.commands.main(
            ["export", "--run", str(run), "--output", str(folder), "--serving-kit"],
            standalone_mode=False,
        )
    assert list(tmp_path.iterdir()) == []


def test_a_name_comes_from_the_folder_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bone_age").mkdir()
    monkeypatch.chdir(tmp_path / "bone_age")
    assert model_name(".") == model_name(tmp_path / "bone_age/") == "bone_age"
