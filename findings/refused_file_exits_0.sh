#!/usr/bin/env bash
# An archive refuses a file: DCMTK's storescu ends with 167, its dcmsend and pynetdicom's program of the name storescu with 0.
#
# Versions: DCMTK 3.6.7 (Debian 12), pynetdicom 3.0.4, pydicom 3.0.2; seen on Python 3.11.
# Behaviour: the receiver answers C-STORE with 0xA700, Refused: Out of Resources. DCMTK's storescu ends with 167, the upper byte of the
#   status, A7. dcmsend, and the storescu that pynetdicom installs, end with 0 and print nothing. In an active environment
#   with pynetdicom, `storescu` is that one.
# A good guess: an exit code of 0 means stored, from whichever sender; and `storescu` is DCMTK's.
# Why it matters: a script that deletes what was sent loses the file when the archive's disk is full, once it runs in that environment.
set -euo pipefail
[ -x /usr/bin/storescu ] || { echo "needs storescu and dcmsend: apt-get install dcmtk"; exit 77; }
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pynetdicom==3.0.4 pydicom==3.0.2

venv/bin/python - <<'EOS' | tee said.txt
import subprocess

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import AE, evt

image = Dataset()
image.SOPClassUID, image.SOPInstanceUID, image.Modality = SecondaryCaptureImageStorage, "2.25.1", "OT"
image.PatientID, image.StudyInstanceUID, image.SeriesInstanceUID = "1", "2.25.2", "2.25.3"
image.Rows = image.Columns = 2
image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
image.PixelData = bytes([1, 2, 3, 4])
image.file_meta = FileMetaDataset()
image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
dcmwrite("image.dcm", image, enforce_file_format=True)

for status in (0x0000, 0xA700):
    receiver = AE()
    receiver.add_supported_context(SecondaryCaptureImageStorage)
    server = receiver.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda event: status)])
    for name in ("/usr/bin/storescu", "/usr/bin/dcmsend", "venv/bin/storescu"):
        command = [name, "127.0.0.1", str(server.server_address[1]), "image.dcm"]
        done = subprocess.run(command, capture_output=True, text=True)
        lines = len((done.stdout + done.stderr).splitlines())
        print(f"{status:04X} {name}: exit code {done.returncode}, lines printed {lines}")
    server.shutdown()
EOS
for program in /usr/bin/storescu /usr/bin/dcmsend venv/bin/storescu; do
  grep -qx "0000 $program: exit code 0, lines printed 0" said.txt
done
grep -q "^A700 /usr/bin/storescu: exit code 167," said.txt
grep -qx "A700 /usr/bin/dcmsend: exit code 0, lines printed 0" said.txt
grep -qx "A700 venv/bin/storescu: exit code 0, lines printed 0" said.txt
[ "$(PATH="$PWD/venv/bin:$PATH" bash -c 'command -v storescu')" = "$PWD/venv/bin/storescu" ]
