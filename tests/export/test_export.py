import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_phantom, encode
from tensorflow.core.protobuf import saved_model_pb2

from bone_age_tf.errors import BoneAgeError, ModelRefusedError, UsageError
from bone_age_tf.evaluation.evaluate import evaluate
from bone_age_tf.export import allowed_operations, versions
from bone_age_tf.export.allowed_operations import ALLOWED_OPERATIONS
from bone_age_tf.export.export import GOLDEN_HAND, export_saved_model
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.models.bone_age_model import build_bone_age_model
from bone_age_tf.preprocessing.rejections import EXPLANATIONS, Rejection
from bone_age_tf.tensorflow_c.status import InvalidInputError
from bone_age_tf.training.run import Run

FRAME = (104, 80)


@pytest.fixture(scope="module")
def model(exported: Path) -> ExportedModel:
    return ExportedModel.open(exported)


@pytest.fixture(scope="module")
def manifest(exported: Path) -> dict[str, Any]:
    return json.loads((exported / "1/manifest.json").read_text())


def golden_png() -> bytes:
    return GOLDEN_HAND.read_bytes()


def answer_to(model: ExportedModel, images: list[bytes], sexes: list[str]) -> dict[str, Any]:
    return model.signatures["serving_default"](image_bytes=images, sex=sexes)


def serve(model: ExportedModel, images: list[bytes], sexes: list[str]) -> np.ndarray:
    return answer_to(model, images, sexes)["bone_age_months"]


def numeric_folders(base: Path) -> list[str]:
    return sorted(path.name for path in base.iterdir() if path.name.isdigit())


INPUTS = {
    "serving_default": {"image_bytes": ([None], object), "sex": ([None], object)},
    "predict_prepared": {"image": ([None, *FRAME, 1], np.uint8), "sex": ([None], object)},
    "prepare": {"image_bytes": ([None], object)},
    "explain": {"image": ([None, *FRAME, 1], np.uint8), "sex": ([None], object)},
    "network": {"image": ([None, *FRAME, 1], np.uint8), "sex_code": ([None], np.int32)},
}
MONTHS = {
    name: (1, np.float32)
    for name in ("bone_age_months", "bone_age_low_months", "bone_age_high_months")
}
OUTPUTS = {
    "serving_default": {**MONTHS, "status": (1, object)},
    "predict_prepared": MONTHS,
    "prepare": {
        "image": (4, np.uint8),
        "status": (1, object),
        "prepared_to_original": (3, np.float32),
    },
    "explain": {
        "heat": (3, np.float32),
        "features": (2, np.float32),
        "bone_age_months": (1, np.float32),
    },
    "network": {"months": (1, np.float32)},
}


def test_signatures_are_the_documented_ones(model: ExportedModel) -> None:
    assert set(model.signatures) == set(INPUTS)


@pytest.mark.parametrize("name", INPUTS)
def test_a_signature_has_its_names_types_and_shapes(name: str, model: ExportedModel) -> None:
    signature = model.signatures[name]
    received, outputs = signature.inputs, signature.outputs
    assert {n: (list(s.shape or ()), s.dtype) for n, s in received.items()} == INPUTS[name]
    assert {n: (len(s.shape or ()), s.dtype) for n, s in outputs.items()} == OUTPUTS[name]


def test_prepare_gives_the_frame(model: ExportedModel) -> None:
    answer = model.signatures["prepare"](image_bytes=[golden_png()] * 2)
    assert answer["image"].shape == (2, *FRAME, 1)
    assert answer["prepared_to_original"].shape == (2, 2, 3)
    assert answer["status"].tolist() == [b"ok"] * 2


def test_prepare_leads_back_to_the_file(model: ExportedModel) -> None:
    """The pixels of the file where the matrix leads are those of the prepared radiograph."""
    answer = model.signatures["prepare"](image_bytes=[golden_png()])
    prepared = answer["image"][0, ..., 0]
    picture = tf.io.decode_png(golden_png()).numpy()[..., 0]
    flags = cv2.INTER_AREA | cv2.WARP_INVERSE_MAP
    matrix = answer["prepared_to_original"][0]
    again = cv2.warpAffine(cv2.blur(picture, (7, 7)), matrix, prepared.shape[::-1], flags=flags)
    inside = prepared > 0
    assert np.corrcoef(prepared[inside], again[inside])[0, 1] > 0.95


def test_the_golden_answer_is_given_again(model: ExportedModel, manifest: dict[str, Any]) -> None:
    golden = manifest["golden"]
    picture = base64.b64decode(golden["image_png_base64"])
    assert golden["sex"] == ["F", "M", "unknown"]
    assert golden["status"] == ["ok"] * 3
    months = serve(model, [picture] * 3, golden["sex"])
    np.testing.assert_allclose(months, golden["bone_age_months"], atol=0.01)
    assert len(set(months.tolist())) == 3


def test_rows_of_a_batch_do_not_depend_on_each_other(model: ExportedModel) -> None:
    alone = [serve(model, [golden_png()], [sex])[0] for sex in ("M", "F")]
    np.testing.assert_allclose(serve(model, [golden_png()] * 2, ["M", "F"]), alone, atol=1e-3)


def test_the_manifest_vouches_for_every_file(exported: Path, manifest: dict[str, Any]) -> None:
    folder = exported / "1"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {entry["name"] for entry in manifest["files"]} == there - {"manifest.json"}
    assert "saved_model.pb" in there


def test_the_manifest_says_where_the_model_comes_from(run: Path, manifest: dict[str, Any]) -> None:
    description = json.loads((run / "run.json").read_text())
    assert manifest["fingerprint"] == description["fingerprint"]
    assert manifest["config"] == description["config"]
    assert manifest["metrics"]["training"] == description["result"]
    assert manifest["exported_with"]["tensorflow"] == tf.__version__
    assert "Not a medical device" in manifest["terms"]


@pytest.mark.parametrize("sex", ["", "f", "male", "1", "Unknown"])
def test_another_text_for_the_sex_fails_the_request(sex: str, model: ExportedModel) -> None:
    with pytest.raises(InvalidInputError, match="sex must be F, M or unknown"):
        serve(model, [golden_png()] * 2, ["F", sex])


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (b"", r"refused \(empty\)"),
        (b"GIF89a", r"refused \(not_png_or_jpeg\)"),
        (encode(np.zeros((9, 9), np.uint8)), r"refused \(too_small\)"),
    ],
    ids=["empty", "gif", "small"],
)
def test_a_bad_file_fails_its_request_with_the_reason(
    picture: bytes, message: str, model: ExportedModel
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        serve(model, [golden_png(), picture], ["F", "M"])


def test_a_refused_picture_has_its_reason_and_no_months(model: ExportedModel) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 260)).astype(np.uint8)
    pictures = [np.zeros((99, 99), np.uint8), noise, draw_phantom(120, 3)[150:]]
    files = [golden_png(), *(encode(picture) for picture in pictures), golden_png()]
    answer = answer_to(model, files, ["F"] * 5)
    statuses = [status.decode() for status in answer["status"]]
    assert statuses[:3] == ["ok", "blank", "not_a_hand"]
    assert statuses[3] in EXPLANATIONS
    assert answer["bone_age_months"][1:4].tolist() == [-1.0] * 3
    np.testing.assert_allclose(answer["bone_age_months"][[0, 4]], serve(model, files[:1], ["F"])[0])
    prepared = model.signatures["prepare"](image_bytes=files)
    assert [status.decode() for status in prepared["status"]] == statuses
    assert [image.any() for image in prepared["image"]] == [True, *[False] * 3, True]


def test_every_reason_reaches_python_as_a_refusal(model: ExportedModel) -> None:
    rejection = model.prepare(encode(np.zeros((99, 99), np.uint8)))
    assert rejection == Rejection("blank", EXPLANATIONS["blank"])
    assert model.prepare(b"GIF89a").reason == "not_png_or_jpeg"
    assert model.prepare(golden_png()).shape == (*FRAME, 1)


def test_a_second_export_is_the_next_version(
    run: Path, exported: Path, prepared: Path, tmp_path: Path
) -> None:
    base = tmp_path / "bone_age"
    (base / "3").mkdir(parents=True)
    evaluate(model=str(run), data=str(prepared), output=str(tmp_path / "evaluated"))
    evaluation = tmp_path / "evaluated/evaluation.json"
    written = export_saved_model(
        run=str(run),
        output=str(base),
        evaluation=str(evaluation),
        reading_method="greulich_pyle",
    )
    assert written == base / "4"
    assert [path.name for path in base.iterdir() if path.name not in "34"] == []
    newest, first = ExportedModel.open(base), ExportedModel.open(exported)
    assert newest.folder == written
    assert newest.manifest["golden"] == first.manifest["golden"]
    assert newest.manifest["reading_method"] == "greulich_pyle"
    assert "reading_method" not in first.manifest
    overall = json.loads(evaluation.read_text())["overall"]
    assert newest.manifest["metrics"]["evaluation"]["overall"] == overall


def test_a_version_is_never_written_twice(run: Path, exported: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        export_saved_model(run=str(run), output=str(exported), version=1)


def test_an_evaluation_of_another_model_is_refused(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    values = {"constant": None, "trained_on_split": False, "model": {"weights_sha256": "0"}}
    path.write_text(json.dumps(values))
    with pytest.raises(ModelRefusedError, match="other weights"):
        export_saved_model(run=str(run), output=str(tmp_path / "out"), evaluation=str(path))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["{}", "not json", "[]"])
def test_an_evaluation_that_is_none_is_refused(content: str, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(content)
    with pytest.raises(BoneAgeError, match=r"evaluation\.json"):
        export_saved_model(run=str(run), output=str(tmp_path / "out"), evaluation=str(path))


def test_a_run_of_other_preprocessing_is_refused(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    description = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(description | {"fingerprint": "0" * 64}))
    with pytest.raises(ModelRefusedError, match="was trained with preprocessing 000000000000"):
        export_saved_model(run=str(copy), output=str(tmp_path / "out"))


@pytest.fixture(scope="module")
def half(run: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    """`run` exported with float16 variables."""
    folder = tmp_path_factory.mktemp("half")
    return ExportedModel.open(
        export_saved_model(run=str(run), output=str(folder), weights_dtype="float16")
    )


def checkpoint(model: ExportedModel) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(model.folder / "variables/variables"))
    names = [name for name in reader.get_variable_to_shape_map() if "_variables/" in name]
    return {name: reader.get_tensor(name) for name in names}


def test_float16_variables_take_half_the_size(half: ExportedModel, model: ExportedModel) -> None:
    first, second = checkpoint(model), checkpoint(half)
    assert set(first) == set(second)
    bytes_of = [sum(value.nbytes for value in values.values()) for values in (first, second)]
    assert bytes_of[1] < 0.52 * bytes_of[0]
    for name, value in first.items():
        kept = np.float16 if value.ndim > 1 and value.dtype == np.float32 else value.dtype
        assert second[name].dtype == kept
        if value.dtype == np.float32:
            np.testing.assert_array_equal(second[name], value.astype(kept))
    assert (half.manifest["weights_dtype"], model.manifest["weights_dtype"]) == (
        "float16",
        "float32",
    )


def test_float16_variables_change_the_months_little(
    half: ExportedModel, model: ExportedModel
) -> None:
    months = [m.manifest["golden"]["bone_age_months"] for m in (half, model)]
    np.testing.assert_allclose(months[0], months[1], atol=0.2)
    assert months[0] != months[1]
    np.testing.assert_array_equal(half.prepare(golden_png()), model.prepare(golden_png()))
    pictures = [encode(draw_phantom(60, 3)), encode(draw_phantom(180, 4))]
    answers = [serve(m, pictures, ["F", "unknown"]) for m in (half, model)]
    np.testing.assert_allclose(*answers, atol=0.2)


def test_weights_too_large_for_float16_are_refused(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    network = Run.open(copy).load_model()
    kernel = network.get_layer("joint").kernel
    kernel.assign(kernel * 1e7)
    network.save_weights(copy / "best.weights.h5")
    with pytest.raises(ModelRefusedError, match="joint.*too large for float16"):
        export_saved_model(run=str(copy), output=str(tmp_path / "out"), weights_dtype="float16")
    assert list((tmp_path / "out").iterdir()) == []


def test_variables_of_another_kind_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--weights-dtype: expected one of float32, float16"):
        export_saved_model(run=str(run), output=str(tmp_path), weights_dtype="int8")


def test_a_reading_method_of_another_kind_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--reading-method: expected one of greulich_pyle"):
        export_saved_model(run=str(run), output=str(tmp_path), reading_method="guessed")


def test_without_intervals_both_ends_are_no_number(model: ExportedModel) -> None:
    assert np.isnan(model.variable("intervals")).all()
    answer = answer_to(model, [golden_png()] * 3, ["F", "M", "unknown"])
    for name in ("bone_age_low_months", "bone_age_high_months"):
        assert answer[name].tolist() == [-1, -1, -1]


def test_the_correction_begins_as_none(model: ExportedModel) -> None:
    reader = tf.train.load_checkpoint(str(model.folder / "variables/variables"))
    correction = reader.get_tensor("correction/.ATTRIBUTES/VARIABLE_VALUE")
    np.testing.assert_array_equal(correction, [np.arange(241)] * 3)


@pytest.fixture(scope="module")
def sex_classifier(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder like `run`'s with the target sex and random weights."""
    folder = tmp_path_factory.mktemp("runs") / "sex"
    folder.mkdir()
    description = json.loads((run / "run.json").read_text())
    description["config"]["model"] |= {"target": "sex"}
    (folder / "run.json").write_text(json.dumps(description))
    keras.utils.set_random_seed(0)
    made = Run.open(folder)
    build_bone_age_model(made.config.model, made.preprocessing.frame).save_weights(
        folder / "best.weights.h5"
    )
    return folder


def test_a_sex_classifier_adds_its_probability_and_nothing_else(
    sex_classifier: Path, run: Path, model: ExportedModel, tmp_path: Path
) -> None:
    both = ExportedModel.open(
        export_saved_model(run=str(run), output=str(tmp_path), sex_classifier=str(sex_classifier))
    )
    noise = np.random.default_rng(0).integers(0, 256, (300, 260)).astype(np.uint8)
    pictures = [golden_png(), encode(draw_phantom(60, 3)), encode(noise)]
    answer, alone = (answer_to(m, pictures, ["F", "M", "F"]) for m in (both, model))
    assert set(answer) - set(alone) == {"boy_probability"}
    np.testing.assert_array_equal(answer["bone_age_months"], alone["bone_age_months"])
    images = np.stack([both.prepare(picture) for picture in pictures[:2]])
    expected = (
        Run.open(sex_classifier)
        .load_model()
        .predict_on_batch({"image": images, "sex": np.array([2, 2], np.int32)})
    )
    np.testing.assert_allclose(answer["boy_probability"], [*expected, -1], atol=1e-3)
    prepared = both.answers_of_prepared(images, ["F", "M"])
    np.testing.assert_allclose(prepared["boy_probability"], expected, atol=1e-3)
    weights = Run.open(sex_classifier).weights_sha256()
    assert both.manifest["sex_classifier"]["weights_sha256"] == weights
    assert len(set(both.manifest["golden"]["boy_probability"])) == 1


def test_a_sex_classifier_is_no_model_of_the_bone_age(
    sex_classifier: Path, run: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefusedError, match="target bone_age.*--sex-classifier"):
        export_saved_model(run=str(sex_classifier), output=str(tmp_path))
    with pytest.raises(ModelRefusedError, match="target sex.*--recipe sex_classifier"):
        export_saved_model(run=str(run), output=str(tmp_path), sex_classifier=str(run))
    assert list(tmp_path.iterdir()) == []


def test_no_version_folder_is_seen_before_all_is_on_the_disk(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(folder: Path) -> None:
        assert (folder / "saved_model.pb").exists()
        assert (folder / "manifest.json").exists()
        assert numeric_folders(tmp_path) == []
        raise Killed

    monkeypatch.setattr(versions, "_to_disk", kill)
    with pytest.raises(Killed):
        export_saved_model(run=str(run), output=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def operations(folder: Path) -> set[str]:
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    found: set[str] = set()
    for graph in (meta_graph.graph_def for meta_graph in saved.meta_graphs):
        found |= {node.op for node in graph.node}
        found |= {node.op for function in graph.library.function for node in function.node_def}
    return found


def test_the_graph_holds_allowed_operations_only(exported: Path) -> None:
    assert operations(exported / "1") - ALLOWED_OPERATIONS == set()


def test_what_could_not_be_opened_again_is_not_exported(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network with an operation that is not on the list, as one of a new backbone may be."""
    monkeypatch.setattr(allowed_operations, "ALLOWED_OPERATIONS", ALLOWED_OPERATIONS - {"Conv2D"})
    with pytest.raises(ModelRefusedError, match="Nothing was exported.*Conv2D"):
        export_saved_model(run=str(run), output=str(tmp_path / "model"))
    assert numeric_folders(tmp_path / "model") == []


def test_the_allow_list_has_nothing_that_reaches_files_or_python() -> None:
    words = ("Py", "ReadFile", "WriteFile", "Dataset", "Print", "Summary", "Reader", "Iterator")
    assert [name for name in ALLOWED_OPERATIONS if any(word in name for word in words)] == []


WITHOUT_KERAS = """
import base64, json, sys
sys.modules["keras"] = None  # `import tensorflow` imports Keras where there is one
from bone_age_tf.export.exported_model import ExportedModel
model = ExportedModel.open(sys.argv[1])
golden = model.manifest["golden"]
image = model.prepare(base64.b64decode(golden["image_png_base64"]))
months = model.months_of_prepared(image[None].repeat(3, 0), golden["sex"])
assert sys.modules["keras"] is None
assert not [name for name in sys.modules if name.startswith("keras.")]
json.dump(months.tolist(), sys.stdout)
"""


@pytest.mark.large
def test_it_serves_in_a_process_without_keras(exported: Path, manifest: dict[str, Any]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_KERAS, str(exported)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(
        json.loads(done.stdout), manifest["golden"]["bone_age_months"], atol=0.01
    )


def test_a_run_of_one_sex_is_not_exported_alone(run: Path, tmp_path: Path) -> None:
    girls = shutil.copytree(run, tmp_path / "girls")
    values = json.loads((girls / "run.json").read_text())
    values["config"]["data"]["sex"] = "F"
    (girls / "run.json").write_text(json.dumps(values))
    with pytest.raises(
        ModelRefusedError, match=r"data\.sex=F: it was not trained on the other sex.*ensemble"
    ):
        export_saved_model(run=str(girls), output=str(tmp_path / "models"))
    assert not (tmp_path / "models").exists()
