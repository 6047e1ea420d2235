"""Latency of the first request, with and without the warm-up requests of `export --serving-kit`.

    python benchmarks/first_request.py --model saved_models/bone_age

In each round a new process loads the SavedModel, as a server does, and predicts one radiograph with and
without replaying the recorded requests first. Interleaved rounds; medians in seconds.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bone_age_tf.export.export import GOLDEN_HAND
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.warmup import write_warm_up

SERVER = """
import json, sys, time
began = time.monotonic()
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
imported = time.monotonic()
folder, hand, requests = sys.argv[1:]
serve = tf.saved_model.load(folder).signatures["serving_default"]
loaded = time.monotonic()
if requests:
    for record in tf.data.TFRecordDataset(requests):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        if request.model_spec.signature_name == "serving_default":
            serve(**{name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()})
warm = time.monotonic()
inputs = {"image_bytes": tf.constant([open(hand, "rb").read()]), "sex": tf.constant(["F"])}
times = []
for _ in range(4):
    started = time.monotonic()
    serve(**inputs)["status"].numpy()
    times.append(time.monotonic() - started)
print(json.dumps({"import": imported - began, "load": loaded - imported, "replay": warm - loaded,
                  "first": times[0], "later": min(times[1:])}))
"""


def once(folder: Path, requests: str) -> dict[str, float]:
    """Times in seconds, measured in a new process."""
    command = [sys.executable, "-c", SERVER, str(folder), str(GOLDEN_HAND), requests]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    folder = ExportedModel.open(chosen.model).folder
    with tempfile.TemporaryDirectory() as work:
        write_warm_up(Path(work), GOLDEN_HAND.read_bytes())
        (requests,) = (str(path) for path in Path(work).rglob("*") if path.is_file())
        found: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
        for _ in range(chosen.rounds):
            found["without"].append(once(folder, ""))
            found["with"].append(once(folder, requests))
    print("| warm-up | import TensorFlow | load | replay | first request | later requests |")
    print("|---|---|---|---|---|---|")
    for name, rounds in found.items():
        medians = (statistics.median(one[key] for one in rounds) for key in rounds[0])
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in medians) + " |")


if __name__ == "__main__":
    main()
