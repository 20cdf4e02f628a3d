-- One replica asks for all of its targets at once: which are due, whose messages wait. See service/control/targets.

CREATE INDEX schedules_due ON kleidia_backup.schedules (next_due) WHERE next_due IS NOT NULL;
CREATE INDEX outbox_waiting ON kleidia_backup.outbox (next_attempt_at) WHERE ended_at IS NULL;
CREATE INDEX jobs_active ON kleidia_backup.jobs (target, id) WHERE status IN ('pending', 'running');
CREATE INDEX settings_changed ON kleidia_backup.settings (changed_at);

-- Jobs of a store that takes only so many at a time. One that is not admitted yet is not in the queue.
CREATE TABLE kleidia_backup.admissions (
    job_id bigint PRIMARY KEY,
    target text NOT NULL,
    store text NOT NULL,
    queue text NOT NULL, -- its replicas alone let it in
    due timestamptz NOT NULL,
    admitted_at timestamptz
);
CREATE INDEX admissions_waiting ON kleidia_backup.admissions (store, due, job_id) WHERE admitted_at IS NULL;
CREATE INDEX admissions_admitted ON kleidia_backup.admissions (store) WHERE admitted_at IS NOT NULL;
