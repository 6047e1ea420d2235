import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf.cli import main as cli
from bone_age_tf.config import CalibrationConfig
from bone_age_tf.errors import UsageError
from bone_age_tf.export.calibrate import calibrate
from bone_age_tf.export.export import export_saved_model
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.warmup import WARM_UP

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
        inputs = {name: tf.constant(tf.make_ndarray(t)) for name, t in request.inputs.items()}
        assert set(inputs) == set(serve.structured_input_signature[1])
        assert all(tensor.shape == (1,) and tensor.dtype == tf.string for tensor in inputs.values())
        sexes.append(inputs["sex"].numpy()[0].decode())
        months.append(serve(**inputs)["bone_age_months"].numpy()[0])
    assert sexes == golden["sex"] == ["F", "M", "unknown"]
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


@pytest.mark.large
def test_nothing_else_needs_the_protos() -> None:
    program = (
        "import sys; sys.modules['tensorflow_serving'] = None; "
        "import bone_age_tf.export.export, bone_age_tf.serving.serving_kit"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
