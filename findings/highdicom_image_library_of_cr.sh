#!/usr/bin/env bash
# highdicom cannot list a valid CR image in a report: it requires an attribute that CR images need not have.
#
# Versions: highdicom 0.28.2, pydicom 3.0.2; seen on Python 3.11.
# Behaviour: the image library of a report (TID 1600; `referenced_images` of `MeasurementReport`) takes Imager Pixel Spacing and Patient
#   Orientation as given for modality CR and DX. Without the first it ends with AttributeError, with an empty second with IndexError.
# A good guess: what PS3.3 lets be absent (type 3 in the CR Image Module) or empty (type 2C) is left out of the library, as
#   it leaves out what it does not know.
# Why it matters: it works with a first test file, and fails in a hospital whose plates tell no spacing.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet highdicom==0.28.2 pydicom==3.0.2

venv/bin/python - <<'EOS' | tee said.txt
from highdicom.sr import ImageLibrary
from pydicom import Dataset


def image(**attributes):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.1", "2.25.1", "CR"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.StudyDate = "2.25.2", "2.25.3", ""
    dataset.Rows = dataset.Columns = 64
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def listed(name, one):
    try:
        library = ImageLibrary([one])[0]
        print(name, "listed with", len(library.ContentSequence[0].ContentSequence[0].ContentSequence), "items")
    except Exception as error:
        print(name, type(error).__name__)


listed("with both:", image(ImagerPixelSpacing=[0.1, 0.1], PatientOrientation=["L", "H"]))
listed("without spacing:", image(PatientOrientation=["L", "H"]))
listed("empty orientation:", image(ImagerPixelSpacing=[0.1, 0.1], PatientOrientation=""))
EOS
diff said.txt - <<'EOS'
with both: listed with 7 items
without spacing: AttributeError
empty orientation: IndexError
EOS
