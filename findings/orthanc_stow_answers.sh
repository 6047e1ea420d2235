#!/usr/bin/env bash
# Orthanc's STOW-RS answers: success for a corrected object that it does not keep, failure for a batch of which it keeps a part.
#
# Versions: Orthanc 1.10.1 with DICOMweb plugin 1.7 (Debian 12), pydicom 3.0.2; seen on Python 3.11.
# Behaviour: 1. An object with a known SOP Instance UID and other content: 200, listed in Referenced SOP Sequence; what is kept is the first
#   content (OverwriteInstances is off by default). 2. Two objects, one of another study than the address names: 409, and the other one is stored.
#   3. Two objects, one without its SOP Instance UID: 400 with an empty Failed SOP Sequence, and the other one is stored, in either order.
#   The answers with 409 and 400 are DICOM JSON, but have no Content-Type.
# A good guess: 1. a warning or a failure for what is thrown away; 2. and 3. by PS3.18, table 10.5.3-1: 202 where some are stored,
#   409 or 400 where none could be; 3. a failed item for what is not stored.
# Why it matters: a correction never arrives, and who repeats or reports a "failed" batch is wrong about its good part. Give a correction a
#   new UID, read the answer as JSON whatever its status and header, and take for stored only what Referenced SOP Sequence names.
set -euo pipefail
PATH=$PATH:/usr/sbin
PLUGIN=/usr/share/orthanc/plugins/libOrthancDicomWeb.so
[ -e "$PLUGIN" ] || { echo "needs Orthanc: apt-get install orthanc orthanc-dicomweb"; exit 77; }
unshare --map-root-user --net true || { echo "needs a network namespace: it listens on every interface"; exit 77; }
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet pydicom==3.0.2
cat >orthanc.json <<EOS
{"StorageDirectory": "$FOLDER/db", "IndexDirectory": "$FOLDER/db", "Plugins": ["$PLUGIN"], "AuthenticationEnabled": false,
 "DicomServerEnabled": false, "DicomWeb": {"Enable": true}}
EOS

unshare --map-root-user --net venv/bin/python - <<'EOS' | tee said.txt
import fcntl
import io
import json
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

ROOT = "http://127.0.0.1:8042/dicom-web/studies"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    fcntl.ioctl(one, 0x8914, struct.pack("16sh14x", b"lo", 1))  # the loopback up


def report(uid, study, description):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.88.11", uid, "SR"
    dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1", study, f"{study}.1"
    dataset.SeriesDescription = description
    if uid is None:
        dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, "2.25.9"
        del dataset.SOPInstanceUID
    stream = io.BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def ask(address, body=None, **headers):
    request = urllib.request.Request(address, body, {"Accept": "application/dicom+json", **headers})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers["Content-Type"], answer.read()


def store(address, *files):
    body = b"".join(b"--part\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n" for one in files) + b"--part--"
    status, kind, said = ask(address, body, **{"Content-Type": 'multipart/related; type="application/dicom"; boundary=part'})
    answer = json.loads(said) if said.startswith(b"{") else {}
    stored, failed = (len(answer.get(tag, {}).get("Value", ())) for tag in ("00081199", "00081198"))
    print(f"{status} {kind}: {stored} referenced, {failed} failed")


def held():
    found = json.loads(ask(f"{ROOT[:-8]}/instances?includefield=0008103E")[2])
    return sorted((one["00080018"]["Value"][0], one["0008103E"]["Value"][0]) for one in found)


with open("log", "w") as log, subprocess.Popen(["Orthanc", "orthanc.json"], stdout=log, stderr=log) as orthanc:
    while True:
        try:
            ask(ROOT)
            break
        except OSError:
            time.sleep(0.1)
    store(ROOT, report("2.25.11", "2.25.1", "first"))
    store(ROOT, report("2.25.11", "2.25.1", "corrected"))
    print(held())
    store(f"{ROOT}/2.25.1", report("2.25.12", "2.25.1", "good"), report("2.25.13", "2.25.2", "of another study"))
    print(held())
    store(ROOT, report("2.25.14", "2.25.1", "good too"), report(None, "2.25.1", "without a UID"))
    store(ROOT, report(None, "2.25.1", "without a UID"), report("2.25.15", "2.25.1", "good last"))
    print(held())
    orthanc.terminate()
EOS
diff said.txt - <<'EOS'
200 application/dicom+json: 1 referenced, 0 failed
200 application/dicom+json: 1 referenced, 0 failed
[('2.25.11', 'first')]
409 None: 1 referenced, 1 failed
[('2.25.11', 'first'), ('2.25.12', 'good')]
400 None: 1 referenced, 0 failed
400 None: 1 referenced, 0 failed
[('2.25.11', 'first'), ('2.25.12', 'good'), ('2.25.14', 'good too'), ('2.25.15', 'good last')]
EOS
