"""A small DICOMweb archive on this machine: QIDO-RS, WADO-RS and STOW-RS, with the faults of real ones."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pydicom
from pydicom.dataset import Dataset

PATH = "/dicom-web"
_SERIES = ("SeriesInstanceUID", "Modality", "BodyPartExamined", "Manufacturer")
_INSTANCE = ("SOPInstanceUID", "SOPClassUID")


class StandIn:
    """What the archive holds, and how it behaves. Attributes may be set at any time."""

    def __init__(self, files: Iterable[bytes] = ()) -> None:
        self.stored: dict[str, bytes] = {}
        """SOP Instance UID -> bytes as they came; the first content of a UID is kept."""
        for file in files:
            self.keep(file)
        self.token: str | None = None
        self.user: str | None = None
        """Value of the header `Authorization` that is asked for, instead of a token."""
        self.statuses: list[int] = []
        """Of the next requests, which do nothing else; 0: the connection is cut."""
        self.retry_after: str | None = None
        """Header `Retry-After` of these."""
        self.delay_seconds = 0.0
        self.refuses: Callable[[Dataset], int | None] = lambda dataset: None
        """Failure Reason of an object that is not stored."""
        self.status_of_refusal = 409
        self.lies = False
        """Says that it has stored objects, and stores none."""
        self.stores_and_answers: int | None = None
        """Stores objects, and answers with this status and no more."""
        self.xml = False
        self.served: dict[str, bytes] = {}
        """What WADO-RS gives instead of what is stored, by SOP Instance UID."""
        self.search_answer: bytes | None = None
        """What QIDO-RS answers instead of what it finds."""
        self.requests: list[tuple[str, str]] = []
        """Method and path with query of each request."""
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def keep(self, file: bytes) -> str:
        """Store a file; returns its SOP Instance UID."""
        uid = str(read(file).SOPInstanceUID)
        self.stored.setdefault(uid, file)
        return uid

    def posts(self) -> int:
        """How many requests of STOW-RS there were."""
        return sum(method == "POST" for method, _ in self.requests)


def read(file: bytes) -> Dataset:
    """The header of a file."""
    return pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True, force=True)


@contextmanager
def running(archive: StandIn, *, tls: Any = None) -> Iterator[StandIn]:
    """The archive on a free port of this machine, as `archive.url`; `tls` is an `ssl.SSLContext`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"at": archive}))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    archive.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}{PATH}"
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    at: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        if not self._is_open():
            return
        url = urlsplit(self.path)
        match url.path.removeprefix(PATH).strip("/").split("/"):
            case ["studies"]:
                studies = {str(d.StudyInstanceUID): d for d in self._of().values()}
                self._json([_attributes(d, ("StudyInstanceUID",)) for d in studies.values()])
            case ["studies", study, "series"]:
                found = self._of(StudyInstanceUID=study)
                series = {str(d.SeriesInstanceUID): d for d in found.values()}
                self._json(
                    [_attributes(d, _SERIES) for d in self._page(series.values(), url.query)]
                )
            case ["studies", study, "series", series, "instances"]:
                found = self._of(StudyInstanceUID=study, SeriesInstanceUID=series)
                self._json(
                    [_attributes(d, _INSTANCE) for d in self._page(found.values(), url.query)]
                )
            case ["studies", study, "instances"]:
                found = self._of(StudyInstanceUID=study, **dict(parse_qsl(url.query)))
                self._json([_attributes(d, _INSTANCE) for d in found.values()])
            case ["studies", _, "series", _, "instances", uid] if uid in self.at.stored:
                self._multipart(self.at.served.get(uid, self.at.stored[uid]))
            case _:
                self._answer(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._is_open():
            return
        if urlsplit(self.path).path != f"{PATH}/studies":
            self._answer(404)
            return
        stored, failed = [], []
        for file in _parts(self.headers["Content-Type"], body):
            dataset = read(file)
            reason = self.at.refuses(dataset)
            if reason is None and not self.at.lies:
                self.at.keep(file)
            (stored if reason is None else failed).append((dataset, reason))
        if self.at.stores_and_answers is not None:
            self._answer(self.at.stores_and_answers)
            return
        self._say(stored, failed)

    def _is_open(self) -> bool:
        """Whether the request is answered as usual."""
        self.at.requests.append((self.command, self.path))
        self.at.headers.append(dict(self.headers))
        if self.at.delay_seconds:
            time.sleep(self.at.delay_seconds)
        status = self.at.statuses.pop(0) if self.at.statuses else None
        if status == 0:
            self.close_connection = True
            self.connection.close()
        elif status is not None:
            is_elsewhere = status in (301, 302, 307)
            where = {"Location": "https://elsewhere.example/"} if is_elsewhere else {}
            later = {"Retry-After": self.at.retry_after} if self.at.retry_after else {}
            self._answer(status, headers={**where, **later})
        elif self.headers.get("Authorization") != self._wanted():
            self._answer(401)
        else:
            return True
        return False

    def _wanted(self) -> str | None:
        return f"Bearer {self.at.token}" if self.at.token else self.at.user

    def _of(self, **values: str) -> dict[str, Dataset]:
        read_all = {uid: read(file) for uid, file in list(self.at.stored.items())}
        return {
            uid: dataset
            for uid, dataset in read_all.items()
            if all(str(dataset.get(name, "")) == value for name, value in values.items())
        }

    def _page(self, found: Iterable[Dataset], query: str) -> list[Dataset]:
        first = int(parse_qs(query).get("offset", ["0"])[0])
        return list(found)[first:][:3]  # a small page, so that there are several

    def _say(self, stored: list[Any], failed: list[Any]) -> None:
        answer = Dataset()
        if stored:
            answer.ReferencedSOPSequence = [_reference(d) for d, _ in stored]
        if failed:
            answer.FailedSOPSequence = [_reference(d, reason) for d, reason in failed]
        status = self.at.status_of_refusal if failed else 200
        if self.at.xml:
            self._answer(status, _xml(answer), "application/dicom+xml")
        else:
            self._answer(status, answer.to_json().encode(), "application/dicom+json; charset=utf-8")

    def _json(self, content: list[dict[str, Any]]) -> None:
        status = 200 if content else 204
        body = json.dumps(content).encode() if content else b""
        if self.at.search_answer is not None:
            status, body = 200, self.at.search_answer
        self._answer(status, body, "application/dicom+json")

    def _multipart(self, file: bytes) -> None:
        body = b"--of-parts\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n--of-parts--"
        self._answer(200, body, 'multipart/related; type="application/dicom"; boundary=of-parts')

    def _answer(
        self, status: int, body: bytes = b"", kind: str = "text/plain", headers: Any = None
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _attributes(dataset: Dataset, keywords: Iterable[str]) -> dict[str, Any]:
    found = Dataset()
    for keyword in keywords:
        if keyword in dataset:
            setattr(found, keyword, dataset[keyword].value)
    return found.to_json_dict()


def _reference(dataset: Dataset, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = dataset.SOPClassUID
    item.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
    if reason is not None:
        item.FailureReason = reason
    return item


def _parts(kind: str, body: bytes) -> Iterator[bytes]:
    boundary = kind.partition("boundary=")[2].strip('"').encode()
    for part in body.split(b"--" + boundary)[1:-1]:
        yield part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def _xml(answer: Dataset) -> bytes:
    """The Native DICOM Model (PS3.19, A.1)."""

    def attributes(dataset: Dataset) -> str:
        return "".join(
            f'<DicomAttribute tag="{e.tag:08X}" vr="{e.VR}" keyword="{e.keyword}">'
            + (
                "".join(f'<Item number="{n}">{attributes(i)}</Item>' for n, i in enumerate(e, 1))
                if e.VR == "SQ"
                else f'<Value number="1">{e.value}</Value>'
            )
            + "</DicomAttribute>"
            for e in dataset
        )

    space = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
    return f'<NativeDicomModel xmlns="{space}">{attributes(answer)}</NativeDicomModel>'.encode()
