#!/usr/bin/env bash
# OHIF draws a measurement of a report on the image only where its group has a region, and names the finding site by a number.
#
# Versions: @ohif/app 3.13.2 (npm), highdicom 0.28.2, pydicom 3.0.2, playwright 1.65.2; seen on Python 3.11 with Debian's Chromium.
# Behaviour: two Comprehensive 3D SR (TID 1500) with "XR Bone age 121.3 mo" about the same image. In a planar region group (TID 1410), OHIF
#   writes "XR Bone age: 121.30 mo" beside the region, and "363698007: Hand": the code of "Finding Site" in the place of its meaning. In a plain group (TID
#   1501, which refers to the whole image) nothing is shown anywhere.
# A good guess: a number about an image is listed, at least in the panel of measurements.
# Why it matters: TID 1501 is the template for a number about a whole image; in the most used open viewer its report looks empty. Give the number a
#   region, be it the frame of the image.
set -euo pipefail
CHROMIUM=$(command -v chromium || command -v chromium-browser || true)
[ -n "$CHROMIUM" ] && command -v npm >/dev/null || { echo "needs chromium and npm"; exit 77; }
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet highdicom==0.28.2 pydicom==3.0.2 playwright==1.65.2
npm pack --silent --prefer-offline @ohif/app@3.13.2 >/dev/null
tar xzf ohif-app-3.13.2.tgz

cat >objects.py <<'EOS'
"""An image, and reports about it."""

import numpy as np
from highdicom import UID, sr
from pydicom import Dataset
from pydicom.sr.codedict import codes

BONE_AGE = sr.CodedConcept("85151-9", "LN", "XR Bone age")


def image():
    dataset = Dataset()
    for keyword in ("AccessionNumber", "PatientBirthDate", "PatientSex", "StudyTime"):
        setattr(dataset, keyword, "")
    dataset.PatientName, dataset.PatientID, dataset.StudyID, dataset.StudyDate = "Nobody^", "1", "1", "20240131"
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.1.1", UID(), "DX"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.InstanceNumber = UID(), UID(), 1, 1
    dataset.Rows = dataset.Columns = 256
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.WindowCenter, dataset.WindowWidth = 128, 256
    return dataset


def report(image, has_region):
    about = {
        "tracking_identifier": sr.TrackingIdentifier(UID(), "hand"),
        "measurements": [sr.Measurement(BONE_AGE, 121.3, codes.UCUM.Month)],
        "finding_sites": [sr.FindingSite(codes.SCT.Hand)],
    }
    if has_region:
        frame = np.array([[10, 10], [246, 10], [246, 246], [10, 246], [10, 10]])
        source = sr.SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID)
        region = sr.ImageRegion(sr.GraphicTypeValues.POLYLINE, frame, source)
        group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=region, **about)
    else:
        source = sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)
        group = sr.MeasurementsAndQualitativeEvaluations(source_images=[source], **about)
    observer = sr.ObserverContext(codes.DCM.Device, sr.DeviceObserverIdentifyingAttributes(uid=UID()))
    content = sr.MeasurementReport(
        sr.ObservationContext(observer),
        procedure_reported=sr.CodedConcept("24724-7", "LN", "XR Bones Views for bone age"),
        imaging_measurements=[group],
    )
    made = {"series_instance_uid": UID(), "sop_instance_uid": UID(), "series_number": 2, "instance_number": 1}
    return sr.Comprehensive3DSR([image], content, manufacturer="nobody", **made)
EOS

cat >archive.py <<'EOS'
"""DICOMweb of a few objects, and OHIF at the same address."""

import json
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STUDY = {"PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber"}
WEB = "/dicom-web"
SOURCE = {"name": "here", "qidoRoot": WEB, "wadoRoot": WEB, "wadoUriRoot": WEB, "imageRendering": "wadors", "thumbnailRendering": "wadors"}
CONFIG = {
    "routerBasename": "/", "extensions": [], "modes": [], "customizationService": {}, "defaultDataSourceName": "here",
    "investigationalUseDialog": {"option": "never"},
    "dataSources": [{"namespace": "@ohif/extension-default.dataSourcesModule.dicomweb", "sourceName": "here", "configuration": SOURCE}],
}


class Handler(SimpleHTTPRequestHandler):
    """`objects` are data sets of one study."""

    objects = []

    def do_GET(self):
        path = self.path.partition("?")[0]
        here = self.objects
        if path == "/app-config.js":
            self.answer("text/javascript", f"window.config = {json.dumps(CONFIG)}")
        elif path.endswith("/frames/1"):
            head = b"--part\r\nContent-Type: application/octet-stream\r\n\r\n"
            self.answer('multipart/related; type="application/octet-stream"; boundary=part', head + bytes(256 * 256) + b"\r\n--part--")
        elif path.endswith("/metadata"):
            self.found(here)
        elif path.startswith(WEB):
            self.found(here[:1], STUDY)
        else:
            if not Path(self.translate_path(path)).is_file():
                self.path = "/index.html"
            super().do_GET()

    def found(self, datasets, keywords=None):
        rows = [{name: value for name, value in one.to_json_dict().items() if keywords is None or one[name].keyword in keywords} for one in datasets]
        self.answer("application/dicom+json", json.dumps(rows, default=str))

    def answer(self, content_type, content):
        content = content if isinstance(content, bytes) else content.encode()
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *words):
        pass


def server():
    return ThreadingHTTPServer(("127.0.0.1", 0), lambda *words: Handler(*words, directory="package/dist"))
EOS

CHROMIUM=$CHROMIUM venv/bin/python - <<'EOS' | tee said.txt
import os
import threading

from archive import Handler, server
from objects import image, report
from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking"]
http = server()
threading.Thread(target=http.serve_forever, daemon=True).start()
root = f"http://127.0.0.1:{http.server_port}"
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=FLAGS)
    for name, has_region in (("with a region", True), ("plain", False)):
        radiograph = image()
        Handler.objects = [radiograph, report(radiograph, has_region)]
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(f"{root}/viewer?StudyInstanceUIDs={radiograph.StudyInstanceUID}")
        page.get_by_text("Skip all").click(timeout=120_000)
        page.get_by_text("W:").wait_for(timeout=120_000)
        page.locator('[data-cy="study-browser-thumbnail-no-image"]').dblclick()
        page.wait_for_timeout(10_000)
        print(f"{name}:", page.locator("svg.svg-layer text tspan").all_text_contents())
        print(f"{name}, in the page:", "Bone age" in page.inner_text("body"))
EOS
diff said.txt - <<'EOS'
with a region: ['XR Bone age: 121.30 mo', '363698007: Hand']
with a region, in the page: True
plain: []
plain, in the page: False
EOS
