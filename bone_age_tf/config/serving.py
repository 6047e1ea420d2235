"""Settings of what is done with an exported model: `calibrate` and `serve`."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from bone_age_tf.config.choices import DEFAULT_ENGINE, LOOPBACK, Correction, DicomReason, Engine
from bone_age_tf.config.parsing import FROM_LIST, Settings, require
from bone_age_tf.errors import UsageError

Port = Annotated[int, Field(ge=0, le=65535)]


@dataclass(frozen=True)
class CalibrationConfig(Settings, typed_as="--{}"):
    """What `calibrate` adds to an exported model."""

    coverage: Annotated[float, Field(ge=0.5, lt=1)] = 0.9
    """Share of new radiographs whose label the prediction interval should contain."""
    correction: Correction = "linear"
    """Sex-specific recalibration, where it helps: `linear` or a `monotone` curve; `none`: intervals alone."""


@dataclass(frozen=True)
class ServeConfig(Settings, typed_as="--{}"):
    """An exported model, served."""

    model: str
    """Folder of the model's versions, whose name is the model's."""
    host: str = "127.0.0.1"
    """Address to listen at. Others than this machine's own need `token` or `no_auth`."""
    rest_port: Port = 8501
    """REST; 0: a free one, as below."""
    grpc_port: Port = 8500
    """gRPC."""
    web_port: Port = 8000
    """The page."""
    token: str | None = None
    """What requests must show as `Authorization: Bearer TOKEN`; None: nothing."""
    no_auth: bool = False
    """Listen at another address without a token."""
    allowed_hosts: Annotated[tuple[str, ...], FROM_LIST] = ()
    """Names that `Host` may hold besides the address and this machine's own."""
    version_labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Label -> version, which is served besides the highest."""
    max_in_flight: Annotated[int, Field(ge=1)] = 64
    """Radiographs in flight, waiting or being read; more get 503."""
    accept_dicom: Annotated[tuple[DicomReason, ...], FROM_LIST] = ()
    """Reasons for which a DICOM file is not rejected by its header."""
    poll_seconds: Annotated[float, Field(gt=0)] = 2.0
    """How often the folder is looked at for new versions."""
    engine: Engine = DEFAULT_ENGINE
    """What runs the network."""

    def __post_init__(self) -> None:
        require(
            self.token is None or re.fullmatch(r"[!-~]{16,}", self.token) is not None,
            "the token",
            "16 or more printable ASCII characters without blanks",
            "something else",
        )
        for name in self.allowed_hosts:
            is_name = re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*", name)
            require(is_name is not None, "--allowed-host", "a name or address without a port", name)
        if self.host not in LOOPBACK and self.token is None and not self.no_auth:
            raise UsageError(
                f"--host {self.host}: others than this machine could use the server. Give it a token (the "
                "environment variable BONE_AGE_TOKEN), or pass --no-auth."
            )
