"""Delivery of results: a thread for each destination, so that one that is slow or dead does not hold up the others.

What is to be done stands in the spool alone: after a kill it goes on from there. An object is sent at least once, and
again where its answer was lost; its UID is derived, so that an archive keeps one.
"""

import collections
import contextlib
import logging
import threading
import time
from collections.abc import Sequence

from bone_age_tf.config import StoreDestination, TlsSection, WebDestination
from bone_age_tf.dicom_output.node.association import peer_of
from bone_age_tf.dicom_output.node.audit import OnEvent
from bone_age_tf.dicom_output.node.commitment import Commitments
from bone_age_tf.dicom_output.node.destinations import (
    Answer,
    Archive,
    Destination,
    UnreachableError,
)
from bone_age_tf.dicom_output.node.outcomes import Outcomes, Settings
from bone_age_tf.dicom_output.node.spool import Delivery, Spool
from bone_age_tf.dicom_output.node.web_archive import WebArchive

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""How often the spool is asked for what is due."""
COMMITMENT_REQUESTS = 3
"""How often a commitment is asked for within `commitment_hours`."""
UNCLEAR_SEARCHES = 2
"""In a row, after which the server is not searched for a while."""
NOT_REPORTED = f"asked {COMMITMENT_REQUESTS} times, it did not report: check that it knows the node's AE title, host and port"


class Sender(threading.Thread):
    """Delivers what is due for one destination, until it is stopped."""

    def __init__(
        self,
        spool: Spool,
        settings: Settings,
        destination: Destination,
        outcomes: Outcomes,
    ) -> None:
        super().__init__(name=f"delivery to {settings.name}", daemon=True)
        self._spool, self._settings = spool, settings
        self._destination, self._outcomes = destination, outcomes
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let it end after the object that it sends; `join` waits for it."""
        self._stopped.set()

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopped.wait(POLL_SECONDS):
            try:
                self.step()
            except Exception as error:  # a disk that fails, or a fault of ours: the thread goes on
                log.exception(
                    f"{self.name} has stumbled over {type(error).__name__}. Trying again."
                )
                self._stopped.wait(self._settings.retry_seconds)

    def step(self) -> None:
        """Send what is due now, a study at a time, what has failed least often first."""
        studies: dict[str, list[Delivery]] = collections.defaultdict(list)
        for delivery in self._spool.due(self._settings.name):
            studies[delivery.study_instance_uid].append(delivery)
        for study in sorted(studies.values(), key=lambda of_study: of_study[0].attempts):
            if self._stopped.is_set():
                return
            try:
                self._send(study)
            except UnreachableError as error:
                self._postpone(error)
                return

    def _send(self, study: Sequence[Delivery]) -> None:
        left = {delivery.id: delivery for delivery in study}
        start = time.monotonic()
        try:
            with contextlib.closing(self._destination.send(study)) as answers:
                for delivery, answer in answers:
                    left.pop(delivery.id)
                    self._record(delivery, answer, time.monotonic() - start)
                    if self._stopped.is_set():
                        return
                    start = time.monotonic()
        except (UnreachableError, OSError):
            raise
        except Exception as error:  # one object that we cannot send must not keep back all others
            log.exception(
                f"{self.name} has stumbled over {type(error).__name__}. Trying again later."
            )
            for delivery in left.values():
                self._outcomes.retry(delivery, "internal_error", type(error).__name__)

    def _record(self, delivery: Delivery, answer: Answer, seconds: float) -> None:
        if answer.state == "stored":
            self._outcomes.stored(delivery, seconds)
        elif answer.state == "retry":
            self._outcomes.retry(delivery, answer.code, answer.reason)
        else:
            self._outcomes.give_up(delivery, answer.code, answer.reason)

    def _postpone(self, error: UnreachableError) -> None:
        """All that is due would meet the same."""
        due = self._spool.due(self._settings.name)
        log.warning(f"{self.name}: {error}. Objects that wait: {len(due)}.")
        self._outcomes.postpone(due, error.code, str(error))


class ConfirmingSender(Sender):
    """Also asks the archive whether it keeps what it was sent: storage commitment."""

    def __init__(
        self,
        spool: Spool,
        settings: StoreDestination,
        archive: Archive,
        outcomes: Outcomes,
        commitments: Commitments,
    ) -> None:
        super().__init__(spool, settings, archive, outcomes)
        self._archive, self._commitments = archive, commitments
        self._interval = settings.commitment_hours * 3600 / COMMITMENT_REQUESTS
        self._requests = collections.Counter[int]()
        self._doubtful: list[Delivery] = []
        self._refusal = ""

    def step(self) -> None:
        """Send what is due, then ask for what was sent and is not confirmed."""
        super().step()
        if not self._stopped.is_set():
            self._ask()

    def _record(self, delivery: Delivery, answer: Answer, seconds: float) -> None:
        super()._record(delivery, answer, seconds)
        if answer.is_doubtful:
            self._doubtful.append(delivery)

    def _ask(self) -> None:
        open_ones = self._spool.uncommitted(self._settings.name, 0)
        over = self._spool.uncommitted(self._settings.name, self._interval)
        transactions = {one.transaction_uid for one in over} - {None}
        fresh = [one for one in open_ones if one.transaction_uid is None]
        late = [one for one in open_ones if one.transaction_uid in transactions]
        for delivery in fresh:
            self._requests[delivery.id] = 0
        again = [one for one in late if self._requests[one.id] < COMMITMENT_REQUESTS]
        for delivery in late:
            if delivery not in again:
                self._commitments.expire(delivery, self._refusal or NOT_REPORTED)
        doubtful, self._doubtful = self._doubtful, []
        if fresh or again or doubtful:
            self._requests.update(one.id for one in (*fresh, *again))
            self._refusal = self._commitments.ask(self._archive.peer, [*fresh, *again], doubtful)
            if self._refusal:
                log.warning(f"{self.name}: storage commitment was not asked for: {self._refusal}.")


class SearchingSender(Sender):
    """Also searches a DICOMweb server for what it was sent, and sends again what it does not find."""

    def __init__(
        self, spool: Spool, settings: WebDestination, archive: WebArchive, outcomes: Outcomes
    ) -> None:
        super().__init__(spool, settings, archive, outcomes)
        self._archive = archive
        self._next_search = 0.0
        self._unclear = 0

    def step(self) -> None:
        """Send what is due, then search for what was sent a while ago."""
        super().step()
        if time.monotonic() < self._next_search:
            return
        for delivery in self._spool.uncommitted(self._settings.name, self._settings.retry_seconds):
            self._unclear = 0 if self._search(delivery) else self._unclear + 1
            if self._unclear == UNCLEAR_SEARCHES:
                self._unclear = 0
                self._next_search = time.monotonic() + self._settings.max_retry_seconds
                log.warning(f"{self.name}: the server cannot be searched for what it was sent.")
                return
            if self._stopped.is_set():
                return

    def _search(self, delivery: Delivery) -> bool:
        """False where the server does not say; later it may."""
        is_there = self._archive.holds(delivery)
        if is_there is None:
            return False
        if is_there:
            self._outcomes.committed(delivery)
        else:
            reason = "the server answered success, but does not find the object"
            self._outcomes.retry(delivery, "not_found", reason, event="not_committed")
        return True


class Deliveries:
    """The senders of all destinations, and the storage commitment that they share with the receiver."""

    def __init__(
        self,
        spool: Spool,
        destinations: Sequence[Settings],
        on_event: OnEvent,
        *,
        ae_title: str,
        tls: TlsSection | None = None,
    ) -> None:
        """Raises `UsageError` or `EnvironmentFaultError` for a token or certificates that cannot be used."""
        outcomes = Outcomes(spool, {one.name: one for one in destinations}, on_event)
        self.commitments = Commitments(spool, outcomes)
        self.senders: list[Sender] = []
        for settings in destinations:
            if isinstance(settings, WebDestination):
                kind = SearchingSender if settings.search_stored else Sender
                self.senders.append(kind(spool, settings, WebArchive(settings), outcomes))
                continue
            archive = Archive(peer_of(settings, ae_title, tls))
            sender = Sender(spool, settings, archive, outcomes)
            if settings.storage_commitment:
                sender = ConfirmingSender(spool, settings, archive, outcomes, self.commitments)
            self.senders.append(sender)

    def start(self) -> None:
        """Deliver from now on."""
        for sender in self.senders:
            sender.start()

    def stop(self, seconds: float) -> bool:
        """Let each end after its object. False where one still waits for an answer after so long."""
        for sender in self.senders:
            sender.stop()
        end = time.monotonic() + seconds
        for sender in self.senders:
            sender.join(max(0.0, end - time.monotonic()))
        return not any(sender.is_alive() for sender in self.senders)

    def is_alive(self) -> bool:
        """Whether all of them run."""
        return all(sender.is_alive() for sender in self.senders)
