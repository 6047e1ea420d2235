import ast
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

from bone_age_tf.cli import main as cli
from bone_age_tf.config import CalibrationConfig
from bone_age_tf.errors import UsageError
from bone_age_tf.export.calibrate import calibrate
from bone_age_tf.export.export import export_saved_model
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.warmup import WARM_UP
from bone_age_tf.tensorflow_c.saved_model import SavedModel

prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")


@pytest.fixture
def warmed(deployed: Path) -> Path:
    """A version's folder."""
    return deployed / "1"


def requests(folder: Path) -> list[Any]:
    records = tf.data.TFRecordDataset(str(folder / WARM_UP)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def test_it_lies_where_the_server_looks(warmed: Path) -> None:
    assert (warmed / "assets.extra/tf_serving_warmup_requests").is_file()


def test_requests_are_answered_like_the_golden_picture(warmed: Path) -> None:
    model = ExportedModel.open(warmed.parent)
    serve = model.signatures["serving_default"]
    golden = model.manifest["golden"]
    months, sexes = [], []
    for log in requests(warmed):
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.signature_name == "serving_default"
        inputs = {name: tf.make_ndarray(t) for name, t in request.inputs.items()}
        assert set(inputs) == set(serve.inputs)
        assert all(tensor.shape == (1,) and tensor.dtype == object for tensor in inputs.values())
        sexes.append(inputs["sex"][0].decode())
        months.append(serve(**inputs)["bone_age_months"][0])
    assert sexes == golden["sex"] == ["F", "M", "unknown"]
    np.testing.assert_allclose(months, golden["bone_age_months"], atol=1e-3)


@pytest.mark.large
def test_the_loader_of_tensorflow_serving_answers_it(warmed: Path) -> None:
    """TensorFlow Serving does not serve a version that fails on one of them."""
    serve = SavedModel.load(warmed).signatures["serving_default"]
    golden = json.loads((warmed / "manifest.json").read_text())["golden"]
    logs = [log.predict_log.request.inputs for log in requests(warmed)]
    answers = [serve(**{name: tf.make_ndarray(t) for name, t in one.items()}) for one in logs]
    assert [answer["status"].tolist() for answer in answers] == [[b"ok"]] * 3
    months = [answer["bone_age_months"][0] for answer in answers]
    np.testing.assert_allclose(months, golden["bone_age_months"], atol=1e-3)


def test_the_manifest_vouches_for_it(warmed: Path, exported: Path) -> None:
    files = {entry["name"] for entry in json.loads((warmed / "manifest.json").read_text())["files"]}
    assert WARM_UP.as_posix() in files
    assert not (exported / "1" / WARM_UP).exists(), "only where it is asked for"


def test_a_calibrated_model_keeps_it(warmed: Path, local: Path, tmp_path: Path) -> None:
    result = calibrate(
        model=str(warmed),
        data=str(local),
        split="train",
        output=str(tmp_path / "local"),
        config=CalibrationConfig(),
    )
    again = Path(result["folder"])
    assert requests(again) == requests(warmed)
    ExportedModel.open(again)


def test_a_calibrated_model_gets_a_serving_kit_of_its_own(
    exported: Path, local: Path, tmp_path: Path
) -> None:
    output = tmp_path / "local"
    words = ["calibrate", "--model", str(exported), "--data", str(local), "--split", "train"]
    words += ["--output", str(output), "--serving-kit", "--quiet"]
    assert cli.commands.main(words, standalone_mode=False) == 0
    assert len(requests(output / "1")) == 3
    ExportedModel.open(output)
    assert (output / "serving-kit" / "README.md").is_file()


def test_without_the_protos_nothing_is_exported(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = importlib.metadata.version

    def without(name: str) -> str:
        if name == "tensorflow-serving-api":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    with pytest.raises(UsageError, match=r"pip install 'bone-age-tf\[serve\]'"):
        export_saved_model(run=str(run), output=str(tmp_path / "models"), warm_up=True)
    assert not (tmp_path / "models").exists()


def _imported_at_once(module: Path) -> set[str]:
    """Modules that this one imports when it is imported; `from a import b` may be a and a.b."""
    found = set()
    body = ast.parse(module.read_text()).body
    inner = [one for block in body if isinstance(block, ast.With) for one in block.body]
    for node in [*body, *inner]:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{name.name}" for name in node.names} | {str(node.module)}
    return found


def test_the_server_alone_needs_the_protos() -> None:
    """What imports them at once, and what imports that; the rest works without the package."""
    package = ROOT / "bone_age_tf"
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): _imported_at_once(path)
        for path in package.rglob("*.py")
    }
    needing, before = {"tensorflow_serving.apis"}, set()
    while needing != before:
        before = needing
        needing = before | {name for name, imported in modules.items() if imported & before}
    assert needing - {"tensorflow_serving.apis"} == {
        "bone_age_tf.serving.grpc_service",
        "bone_age_tf.serving.server",
    }
