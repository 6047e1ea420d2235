#!/usr/bin/env bash
# A valid DICOM file can be a valid TIFF of the same pixels: who looks at the first bytes gets a TIFF.
#
# Versions: pydicom 3.0.2, Pillow 13.0.0, tifffile 2026.3.3, numpy 2.4.6; seen on Python 3.11. The preamble of 128 bytes is free for
#   such use (DICOM PS3.10, section 7.1); slide scanners write such files, and pydicom's test file CT_small.dcm begins so.
# Behaviour: the preamble holds a TIFF header whose strip is the value of Pixel Data. Pillow and tifffile return the stored
#   values, without rescale, window and MONOCHROME1; pydicom reads the same file as DICOM.
# A good guess: a file with DICM at byte 128 is told by that, and its first 128 bytes are zeros.
# Why it matters: a program that tells files by their first bytes reads the negative of a MONOCHROME1 radiograph, without an error,
#   and no header tells it sex and age; DICM has to be looked for first.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pydicom==3.0.2 pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6

venv/bin/python - <<'EOF' | tee said.txt
import struct
from pathlib import Path

import numpy as np
import pydicom
import tifffile
from PIL import Image
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

stored = (np.arange(64 * 64) % 251).astype(np.uint8).reshape(64, 64)
dataset = Dataset()
dataset.file_meta = FileMetaDataset()
dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "2.25.1"
dataset.Rows = dataset.Columns = 64
dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME1"
dataset.PixelData = stored.tobytes()
dataset["PixelData"].VR = "OB"
pydicom.dcmwrite("a.dcm", dataset, enforce_file_format=True)

content = bytearray(Path("a.dcm").read_bytes())
strip = content.index(stored.tobytes())
short, long = 3, 4
entries = [(256, short, 64), (257, short, 64), (258, short, 8), (259, short, 1), (262, short, 1)]
entries += [(273, long, strip), (278, short, 64), (279, long, 64 * 64)]
directory = struct.pack("<H", len(entries))
directory += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
content[:128] = (b"II*\0" + struct.pack("<I", 8) + directory).ljust(128, b"\0")
Path("a.dcm").write_bytes(content)

picture = Image.open("a.dcm")
print("Pillow:", picture.format, "as stored", (np.asarray(picture) == stored).all())
print("tifffile: as stored", (tifffile.imread("a.dcm") == stored).all())
again = pydicom.dcmread("a.dcm")
print("pydicom:", again.PhotometricInterpretation, "as stored", (again.pixel_array == stored).all())
print("CT_small.dcm begins with", Path(get_testdata_file("CT_small.dcm")).read_bytes()[:4])
EOF
diff said.txt - <<'EOF'
Pillow: TIFF as stored True
tifffile: as stored True
pydicom: MONOCHROME1 as stored True
CT_small.dcm begins with b'II*\x00'
EOF
