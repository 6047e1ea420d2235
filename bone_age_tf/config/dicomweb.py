"""Settings of a connection to a DICOMweb archive."""

import os
import re
import urllib.parse
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from bone_age_tf.config.choices import LOOPBACK
from bone_age_tf.config.parsing import Settings, require
from bone_age_tf.errors import UsageError

TOKEN_VARIABLE = "BONE_AGE_DICOMWEB_TOKEN"
USER_VARIABLE = "BONE_AGE_DICOMWEB_USER"
PASSWORD_VARIABLE = "BONE_AGE_DICOMWEB_PASSWORD"

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
"""Leading zeros are not allowed (PS3.5, 9.1), and exist."""


@dataclass(frozen=True)
class DicomwebConfig(Settings):
    """A DICOMweb archive. Secrets stand in environment variables alone; those that are not set are not sent."""

    url: str
    """Of its services, below which `/studies` is."""
    token_variable: str | None = TOKEN_VARIABLE
    """Environment variable of a bearer token."""
    user_variable: str | None = USER_VARIABLE
    """Environment variable of a user's name, for HTTP basic authentication."""
    password_variable: str | None = PASSWORD_VARIABLE
    """Environment variable of the user's password."""
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """For a connection, and for each part of an answer."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 4
    """Requests at most where the archive cannot be reached, or says that it will work later."""

    def __post_init__(self) -> None:
        is_plain = not set("?#@") & set(self.url)
        url = _split(self.url)
        is_url = url.scheme in ("http", "https") and bool(url.hostname)
        require(
            is_url and is_plain,
            "the URL of a DICOMweb archive",
            "https://HOST[:PORT]/PATH or http://..., without user, password and query",
            self.url if is_plain else "one with more than that",
        )
        require(
            self.token is None or re.fullmatch("[!-~]+", self.token) is not None,
            f"the token in {self.token_variable}",
            "printable ASCII characters without blanks",
            "something else",
        )
        if (self.token or self.user) and url.scheme == "http" and url.hostname not in LOOPBACK:
            raise UsageError(
                f"{self.url}: a token or password would be sent in clear text. Expected https://. Use it, or unset the "
                f"variables {', '.join(self._variables)}."
            )

    @property
    def token(self) -> str | None:
        """The bearer token, if there is one."""
        return _value(self.token_variable)

    @property
    def user(self) -> tuple[str, str] | None:
        """User and password, if there is a user."""
        user = _value(self.user_variable)
        return None if user is None else (user, _value(self.password_variable) or "")

    @property
    def _variables(self) -> list[str]:
        named = (self.token_variable, self.user_variable, self.password_variable)
        return [name for name in named if name]


def is_uid(text: str) -> bool:
    """Whether it is a UID, so that it may become part of a URL."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def _split(url: str) -> urllib.parse.SplitResult:
    """One without a host where it is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        return parts if parts.port != 0 else urllib.parse.SplitResult("", "", "", "", "")
    except ValueError:
        return urllib.parse.SplitResult("", "", "", "", "")


def _value(variable: str | None) -> str | None:
    return (os.environ.get(variable, "").strip() or None) if variable else None
