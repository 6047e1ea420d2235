import base64
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import ROOT

from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.errors import ModelRefusedError, UsageError
from bone_age_tf.export.export import GOLDEN_HAND, files_of, golden
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.graph import write_saved_model
from bone_age_tf.files.atomic import write_json
from bone_age_tf.models.views import VIEWS
from bone_age_tf.postprocessing.bias_correction import Curve, Line, SexSpecificRecalibration
from bone_age_tf.postprocessing.conformal import Intervals
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.serving import engines
from bone_age_tf.serving.engines import load_openvino, network_of, require_engine
from bone_age_tf.training.run import Run

if importlib.util.find_spec("openvino") is None:
    pytest.skip("openvino is not installed", allow_module_level=True)
BENT = Curve((0.0, 96.0, 240.0), (-20.0, 90.0, 250.0))
MAPS = SexSpecificRecalibration((Line(3.0, 0.9), BENT, Line(1.0, 1.0)))
ENDS = np.array([[9.0, 10, 11, 12, 13], [19, 20, 21, 22, 23], [np.nan] * 5])
OFFSETS = np.stack([-ENDS, 2 * ENDS], axis=-1)


def written(run: Path, exported: Path, output: Path, views: str, **parts: Any) -> Path:
    """`run` as an exported model with these views, `MAPS` and `OFFSETS`; its folder of versions."""
    trained, folder = Run.open(run), output / "bone_age" / "1"
    intervals = Intervals(0.9, OFFSETS, (), np.zeros(0))
    write_saved_model(
        trained.load_model(), parts.pop("classifier", None), Preprocessor(trained.preprocessing), folder,
        weights_dtype="float16", intervals=intervals, correction=MAPS, views=VIEWS[views],
        **{"explained": True, **parts},
    )  # fmt: skip
    manifest = json.loads((exported / "1" / MANIFEST).read_text())
    manifest |= {"views": VIEWS[views], "files": files_of(folder), "golden": golden(folder)}
    write_json(folder / MANIFEST, manifest)
    return folder.parent


@pytest.fixture(scope="module")
def with_views(run: Path, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(run, exported, tmp_path_factory.mktemp("views"), "warps")


@pytest.mark.parametrize("count", [1, 2, 11])
@pytest.mark.parametrize("views", ["none", "warps"])
def test_both_engines_tell_the_same(
    views: str, count: int, with_views: Path, exported: Path
) -> None:
    model = ExportedModel.open(with_views if views == "warps" else exported)
    assert len(model.manifest["views"]) == len(VIEWS[views])
    images = np.random.default_rng(0).integers(0, 256, (count, 104, 80, 1), np.uint8)
    sexes = ["F", "M", "unknown"] * 4
    expected = network_of(model, "tensorflow")(images, sexes[:count])
    received = network_of(model, "openvino")(images, sexes[:count])
    assert set(received) == set(expected)
    for name, values in expected.items():
        assert received[name].shape == (count,)
        np.testing.assert_allclose(received[name], values, atol=0.01, err_msg=name)
    if views == "warps":
        low, high = (received[f"bone_age_{end}_months"] for end in ("low", "high"))
        assert (high[:2] > low[:2]).all()
        assert (low[2::3] == -1).all()


def test_the_server_answers_the_same_with_it(
    with_views: Path, start: Callable[..., Any], client: httpx.Client
) -> None:
    encoded, sexes = GOLDEN_HAND.read_bytes(), ["F", "M"]
    hand = {"b64": base64.b64encode(encoded).decode()}
    body = {"instances": [{"image_bytes": hand, "sex": sex} for sex in sexes]}
    server = start(with_views, engine="openvino")
    received = client.post(f"{server.model}:predict", json=body).json()["predictions"]
    expected = ExportedModel.open(with_views).signatures["serving_default"](
        image_bytes=[encoded] * 2, sex=sexes
    )
    assert [row["status"] for row in received] == ["ok", "ok"]
    for name in ("bone_age_months", "bone_age_low_months", "bone_age_high_months"):
        values = [row[name] for row in received]
        np.testing.assert_allclose(values, expected[name], atol=0.01, err_msg=name)


BFLOAT16 = "openvino-bfloat16"


@pytest.fixture
def bfloat16() -> None:
    """Skips the test where the processor cannot compute with it."""
    try:
        require_engine(BFLOAT16)
    except UsageError as error:
        pytest.skip(str(error))


@pytest.mark.large
def test_bfloat16_is_near_on_real_radiographs(bfloat16: None, real_data: Path) -> None:
    """Within the limits that the documentation states, and not the same: its name tells what runs."""
    model = ExportedModel.open(ROOT / "saved_models" / "bone_age")
    paths = sorted((real_data / "rsna-bone-age" / "boneage-training-dataset").glob("*.png"))[::24]
    made = [model.prepare(path.read_bytes()) for path in paths]
    images = np.stack([one for one in made if isinstance(one, np.ndarray)])
    sexes = ["F", "M"] * len(images)
    exact, near = (
        network_of(model, engine)(images, sexes[: len(images)])["bone_age_months"]
        for engine in ("openvino", BFLOAT16)
    )
    assert len(images) > 30
    assert 0.01 < np.abs(near - exact).mean() < 0.1
    assert np.abs(near - exact).max() < 0.5


@pytest.mark.large
def test_the_shipped_model_is_served_with_bfloat16(
    bfloat16: None, start: Callable[..., Any], client: httpx.Client
) -> None:
    server = start(ROOT / "saved_models" / "bone_age", engine=BFLOAT16)
    hand = {"b64": base64.b64encode(GOLDEN_HAND.read_bytes()).decode()}
    body = {"instances": [{"image_bytes": hand, "sex": "F"}]}
    (row,) = client.post(f"{server.model}:predict", json=body).json()["predictions"]
    assert row["status"] == "ok"
    assert row["bone_age_low_months"] < row["bone_age_months"] < row["bone_age_high_months"]


def test_bfloat16_is_only_for_networks_for_which_it_was_measured(
    bfloat16: None, exported: Path
) -> None:
    with pytest.raises(ModelRefusedError, match="without a max pooling"):
        network_of(ExportedModel.open(exported), BFLOAT16)


def test_bfloat16_needs_a_processor_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(get_property=lambda device, name: ["FP32", "INT8"])
    monkeypatch.setattr(load_openvino(), "Core", lambda: old)
    with pytest.raises(UsageError, match=r"this one has none\. Use --engine openvino\."):
        require_engine(BFLOAT16)
    require_engine("openvino")


def test_a_model_of_several_networks_is_rejected(run: Path, exported: Path, tmp_path: Path) -> None:
    """As ensembles are exported: without the signatures of one network."""
    together = written(run, exported, tmp_path, "none", explained=False)
    with pytest.raises(ModelRefusedError, match="one network .* --engine tensorflow"):
        network_of(ExportedModel.open(together), "openvino")


@pytest.mark.release
def test_an_export_with_a_sex_classifier_is_rejected(
    run: Path, exported: Path, tmp_path: Path
) -> None:
    both = written(run, exported, tmp_path, "none", classifier=Run.open(run).load_model())
    with pytest.raises(ModelRefusedError, match="also predicts boy_probability"):
        network_of(ExportedModel.open(both), "openvino")


def test_a_model_with_other_outputs_is_rejected(exported: Path) -> None:
    """As exports with a sex classifier have them."""
    model = ExportedModel.open(exported)
    outputs = dict.fromkeys(("bone_age_months", "boy_probability"))
    signatures = {
        **model.signatures,
        "predict_prepared": SimpleNamespace(outputs=outputs),
    }
    both = SimpleNamespace(folder=model.folder, signatures=signatures)
    with pytest.raises(ModelRefusedError, match="also predicts boy_probability"):
        network_of(both, "openvino")  # type: ignore[arg-type]


def test_without_the_package_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(engines.importlib, "import_module", missing)
    with pytest.raises(UsageError, match=r"No module .* pip install 'bone-age-tf\[openvino\]'"):
        require_engine("openvino")
    require_engine("tensorflow")


def test_what_openvino_says_is_a_refusal(with_views: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Core:
        def read_model(self, path: Path) -> None:
            raise RuntimeError("Exception from core.cpp:84:\nno such operation\n")

        def compile_model(self, *given: object) -> None:
            """Not reached."""

    monkeypatch.setattr(load_openvino(), "Core", Core)
    with pytest.raises(ModelRefusedError, match=r"\(no such operation\)\. Serve it with"):
        network_of(ExportedModel.open(with_views), "openvino")


@pytest.mark.large
def test_it_reports_to_nobody(exported: Path, tmp_path: Path) -> None:
    """By itself, OpenVINO tells its makers that it is imported, and keeps a number for the user at home."""
    code = (
        "import sys\n"
        "from bone_age_tf.export.exported_model import ExportedModel\n"
        "from bone_age_tf.serving.engines import network_of\n"
        f"network_of(ExportedModel.open({str(exported)!r}), 'openvino')\n"
        "assert 'openvino' in sys.modules\n"
        "assert not any(name.startswith('openvino_telemetry') for name in sys.modules)\n"
    )
    surroundings = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=surroundings, cwd=ROOT)
    assert not (tmp_path / "intel").exists()


def test_the_network_alone_is_what_engines_run(with_views: Path) -> None:
    """Its months, through the line, are those of the radiograph as it stands."""
    model = ExportedModel.open(with_views)
    images = np.random.default_rng(1).integers(0, 256, (3, 104, 80, 1), np.uint8)
    seen = model.signatures["network"](image=images, sex_code=[0, 1, 2])["months"]
    expected = model.months_of_one_view(images, ["F", "M", "unknown"])
    np.testing.assert_allclose(MAPS(seen, np.arange(3)), expected, atol=1e-3)
