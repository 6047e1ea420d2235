#!/usr/bin/env bash
# dicomweb-client sends a Host header of its own, without the port: a server that builds addresses of it names the wrong one.
#
# Versions: dicomweb-client 0.61.2, requests 2.32.5; seen on Python 3.11.
# Behaviour: for http://127.0.0.1:PORT/dicom-web, searches and STOW-RS send "Host: 127.0.0.1". requests by itself sends the port, which RFC 9110,
#   section 7.2, requires where it is not the default one. A server that makes Retrieve URL of the header, as Orthanc does, answers
#   with an address at port 80, where nobody listens.
# A good guess: the client of the DICOMweb reference implementation leaves this header to the library below it.
# Why it matters: what a search names cannot be fetched by that name, and a proxy that chooses by Host chooses another service. Take the header
#   off in a transport adapter or a session of one's own.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet dicomweb-client==0.61.2 requests==2.32.5

venv/bin/python - <<'EOS' | tee said.txt
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import requests
from dicomweb_client import DICOMwebClient


class Server(BaseHTTPRequestHandler):
    """Answers a search for studies, with the address of the one that it has."""

    def do_GET(self):
        address = f"http://{self.headers['Host']}/dicom-web/studies/2.25.1"
        body = json.dumps([{"00081190": {"vr": "UR", "Value": [address]}}]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
port = str(server.server_port)
root = f"http://127.0.0.1:{port}/dicom-web"
for name, found in (
    ("requests:", requests.get(f"{root}/studies").json()),
    ("dicomweb-client:", DICOMwebClient(root).search_for_studies()),
):
    print(name, found[0]["00081190"]["Value"][0].replace(port, "PORT"))
EOS
diff said.txt - <<'EOS'
requests: http://127.0.0.1:PORT/dicom-web/studies/2.25.1
dicomweb-client: http://127.0.0.1/dicom-web/studies/2.25.1
EOS
