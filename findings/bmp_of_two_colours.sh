#!/usr/bin/env bash
# An 8-bit BMP whose colour table has two entries: Pillow reads other pixels, without an error.
#
# Versions: Pillow 13.0.0, opencv-python-headless 5.0.0.93, tensorflow-cpu 2.21.0; seen on Python 3.11.
# Behaviour: one byte for each pixel, 0 or 1, and a table (black, white). OpenCV gives 0 and 255. Pillow takes the
#   file for one bit a pixel and gives a picture of other content. TensorFlow ignores the table: 0 and 1.
# A good guess: biBitCount decides how pixels are stored, the number of colours only how long the table is.
# Why it matters: masks and thresholded films are saved so; three common readers give three pictures.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pillow==13.0.0 opencv-python-headless==5.0.0.93 tensorflow-cpu==2.21.0

TF_CPP_MIN_LOG_LEVEL=3 venv/bin/python - 2>/dev/null <<'EOF' | tee said.txt
import io
import struct

import cv2
import numpy as np
import tensorflow as tf
from PIL import Image

stored = np.random.default_rng(0).integers(0, 2, (64, 64)).astype(np.uint8)
header = struct.pack("<IiiHHIIiiII", 40, 64, 64, 1, 8, 0, stored.size, 0, 0, 2, 0)
table = bytes([0, 0, 0, 0, 255, 255, 255, 0])
start = 14 + len(header) + len(table)
encoded = b"BM" + struct.pack("<IHHI", start + stored.size, 0, 0, start) + header + table + stored[::-1].tobytes()

pillow = np.asarray(Image.open(io.BytesIO(encoded)).convert("L"))
opencv = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
tensorflow = tf.io.decode_bmp(encoded, channels=3).numpy()[..., 0]
print("Pillow right:", (pillow == stored * 255).all())
print("OpenCV right:", (opencv == stored * 255).all())
print("TensorFlow gives the indices:", (tensorflow == stored).all())
EOF
grep -qx "Pillow right: False" said.txt
grep -qx "OpenCV right: True" said.txt
grep -qx "TensorFlow gives the indices: True" said.txt
