"""The viewer OHIF as npm has it, on the studies of an Orthanc, in headless Chromium."""

import functools
import json
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from orthanc_peer import Orthanc

PACKAGE = "@ohif/app@3.13.2"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NPM = shutil.which("npm")
SOFTWARE_GL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
OFFLINE = ["--disable-background-networking", "--disable-component-update", "--disable-quic"]
FLAGS = ["--no-sandbox", *SOFTWARE_GL, *OFFLINE]
PORT = 8080
SECONDS = 60
SOURCE: dict[str, Any] = {
    "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
    "sourceName": "orthanc",
    "configuration": {
        "friendlyName": "Orthanc",
        "name": "orthanc",
        "wadoUriRoot": "/wado",
        "qidoRoot": "/dicom-web",
        "wadoRoot": "/dicom-web",
        "qidoSupportsIncludeField": False,
        "imageRendering": "wadors",
        "thumbnailRendering": "wadors",
        "enableStudyLazyLoad": True,
        "omitQuotationForMultipartRequest": True,
        "bulkDataURI": {"enabled": True},
    },
}
CONFIG = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "customizationService": {},
    "showStudyList": True,
    "defaultDataSourceName": "orthanc",
    "dataSources": [SOURCE],
    "investigationalUseDialog": {"option": "never"},
}


def unpack(folder: Path) -> Path:
    """Fetch the package into a folder -> its built viewer. Its dependencies are not needed.

    Raises `CalledProcessError` where npm reaches no registry.
    """
    command = [str(NPM), "pack", "--silent", "--prefer-offline", PACKAGE]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package" / "dist"


class _Handler(SimpleHTTPRequestHandler):
    """The viewer's files, and Orthanc's DICOMweb below the same origin."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/dicom-web"):
            self._pass_on()
        elif path == "/app-config.js":
            self._answer(200, "text/javascript", f"window.config = {json.dumps(CONFIG)}".encode())
        else:
            if not Path(self.translate_path(path)).is_file():
                self.path = "/index.html"  # a page of the application
            super().do_GET()

    def end_headers(self) -> None:
        """Isolated from other origins, without which OHIF has no shared memory."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def _pass_on(self) -> None:
        asked = {name: self.headers[name] for name in ("Accept", "Host") if name in self.headers}
        answer = httpx.get(Orthanc.url + self.path, headers=asked, timeout=SECONDS)
        self._answer(answer.status_code, answer.headers["Content-Type"], answer.content)

    def _answer(self, status: int, content_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def viewer(built: Path) -> Iterator[str]:
    """Serve the viewer in this thread's network -> its address."""
    handler = functools.partial(_Handler, directory=str(built))
    with ThreadingHTTPServer(("127.0.0.1", PORT), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{PORT}"
        server.shutdown()


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser that asks nobody but the viewer."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def drawn_text(page: Any) -> list[str]:
    """The lines of text that stand in the annotation layer of the viewport, on the radiograph."""
    texts = page.locator("svg.svg-layer text tspan").all_text_contents()
    return [re.sub(r"\s+", " ", one).strip() for one in texts]
