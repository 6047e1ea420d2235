#!/usr/bin/env bash
# highdicom marks every container of a measurement report as running text, and dsr2html then prints a number without its name.
#
# Versions: highdicom 0.28.2, pydicom 3.0.2, DCMTK 3.6.7 (Debian); seen on Python 3.11.
# Behaviour: Continuity of Content is CONTINUOUS in all containers of `MeasurementReport`; none of the templates in it has an argument for
#   that. By PS3.3, C.17.3.2 it says that the items are linked in a continuous textual flow; the other value is SEPARATE. dsr2html
#   shows "121.3 mo" for the former and "XR Bone age: 121.3 mo" for the latter. dciodvfy accepts both.
# A good guess: a list of measurements is written as separate items.
# Why it matters: the number arrives, is valid, and does not say what it is. Set SEPARATE in every container.
set -euo pipefail
command -v dsr2html >/dev/null || { echo "needs dsr2html: apt-get install dcmtk"; exit 77; }
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet highdicom==0.28.2 pydicom==3.0.2

venv/bin/python - <<'EOS' | tee said.txt
from highdicom import UID, sr
from pydicom import Dataset
from pydicom.sr.codedict import codes

image = Dataset()
for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
    setattr(image, keyword, "")
image.SOPClassUID, image.SOPInstanceUID, image.Modality = "1.2.840.10008.5.1.4.1.1.1.1", "2.25.1", "DX"
image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.2", "2.25.3"

device = sr.DeviceObserverIdentifyingAttributes(uid=UID())
group = sr.MeasurementsAndQualitativeEvaluations(
    tracking_identifier=sr.TrackingIdentifier(UID(), "hand"),
    measurements=[sr.Measurement(sr.CodedConcept("85151-9", "LN", "XR Bone age"), 121.3, codes.UCUM.Month)],
    source_images=[sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)],
)
content = sr.MeasurementReport(
    sr.ObservationContext(sr.ObserverContext(codes.DCM.Device, device)),
    procedure_reported=sr.CodedConcept("24724-7", "LN", "XR Bones Views for bone age"),
    imaging_measurements=[group],
)
report = sr.Comprehensive3DSR(
    [image], content, series_instance_uid=UID(), series_number=1, sop_instance_uid=UID(), instance_number=1, manufacturer="nobody"
)

def containers(item):
    yield from [item] if item.ValueType == "CONTAINER" else []
    for inner in item.get("ContentSequence", ()):
        yield from containers(inner)


print("highdicom:", *{one.ContinuityOfContent for one in containers(report)})
report.save_as("continuous.dcm")
for one in containers(report):
    one.ContinuityOfContent = "SEPARATE"
report.save_as("separate.dcm")
EOS
for name in continuous separate; do
  dsr2html "$name.dcm" "$name.html"
  # the text of the page in one line
  echo "$name: $(sed 's/<[^>]*>//g' "$name.html" | tr -s '[:space:]' ' ' | grep -oE '(XR Bone age: ?)?121.3 mo')"
done | tee -a said.txt
diff said.txt - <<'EOS'
highdicom: CONTINUOUS
continuous: 121.3 mo
separate: XR Bone age: 121.3 mo
EOS
