"""A DICOMweb server as a destination: STOW-RS, whose answers are read object by object, and QIDO-RS to see what is there."""

import os
from collections.abc import Sequence

import requests

from bone_age_tf.config import WebDestination
from bone_age_tf.config.dicomweb import DicomwebConfig
from bone_age_tf.dicom_output.archive import Archive
from bone_age_tf.dicom_output.node.destinations import (
    STORED,
    Answer,
    Answers,
    UnreachableError,
    unreadable,
)
from bone_age_tf.dicom_output.node.spool import Delivery
from bone_age_tf.dicom_output.stow import NotStored, Verdicts, store
from bone_age_tf.errors import UsageError

SILENCES = 2
"""Studies in a row without any answer, after which the server counts as away: the others wait."""
_SOP_INSTANCE_UID = "00080018"


class WebArchive:
    """A study is a request, or several where it is large."""

    def __init__(self, settings: WebDestination) -> None:
        """Raises `UsageError` where a variable of the settings is not set."""
        self._archive = connection_to(settings)
        self._silences = 0

    def send(self, items: Sequence[Delivery]) -> Answers:
        """As `Destination.send` says, but for a request that has begun.

        What did not succeed before is searched for first: its answer may have been lost, or said something else than was
        done.
        """
        objects: dict[str, bytes] = {}
        is_searched = True
        for item in items:
            found = self.holds(item) if item.attempts and is_searched else False
            if found:
                yield item, STORED
                continue
            is_searched = found is not None
            try:
                objects[item.object_uid] = item.path.read_bytes()
            except OSError as error:
                yield item, unreadable(error)
        verdicts = store(self._archive, objects)
        self._require_answers(verdicts)
        for item in items:
            if item.object_uid in verdicts:
                yield item, _answer_of(verdicts[item.object_uid])

    def _require_answers(self, verdicts: Verdicts) -> None:
        """Raises `UnreachableError` where this and the study before it met a server that says nothing."""
        silent = [one for one in verdicts.values() if one is not None and not one.is_answered]
        if len(silent) < max(1, len(verdicts)):
            self._silences = 0
            return
        self._silences += 1
        if self._silences >= SILENCES:
            raise UnreachableError("no_answer", silent[0].reason)

    def holds(self, item: Delivery) -> bool | None:
        """Whether the server finds the object; None: it does not say."""
        try:
            found = self._archive.client.search_for_instances(
                item.study_instance_uid, search_filters={"SOPInstanceUID": item.object_uid}
            )
            # A server may know the filter or not.
            return any(item.object_uid in one[_SOP_INSTANCE_UID]["Value"] for one in found)
        except (requests.RequestException, ValueError, LookupError, TypeError):
            return None


def connection_to(settings: WebDestination) -> Archive:
    """Raises `UsageError` where a variable of the settings is not set."""
    variables = (settings.token_variable, settings.user_variable, settings.password_variable)
    for name in filter(None, variables):
        if not os.environ.get(name):
            raise UsageError(
                f"[[destination]] {settings.name}: the environment variable {name} is not set. Set it, or remove it "
                "from the settings."
            )
    return Archive(
        DicomwebConfig(
            url=settings.url,
            token_variable=settings.token_variable,
            user_variable=settings.user_variable,
            password_variable=settings.password_variable,
            timeout_seconds=settings.timeout_seconds,
            attempts=1,  # the spool has the others
        )
    )


def _answer_of(verdict: NotStored | None) -> Answer:
    """Only an object that the server refused by name has failed: an address or a token may be put right."""
    if verdict is None:
        return STORED
    if verdict.code is None:
        code = f"http_{verdict.status}" if verdict.status else "no_answer"
        return Answer("retry", code, verdict.reason)
    code = f"status_{verdict.code:04X}"
    return Answer("retry" if verdict.is_transient else "failed", code, verdict.reason)
