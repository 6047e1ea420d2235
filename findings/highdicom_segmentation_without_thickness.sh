#!/usr/bin/env bash
# highdicom writes Segmentations that it does not read: those whose pixels have a spacing but no slice thickness.
#
# Versions: highdicom 0.28.2, pydicom 3.0.2; seen on Python 3.11.
# Behaviour: of a CT image with an empty Slice Thickness (type 2, may be empty: PS3.3, C.7.6.2) a Segmentation is made without a warning; `segread`
#   of it raises "AttributeError: Sequence does not have the required attributes for a Pixel Measures Sequence". pydicom reads it.
# A good guess: a library reads what it wrote, and says at the writing what it lacks. In the macro (PS3.3, C.7.6.16.2.1) the thickness is required
#   only where Volumetric Properties is VOLUME or SAMPLED, which a Segmentation does not have (dciodvfy asks for it all the same).
# Why it matters: results are stored for months before the first one is read again. Read each one back where it is made, or give a thickness.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet highdicom==0.28.2 pydicom==3.0.2

venv/bin/python - <<'EOS' | tee said.txt
import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription, segread
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

hand = SegmentDescription(
    segment_number=1,
    segment_label="Hand",
    segmented_property_category=codes.SCT.AnatomicalStructure,
    segmented_property_type=codes.SCT.Hand,
    algorithm_type="AUTOMATIC",
    algorithm_identification=AlgorithmIdentificationSequence("outline", codes.DCM.ArtificialIntelligence, "1"),
)


def slice_of_ct(thickness):
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID, image.Modality = "1.2.840.10008.5.1.4.1.1.2", "2.25.1", "CT"
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = "2.25.2", "2.25.3", "2.25.6"
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"):
        setattr(image, keyword, "")
    image.StudyID = image.ReferringPhysicianName = image.Manufacturer = image.PositionReferenceIndicator = ""
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [1, 1], thickness
    image.SeriesNumber = image.InstanceNumber = image.SamplesPerPixel = 1
    image.Rows, image.Columns, image.PhotometricInterpretation = 64, 64, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.add_new("PixelData", "OW", np.arange(4096, dtype="<u2").tobytes())
    return image


def show(name, image):
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
    segmentation.save_as("segmentation.dcm")
    try:
        result = segread("segmentation.dcm").pixel_array.sum()
    except AttributeError as error:
        result = f"AttributeError: {error}"
    print(f"{name}: pydicom {dcmread('segmentation.dcm').pixel_array.sum()}, highdicom {result}")


show("CT, 5 mm", slice_of_ct(5))
show("CT, empty", slice_of_ct(None))
EOS
diff said.txt - <<'EOS'
CT, 5 mm: pydicom 2080, highdicom 2080
CT, empty: pydicom 2080, highdicom AttributeError: Sequence does not have the required attributes for a Pixel Measures Sequence.
EOS
