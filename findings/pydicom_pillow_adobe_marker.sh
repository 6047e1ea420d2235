#!/usr/bin/env bash
# A colour JPEG with an Adobe marker is converted from YCbCr twice by pydicom with Pillow; with GDCM it is right.
#
# Versions: pydicom 3.0.2, Pillow 13.0.0, python-gdcm 3.2.6, numpy 2.4.6; seen on Python 3.11.
# Behaviour: a JPEG Baseline of one colour, about (200, 60, 30), whose APP14 marker says YCbCr, in a DICOM file with Photometric Interpretation
#   YBR_FULL_422, as the standard wants. Pillow obeys the marker and returns RGB; pydicom believes the header and
#   converts that again: about (60, 255, 79). With a JFIF marker instead, both plugins agree.
# A good guess: the plugins differ in speed, not in pixels.
# Why it matters: secondary captures are such files, and which plugin answers depends on what is installed. Grey levels
#   made from the colours are wrong with no error.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pydicom==3.0.2 pillow==13.0.0 python-gdcm==3.2.6 numpy==2.4.6

venv/bin/python - <<'EOF' | tee said.txt
import io

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.uid import JPEGBaseline8Bit

COLOUR = (200, 60, 30)
stream = io.BytesIO()
Image.fromarray(np.full((64, 64, 3), COLOUR, np.uint8)).save(stream, "JPEG", quality=95, subsampling=0)
jfif = stream.getvalue()
after = 4 + int.from_bytes(jfif[4:6], "big")
adobe = jfif[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01" + jfif[after:]

for name, codestream in (("JFIF", jfif), ("Adobe", adobe)):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.Rows = dataset.Columns = 64
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.PixelData = encapsulate([codestream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    for plugin in ("pillow", "gdcm"):
        pixel = pixel_array(dataset, decoding_plugin=plugin)[0, 0].astype(int)
        print(name, plugin, "right" if abs(pixel - COLOUR).max() < 4 else f"wrong {pixel.tolist()}")
EOF
diff said.txt - <<'EOF'
JFIF pillow right
JFIF gdcm right
Adobe pillow wrong [60, 255, 79]
Adobe gdcm right
EOF
