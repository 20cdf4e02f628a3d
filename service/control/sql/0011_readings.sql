-- What only reads has its own places beside what writes: one verification or drill of a target beside its backup or restore, and one inspection.

CREATE TABLE kleidia_backup.inspections (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target text NOT NULL,
    kind text NOT NULL,
    archive text NOT NULL,
    other text, -- of a comparison: the other archive; NULL: the servers as they are
    asked_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    deadline timestamptz NOT NULL, -- who has not ended it by then does not run any more
    ended_at timestamptz,
    code text, -- of an error
    error text,
    hint text,
    result jsonb
);
CREATE UNIQUE INDEX one_inspection_per_target ON kleidia_backup.inspections (target) WHERE ended_at IS NULL;

DROP INDEX kleidia_backup.one_job_per_target;
CREATE UNIQUE INDEX one_writing_job_per_target ON kleidia_backup.jobs (target)
    WHERE status IN ('pending', 'running') AND kind NOT IN ('verify', 'drill');
CREATE UNIQUE INDEX one_reading_job_per_target ON kleidia_backup.jobs (target)
    WHERE status IN ('pending', 'running') AND kind IN ('verify', 'drill');

-- Scheduled moments at which nothing ran, and that were not made up for: nobody served the target.
CREATE TABLE kleidia_backup.missed_runs (
    target text,
    kind text,
    due timestamptz,
    PRIMARY KEY (target, kind, due)
);
