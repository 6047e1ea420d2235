#!/usr/bin/env bash
# Importing pynetdicom changes which files pydicom writes, in the whole process.
#
# Versions: pynetdicom 3.0.4, pydicom 3.0.2; seen on Python 3.11.
# Behaviour: `import pynetdicom` adds four transfer syntaxes (three of JPEG XL, Deflated Image Frame Compression) to pydicom's own table of UIDs.
#   Before it, dcmwrite refuses an image in the latter as "not a valid transfer syntax", and properties of the UID raise; after it the same call writes.
# A good guess: importing a network library changes nothing of another package; its `register_uid` is there for what is asked for.
# Why it matters: what a program or a test does with such a file depends on an import anywhere else, and on the order of the tests. A file
#   that a receiver (with pynetdicom) wrote cannot be written again by a tool without it.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pynetdicom==3.0.4 pydicom==3.0.2

venv/bin/python - <<'EOS' | tee said.txt
import io
import zlib

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

DEFLATED_IMAGE_FRAME = UID("1.2.840.10008.1.2.8.1")


def said(act):
    try:
        return act()
    except ValueError as error:
        return f"ValueError: {error}"


def write():
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = DEFLATED_IMAGE_FRAME
    image.SOPClassUID, image.SOPInstanceUID, image.Modality = "1.2.840.10008.5.1.4.1.1.7", "2.25.1", "OT"
    image.PatientID, image.StudyInstanceUID, image.SeriesInstanceUID = "1", "2.25.2", "2.25.3"
    image.Rows, image.Columns, image.SamplesPerPixel, image.PhotometricInterpretation = 8, 8, 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    image.PixelData = encapsulate([zlib.compress(bytes(range(64)), wbits=-15)])
    dcmwrite(io.BytesIO(), image, enforce_file_format=True)
    return "written"


def show():
    print("name:", DEFLATED_IMAGE_FRAME.name)
    print("compressed:", said(lambda: DEFLATED_IMAGE_FRAME.is_compressed))
    print("dcmwrite:", said(write))


show()
import pynetdicom  # noqa: E402, F401

print("import pynetdicom")
show()
EOS
diff said.txt - <<'EOS'
name: 1.2.840.10008.1.2.8.1
compressed: ValueError: UID is not a transfer syntax.
dcmwrite: ValueError: The Transfer Syntax UID '1.2.840.10008.1.2.8.1' is not a valid transfer syntax
import pynetdicom
name: Deflated Image Frame Compression
compressed: True
dcmwrite: written
EOS
