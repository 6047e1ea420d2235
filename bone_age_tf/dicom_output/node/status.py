"""What the spool of a node holds, in numbers: for `dicom-node ... status` and Prometheus."""

from typing import Any

from bone_age_tf.dicom_output.node.spool import Spool

SCHEMA = "bone-age-tf/node-status/1"


def status_of(spool: Spool) -> dict[str, Any]:
    """Of radiographs state -> number, of deliveries destination -> state -> number, and the age of the oldest that waits."""
    return {
        "schema": SCHEMA,
        "radiographs": spool.by_state(),
        "deliveries": spool.by_destination(),
        "oldest_waiting_seconds": spool.oldest_waiting(),
        "faults": [
            {"what": what, "state": state, "reason": reason, "count": count}
            for what, state, reason, count in spool.faults()
        ],
    }
