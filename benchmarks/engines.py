"""CPU inference engines for the exported network: throughput, and differences in predicted months.

    python benchmarks/engines.py --run RUN --data DATA [--split train] [--model EXPORTED]

TensorFlow in float32, as exported, is compared with OpenVINO (float32, bfloat16; the extra `openvino`), LiteRT
(float32, and int8 weights with dynamic-range quantization; `pip install ai-edge-litert`) and `keras.Model.predict`:
interleaved rounds, batch sizes 1 and 8, all cores. Differences are the mean and the maximum against TensorFlow.
With `--model`, the engines of `serve` are measured too, including the postprocessing of that export.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from bone_age_tf.config import ENGINES
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.serving.engines import load_openvino, network_of
from bone_age_tf.sex import SEX_NAMES
from bone_age_tf.training.run import Run

Engine = Callable[[np.ndarray, np.ndarray], np.ndarray]
ROUNDS = 3


def tensorflow_engine(model: keras.Model, frame: tuple[int, int]) -> tuple[Engine, Any]:
    """The network with its weights frozen into the graph, and that graph."""
    specs = [
        tf.TensorSpec([None, *frame, 1], tf.uint8, name="image"),
        tf.TensorSpec([None], tf.int32, name="sex"),
    ]

    def months(image: tf.Tensor, sex: tf.Tensor) -> tf.Tensor:
        return model({"image": image, "sex": sex}, training=False)

    graph = tf.function(months, specs, autograph=False).get_concrete_function()
    frozen = convert_variables_to_constants_v2(graph)
    return (
        lambda image, sex: np.array(frozen(tf.constant(image), tf.constant(sex))[0]),
        frozen,
    )


def openvino_engine(frozen: Any, precision: str) -> Engine:
    """OpenVINO, tuned for latency."""
    core = load_openvino().Core()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.pb"
        path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
        network = core.read_model(path)
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(network, "CPU", settings)
    return lambda image, sex: compiled([image, sex])[0]


def litert_engine(graph: object, folder: Path, *, dynamic_int8: bool) -> Engine:
    """LiteRT with XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter

    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph])
    if dynamic_int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    path = folder / f"int8-{dynamic_int8}.tflite"
    path.write_bytes(converter.convert())
    interpreter = Interpreter(
        str(path), num_threads=tf.config.threading.get_intra_op_parallelism_threads() or 2
    )
    shapes: list[tuple[int, ...]] = []

    def answer(image: np.ndarray, sex: np.ndarray) -> np.ndarray:
        inputs = interpreter.get_input_details()
        values = [image if one["dtype"] == np.uint8 else sex for one in inputs]
        if shapes != [value.shape for value in values]:
            shapes[:] = [value.shape for value in values]
            for one, value in zip(inputs, values, strict=True):
                interpreter.resize_tensor_input(one["index"], value.shape)
            interpreter.allocate_tensors()
        for one, value in zip(inputs, values, strict=True):
            interpreter.set_tensor(one["index"], value)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return answer


def served_engine(model: ExportedModel, engine: str) -> Engine:
    """The bone age as `serve` returns it."""
    network = network_of(model, engine)
    return lambda image, sex: network(image, [SEX_NAMES[code] for code in sex])["bone_age_months"]


def timed(
    engine: Engine, images: np.ndarray, sexes: np.ndarray, batch: int
) -> tuple[np.ndarray, float]:
    """Predicted months, and images per second."""
    engine(images[:batch], sexes[:batch])
    started = time.monotonic()
    months = [
        engine(images[i : i + batch], sexes[i : i + batch]) for i in range(0, len(images), batch)
    ]
    return np.concatenate([np.ravel(part) for part in months]), len(images) / (
        time.monotonic() - started
    )


def main() -> None:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--model")
    chosen = parser.parse_args()
    trained = Run.open(chosen.run, "last")
    model = trained.load_model()
    examples = PreparedRadiographs.open(chosen.data).examples(chosen.split).batch(chosen.count)
    first = next(iter(examples.as_numpy_iterator()))
    images, sexes = first["image"], first["sex"]
    own, frozen = tensorflow_engine(model, trained.preprocessing.frame)

    def predict(image: np.ndarray, sex: np.ndarray) -> np.ndarray:
        return model.predict({"image": image, "sex": sex}, batch_size=len(image), verbose=0)

    with tempfile.TemporaryDirectory() as work:
        engines = {
            "TensorFlow, float32": own,
            "keras.predict": predict,
            "OpenVINO, float32": openvino_engine(frozen, "f32"),
            "OpenVINO, bfloat16": openvino_engine(frozen, "bf16"),
            "LiteRT, float32": litert_engine(frozen, Path(work), dynamic_int8=False),
            "LiteRT, dynamic int8": litert_engine(frozen, Path(work), dynamic_int8=True),
        }
        compare(engines, "keras.predict", images, sexes)
    if chosen.model:
        exported = ExportedModel.open(chosen.model)
        engines = {f"serve --engine {name}": served_engine(exported, name) for name in ENGINES}
        compare(engines, f"serve --engine {ENGINES[0]}", images, sexes)


def compare(engines: dict[str, Engine], base: str, images: np.ndarray, sexes: np.ndarray) -> None:
    """Interleaved rounds; print speeds relative to `base`, and differences in months from the first engine."""
    first = next(iter(engines))
    print(
        f"| engine | batch size | images/s | relative to {base} [min, max] | difference, months: mean | max |"
    )
    print("|---|---|---|---|---|---|")
    for batch in (1, 8):
        speeds: dict[str, list[float]] = {name: [] for name in engines}
        months: dict[str, np.ndarray] = {}
        for _ in range(ROUNDS):
            for name, engine in engines.items():
                months[name], speed = timed(engine, images, sexes, batch)
                speeds[name].append(speed)
        for name, found in speeds.items():
            ratios = sorted(np.array(found) / np.array(speeds[base]))
            away = np.abs(months[name] - months[first])
            print(f"| {name} | {batch} | {np.median(found):.1f} | {np.median(ratios):.2f} "
                  f"[{ratios[0]:.2f}, {ratios[-1]:.2f}] | {away.mean():.3f} | {away.max():.3f} |")  # fmt: skip


if __name__ == "__main__":
    main()
