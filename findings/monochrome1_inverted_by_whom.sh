#!/usr/bin/env bash
# Who inverts MONOCHROME1: one library does unasked, the other does not when asked to apply the presentation LUT.
#
# Versions: pydicom 3.0.2, highdicom 0.28.2, numpy 2.4.6; seen on Python 3.11.
# Behaviour: an image of 12 bits, Photometric Interpretation MONOCHROME1, stored values 0 to 2047, without Presentation
#   LUT Shape (optional in CR, where it is mostly absent). pydicom `apply_presentation_lut` returns it as stored.
#   highdicom `get_frame` inverts it, and its 0 is 4095. With Presentation LUT Shape INVERSE pydicom inverts too, but
#   its largest value is 2047: it subtracts from the largest value of this image.
# A good guess: the function named for the presentation LUT turns MONOCHROME1 around, from the bits that are stored.
# Why it matters: bone is dark in one and bright in the other, and with pydicom's rule the same grey level of two images
#   becomes two.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pydicom==3.0.2 highdicom==0.28.2 numpy==2.4.6

venv/bin/python - <<'EOF' | tee said.txt
import highdicom
import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import apply_presentation_lut
from pydicom.uid import ExplicitVRLittleEndian

dataset = Dataset()
dataset.file_meta = FileMetaDataset()
dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "2.25.1"
dataset.Rows, dataset.Columns = 32, 64
dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME1"
dataset.PixelData = np.arange(2048, dtype="<u2").tobytes()
dataset["PixelData"].VR = "OW"
pydicom.dcmwrite("a.dcm", dataset, enforce_file_format=True)


def say(name, pixels):
    print(name, "of 0:", int(pixels.ravel()[0]), "of 2047:", int(pixels.ravel()[-1]))


say("pydicom", apply_presentation_lut(dataset.pixel_array, dataset))
say("highdicom", highdicom.imread("a.dcm").get_frame(1))
dataset.PresentationLUTShape = "INVERSE"
say("pydicom, shape INVERSE", apply_presentation_lut(dataset.pixel_array, dataset))
EOF
grep -qx "pydicom of 0: 0 of 2047: 2047" said.txt
grep -qx "highdicom of 0: 4095 of 2047: 2048" said.txt
grep -qx "pydicom, shape INVERSE of 0: 2047 of 2047: 0" said.txt
