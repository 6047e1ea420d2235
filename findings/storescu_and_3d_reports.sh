#!/usr/bin/env bash
# storescu does not send a Comprehensive 3D SR unless it is told to propose what is needed; dcmsend of the same toolkit does.
#
# Versions: DCMTK 3.6.7 (Debian 12), pynetdicom 3.0.4, pydicom 3.0.2; seen on Python 3.11.
# Behaviour: `storescu HOST PORT FILE` proposes a fixed list of storage classes, in which Comprehensive SR is and Comprehensive 3D SR is not, and ends with "No
#   presentation context for: ... Comprehensive3DSRStorage", though the receiver supports it. With `-R` (--required), or by dcmsend, it is stored.
# A good guess: a storage client proposes the classes of the files that it is given.
# Why it matters: measurement reports by IHE's AI Results profile are of this class; the first try fails and the receiver is blamed.
set -euo pipefail
command -v storescu >/dev/null || { echo "needs storescu and dcmsend: apt-get install dcmtk"; exit 77; }
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pynetdicom==3.0.4 pydicom==3.0.2

venv/bin/python - <<'EOS' | tee said.txt
import subprocess

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt

stored = []
for name, sop_class in (("comprehensive", "1.2.840.10008.5.1.4.1.1.88.33"), ("comprehensive 3D", "1.2.840.10008.5.1.4.1.1.88.34")):
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID, report.Modality = sop_class, "2.25.1", "SR"
    report.PatientID, report.StudyInstanceUID, report.SeriesInstanceUID = "1", "2.25.2", "2.25.3"
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(f"{name}.dcm", report, enforce_file_format=True)

receiver = AE()
receiver.supported_contexts = AllStoragePresentationContexts
keep = [(evt.EVT_C_STORE, lambda event: stored.append(event.request.AffectedSOPClassUID) or 0)]
server = receiver.start_server(("127.0.0.1", 0), block=False, evt_handlers=keep)
for words in (["storescu"], ["storescu", "-R"], ["dcmsend"]):
    for name in ("comprehensive", "comprehensive 3D"):
        stored.clear()
        subprocess.run([*words, "127.0.0.1", str(server.server_address[1]), f"{name}.dcm"], capture_output=True)
        print(*words, name, "stored" if stored else "not stored")
server.shutdown()
EOS
diff said.txt - <<'EOS'
storescu comprehensive stored
storescu comprehensive 3D not stored
storescu -R comprehensive stored
storescu -R comprehensive 3D stored
dcmsend comprehensive stored
dcmsend comprehensive 3D stored
EOS
