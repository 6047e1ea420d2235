"""The folder `saved_models/NAME`: the versions that are served, updated as versions are added and removed.

The highest version is served, and those that a label names. A new one is loaded and must answer for the
golden hand as its manifest says before it takes over; until then, and where it does not pass, the old one
stays. Requests in flight keep the version that they began with.
"""

import dataclasses
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bone_age_tf.serving.contract import Code, ServingError
from bone_age_tf.serving.served_model import ServedModel

log = logging.getLogger(__name__)

LOADING, AVAILABLE, END = "LOADING", "AVAILABLE", "END"

Loader = Callable[[Path, int], ServedModel]


@dataclasses.dataclass(frozen=True)
class State:
    """State of a version, in TensorFlow Serving's terms."""

    name: str
    error: str = ""
    """Why it is not served."""


class ModelFolder:
    """Versions by number. Thread-safe; `refresh` is called by one thread."""

    def __init__(
        self, base: Path, loader: Loader, *, labels: Mapping[str, int] | None = None
    ) -> None:
        """`base` may be the folder of one version: that one is served. `labels`, as in `{"stable": 3}`."""
        self.base = base
        self.name = model_name(base)
        self._load = loader
        self._labels = dict(labels or {})
        self._served: dict[int, ServedModel] = {}
        self._states: dict[int, State] = {}
        self._stamps: dict[int, frozenset[tuple[str, int, int]]] = {}
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Load what is new, drop what is no longer wanted."""
        there = _versions(self.base)
        self._forget(there)
        for version in sorted(there, reverse=True):
            if self._is_served(version, there[version]):
                break  # where the highest does not pass, the next one
        for version in sorted(set(self._labels.values()) & set(there)):
            self._is_served(version, there[version])
        alive = set(self._served) & set(there) or set(self._served)
        keep = {max(alive, default=0)} | alive & set(self._labels.values())
        for version in sorted(set(self._served) - keep):
            self._drop(version)

    def get(self, version: int | None = None, label: str | None = None) -> ServedModel:
        """The version, the labelled one, or the highest. Raises `ServingError` where it is not served."""
        if label is not None:
            if label not in self._labels:
                raise ServingError(
                    Code.NOT_FOUND, f"Unrecognized servable version label: {label[:40]}"
                )
            version = self._labels[label]
        with self._lock:
            if version is None and self._served:
                return self._served[max(self._served)]
            if version in self._served:
                return self._served[version]
        which = "Latest" if version is None else "Specific"
        number = "" if version is None else f", {version}"
        raise ServingError(
            Code.NOT_FOUND, f"Servable not found for request: {which}({self.name}{number})"
        )

    def status(self, version: int | None = None, label: str | None = None) -> dict[str, Any]:
        """The body of a status request, highest version first. Raises `ServingError`."""
        if label is not None:
            version = self.get(label=label).version
        with self._lock:
            states = {
                number: state
                for number, state in sorted(self._states.items(), reverse=True)
                if version in (None, number)
            }
        if not states:
            number = "" if version is None else f" with version {version}"
            raise ServingError(
                Code.NOT_FOUND, f"Could not find any versions of model {self.name}{number}"
            )
        return {
            "model_version_status": [
                {
                    "version": str(number),
                    "state": state.name,
                    "status": {
                        "error_code": "FAILED_PRECONDITION" if state.error else "OK",
                        "error_message": state.error,
                    },
                }
                for number, state in states.items()
            ]
        }

    def states(self) -> dict[int, str]:
        """Version -> `loading`, `available`, `refused` or `unloaded`."""
        with self._lock:
            states = dict(self._states)
        names = {LOADING: "loading", AVAILABLE: "available", END: "unloaded"}
        return {
            number: "refused" if state.error else names[state.name]
            for number, state in sorted(states.items())
        }

    def _is_served(self, version: int, folder: Path) -> bool:
        """Whether it is served; loads it where it is new, or has changed since it did not pass."""
        if version in self._served:
            return True
        stamp = _stamp(folder)
        if self._stamps.get(version) == stamp:
            return False
        self._stamps[version] = stamp
        self._set(version, State(LOADING))
        try:
            model = self._load(folder, version)
        except Exception as error:  # whatever the error, the other versions are still served
            log.error(f"Version {version} is not served: {error}")
            self._set(version, State(END, (str(error) or type(error).__name__).splitlines()[0]))
            return False
        with self._lock:
            self._served[version] = model
        self._set(version, State(AVAILABLE))
        log.info(f"Version {version} is served.")
        return True

    def _drop(self, version: int) -> None:
        with self._lock:
            del self._served[version]  # requests in flight still hold it
        self._stamps.pop(version, None)
        self._set(version, State(END))
        log.info(f"Version {version} is no longer served.")

    def _forget(self, there: Mapping[int, Path]) -> None:
        """Those that did not pass and were removed."""
        with self._lock:
            gone = [v for v, state in self._states.items() if state.error and v not in there]
            for version in gone:
                del self._states[version], self._stamps[version]

    def _set(self, version: int, state: State) -> None:
        with self._lock:
            self._states[version] = state


def model_name(base: Path) -> str:
    """What clients call the model: the name of the folder that holds the versions."""
    folder = Path(os.path.abspath(base))  # noqa: PTH100 - resolve() would follow a link
    return folder.parent.name if _is_version(folder) else folder.name


def _versions(base: Path) -> dict[int, Path]:
    """Number -> folder."""
    if _is_version(base):
        return {int(base.name): base}
    if not base.is_dir():
        return {}
    return {int(path.name): path for path in base.iterdir() if _has_number(path) and path.is_dir()}


def _is_version(folder: Path) -> bool:
    return _has_number(folder) and (folder / "saved_model.pb").is_file()


def _has_number(path: Path) -> bool:
    """A number is what TensorFlow Serving takes for one."""
    return path.name.isdecimal() and path.name.isascii()


def _stamp(folder: Path) -> frozenset[tuple[str, int, int]]:
    """What changes when a file of it does."""
    found = ((str(path), path.stat()) for path in folder.rglob("*") if path.is_file())
    return frozenset((name, stat.st_size, stat.st_mtime_ns) for name, stat in found)
