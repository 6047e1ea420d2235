#!/usr/bin/env bash
# highdicom puts the patient's name into a warning, on the standard error or in the log, if the name has no caret.
#
# Versions: highdicom 0.28.2, pydicom 3.0.2; seen on Python 3.11.
# Behaviour: each object made of an image whose Patient's Name has one component ("Yamada", legal by PS3.5, 6.2.1) issues a UserWarning
#   with the name in it. With `logging.captureWarnings(True)`, as services have it, it is a line of the log.
# A good guess: a warning about a value names the attribute; a name that was received is not checked like one that was typed.
# Why it matters: names of patients leave the protected store by logs, which go to other places and people. Filter the warning by its
#   text, "unlikely to represent", before the first object is made.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet highdicom==0.28.2 pydicom==3.0.2

venv/bin/python - <<'EOS' 2>&1 | tee said.txt
import io
import logging

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import Dataset
from pydicom.sr.codedict import codes

log = io.StringIO()
logging.basicConfig(stream=log, level=logging.WARNING)
logging.captureWarnings(True)

image = Dataset()
for keyword in ("PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
    setattr(image, keyword, "")
image.SOPClassUID, image.SOPInstanceUID, image.Modality = "1.2.840.10008.5.1.4.1.1.1", "2.25.1", "CR"
image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.2", "2.25.3"
for name in ("Yamada^Hanako", "Yamada"):
    image.PatientName = name
    KeyObjectSelectionDocument(
        [image],
        KeyObjectSelection(codes.DCM.OfInterest, [image]),
        series_instance_uid="2.25.4",
        series_number=1,
        sop_instance_uid="2.25.5",
        instance_number=1,
        manufacturer="nobody",
    )
    print(f"{name}: {log.getvalue().partition('UserWarning: ')[2][:75]!r}")
EOS
diff said.txt - <<'EOS'
Yamada^Hanako: ''
Yamada: 'The string "Yamada" is unlikely to represent the intended person name since'
EOS
