#!/usr/bin/env bash
# White-is-zero TIFF (PhotometricInterpretation 0): Pillow and OpenCV invert it at 8 bit and not at 16 bit.
#
# Versions: Pillow 13.0.0, opencv-python-headless 5.0.0.93, tifffile 2026.3.3; seen on Python 3.11.
# Behaviour: the same ramp, written by tifffile as `miniswhite`. Both readers return 255 - value of the 8-bit
#   file, as the tag demands, and the stored values of the 16-bit file. Big-endian 16 bit: Pillow does not know the
#   file at all, OpenCV again returns the stored values.
# A good guess: a reader that applies the tag does so whatever the depth.
# Why it matters: digitised films and detectors give 16 bit; dark and bright bone are swapped, silently, where
#   8-bit test files were right.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pillow==13.0.0 opencv-python-headless==5.0.0.93 tifffile==2026.3.3

venv/bin/python - <<'EOF' | tee said.txt
import cv2
import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError


def answer(pixels, stored):
    whole = np.iinfo(stored.dtype).max
    return "stored" if (pixels == stored).all() else "inverted" if (pixels == whole - stored).all() else "other"


for kind, order in (("u1", "<"), ("u2", "<"), ("u2", ">")):
    stored = (np.arange(64 * 64) % 251).reshape(64, 64).astype(kind)
    tifffile.imwrite("a.tif", stored, photometric="miniswhite", byteorder=order)
    try:
        pillow = answer(np.asarray(Image.open("a.tif")), stored)
    except UnidentifiedImageError:
        pillow = "unknown"
    opencv = answer(cv2.imread("a.tif", cv2.IMREAD_UNCHANGED), stored)
    print(8 * stored.itemsize, order, "Pillow", pillow, "OpenCV", opencv)
EOF
grep -qx "8 < Pillow inverted OpenCV inverted" said.txt
grep -qx "16 < Pillow stored OpenCV stored" said.txt
grep -qx "16 > Pillow unknown OpenCV stored" said.txt
