#!/usr/bin/env bash
# Compressing or decompressing a data set in pydicom gives it another SOP Instance UID.
#
# Versions: pydicom 3.0.2, pylibjpeg 2.1.0, pylibjpeg-openjpeg 2.6.0, numpy 2.4.6; seen on Python 3.11.
# Behaviour: `Dataset.compress` and `Dataset.decompress` replace SOP Instance UID, each call by another random one,
#   also where the compression is lossless and the pixels come back bit by bit. `generate_instance_uid=False` keeps it.
# A good guess: a lossless change of the transfer syntax leaves the identity alone, as dcmtk's dcmcjpls and dcmdjpls
#   do by default.
# Why it matters: a report that takes its reference from the data set after `decompress` refers to an image that
#   no archive has, and a second run writes a second report.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pydicom==3.0.2 numpy==2.4.6 pylibjpeg==2.1.0 pylibjpeg-openjpeg==2.6.0

venv/bin/python - <<'EOF' | tee said.txt
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

UID = "2.25.1"


def radiograph():
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", UID
    dataset.Rows = dataset.Columns = 64
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.PixelData = np.arange(4096, dtype="<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


for syntax in (RLELossless, JPEG2000Lossless):
    dataset = radiograph()
    dataset.compress(syntax)
    compressed = dataset.SOPInstanceUID
    dataset.decompress()
    same = (dataset.pixel_array.ravel() == np.arange(4096)).all()
    print(syntax.keyword, "kept by compress", compressed == UID, "by decompress", dataset.SOPInstanceUID == compressed)
    print("pixels", same)
dataset = radiograph()
dataset.compress(RLELossless, generate_instance_uid=False)
print("asked to keep it", dataset.SOPInstanceUID == UID)
EOF
grep -qx "RLELossless kept by compress False by decompress False" said.txt
grep -qx "JPEG2000Lossless kept by compress False by decompress False" said.txt
test "$(grep -cx 'pixels True' said.txt)" = 2
grep -qx "asked to keep it True" said.txt
