"""Baseline server for `serving_comparison.py`: PyTorch's InceptionV3 behind Flask.

It decodes and letterboxes the image and predicts one radiograph at a time on all cores: no localizer, no
registration, no rejection, no batching. The weights are random, since only speed is measured. It runs in a
Python environment with torch, flask, numpy and cv2, and imports nothing from this project:

    python benchmarks/flask_torch_server.py --port 5000 --height 325 --width 250

`POST /predict` with `{"image": base64, "sex": 0}` -> `{"months": ...}`.
"""

import argparse
import base64
import logging
import threading

import cv2
import numpy as np
import torch
from flask import Flask, jsonify, request
from torch_inception import BoneAge


def letterboxed(encoded: bytes, height: int, width: int) -> np.ndarray:
    """An encoded picture -> uint8 [height, width]. Raises `ValueError` if it cannot be decoded."""
    picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ValueError("not a readable image")
    scale = min(height / picture.shape[0], width / picture.shape[1])
    rows, columns = (max(1, round(side * scale)) for side in picture.shape)
    made = np.zeros((height, width), np.uint8)
    top, left = (height - rows) // 2, (width - columns) // 2
    small = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
    made[top : top + rows, left : left + columns] = small
    return made


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--height", type=int, default=325)
    parser.add_argument("--width", type=int, default=250)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    chosen = parser.parse_args()
    torch.set_flush_denormal(True)  # as TensorFlow does
    torch.manual_seed(0)
    model = BoneAge(chosen.precision).eval().to(memory_format=torch.channels_last)
    one_at_a_time = threading.Lock()  # concurrent forward passes compete for the same cores
    app = Flask(__name__)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    @app.post("/predict")
    def predict():
        payload = request.get_json()
        try:
            image = letterboxed(base64.b64decode(payload["image"]), chosen.height, chosen.width)
        except (KeyError, ValueError, cv2.error) as error:
            return jsonify(error=str(error)), 400
        sex = torch.tensor([int(payload["sex"])])
        with one_at_a_time, torch.inference_mode():
            months = model(torch.from_numpy(image)[None], sex)
        return jsonify(months=float(months[0]))

    app.run("127.0.0.1", chosen.port, threaded=True)


if __name__ == "__main__":
    main()
