#!/usr/bin/env bash
# pydicom's RLE encoder writes, of 8 bits stored in 16, a file that its own decoder refuses.
#
# Versions: pydicom 3.0.2, numpy 2.4.6; seen on Python 3.11.
# Behaviour: `Dataset.compress(RLELossless)` of an image with Bits Allocated 16 and Bits Stored 8 succeeds. `pixel_array` of the result
#   raises RuntimeError: 2048 bytes of RLE data where 4096 are expected (64 x 64 pixels). With 9 bits stored, or 8 allocated, the values come back.
# A good guess: a lossless encoder and decoder of one package fit together for every Bits Stored that the standard allows.
# Why it matters: 8 bits in 16 is what converters and old CR readers write; the loss is found when the original is gone.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pydicom==3.0.2 numpy==2.4.6

venv/bin/python - <<'EOF' | tee said.txt
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

def data_set(pixels, stored_bits, allocated=16, **more):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", "2.25.1"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, stored_bits, stored_bits - 1
    dataset.PixelRepresentation, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 0, 1, "MONOCHROME2"
    dataset.PixelData = pixels.astype(f"<u{allocated // 8}").tobytes()
    dataset["PixelData"].VR = "OW"
    for name, value in more.items():
        setattr(dataset, name, value)
    return dataset


for stored_bits, allocated in ((8, 8), (8, 16), (9, 16), (12, 16)):
    pixels = np.arange(64 * 64).reshape(64, 64) % 2**stored_bits
    dataset = data_set(pixels, stored_bits, allocated)
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    try:
        result = "the same" if (dataset.pixel_array == pixels).all() else "other values"
    except RuntimeError as error:
        result = "RuntimeError"
        text = str(error)
    print(stored_bits, "in", allocated, result)
print(text)
EOF
grep -qx "8 in 8 the same" said.txt
grep -qx "8 in 16 RuntimeError" said.txt
grep -qx "9 in 16 the same" said.txt
grep -qx "12 in 16 the same" said.txt
grep -q "2048 vs. 4096 bytes" said.txt
