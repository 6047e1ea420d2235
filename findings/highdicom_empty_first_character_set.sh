#!/usr/bin/env bash
# highdicom makes no object of an image whose Specific Character Set begins with an empty value, as Japanese equipment writes it.
#
# Versions: highdicom 0.28.2, pydicom 3.0.2; seen on Python 3.11.
# Behaviour: "\ISO 2022 IR 87" is read by pydicom, and the name decoded, but every object that takes the character set of its source ends
#   with "ValueError: '' is not a valid SpecificCharacterSetValues". With "ISO 2022 IR 6\ISO 2022 IR 87" it is made.
# A good guess: an empty first value is accepted: by PS3.5, 6.1.2.5, it stands for ISO-IR 6; the examples of its annex H.3.1 use it.
# Why it matters: code that was tested with Latin and UTF-8 headers fails on each image of a Japanese hospital. Put the defined term into
#   the first value of the source before the call; the bytes of the names stay as they are.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet highdicom==0.28.2 pydicom==3.0.2

venv/bin/python - <<'EOS' | tee said.txt
import io

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

image = Dataset()
image.file_meta = FileMetaDataset()
image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
for keyword in ("PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
    setattr(image, keyword, "")
image.SOPClassUID, image.SOPInstanceUID, image.Modality = "1.2.840.10008.5.1.4.1.1.1", "2.25.1", "CR"
image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.2", "2.25.3"
image.PatientName = "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce"
for first in ("", "ISO 2022 IR 6"):
    image.SpecificCharacterSet = [first, "ISO 2022 IR 87"]
    file = io.BytesIO()
    dcmwrite(file, image, enforce_file_format=True)
    file.seek(0)
    read = dcmread(file)
    try:
        KeyObjectSelectionDocument(
            [read],
            KeyObjectSelection(codes.DCM.OfInterest, [read]),
            series_instance_uid="2.25.4",
            series_number=1,
            sop_instance_uid="2.25.5",
            instance_number=1,
            manufacturer="nobody",
        )
        result = "made"
    except ValueError as error:
        result = f"ValueError: {error}"
    print(f"{first!r} name {'read' if read.PatientName == image.PatientName else 'not read'}; {result}")
EOS
diff said.txt - <<'EOS'
'' name read; ValueError: '' is not a valid SpecificCharacterSetValues
'ISO 2022 IR 6' name read; made
EOS
