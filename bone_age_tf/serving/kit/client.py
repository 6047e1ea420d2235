#!/usr/bin/env python3
"""Bone age of radiographs from TensorFlow Serving, over REST.

    python client.py hand.png --sex F
    python client.py *.png --sex unknown --url http://localhost:8501
    python client.py IM0001

PNG and JPEG files need Python's standard library alone, DICOM files also `pip install 'bone-age-tf[dicom]'`: TensorFlow
Serving does not read them, so their pixels are sent as a PNG. Nothing of their header is sent but the sex, where --sex
is not given.

Prints a line for each file: the bone age in months with its prediction interval, or why there is none. Exit code 0 if every
file has a bone age, 1 if any has none, 2 for a usage error. As a function:
`ask(Path("hand.png").read_bytes(), "F")`. {{ research_only }}
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

URL = "http://localhost:8501"
MODEL = "{{ model }}"
SEXES = ("F", "M", "unknown")
SECONDS = 60
_DICOM = re.compile(rb".{128}DICM|[\x02\x08]\0.\0(?:[A-Z]{2}|[\x02-\x40]\0\0\0)", re.DOTALL)
_INSTALL = "the file is DICOM: to read it, pip install 'bone-age-tf[dicom]'"


class Answer(NamedTuple):
    """Bone age and ends of its prediction interval, in months. None: not `ok`, or a model without intervals."""

    status: str
    months: float | None
    low: float | None
    high: float | None


class ServingError(Exception):
    """The server cannot be reached, or returned an error; the message says which."""


class DicomError(Exception):
    """A DICOM file cannot be read; the message says why."""


def ask(picture: bytes, sex: str, url: str = URL, model: str = MODEL) -> Answer:
    """The bone age of a radiograph, given as the bytes of a PNG or JPEG file. Raises `ServingError`."""
    row = {"image_bytes": {"b64": base64.b64encode(picture).decode()}, "sex": sex}
    reply = _post(f"{url}/v1/models/{model}:predict", {"instances": [row]})
    try:
        (said,) = reply["predictions"]
        months, low, high = (
            None if said[name] < 0 else float(said[name])
            for name in ("bone_age_months", "bone_age_low_months", "bone_age_high_months")
        )
        return Answer(said["status"], months, low, high)
    except (KeyError, TypeError, ValueError) as error:
        raise ServingError(
            f"an answer of another model ({type(error).__name__}: {error})"
        ) from error


def is_dicom(content: bytes) -> bool:
    """Whether a file is DICOM, by its first bytes."""
    return _DICOM.match(content) is not None


def read_dicom(content: bytes) -> tuple[bytes, str]:
    """A DICOM file's pixels as a PNG without metadata, and the sex in its header: F, M or unknown.

    Raises `DicomError`.
    """
    try:
        import cv2

        from bone_age_tf.dicom.reader import read_header, read_pixels
    except ImportError as error:
        raise DicomError(f"{_INSTALL} ({error})") from error
    header, pixels = read_header(content), read_pixels(content)
    if isinstance(pixels, tuple):
        raise DicomError("rejected ({}): {}".format(*pixels))
    return cv2.imencode(".png", pixels)[1].tobytes(), header.sex or "unknown"


def _post(url: str, body: Any) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:
            return json.loads(reply.read())
    except urllib.error.HTTPError as error:
        raise ServingError(_reason(error.code, error.read())) from error
    except (OSError, http.client.HTTPException) as error:
        raise ServingError(f"no answer from {url} ({error})") from error
    except ValueError as error:
        raise ServingError(f"{url} is not TensorFlow Serving: {error}") from error


def _reason(code: int, body: bytes) -> str:
    """The server's error message; for a rejected file only the model's part of it."""
    try:
        text = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {code} {http.client.responses.get(code, '')}".strip()
    refusal = re.search(r"refused \(\w+\): [^\]\n]*", text)
    return refusal[0] if refusal else f"HTTP {code}: {text}"


def describe(answer: Answer) -> str:
    """One line to print."""
    if answer.months is None:
        return f"rejected ({answer.status})"
    if answer.low is None or answer.high is None:
        return f"{answer.months:.1f} months"
    return f"{answer.months:.1f} months [{answer.low:.1f}, {answer.high:.1f}]"


def main(arguments: list[str] | None = None) -> int:
    """Send one request per file, so that an invalid file does not fail the others."""
    parser = argparse.ArgumentParser(
        description="Bone age of radiographs, from TensorFlow Serving."
    )
    parser.add_argument("files", nargs="+", type=Path, help="PNG, JPEG or DICOM files")
    parser.add_argument(
        "--sex",
        choices=SEXES,
        help="sex, the same for all files; without it DICOM files have that of their header",
    )
    parser.add_argument("--url", default=URL, help="address of the server (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.sex is None and not all(map(_has_sex, options.files)):
        parser.error("--sex is required for files that are not DICOM")
    missing = 0
    for path in options.files:
        try:
            line, has_months = _line(path.read_bytes(), options.sex, options.url.rstrip("/"))
            missing += not has_months
            sys.stdout.write(f"{path}\t{line}\n")
        except (ServingError, DicomError, OSError) as error:
            missing += 1
            sys.stderr.write(f"{path}: {error}\n")
    return 1 if missing else 0


def _has_sex(path: Path) -> bool:
    """Whether a sex may be in it. One that cannot be opened is reported later."""
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(160))
    except OSError:
        return True


def _line(content: bytes, sex: str | None, url: str) -> tuple[str, bool]:
    """What is printed of a file, and whether it has a bone age."""
    said = ""
    if is_dicom(content):
        content, said = read_dicom(content)
    answer = ask(content, sex or said, url)
    note = "" if sex else f"\tsex by the header: {said}"
    return describe(answer) + note, answer.months is not None


if __name__ == "__main__":
    sys.exit(main())
