#!/usr/bin/env bash
# dicomweb-client does not read the answer to an upload if its media type has a parameter, and returns an empty data set.
#
# Versions: dicomweb-client 0.61.2, requests 2.32.5, pydicom 3.0.2; seen on Python 3.11.
# Behaviour: `store_instances` compares the whole header with "application/dicom+json". With "; charset=utf-8" behind it, which frameworks
#   add and PS3.18 (8.7.3.5) allows, the result is an empty Dataset: no exception. A search by the same client reads such an answer.
# A good guess: media types are compared without their parameters, and an answer that cannot be read is an error.
# Why it matters: who asks which objects failed (Failed SOP Sequence) gets "none", who asks which are stored gets "none" too, and sends again.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet dicomweb-client==0.61.2 requests==2.32.5 pydicom==3.0.2

venv/bin/python - <<'EOS' | tee said.txt
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from dicomweb_client import DICOMwebClient
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

media_type = ""
UID = {"00081155": {"vr": "UI", "Value": ["2.25.1"]}}
FAILED = {"00081198": {"vr": "SQ", "Value": [{**UID, "00081197": {"vr": "US", "Value": [272]}}]}}


class Server(BaseHTTPRequestHandler):
    """Accepts the request but not the object, and says so; a search finds one study."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(202, FAILED)

    def do_GET(self):
        self.answer(200, [UID])

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = DICOMwebClient(f"http://127.0.0.1:{server.server_port}")
report = Dataset()
report.file_meta = FileMetaDataset()
report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.11", "2.25.1"
report.StudyInstanceUID, report.SeriesInstanceUID = "2.25.2", "2.25.3"
for media_type in ("application/dicom+json", "application/dicom+json; charset=utf-8"):
    failed = client.store_instances([report]).get("FailedSOPSequence", ())
    print(f"{media_type}: {len(failed)} failed, {len(client.search_for_studies())} found")
EOS
diff said.txt - <<'EOS'
application/dicom+json: 1 failed, 1 found
application/dicom+json; charset=utf-8: 0 failed, 1 found
EOS
