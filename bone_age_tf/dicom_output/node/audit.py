"""The audit: a line of JSON for each event of the node, without names, ids and dates of patients.

UIDs are salted hashes: who has the salt, `salt` in the spool, and a UID finds its lines (`dicom-node ... id UID`). Free
text, which may be somebody else's, is not taken.
"""

import datetime
import json
import logging
import logging.handlers
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from bone_age_tf.config import NodeConfig
from bone_age_tf.dicom.salt import Salt, new_salt, read_salt, write_salt
from bone_age_tf.errors import EnvironmentFaultError

log = logging.getLogger(__name__)

AUDIT = "audit.jsonl"
SALT = "salt"
SCHEMA = "bone-age-tf/audit/1"

_RECEIVED = ("radiograph_uid", "study_uid", "calling_ae")
_DELIVERY = ("object_uid", "kind", "radiograph_uid", "destination", "attempts", "seconds")
EVENTS: Mapping[str, tuple[str, ...]] = {
    "started": ("schema", "version", "model", "model_version", "waiting"),
    "stopped": ("seconds", "reason"),
    "association_refused": ("calling_ae", "called_ae", "reason"),
    "refused": (*_RECEIVED, "reason"),
    "received": (*_RECEIVED, "sop_class", "bytes", "seconds"),
    "ignored": (*_RECEIVED, "rule", "reason"),
    "predicted": (*_RECEIVED, "rule", "status", "reason", "objects", "destinations", "seconds"),
    "failed": (*_RECEIVED, "reason", "attempts"),
    "delivered": _DELIVERY,
    "delivery_failed": (*_DELIVERY, "reason"),
    "unreachable": ("destination", "reason", "count"),
    "committed": _DELIVERY,
    "not_committed": (*_DELIVERY, "reason"),
    "given_up": (*_DELIVERY, "reason"),
    "rerun": ("count",),
    "removed": ("count",),
}
"""Event -> fields that it may have. What ends in `_uid` is hashed."""
_REASON = re.compile(r"[A-Za-z0-9_]{1,60}")
_TEXTS = re.compile(r"[ -~]{0,64}")


class OnEvent(Protocol):
    """What the parts of the node report their events to."""

    def __call__(self, event: str, **fields: Any) -> None:
        """`event` and `fields` of `EVENTS`."""
        ...


class Audit:
    """Appends lines to a file. A file that was renamed, as logrotate does, is left, and a new one begun."""

    def __init__(self, path: Path, salt: Salt) -> None:
        """Raises `OSError` where the file cannot be written to."""
        path.touch(mode=0o600)
        self._salt = salt
        self._lines = _Lines(path, encoding="ascii", delay=True)

    def __call__(self, event: str, **fields: Any) -> None:
        """Append a line, of any thread."""
        line = line_of(self._salt, event, fields)
        self._lines.handle(logging.makeLogRecord({"msg": "%s", "args": (line,)}))

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def open_audit(config: NodeConfig) -> Audit:
    """The audit of a node, whose spool is there. Raises `EnvironmentFaultError` where its file cannot be written to."""
    path = Path(config.node.audit or Path(config.node.spool) / AUDIT)
    try:
        return Audit(path, salt_of(config))
    except OSError as error:
        raise EnvironmentFaultError(
            f"{path}: the audit cannot be written to ({error.strerror}). Expected a file in a folder that is there and may be "
            "written to. Make it, or name another file by audit under [node]."
        ) from error


def salt_of(config: NodeConfig) -> Salt:
    """The salt of a node, whose spool is there; a new one where there is none yet."""
    path = Path(config.node.spool) / SALT
    salt = read_salt(path)
    if salt is None:
        salt = new_salt()
        write_salt(path, salt)
    return salt


class _Lines(logging.handlers.WatchedFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - overridden
        """A full disk stops the audit, but not the node."""
        error = sys.exc_info()[1]
        why = getattr(error, "strerror", None) or type(error).__name__
        log.error(f"The audit cannot be written to ({why}): an event is missing in it.")


def line_of(salt: Salt, event: str, fields: Mapping[str, Any]) -> str:
    """The line of an event, at the time of the call."""
    unknown = set(fields) - set(EVENTS[event])
    assert not unknown, f"{event} has no field {unknown}"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    values = {name: _shown(salt, name, value) for name, value in fields.items()}
    return json.dumps({"time": now, "event": event} | values, allow_nan=False)


def _shown(salt: Salt, name: str, value: Any) -> Any:
    if name.endswith("_uid"):
        return salt.uid(str(value)) if value else ""
    if name == "reason":
        return reason_code(str(value))
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, bool | int):
        return value
    if isinstance(value, list | tuple):
        return [_shown(salt, "", one) for one in value]
    return str(value) if _TEXTS.fullmatch(str(value)) else ""


def reason_code(reason: str) -> str:
    """The code in front of an explanation, as in `two_hands: there is ...`; `other` where there is none."""
    code = reason.partition(":")[0].strip()
    return code if _REASON.fullmatch(code) else "other" if code else ""
