#!/usr/bin/env bash
# dcmqi's reader of TID 1500 keeps the first of an algorithm's parameters, and takes its family for a finding in the image.
#
# Versions: dcmqi 1.5.7, highdicom 0.28.2, pydicom 3.0.2; seen on Python 3.11.
# Behaviour: a measurement group with the algorithm of TID 4019: three Algorithm Parameters (row 5, 1-n) and Algorithm Family. The JSON of
#   tid1500reader has a list of parameters, of which only the first is in it, and "Algorithm Family: Artificial Intelligence" among
#   `qualitativeEvaluations`, beside what was seen in the image. No warning.
# A good guess: a list holds all of them, and what TID 4019 defines is in `measurementAlgorithmIdentification`.
# Why it matters: parameters are where a report says which weights and which training data made its number. Put what must arrive into the first,
#   or read the report by another library.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet dcmqi==1.5.7 highdicom==0.28.2 pydicom==3.0.2

venv/bin/python - <<'EOS' | tee said.txt
import json
import subprocess
from pathlib import Path

import dcmqi
from highdicom import UID, sr
from pydicom import Dataset
from pydicom.sr.codedict import codes

image = Dataset()
for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
    setattr(image, keyword, "")
image.SOPClassUID, image.SOPInstanceUID, image.Modality = "1.2.840.10008.5.1.4.1.1.1.1", "2.25.1", "DX"
image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.2", "2.25.3"

observer = sr.ObserverContext(codes.DCM.Device, sr.DeviceObserverIdentifyingAttributes(uid=UID()))
algorithm = sr.AlgorithmIdentification("reader", "1", parameters=["weights a", "data b", "interval c"])
algorithm.append(
    sr.CodeContentItem(
        codes.DCM.AlgorithmFamily, codes.DCM.ArtificialIntelligence, relationship_type=sr.RelationshipTypeValues.HAS_CONCEPT_MOD
    )
)
group = sr.MeasurementsAndQualitativeEvaluations(
    tracking_identifier=sr.TrackingIdentifier(UID(), "hand"),
    measurements=[sr.Measurement(sr.CodedConcept("85151-9", "LN", "XR Bone age"), 121.3, codes.UCUM.Month)],
    algorithm_id=algorithm,
    source_images=[sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)],
)
content = sr.MeasurementReport(
    sr.ObservationContext(observer),
    procedure_reported=sr.CodedConcept("24724-7", "LN", "XR Bones Views for bone age"),
    imaging_measurements=[group],
)
report = sr.Comprehensive3DSR(
    [image], content, series_instance_uid=UID(), series_number=1, sop_instance_uid=UID(), instance_number=1, manufacturer="nobody"
)
report.save_as("report.dcm")
reader = Path(dcmqi.__file__).parent / "bin/tid1500reader"
subprocess.run([reader, "--inputDICOM", "report.dcm", "--outputMetadata", "report.json"], check=True, capture_output=True)
(read,) = json.loads(Path("report.json").read_text())["Measurements"]
print("parameters:", read["measurementAlgorithmIdentification"]["AlgorithmParameters"])
print("seen in the image:", [one["conceptValue"]["CodeMeaning"] for one in read["qualitativeEvaluations"]])
EOS
diff said.txt - <<'EOS'
parameters: ['weights a']
seen in the image: ['Artificial Intelligence']
EOS
