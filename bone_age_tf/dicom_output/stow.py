"""STOW-RS: objects to a DICOMweb archive, whose answer is read object by object (PS3.18, 10.5)."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

import requests

from bone_age_tf.dicom_output.archive import TRANSIENT, Archive, fault_of

MAX_BATCH_BYTES = 32 * 2**20
"""Of one request, but for an object that is larger by itself."""
ALREADY_STORED = (0x0111, 45070)
"""Failure Reasons for what the archive has: Duplicate SOP Instance, and Azure's code for it. The UID of an object is
derived from its content, so that it is the same object."""
_REFERENCED, _FAILED, _UID, _REASON = "00081199", "00081198", "00081155", "00081197"
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_REASONS = {
    0x0110: "processing failure",
    0x0122: "SOP class not supported",
    0x0124: "not authorized",
    0x0117: "invalid SOP Instance UID",
    0xC122: "referenced transfer syntax not supported",
}


@dataclasses.dataclass(frozen=True)
class NotStored:
    """Why the archive does not have an object, as far as is known."""

    reason: str
    is_transient: bool
    """Whether the same request may succeed later."""
    code: int | None = None
    """Failure Reason (0008,1197), where the archive named the object."""
    status: int | None = None
    """Status of an answer that said nothing of the object; None: it said something, or there was no answer."""
    is_answered: bool = True
    """False where the archive gave no answer at all."""


Item = dict[str, str]
"""Tag -> first value."""
Verdicts = dict[str, NotStored | None]
"""SOP Instance UID -> None: the archive says that it has stored the object."""


def store(archive: Archive, objects: Mapping[str, bytes]) -> Verdicts:
    """Send objects, SOP Instance UID -> bytes of the file, and read what the archive says of each.

    An answer of any status may have stored some of them. One of which it says nothing is sent again by itself. An archive
    that does not answer is not asked for the rest; nothing is raised. Values are taken from the mapping as they are sent.
    """
    verdicts: Verdicts = {}
    for batch in _batches(objects):
        answer = _post(archive, batch)
        verdicts |= {uid: answer.of(uid) for uid in batch}
        if not answer.is_there:
            return verdicts | {uid: answer.others for uid in objects if uid not in verdicts}
        unclear = [uid for uid in batch if uid not in answer.named]
        if len(batch) > 1:
            verdicts |= {uid: _post(archive, {uid: batch[uid]}).of(uid) for uid in unclear}
    return verdicts


@dataclasses.dataclass(frozen=True)
class _Answer:
    """What an answer says of some objects, and what follows for all others."""

    named: Verdicts
    others: NotStored
    is_there: bool = True

    def of(self, uid: str) -> NotStored | None:
        return self.named.get(uid, self.others)


def _post(archive: Archive, batch: Mapping[str, bytes]) -> _Answer:
    try:
        response = archive.post(list(batch.values()))
    except requests.RequestException as error:
        is_transient = isinstance(error, (requests.ConnectionError, requests.Timeout))
        why = str(fault_of(error, archive.config))
        return _Answer({}, NotStored(why, is_transient, is_answered=not is_transient), False)
    others = NotStored("the archive did not say that it stored it", False)
    if not response.ok:
        status = response.status_code
        why = f"the archive answered with status {status}"
        others = NotStored(why, status in TRANSIENT, status=status)
    return _Answer(_named(response), others)


def _named(response: requests.Response) -> Verdicts:
    """What is in the Referenced SOP Sequence, with a warning or without, and in the Failed SOP Sequence, which counts
    where an object is in both."""
    stored = {item.get(_UID): None for item in _items(response, _REFERENCED)}
    failed = {item.get(_UID): _failure(item.get(_REASON)) for item in _items(response, _FAILED)}
    return {str(uid): verdict for uid, verdict in {**stored, **failed}.items() if uid}


def _items(response: requests.Response, tag: str) -> list[Item]:
    """The items of a sequence, in JSON or XML (PS3.18 F, PS3.19 A); none where the answer cannot be read."""
    try:
        return [
            *(_from_xml if response.content.lstrip().startswith(b"<") else _from_json)(
                response.content, tag
            )
        ]
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
        ElementTree.ParseError,
    ):
        return []


def _from_json(content: bytes, tag: str) -> Iterator[Item]:
    answer = json.loads(content)
    for dataset in answer if isinstance(answer, list) else [answer]:
        for item in dataset.get(tag, {}).get("Value", []):
            yield {
                key: str(element["Value"][0])
                for key, element in item.items()
                if element.get("Value")
            }


def _from_xml(content: bytes, tag: str) -> Iterator[Item]:
    for item in ElementTree.fromstring(content).iterfind(
        f"{{*}}DicomAttribute[@tag='{tag}']/{{*}}Item"
    ):
        yield {element.get("tag", ""): element.findtext("{*}Value", "").strip() for element in item}


def _failure(reason: str | None) -> NotStored | None:
    code = int(reason) if reason and reason.isdecimal() else 0
    if code in ALREADY_STORED:
        return None
    words = _REASONS.get(code, "out of resources" if code in _OUT_OF_RESOURCES else "")
    text = f"failure reason {code:04X}" + (f", {words}" if words else "")
    is_transient = code in (*_OUT_OF_RESOURCES, 0x0110)
    return NotStored(f"refused by the archive ({text})", is_transient, code)


def _batches(objects: Mapping[str, bytes]) -> Iterator[dict[str, bytes]]:
    batch: dict[str, bytes] = {}
    for uid, data in objects.items():
        if batch and sum(map(len, batch.values())) + len(data) > MAX_BATCH_BYTES:
            yield batch
            batch = {}
        batch[uid] = data
    if batch:
        yield batch
