#!/usr/bin/env bash
# highdicom applies a window in stored units where a Rescale Slope is there: the standard's -0.5 and -1 are scaled too.
#
# Versions: highdicom 0.28.2, pydicom 3.0.2, numpy 2.4.6; seen on Python 3.11.
# Behaviour: `Image.get_frame(apply_voi_transform=True)` of a ramp with Rescale Slope 2 and a LINEAR window differs from the formula of
#   PS3.3 C.11.2.1.2 (in output units, as the text says) by one output level of the modality; with slope 1 it does not differ.
#   Bits above Bits Stored are not masked either: 12-bit values with bit 12 set come back as up to 8191, pydicom gives 4095.
# A good guess: the library written for DICOM's rules is the reference for them.
# Why it matters: a parity test against it fails by a little for some files, and the product is blamed.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pydicom==3.0.2 highdicom==0.28.2 numpy==2.4.6

venv/bin/python - <<'EOF' | tee said.txt
import highdicom
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

CENTRE, WIDTH = 4096, 2000
STUDY = dict.fromkeys(("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"), "")
STUDY |= {"StudyDate": "", "StudyTime": "", "Modality": "DX", "InstanceNumber": 1}
STUDY |= {"StudyInstanceUID": "2.25.2", "SeriesInstanceUID": "2.25.3"}

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


ramp = np.arange(4096).reshape(64, 64)
for slope in (1, 2):
    window = {"RescaleSlope": str(slope), "RescaleIntercept": "0", "WindowCenter": str(CENTRE), "WindowWidth": str(WIDTH)}
    image = highdicom.Image.from_dataset(data_set(ramp, 12, **STUDY, **window))
    shown = image.get_frame(1, apply_voi_transform=True, voi_output_range=(0, 1))
    output = ramp * slope
    standard = np.clip((output - (CENTRE - 0.5)) / (WIDTH - 1) + 0.5, 0, 1)
    print("slope", slope, "differs by", round(float(abs(shown - standard).max()) * (WIDTH - 1), 2), "levels")
above = data_set(ramp | 0x1000, 12, **STUDY)
print("largest of 12 bits", int(highdicom.Image.from_dataset(above).get_frame(1).max()), "pydicom", above.pixel_array.max())
EOF
grep -qx "slope 1 differs by 0.0 levels" said.txt
grep -qx "slope 2 differs by 1.0 levels" said.txt
grep -qx "largest of 12 bits 8191 pydicom 4095" said.txt
