"""The connection to a DICOMweb archive: dicomweb-client on a session that is bounded, tries again and follows nobody."""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from dicomweb_client import DICOMwebClient
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.fields import RequestField
from urllib3.filepost import choose_boundary, encode_multipart_formdata

from bone_age_tf.config.dicomweb import DicomwebConfig
from bone_age_tf.errors import BoneAgeError, EnvironmentFaultError, InputDataError, UsageError
from bone_age_tf.files.images import MAX_FILE_BYTES

log = logging.getLogger(__name__)

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""Status codes after which the same request may succeed later."""
ACCESS_DENIED = (401, 403)
MAX_ANSWER_BYTES = MAX_FILE_BYTES + 2**20
"""Of one answer: a file, and what is around it."""
MAX_ANSWER_SECONDS = 600.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds before the second attempt, and at most; each pause is twice the one before."""
_INTERRUPTIONS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
_CHUNK = 2**16


class AnswerTooLargeError(requests.RequestException):
    """An answer of more than `MAX_ANSWER_BYTES`."""


class RedirectedError(requests.RequestException):
    """The archive is elsewhere. A POST that follows a redirection becomes a GET, and stores nothing."""


class Archive:
    """A DICOMweb archive; nothing is sent before a method is called. For one thread.

    Certificates are verified, against those of the file that REQUESTS_CA_BUNDLE names, if it does.
    """

    def __init__(self, config: DicomwebConfig) -> None:
        self.config = config
        logging.getLogger("dicomweb_client").setLevel(logging.ERROR)  # it logs UIDs
        self._url = urlsplit(config.url).geturl().rstrip("/")
        self._session = _Session(config)
        self.client = DICOMwebClient(self._url, self._session, timeout=config.timeout_seconds)
        """Searches and retrieves."""
        self.client.set_http_retry_params(retry=False)  # the session does

    def post(self, objects: Sequence[bytes]) -> requests.Response:
        """The answer to STOW-RS of these files, whatever its status; raises `requests.RequestException` without one.

        Not by dicomweb-client, which encodes the objects anew, reads no answer of status 400 and up, and repeats a body
        of over a megabyte as an empty one.
        """
        boundary = choose_boundary()
        kind = {"Content-Type": "application/dicom"}
        body, _ = encode_multipart_formdata(
            [RequestField("", data, headers=kind) for data in objects], boundary
        )
        return self._session.post(
            f"{self._url}/studies",
            data=body,
            headers={
                "Accept": "application/dicom+json",
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            },
            timeout=self.config.timeout_seconds,
        )


class _Session(requests.Session):
    """Sends a request again where that may help, and reads answers up to a limit of bytes and time."""

    def __init__(self, config: DicomwebConfig) -> None:
        super().__init__()
        self._attempts = config.attempts
        self.auth = _auth(config)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Raises `requests.RequestException` where there is no answer; its status may be any."""
        request.headers.pop("Host", None)  # dicomweb-client sets one without the port
        for attempt in range(1, self._attempts):
            try:
                response = self._send_once(request, **options)
            except requests.exceptions.SSLError:
                raise
            except _INTERRUPTIONS as error:
                _wait(attempt, _name(error))
            else:
                if response.status_code not in TRANSIENT:
                    return response
                _wait(
                    attempt,
                    f"status {response.status_code}",
                    response.headers.get("Retry-After", ""),
                )
        return self._send_once(request, **options)

    def _send_once(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        options |= {"stream": True, "allow_redirects": False}
        response = super().send(request, **options)
        with response:
            if response.is_redirect:
                raise RedirectedError(response.headers.get("Location", ""), response=response)
            response._content = b"".join(_bounded(response))  # as requests does it itself
        return response


def _auth(config: DicomwebConfig) -> AuthBase | None:
    if config.token:
        return _Bearer(config.token)
    return HTTPBasicAuth(*(text.encode() for text in config.user)) if config.user else None


class _Bearer(AuthBase):
    """Not a header of the session, which a ~/.netrc would replace."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _bounded(response: requests.Response) -> Iterator[bytes]:
    end, left = time.monotonic() + MAX_ANSWER_SECONDS, MAX_ANSWER_BYTES
    for chunk in response.iter_content(_CHUNK):
        left -= len(chunk)
        if left < 0:
            raise AnswerTooLargeError(response=response)
        if time.monotonic() > end:
            raise requests.ReadTimeout  # without the response, whose status is that of a success
        yield chunk


def _wait(attempt: int, why: str, retry_after: str = "") -> None:
    told = float(retry_after) if retry_after.isdecimal() else 0.0
    pause = min(LONGEST_PAUSE, max(told, FIRST_PAUSE * 2 ** (attempt - 1)))
    log.info(f"The archive does not answer ({why}). Next attempt in {pause:.0f} s.")
    time.sleep(pause)


# === What went wrong, in words: never the address of a study, which its UID is a part of ===


def status_of(error: requests.RequestException) -> int | None:
    """The status of the answer, if there was one."""
    return None if error.response is None else error.response.status_code


def fault_of(error: requests.RequestException, config: DicomwebConfig) -> BoneAgeError:
    """The error in words."""
    status = status_of(error)
    if isinstance(error, RedirectedError):
        return UsageError(
            f"{config.url} leads elsewhere (status {status}). Expected the URL of the DICOMweb services themselves, as "
            "https:// instead of http://."
        )
    if isinstance(error, AnswerTooLargeError):
        return InputDataError(
            f"{config.url}: an answer of over {MAX_ANSWER_BYTES} bytes is not read."
        )
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return UsageError(
            f"{config.url}: expected the JSON of a DICOMweb service. Received something else: check the path of the URL."
        )
    if status in ACCESS_DENIED:
        return EnvironmentFaultError(
            f"{config.url}: access was denied (status {status}). Expected a token in the environment variable "
            f"{config.token_variable}, or user and password in {config.user_variable} and {config.password_variable}, "
            "with the right to search, retrieve and store."
        )
    if isinstance(error, requests.exceptions.SSLError):
        return EnvironmentFaultError(
            f"{config.url}: the certificate of the server is not trusted. If it is of your hospital's own authority, name "
            "that authority's PEM file in the environment variable REQUESTS_CA_BUNDLE."
        )
    what = f"answered with status {status}" if status else f"cannot be reached ({_name(error)})"
    return EnvironmentFaultError(
        f"{config.url} {what}, {config.attempts} attempts. Check URL and network, or try again later."
    )


def _name(error: BaseException) -> str:
    """The first cause, as `Connection refused`."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    cause = error.__cause__ or error.__context__
    if cause is None:
        return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
    return _name(cause)
