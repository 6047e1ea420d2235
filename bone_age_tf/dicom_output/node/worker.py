"""The worker of the node: takes studies that have been quiet for a while, and puts their results into the spool.

One radiograph at a time: what ends the process, or fails, is that one's fault alone. No TensorFlow is imported here.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import highdicom  # noqa: F401 - for seconds, before a radiograph is in work instead of during it

from bone_age_tf.config import DicomOutputConfig, NodeConfig
from bone_age_tf.dicom.admission import RADIOGRAPHS, fault_in
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import read_header
from bone_age_tf.dicom_output.attributes import encoded
from bone_age_tf.dicom_output.node import rules
from bone_age_tf.dicom_output.node.audit import OnEvent
from bone_age_tf.dicom_output.node.rows import NewObject, Received
from bone_age_tf.dicom_output.node.spool import Spool
from bone_age_tf.dicom_output.objects import MAKERS, NEED_RADIOGRAPH
from bone_age_tf.dicom_output.result import Result

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""How often the spool is asked for quiet studies."""
RETRY_SECONDS = 5.0
"""Wait after the disk was full or failed."""
MAX_ATTEMPTS = 3
"""Of a radiograph that ended the process each time."""
KILLED = f"process_ended: the process ended {MAX_ATTEMPTS} times while it worked on this radiograph"
NOT_A_RADIOGRAPH = "not_a_radiograph"
OWN_RESULT = "own_result: the object is a result of this node"
NO_RULE = "no_rule: no rule matches"
NO_DESTINATION = "no_destination: the rule that matches has none"


class Predict(Protocol):
    """What makes a result of a file, as `predictor.Predictor`."""

    def __call__(self, path: Path, *, with_radiograph: bool) -> Result | str:
        """The result, also of a rejected radiograph; or why there is none: a code, a colon and words."""
        ...


class Outcome(NamedTuple):
    """What became of a radiograph."""

    event: str
    """Of the audit: `predicted`, `ignored` or `failed`."""
    reason: str
    rule: str = ""
    """Its name."""
    status: str = ""
    """Of the prediction."""
    objects: tuple[NewObject, ...] = ()
    destinations: tuple[str, ...] = ()


class Worker(threading.Thread):
    """Works until it is stopped."""

    def __init__(
        self, spool: Spool, config: NodeConfig, predict: Predict, on_event: OnEvent
    ) -> None:
        super().__init__(name="worker", daemon=True)
        self._spool, self._config = spool, config
        self._predict, self._on_event = predict, on_event
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let it end after the radiograph that it works on; `join` waits for it."""
        self._stopped.set()

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopped.is_set():
            try:
                wait = 0.0 if self.step() else POLL_SECONDS
            except OSError as error:
                log.error(f"The spool cannot be used: {error.strerror or error}. Trying again.")
                wait = RETRY_SECONDS
            except Exception as error:  # a fault of ours: the thread goes on
                log.error(f"The worker has stumbled over {place_of(error)}. Trying again.")
                wait = RETRY_SECONDS
            self._stopped.wait(wait)

    def step(self) -> int:
        """Work on every study that is quiet now. Returns the number of radiographs."""
        count = 0
        node = self._config.node
        for study in self._spool.quiet_studies(node.quiet_seconds, node.max_wait_seconds):
            for received in self._spool.waiting_of(study):
                if self._stopped.is_set():
                    return count
                self._work(received)
                count += 1
        return count

    def _work(self, received: Received) -> None:
        start = time.monotonic()
        if received.attempts >= MAX_ATTEMPTS:
            outcome = Outcome("failed", KILLED)
        elif self._spool.begin(received):
            outcome = self._outcome_or_failure(received)
        else:
            return  # replaced or removed meanwhile
        if self._keep(received, outcome):
            self._tell(received, outcome, time.monotonic() - start)

    def _outcome_or_failure(self, received: Received) -> Outcome:
        try:
            return self._outcome(received)
        except Exception as error:  # whatever it is, the other radiographs go on
            return Outcome("failed", f"internal_error: {place_of(error)}")

    def _outcome(self, received: Received) -> Outcome:
        file = received.path.read_bytes()
        reason = self._reason_to_ignore(received, file)
        if reason:
            return Outcome("ignored", reason)
        rule = rules.match(self._config.rules, rules.values_of(file, received.calling_ae))
        name = rules.name_of(self._config.rules, rule)
        if rule is None:
            return Outcome("ignored", NO_RULE, name)
        if not rule.destinations:
            return Outcome("ignored", NO_DESTINATION, name)
        output = rules.output_of(self._config, rule)
        needs_pixels = not set(NEED_RADIOGRAPH).isdisjoint(output.objects)
        result = self._predict(received.path, with_radiograph=needs_pixels)
        if isinstance(result, str):
            return Outcome("failed", result, name)
        row, objects = result.prediction, _new_objects(result, output)
        return Outcome("predicted", row.reason, name, row.status, objects, rule.destinations)

    def _reason_to_ignore(self, received: Received, file: bytes) -> str:
        """Why nobody waits for a result of it; empty: it may be a radiograph. Results that come back are none."""
        if received.sop_class_uid not in RADIOGRAPHS:
            return f"{NOT_A_RADIOGRAPH}: an object of another class"
        if self._spool.has_made(received.sop_instance_uid):
            return OWN_RESULT
        header = read_header(file)
        fault = None if isinstance(header, Fault) else fault_in(header)
        return ": ".join(fault) if fault and fault.reason == NOT_A_RADIOGRAPH else ""

    def _keep(self, received: Received, outcome: Outcome) -> bool:
        """Put it into the spool, as soon as the disk allows it; False where other bytes came meanwhile, or on a stop."""
        changes: dict[str, Callable[[], bool]] = {
            "predicted": lambda: self._spool.finish(
                received, outcome.objects, outcome.destinations
            ),
            "ignored": lambda: self._spool.ignore(received, outcome.reason),
            "failed": lambda: self._spool.fail(received, outcome.reason),
        }
        while True:
            try:
                return changes[outcome.event]()
            except OSError as error:
                log.error(f"A result waits for the spool: {error.strerror or error}.")
            if self._stopped.wait(RETRY_SECONDS):
                self._spool.put_back(received)
                return False

    def _tell(self, received: Received, outcome: Outcome, seconds: float) -> None:
        about = {
            "radiograph_uid": received.sop_instance_uid,
            "study_uid": received.study_instance_uid,
            "calling_ae": received.calling_ae,
            "reason": outcome.reason,
        }
        if outcome.event == "failed":
            code = outcome.reason.partition(":")[0]
            log.error(
                f"A radiograph has failed ({code}): dicom-node ... rerun --failed tries again."
            )
            self._on_event("failed", **about, attempts=received.attempts + 1)
        elif outcome.event == "ignored":
            self._on_event("ignored", **about, rule=outcome.rule)
        else:
            self._on_event(
                "predicted",
                **about,
                rule=outcome.rule,
                status=outcome.status,
                objects=[one.kind for one in outcome.objects],
                destinations=list(outcome.destinations),
                seconds=seconds,
            )


def _new_objects(result: Result, config: DicomOutputConfig) -> tuple[NewObject, ...]:
    """Of a rejected radiograph, fewer. A kind that cannot be made keeps back no other, unless it is the report.

    Raises what the maker of the report raises, or of the last kind where there is nothing else.
    """
    made: list[NewObject] = []
    errors: list[Exception] = []
    for kind in config.objects:
        try:
            one = MAKERS[kind](result, config)
            if one is not None:
                uid, sop_class = str(one.SOPInstanceUID), str(one.SOPClassUID)
                made.append(NewObject(kind, uid, sop_class, encoded(one)))
        except Exception as error:  # of the libraries, for what is odd in a header
            if kind == "report":
                raise
            log.error(
                f"A {kind} cannot be made ({place_of(error)}). The other objects are delivered."
            )
            errors.append(error)
    if errors and not made:
        raise errors[-1]
    return tuple(made)


def place_of(error: Exception) -> str:
    """What an error is and where: without its message, which may hold a value of a header."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "bone_age_tf" in frame.filename] or frames
    where = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    return f"{type(error).__name__}{where}"
