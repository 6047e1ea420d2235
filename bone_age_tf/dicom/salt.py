"""Salted hashes: ids of radiographs and patients that tell nobody who they are.

The same salt gives the same ids, so that the same data set can be made again. Whoever has the salt and a list
of UIDs or Patient IDs can find theirs: it is kept where the data set does not go.
"""

import dataclasses
import hashlib
import hmac
import os
from pathlib import Path

from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.files.atomic import written_whole

DIGITS = 16
"""Hexadecimal, of each hash: two of a million ids are the same once in forty million data sets."""
MIN_BYTES = 16
"""Of a salt: 128 bits."""
NEW_BYTES = 32


@dataclasses.dataclass(frozen=True)
class Salt:
    """A secret that makes ids of what identifies."""

    secret: bytes = dataclasses.field(repr=False)

    def radiograph(self, sop_instance_uid: str) -> str:
        """The id of a radiograph."""
        return self._hash("dcm", sop_instance_uid)

    def patient(self, patient_id: str) -> str:
        """The id of a patient; empty for an empty Patient ID."""
        return self._hash("patient", patient_id) if patient_id else ""

    def uid(self, uid: str) -> str:
        """The id of what any UID names, in the audit of the DICOM node."""
        return self._hash("uid", uid)

    def _hash(self, purpose: str, text: str) -> str:
        """As `dcm-0123456789abcdef`: the purpose keeps it from looking like a number to a spreadsheet."""
        message = f"{purpose}\0{text}".encode("utf-8", "surrogateescape")
        return f"{purpose}-{hmac.new(self.secret, message, hashlib.sha256).hexdigest()[:DIGITS]}"


def salt_path(output: str | Path, named: str | None = None) -> Path:
    """The file of the salt: the named one, or `OUTPUT.salt` beside the folder of the data set.

    Raises `UsageError` where the named one lies inside that folder.
    """
    folder = Path(os.path.normpath(Path(output).absolute()))
    if named is None:
        return folder.with_name(f"{folder.name}.salt")
    path = Path(named)
    if path.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"--salt {named}: expected a file outside the data set. Received one inside --output {output}: whoever "
            "gets the data set would get the salt. Choose a file elsewhere."
        )
    return path


def new_salt() -> Salt:
    """A random one."""
    return Salt(os.urandom(NEW_BYTES).hex().encode())


def read_salt(path: Path) -> Salt | None:
    """The salt in a file, whatever text it is; None where there is no file.

    Raises `InputDataError` where it cannot be read or is too short.
    """
    try:
        secret = path.read_bytes().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputDataError(f"{path}: the salt cannot be read ({error.strerror}).") from error
    if len(secret) < MIN_BYTES:
        raise InputDataError(
            f"{path}: expected a salt of at least {MIN_BYTES} bytes. Received {len(secret)}. Name another file with "
            "--salt; one that does not exist is made."
        )
    return Salt(secret)


def write_salt(path: Path, salt: Salt) -> None:
    """Write a new one, for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path, "wb", private=True) as stream:
        stream.write(salt.secret + b"\n")
