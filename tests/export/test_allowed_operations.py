"""Models from elsewhere: refused, and nothing of them is executed. `tests/inference/test_predict.py` has changed files."""

import dataclasses
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from bone_age_tf.cli import main as cli
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.export.allowed_operations import require_harmless
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.hashing import describe_file
from bone_age_tf.training.run import Run

# === SavedModels ===


def _as_text(value: Any) -> tf.Tensor:
    return tf.strings.length(tf.strings.join([value, "!"]))


def write_model(folder: Path, body: Callable[[tf.Tensor], tf.Tensor]) -> Path:
    """A SavedModel of one variable whose signature does that with the text that it is given."""
    module = tf.Module()
    module.factor = tf.Variable(2.0)
    text = tf.TensorSpec([], tf.string, name="text")
    module.serve = tf.function(body, input_signature=[text], autograph=False)
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    return folder


def saving(text: tf.Tensor) -> tf.Tensor:
    tf.raw_ops.SaveV2(prefix=text, tensor_names=["x"], shape_and_slices=[""], tensors=[[1.0]])
    return _as_text(text)


def restoring(text: tf.Tensor) -> tf.Tensor:
    found = tf.raw_ops.RestoreV2(
        prefix=text, tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
    )
    return tf.size(found[0])


def merging(text: tf.Tensor) -> tf.Tensor:
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[text], destination_prefix=text)
    return _as_text(text)


def test_what_tensorflow_saves_by_itself_is_allowed(tmp_path: Path) -> None:
    require_harmless(write_model(tmp_path, _as_text))


@pytest.mark.parametrize("body", [saving, restoring, merging])
def test_files_are_reached_by_the_saver_alone(
    body: Callable[[tf.Tensor], tf.Tensor], tmp_path: Path
) -> None:
    inner = tf.function(body, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    for name, outer in (("plain", body), ("nested", lambda text: inner(text) + 1)):
        folder = write_model(tmp_path / name, outer)
        with pytest.raises(ModelRefusedError, match=r"outside of TensorFlow's saver"):
            require_harmless(folder)


@pytest.fixture
def graph(tmp_path: Path) -> saved_model_pb2.SavedModel:
    """A SavedModel that is allowed; `refused` writes it again."""
    write_model(tmp_path, _as_text)
    return saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())


def refused(graph: saved_model_pb2.SavedModel, folder: Path) -> bool:
    (folder / "saved_model.pb").write_bytes(graph.SerializeToString())
    try:
        require_harmless(folder)
    except ModelRefusedError:
        return True
    return False


def test_no_signature_is_the_saver_s(graph: saved_model_pb2.SavedModel, tmp_path: Path) -> None:
    assert not refused(graph, tmp_path)
    (meta_graph,) = graph.meta_graphs
    outputs = meta_graph.signature_def["serving_default"].outputs
    next(iter(outputs.values())).name = meta_graph.saver_def.save_tensor_name
    assert refused(graph, tmp_path)


def test_no_node_waits_for_the_saver(graph: saved_model_pb2.SavedModel, tmp_path: Path) -> None:
    (meta_graph,) = graph.meta_graphs
    save = meta_graph.saver_def.save_tensor_name.split(":")[0]
    next(node for node in meta_graph.graph_def.node if node.name != save).input.append(f"^{save}")
    assert refused(graph, tmp_path)


def test_the_saver_s_functions_are_no_method(
    graph: saved_model_pb2.SavedModel, tmp_path: Path
) -> None:
    (meta_graph,) = graph.meta_graphs
    functions = meta_graph.graph_def.library.function
    (save,) = (f for f in functions if any(node.op == "SaveV2" for node in f.node_def))
    node = meta_graph.object_graph_def.nodes.add()
    node.bare_concrete_function.concrete_function_name = save.signature.name
    assert refused(graph, tmp_path)


@pytest.fixture
def vouched(exported: Path, tmp_path: Path) -> Callable[[], Path]:
    """A copy of the model; a call makes its manifest vouch for what the files are by then."""
    folder = shutil.copytree(exported / "1", tmp_path / "model")

    def vouch() -> Path:
        manifest = json.loads((folder / "manifest.json").read_text())
        for entry in manifest["files"]:
            entry.update(dataclasses.asdict(describe_file(folder, entry["name"])))
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    vouch.folder = folder
    return vouch


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_damaged_before_it_was_vouched_for_is_refused_too(name: str, vouched: Any) -> None:
    (vouched.folder / name).write_bytes(b"\xff" * 500)
    with pytest.raises(ModelRefusedError, match="not a SavedModel|cannot load this model"):
        ExportedModel.open(vouched())


# === Files of other kinds ===


class _Marking:
    """What a pickle calls when it is loaded: it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.marker,)


def write_lambda(path: Path, marker: Path) -> None:
    name = str(marker)
    code = lambda x: (__import__("os").makedirs(name, exist_ok=True), x)[1]  # noqa: E731
    layer = keras.layers.Lambda(code, output_shape=(1,))
    keras.Sequential([keras.Input((1,)), layer]).save(path)


def write_tf_layer(path: Path, marker: Path) -> None:
    saved = write_model(path.parent / "inside", _as_text)
    layer = keras.layers.TFSMLayer(str(saved), call_endpoint="serving_default")
    keras.Sequential([layer]).save(path)


def write_pickle(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps(_Marking(marker)))


FILES: dict[str, Callable[[Path, Path], None]] = {
    "lambda.keras": write_lambda,
    "lambda.h5": write_lambda,
    "layer.keras": write_tf_layer,
    "model.pkl": write_pickle,
    "model.keras": write_pickle,
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_file_that_may_run_code_is_not_opened(
    command: str,
    name: str,
    prepared: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    marker = tmp_path / "executed"
    FILES[name](tmp_path / name, marker)
    shutil.rmtree(marker, ignore_errors=True)  # by the writer
    words = {"predict": ["predict", prepared], "evaluate": ["evaluate", "--data", prepared]}
    output = ["--output", tmp_path / "out", "--model", tmp_path / name]
    assert cli.run([str(word) for word in (*words[command], *output)]) == 5
    assert "not loaded" in capfd.readouterr().err
    assert not marker.exists()
    assert not (tmp_path / "out").exists()


def external(path: Path, name: str, elsewhere: Path) -> None:
    """The array of that name in another file, as HDF5 can have it."""
    with h5py.File(path, "a") as file:
        shape, dtype = file[name].shape, file[name].dtype
        size = int(np.prod(shape)) * dtype.itemsize
        elsewhere.write_bytes(bytes(size))
        del file[name]
        file.create_dataset(name, shape, dtype, external=[(str(elsewhere), 0, size)])


@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize("kind", ["pickle", "external"])
def test_weights_hold_arrays_and_nothing_else(kind: str, run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    weights, marker = folder / "best.weights.h5", tmp_path / "executed"
    if kind == "pickle":
        write_pickle(weights, marker)
    else:
        names: list[str] = []
        with h5py.File(weights) as file:
            file.visititems(lambda n, one: names.append(n) if hasattr(one, "shape") else None)
        external(weights, next(name for name in names if name.startswith("layers")), marker)
        before = marker.read_bytes()
    with pytest.raises(ModelRefusedError, match="not the weights of this run"):
        Run.open(folder).load_model()
    assert kind == "external" or not marker.exists()
    assert kind == "pickle" or marker.read_bytes() == before


def test_a_checkpoint_holds_no_pickle(prepared: Path, run: Path, tmp_path: Path) -> None:
    folder, marker = shutil.copytree(run, tmp_path / "run"), tmp_path / "executed"
    array = np.empty(1, object)
    array[0] = _Marking(marker)
    np.savez(folder / "checkpoint.npz", state=array, allow_pickle=True)
    words = ["train", "--data", prepared, "--run", folder, "--recipe", "tiny", "--initial-weights"]
    words += ["none", "--set", "train.epochs=2", "--set", "train.precision=float32"]
    assert cli.run([str(word) for word in words]) == 3
    assert not marker.exists()
