import gc
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tensorflow as tf

from bone_age_tf.tensorflow_c.checkpoint import read_tensor_of
from bone_age_tf.tensorflow_c.float32_variables import with_float32_variables
from bone_age_tf.tensorflow_c.rewriting import read_graph
from bone_age_tf.tensorflow_c.saved_model import SavedModel
from bone_age_tf.tensorflow_c.status import InvalidInputError, RunError

WEIGHTS = np.linspace(-3, 3, 24, dtype=np.float16).reshape(4, 6)


class Several(tf.Module):
    """Signatures whose outputs a SavedModel numbers in the order of their names."""

    def __init__(self, rows: int = 1) -> None:
        super().__init__()
        self.weights = tf.Variable(np.tile(WEIGHTS, (rows, 1)), trainable=False)
        self.shift = tf.Variable(np.float32(2), trainable=False)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")])
    def multiplied(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        weights = tf.cast(self.weights, tf.float32)
        return {"z": tf.matmul(x, weights[:4]) + self.shift, "a": tf.reduce_sum(weights)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "text"),
            tf.TensorSpec([None], tf.int32, "times"),
        ]
    )
    def told(self, text: tf.Tensor, times: tf.Tensor) -> dict[str, tf.Tensor]:
        few = tf.debugging.Assert(tf.reduce_all(times < 9), ["too many:", times])
        with tf.control_dependencies([few]):
            return {"text": tf.strings.join([text, tf.strings.as_string(times)]), "times": -times}

    @tf.function(input_signature=[tf.TensorSpec([2, None], tf.uint8, "image")])
    def bright(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"image": 255 - image, "is_dark": image < 128}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(Several(), tmp_path_factory.mktemp("several"))


def written(module: Any, folder: Path) -> Path:
    signatures = {"b": module.multiplied, "c": module.told, "a": module.bright}
    tf.saved_model.save(module, str(folder), signatures)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> SavedModel:
    return SavedModel.load(folder)


def test_signatures_are_described(model: SavedModel) -> None:
    assert list(model.signatures) == list(model.definitions) == ["a", "b", "c"]
    image = model.signatures["a"].inputs["image"]
    assert (image.dtype, image.shape) == (np.uint8, (2, None))
    assert {n: s.dtype for n, s in model.signatures["c"].outputs.items()} == {
        "text": object,
        "times": np.int32,
    }


def test_each_signature_gives_its_own_outputs(model: SavedModel) -> None:
    x = np.eye(4, dtype=np.float32)
    answer = model.signatures["b"](x=x)
    np.testing.assert_array_equal(answer["z"], WEIGHTS.astype(np.float32) + 2)
    assert answer["a"].shape == ()
    told = model.signatures["c"](text=["ä", b"\0\xff", ""], times=[1, 2, 3])
    assert told["text"].tolist() == ["ä1".encode(), b"\0\xff2", b"3"]
    assert told["times"].tolist() == [-1, -2, -3]
    image = np.arange(6, dtype=np.uint8).reshape(3, 2).T  # not contiguous
    bright = model.signatures["a"](image=image)
    np.testing.assert_array_equal(bright["image"], 255 - image)
    assert bright["is_dark"].dtype == bool
    bright["image"][0, 0] = 7  # its own memory


def test_nothing_is_an_array_of_no_rows(model: SavedModel) -> None:
    assert model.signatures["c"](text=[], times=[])["text"].shape == (0,)
    assert model.signatures["b"](x=np.zeros((0, 4), np.float32))["z"].shape == (0, 6)


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("c", {"text": ["a"], "times": [9]}, r"assertion failed: \[too many:\] \[9\]"),
        ("c", {"text": ["a"]}, "expected the inputs text, times, received text"),
        ("c", {"text": [7], "times": [1]}, "expected text or bytes, received int"),
        ("b", {"x": np.zeros((1, 4))}, "expected values of dtype float32, received float64"),
        ("b", {"x": np.zeros((1, 5), np.float32)}, "not compatible|[Ii]ncompatible|must be equal"),
    ],
)
def test_bad_inputs_are_said(
    name: str, inputs: dict[str, Any], message: str, model: SavedModel
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        model.signatures[name](**inputs)
    assert model.signatures["c"](text=["a"], times=[1])["text"].tolist() == [b"a1"]


def test_what_is_no_saved_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="Could not find SavedModel"):
        SavedModel.load(tmp_path)
    with pytest.raises(RunError, match="nothing"):
        read_tensor_of(tmp_path / "nothing", "weights")


def test_a_variable_is_read_from_the_disk(folder: Path) -> None:
    prefix = folder / "variables" / "variables"
    stored = read_tensor_of(prefix, "weights/.ATTRIBUTES/VARIABLE_VALUE")
    np.testing.assert_array_equal(stored, WEIGHTS)
    assert stored.dtype == np.float16
    with pytest.raises(RunError, match="other"):
        read_tensor_of(prefix, "other")


def test_float16_variables_become_float32_with_the_same_answers(
    folder: Path, model: SavedModel
) -> None:
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    wide = SavedModel.load(folder, float32_variables=True)
    np.testing.assert_array_equal(wide.signatures["b"](x=x)["z"], model.signatures["b"](x=x)["z"])
    with with_float32_variables(folder) as changed:
        (meta_graph,) = read_graph(changed).meta_graphs
        types = {n.attr["dtype"].type for n in meta_graph.graph_def.node if n.op == "VarHandleOp"}
        assert types == {tf.float32.as_datatype_enum}
    assert not changed.exists()


def test_without_a_temporary_folder_it_is_loaded_as_stored(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(folder / "nowhere"))
    wide = SavedModel.load(folder, float32_variables=True)
    assert wide.signatures["b"](x=np.ones((1, 4), np.float32))["z"].shape == (1, 6)
    assert "no temporary folder can be written to" in caplog.text


def test_a_graph_that_computes_in_float16_stays_as_it_is(tmp_path: Path) -> None:
    class Half(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(WEIGHTS, trainable=False)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def sums(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": x + tf.cast(tf.reduce_sum(self.weights * 2), tf.float32)}

    module = Half()
    tf.saved_model.save(module, str(tmp_path), {"sums": module.sums})
    with with_float32_variables(tmp_path) as changed:
        assert changed == tmp_path
    answer = SavedModel.load(tmp_path, float32_variables=True).signatures["sums"](x=[1.0])["y"]
    assert answer.tolist() == module.sums(tf.constant([1.0]))["y"].numpy().tolist()


@pytest.mark.release
def test_memory_goes_with_the_last_reference(tmp_path: Path) -> None:
    """30 times 8 MB of weights, and 300 times 1 MB of text."""
    folder = written(Several(rows=2**17), tmp_path)
    process = psutil.Process()
    text = [b"a" * 2**20]
    sizes = []
    for number in range(31):
        signature = SavedModel.load(folder).signatures["b" if number % 2 else "c"]
        if number % 2:
            signature(x=np.zeros((1, 4), np.float32))
        for _ in range(0 if number % 2 else 20):
            signature(text=text, times=[1])
        del signature
        gc.collect()
        sizes.append(process.memory_info().rss / 2**20)
    assert sizes[-1] - sizes[5] < 60
