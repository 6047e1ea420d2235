#!/usr/bin/env bash
# dicomweb-client repeats a refused upload with an empty body, and reports what the server says of that as the result.
#
# Versions: dicomweb-client 0.61.2, requests 2.32.5, pydicom 3.0.2; seen on Python 3.11.
# Behaviour: `store_instances` sends more than `chunk_size` (1 MB by default) from a generator, and its retry after 503, 429, 408 or 504 (on by default) posts
#   the same generator, which is used up by then. A server that answers 200 to an empty body makes it a success: nothing was sent.
#   Below the limit the repeat is whole. Where each attempt fails, the error is retrying.RetryError, no HTTPError, which 409 raises.
# A good guess: a retry sends the same body; a failure is one of requests' exceptions, repeated or not.
# Why it matters: a busy archive makes an image of usual size vanish, or be refused as malformed, while small tests pass. Raise `chunk_size`
#   above the largest upload, or turn the retry off (`set_http_retry_params(False)`) and repeat the call.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet dicomweb-client==0.61.2 requests==2.32.5 pydicom==3.0.2

venv/bin/python - <<'EOS' | tee said.txt
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dicomweb_client import DICOMwebClient
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

bodies, statuses = [], []
ANSWER = json.dumps({"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["2.25.1"]}}]}}).encode()


class Server(BaseHTTPRequestHandler):
    """Answers with the statuses in turn, then 200, and notes how long each body was."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while chunk := int(self.rfile.readline(), 16):
                size += len(self.rfile.read(chunk + 2)) - 2
            self.rfile.readline()
        else:
            self.rfile.read(size)
        bodies.append("empty" if size == 0 else f"{size // 1000} kB")
        self.send_response(statuses.pop(0) if statuses else 200)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *words):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = DICOMwebClient(f"http://127.0.0.1:{server.server_port}")
client.set_http_retry_params(max_attempts=2, wait_exponential_multiplier=1)

image = Dataset()
image.file_meta = FileMetaDataset()
image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
image.SOPClassUID, image.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.1"
image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.2", "2.25.3"
for size, answers in ((500_000, [503]), (2_000_000, [503]), (500_000, [503, 503]), (500_000, [409])):
    bodies.clear()
    statuses[:] = answers
    image.add_new("PixelData", "OB", bytes(size))
    try:
        result = f"{len(client.store_instances([image]).ReferencedSOPSequence)} stored"
    except Exception as error:
        result = f"{type(error).__module__}.{type(error).__name__}"
    print(*answers, "|", *bodies, "|", result)
EOS
diff said.txt - <<'EOS'
503 | 500 kB 500 kB | 1 stored
503 | 2000 kB empty | 1 stored
503 503 | 500 kB 500 kB | retrying.RetryError
409 | 500 kB | requests.exceptions.HTTPError
EOS
