#!/usr/bin/env bash
# dcmp2pgm shows an image without its VOI LUT if the file is in Implicit VR; the same image in Explicit VR is shown with it.
#
# Versions: DCMTK 3.6.7 (Debian 12), pydicom 3.0.2, numpy 2.2.6; seen on Python 3.11.
# Behaviour: an image with one VOI LUT (here one that inverts) gives the picture of the LUT in Explicit VR Little Endian, and in Implicit VR
#   Little Endian the very picture of a copy that has no LUT; exit status 0, no message. dcmj2pnm of the same toolkit applies it in both.
# A good guess: the encoding changes nothing of a picture, all the more as Implicit VR is the default transfer syntax of DICOM.
# Why it matters: dcmp2pgm is the tool that renders presentation states; a comparison with its pictures blames the right program. Convert to
#   Explicit VR first (dcmconv +te).
set -euo pipefail
command -v dcmp2pgm >/dev/null || { echo "needs dcmp2pgm and dcmj2pnm: apt-get install dcmtk"; exit 77; }
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pydicom==3.0.2 numpy==2.2.6

venv/bin/python - <<'EOS'
import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

image = Dataset()
image.file_meta = FileMetaDataset()
image.SOPClassUID, image.SOPInstanceUID, image.Modality = "1.2.840.10008.5.1.4.1.1.1", "2.25.1", "CR"
image.StudyInstanceUID, image.SeriesInstanceUID, image.SeriesNumber, image.InstanceNumber = "2.25.2", "2.25.3", 1, 1
for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"):
    setattr(image, keyword, "")
for keyword in ("ReferringPhysicianName", "Manufacturer", "BodyPartExamined", "ViewPosition"):
    setattr(image, keyword, "")
image.PatientOrientation = ["P", "F"]
image.Rows, image.Columns, image.SamplesPerPixel, image.PhotometricInterpretation = 64, 64, 1, "MONOCHROME2"
image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
image.add_new("PixelData", "OW", np.arange(4096, dtype="<u2").tobytes())
lut = Dataset()
lut.add_new("LUTDescriptor", "US", [4096, 0, 16])
lut.add_new("LUTData", "OW", np.linspace(65535, 0, 4096).astype("<u2").tobytes())
for name, luts, syntax in (
    ("none", None, ImplicitVRLittleEndian),
    ("implicit", [lut], ImplicitVRLittleEndian),
    ("explicit", [lut], ExplicitVRLittleEndian),
):
    if luts:
        image.VOILUTSequence = luts
    image.file_meta.TransferSyntaxUID = syntax
    dcmwrite(f"{name}.dcm", image, enforce_file_format=True)
EOS

for name in none implicit explicit; do
  dcmp2pgm "$name.dcm" "$name.pgm" 2>>messages.txt
  dcmj2pnm $([ "$name" = none ] || echo +Wl 1) "$name.dcm" "j_$name.pgm" 2>>messages.txt
done
dcmconv +te implicit.dcm converted.dcm
dcmp2pgm converted.dcm converted.pgm
same() { cmp -s "$1" "$2" && echo "same" || echo "different"; }
{
  echo "messages: $(wc -c <messages.txt)"
  echo "dcmj2pnm, implicit and explicit: $(same j_implicit.pgm j_explicit.pgm)"
  echo "dcmp2pgm, implicit and explicit: $(same implicit.pgm explicit.pgm)"
  echo "dcmp2pgm, implicit and no LUT: $(same implicit.pgm none.pgm)"
  echo "dcmp2pgm, explicit and no LUT: $(same explicit.pgm none.pgm)"
  echo "dcmp2pgm, converted and explicit: $(same converted.pgm explicit.pgm)"
} | tee said.txt
diff said.txt - <<'EOS'
messages: 0
dcmj2pnm, implicit and explicit: same
dcmp2pgm, implicit and explicit: different
dcmp2pgm, implicit and no LUT: same
dcmp2pgm, explicit and no LUT: different
dcmp2pgm, converted and explicit: same
EOS
