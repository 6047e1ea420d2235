"""Queries of the spool that are longer than a line."""

RECEIVE = """
REPLACE INTO radiographs (
    sop_instance_uid, study_instance_uid, series_instance_uid, sop_class_uid, file, calling_ae, received_at
) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
# abs: a clock that was set back makes nothing wait for longer. Attempts: what may have ended the process comes last, so
# that it keeps back nothing, and that kills from outside do not meet the same radiograph again and again
QUIET = """
SELECT study_instance_uid FROM radiographs
WHERE study_instance_uid IN (SELECT study_instance_uid FROM radiographs WHERE state = 'waiting')
GROUP BY study_instance_uid
HAVING abs(?1 - max(received_at)) >= ?2 OR abs(?1 - min(iif(state = 'waiting', received_at, NULL))) >= ?3
ORDER BY max(iif(state = 'waiting', attempts, 0)), min(received_at)
"""
WAITING = """
SELECT * FROM radiographs WHERE study_instance_uid = ? AND state = 'waiting' ORDER BY attempts, sop_instance_uid
"""
DELIVER = """
INSERT INTO deliveries (
    object_uid, sop_class_uid, kind, study_instance_uid, source_uid, file, destination, changed_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (object_uid, destination) DO UPDATE
SET state = 'waiting', attempts = 0, next_at = 0, file = excluded.file, changed_at = excluded.changed_at
WHERE state IN ('waiting', 'failed')
"""
RERUN_RADIOGRAPHS = """
UPDATE radiographs SET state = 'waiting', attempts = 0, reason = '' WHERE state = 'failed'
"""
RERUN_DELIVERIES = """
UPDATE deliveries SET state = 'waiting', attempts = 0, next_at = 0, changed_at = ? WHERE state = 'failed'
"""
HURRY_DELIVERIES = """
UPDATE deliveries SET next_at = 0, changed_at = ? WHERE state = 'waiting'
"""
BY_STATE = "SELECT state, count(*) AS number FROM radiographs GROUP BY state"
BY_DESTINATION = """
SELECT destination, state, count(*) AS number FROM deliveries GROUP BY destination, state
"""
OLDEST = """
SELECT 'radiographs' AS what, min(received_at) AS received_at FROM radiographs
WHERE state = 'waiting' GROUP BY state
UNION ALL SELECT 'to ' || destination, min(received_at)
FROM deliveries JOIN radiographs ON source_uid = sop_instance_uid
WHERE deliveries.state = 'waiting' GROUP BY destination
"""
FAULTS = """
SELECT 'radiographs' AS what, state, reason, count(*) FROM radiographs WHERE state = 'failed' GROUP BY reason
UNION ALL SELECT 'to ' || destination, state, error, count(*) FROM deliveries
WHERE error != '' AND state IN ('waiting', 'failed') GROUP BY destination, state, error
"""
OLD = """
SELECT sop_instance_uid FROM radiographs
WHERE state IN ('done', 'ignored') AND received_at <= ? AND NOT EXISTS (
    SELECT 1 FROM deliveries WHERE source_uid = sop_instance_uid
    AND (state IN ('waiting', 'failed') OR (state = 'sent' AND transaction_uid IS NOT NULL))
)
"""
FILES_OF = """
SELECT file FROM radiographs WHERE sop_instance_uid = ?1 UNION SELECT file FROM deliveries WHERE source_uid = ?1
"""
HAS_ROW = """
SELECT 1 FROM radiographs WHERE file = ?1 UNION ALL SELECT 1 FROM deliveries WHERE file = ?1
"""
