"""What became of a delivery, in the spool and in the audit; and when an attempt that did not succeed is made again."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from bone_age_tf.config import StoreDestination, WebDestination
from bone_age_tf.dicom_output.node.audit import OnEvent
from bone_age_tf.dicom_output.node.spool import Delivery, Spool

log = logging.getLogger(__name__)

Settings = StoreDestination | WebDestination


class Outcomes:
    """Records of all destinations, of any thread. A reason in words goes into the spool alone, since an archive may have
    written a part of it; audit and log get its code."""

    def __init__(
        self, spool: Spool, destinations: Mapping[str, Settings], on_event: OnEvent
    ) -> None:
        self._spool, self._destinations, self._on_event = spool, destinations, on_event

    def stored(self, delivery: Delivery, seconds: float) -> None:
        """The destination has answered success."""
        self._spool.sent(delivery)
        self._tell("delivered", delivery, seconds=seconds)

    def retry(
        self, delivery: Delivery, code: str, reason: str, *, event: str = "delivery_failed"
    ) -> None:
        """It is due again later, or has failed where its time is over."""
        wait = self._put_back(delivery, code, reason)
        if wait is not None:
            self._tell(event, delivery, reason=code)
            log.info(
                f"Delivery {delivery.id} to {delivery.destination}: {code}. Next attempt in {wait:g} s."
            )

    def postpone(self, deliveries: Sequence[Delivery], code: str, reason: str) -> None:
        """The same of all that is due for a destination that is away, as one event."""
        if deliveries:
            name, count = deliveries[0].destination, len(deliveries)
            self._on_event("unreachable", destination=name, reason=code, count=count)
        for delivery in deliveries:
            self._put_back(delivery, code, reason)

    def _put_back(self, delivery: Delivery, code: str, reason: str) -> float | None:
        """Seconds until the next attempt; None where it has failed."""
        settings = self._destinations.get(delivery.destination)
        if settings is None:  # removed from the settings since: it waits for its return
            self._spool.retry(delivery, reason, 0.0)
            return 0.0
        wait = wait_after(delivery.attempts + 1, settings)
        if wait is None:
            self.give_up(delivery, code, f"{reason}; tried for {settings.give_up_hours:g} h")
        else:
            self._spool.retry(delivery, reason, wait)
        return wait

    def give_up(self, delivery: Delivery, code: str, reason: str) -> None:
        """It has failed, until `rerun --failed`."""
        self._spool.give_up(delivery, reason)
        self._tell("given_up", delivery, reason=code)
        log.error(
            f"Delivery {delivery.id} to {delivery.destination} has failed ({code}). Its file is kept: "
            "dicom-node ... rerun --failed delivers it again."
        )

    def committed(self, delivery: Delivery) -> None:
        """The destination keeps it."""
        self._spool.committed(delivery)
        self._tell("committed", delivery)

    def _tell(self, event: str, delivery: Delivery, **fields: Any) -> None:
        self._on_event(
            event,
            object_uid=delivery.object_uid,
            kind=delivery.kind,
            radiograph_uid=delivery.source_uid,
            destination=delivery.destination,
            attempts=delivery.attempts + 1,
            **fields,
        )


def wait_after(failures: int, settings: Settings) -> float | None:
    """Seconds until the next attempt after so many failures; None: `give_up_hours` are over.

    Doubled after each, without chance: the schedule depends on the number of failures alone.
    """
    waited, wait = 0.0, settings.retry_seconds
    for _ in range(failures - 1):
        waited += wait
        wait = min(2 * wait, settings.max_retry_seconds)
        if waited >= settings.give_up_hours * 3600:
            return None
    return wait
