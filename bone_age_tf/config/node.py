"""Settings of the DICOM node: `dicom-node --config node.toml`, one class for each section of the file.

A secret never stands in the file: a setting that ends in `_variable` names the environment variable that holds it.
"""

import re
import urllib.parse
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from bone_age_tf.config.choices import LOOPBACK, DicomObject, DicomReason
from bone_age_tf.config.dicom_output import DicomOutputConfig
from bone_age_tf.config.parsing import FROM_LIST, Settings, require

TITLE = "1 to 16 ASCII characters without a backslash, and no blank at either end"
"""What an AE title is (VR AE of DICOM PS3.5)."""
VARIABLE = "the name of an environment variable, as in ARCHIVE_TOKEN"

Port = Annotated[int, Field(ge=1, le=65535)]
FreePort = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Titles = Annotated[tuple[str, ...], FROM_LIST]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_as_list), FROM_LIST]
"""One pattern, or several of which one must match."""


@dataclass(frozen=True)
class NodeSection(Settings):
    """`[node]`: who the node is, what it accepts and where it keeps it."""

    ae_title: str
    """AE title of the node, as receiver and as sender."""
    spool: str
    """Folder of what was received and is not delivered yet; made where it is missing, for its owner alone."""
    calling_ae_titles: Titles = ()
    """AE titles that may send. All others are refused."""
    accept_any: bool = False
    """Let every AE title send."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0: all of this machine."""
    port: FreePort = 11112
    """Port to listen on; 0: a free one."""
    check_called_ae_title: bool = True
    """Refuse associations for another AE title than `ae_title`."""
    max_associations: Annotated[int, Field(ge=1, le=1000)] = 20
    """Associations at once; more are refused, and the sender tries again."""
    model: str = "shipped"
    """Folder of an exported model; `shipped`: the shipped model."""
    accept_dicom: Annotated[tuple[DicomReason, ...], FROM_LIST] = ()
    """Reasons for which a header does not reject a radiograph, as `--accept-dicom` of `predict`."""
    quiet_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    """A study is processed once nothing of it has come for so long."""
    max_wait_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 600.0
    """A radiograph that has waited for so long is processed although more of its study still comes."""
    retention_days: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 7.0
    """Days after which the files of what is delivered or ignored are removed. What failed is kept."""
    audit: str | None = None
    """File of the audit, a line of JSON for each event; None: `audit.jsonl` in the spool."""
    metrics_port: FreePort | None = None
    """Port on this machine of `/metrics`, `/readyz` and `/livez`; 0: a free one; None: none."""

    def __post_init__(self) -> None:
        _require_title("ae_title", self.ae_title)
        for title in self.calling_ae_titles:
            _require_title("calling_ae_titles", title)
        require(bool(self.host), "host", "an address of this machine", self.host)
        require(bool(self.spool), "spool", "a folder", self.spool)
        require(
            bool(self.calling_ae_titles) != self.accept_any,
            "calling_ae_titles",
            "the AE titles that may send, or else accept_any = true",
            "both" if self.accept_any else "neither",
        )


@dataclass(frozen=True)
class TlsSection(Settings):
    """`[tls]`: DICOM TLS, of the node's port and of destinations with `tls = true`."""

    certificate: str
    """PEM file of the node's certificate, with those between it and the authority."""
    key: str
    """PEM file of its private key, without a password."""
    ca: str | None = None
    """PEM file of the authorities whose certificates are trusted; None: those of the system."""
    listen: bool = True
    """Whether the node's port speaks TLS; False: only destinations do."""
    require_client_certificate: bool = True
    """Refuse senders without a certificate of `ca`."""

    def __post_init__(self) -> None:
        require(
            not (self.listen and self.require_client_certificate and self.ca is None),
            "ca",
            "the authority of the senders' certificates, or else require_client_certificate = false",
            self.ca,
        )


@dataclass(frozen=True, kw_only=True)
class Destination(Settings):
    """What all destinations have."""

    name: str
    """Name by which rules, audit and metrics call it: letters, digits, `-`, `_`."""
    timeout_seconds: Seconds = 30.0
    """For a connection, and for an answer."""
    retry_seconds: Seconds = 10.0
    """Wait after a first failure; doubled after each further one."""
    max_retry_seconds: Seconds = 900.0
    """Longest wait between two attempts."""
    give_up_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 72.0
    """An object that could not be delivered for so long has failed, until `rerun --failed`."""

    def __post_init__(self) -> None:
        is_name = re.fullmatch(r"[A-Za-z0-9_-]{1,40}", self.name) is not None
        require(is_name, "name", "1 to 40 letters, digits, - and _", self.name)


@dataclass(frozen=True, kw_only=True)
class StoreDestination(Destination):
    """`[[destination]]` with a `host`: a DICOM receiver, by C-STORE."""

    host: str
    """Its address."""
    port: Port
    """Its port."""
    ae_title: str
    """Its AE title."""
    tls: bool = False
    """DICOM TLS, by the section `[tls]`."""
    storage_commitment: bool = False
    """Ask it whether it keeps what it was sent, and send again what it does not."""
    commitment_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """What it does not confirm for so long, asked three times, has failed; what it says that it does not keep is sent again."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.host), "host", "the address of a DICOM receiver", self.host)
        _require_title("ae_title", self.ae_title)


@dataclass(frozen=True, kw_only=True)
class WebDestination(Destination):
    """`[[destination]]` with a `url`: a DICOMweb server, by STOW-RS."""

    url: str
    """Its services, below which `/studies` is."""
    token_variable: str | None = None
    """Environment variable of a bearer token."""
    user_variable: str | None = None
    """Environment variable of a user's name, for HTTP basic authentication."""
    password_variable: str | None = None
    """Environment variable of the user's password."""
    search_stored: bool = False
    """Search it for what it was sent (QIDO-RS), and send again what it does not find."""

    def __post_init__(self) -> None:
        super().__post_init__()
        url = urllib.parse.urlsplit(self.url)
        is_url = url.scheme in ("http", "https") and bool(url.hostname)
        expected = "http://HOST[:PORT]/PATH or https://..., without user and password"
        shown = self.url if "@" not in self.url else "one with a user"
        require(is_url and "@" not in url.netloc, "url", expected, shown)
        variables = (self.token_variable, self.user_variable, self.password_variable)
        for name in filter(None, variables):
            is_name = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None
            require(is_name, "a setting that ends in _variable", VARIABLE, "something else")
        has_both = (self.user_variable is None) == (self.password_variable is None)
        require(has_both, "user_variable", "given with password_variable", "one of them")
        is_one = self.token_variable is None or self.user_variable is None
        require(is_one, "token_variable", "given without user_variable", "both")
        is_readable = url.scheme == "http" and url.hostname not in LOOPBACK
        is_safe = not (is_readable and any(variables))
        require(is_safe, "url", "https:// where a token or a password is sent", self.url)


@dataclass(frozen=True)
class Rule(Settings):
    """`[[rule]]`: where the results of the radiographs that it matches go. The first that matches counts.

    Each condition is a pattern (`*` any characters, `?` one, `[ab]` one of these; case does not matter), or a list of
    patterns of which one must match. An attribute that is missing is an empty text, which `""` and `"*"` match.
    """

    destinations: Annotated[tuple[str, ...], FROM_LIST]
    """Names of destinations; `[]`: ignore these radiographs."""
    name: str = ""
    """Name in the audit; `rule 1`, `rule 2` ... where there is none."""
    objects: Annotated[tuple[DicomObject, ...] | None, FROM_LIST] = None
    """Kinds of objects; None: those of `[output]`."""
    calling_ae: Patterns = ("*",)
    """AE title of the sender."""
    modality: Patterns = ("*",)
    """Modality (0008,0060)."""
    body_part: Patterns = ("*",)
    """Body Part Examined (0018,0015)."""
    station_name: Patterns = ("*",)
    """Station Name (0008,1010)."""
    institution_name: Patterns = ("*",)
    """Institution Name (0008,0080)."""
    manufacturer: Patterns = ("*",)
    """Manufacturer (0008,0070)."""
    study_description: Patterns = ("*",)
    """Study Description (0008,1030)."""
    series_description: Patterns = ("*",)
    """Series Description (0008,103E)."""
    protocol_name: Patterns = ("*",)
    """Protocol Name (0018,1030)."""

    def __post_init__(self) -> None:
        is_name = re.fullmatch(r"[A-Za-z0-9 ._-]{0,40}", self.name) is not None
        require(is_name, "name", "at most 40 letters, digits, blanks, ., - and _", self.name)


@dataclass(frozen=True)
class NodeConfig(Settings):
    """All sections of the file."""

    node: NodeSection
    destinations: Annotated[tuple[StoreDestination | WebDestination, ...], FROM_LIST]
    """`[[destination]]`."""
    rules: Annotated[tuple[Rule, ...], FROM_LIST]
    """`[[rule]]`, in their order."""
    output: DicomOutputConfig = DicomOutputConfig()
    """`[output]`: which objects, and as what."""
    tls: TlsSection | None = None
    """`[tls]`; None: the node's port and its destinations speak plain DICOM."""

    def __post_init__(self) -> None:
        names = [one.name for one in self.destinations]
        twice = sorted({name for name in names if names.count(name) > 1})
        require(not twice, "the names of [[destination]]", "different", ", ".join(twice))
        require(bool(self.rules), "[[rule]]", "given: nothing leaves the node without one", "none")
        for number, rule in enumerate(self.rules, 1):
            unknown = sorted(set(rule.destinations) - set(names))
            expected = f"names of [[destination]]: {', '.join(names) or 'there is none'}"
            setting = f"[[rule]] {number}: destinations"
            require(not unknown, setting, expected, ", ".join(unknown))
        for one in self.destinations:
            has_tls = isinstance(one, StoreDestination) and one.tls
            expected = "given where a destination has tls = true"
            require(not has_tls or self.tls is not None, "[tls]", expected, "none")
            self._require_reports(one)

    def _require_reports(self, one: StoreDestination | WebDestination) -> None:
        """An archive whose association with its report is refused would seem to confirm nothing."""
        titles = self.node.calling_ae_titles
        if titles and isinstance(one, StoreDestination) and one.storage_commitment:
            expected = f"a list with {one.ae_title} in it: its storage commitment reports come to the node's port"
            require(one.ae_title in titles, "calling_ae_titles", expected, ", ".join(titles))


def _require_title(setting: str, title: str) -> None:
    is_title = re.fullmatch(r"[ -\[\]-~]{1,16}", title) is not None and title == title.strip()
    require(is_title, setting, TITLE, title)
