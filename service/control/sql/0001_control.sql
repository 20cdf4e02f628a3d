-- What the service keeps, of each target for itself. No foreign key leads out of this schema: a restore of the application's tables must never
-- wait for it, nor it for a restore.

CREATE TABLE kleidia_backup.jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('backup', 'restore')),
    backup_type text NOT NULL CHECK (backup_type IN ('full', 'database', 'vault')),
    target text NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'completed', 'failed')),
    archive text,
    size bigint,
    checksum text,
    error text,
    hint text,
    warnings jsonb NOT NULL DEFAULT '[]',
    requested_by text, -- the subject; NULL: the schedule
    requested_by_name text,
    ip text,
    workstation text,
    scheduled_for timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    heartbeat_at timestamptz,
    replica text,
    phase text,
    progress jsonb NOT NULL DEFAULT '{}',
    cancelled_by text,
    options jsonb NOT NULL DEFAULT '{}',
    report jsonb,
    CONSTRAINT fired_once UNIQUE (target, scheduled_for)
);
CREATE UNIQUE INDEX one_job_per_target ON kleidia_backup.jobs (target) WHERE status IN ('pending', 'running');
CREATE INDEX jobs_by_target ON kleidia_backup.jobs (target, id);

CREATE TABLE kleidia_backup.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    action text NOT NULL,
    user_id text,
    user_name text,
    ip text,
    workstation text,
    job_id bigint,
    archive text,
    backup_type text,
    duration double precision, -- seconds
    size bigint,
    details text NOT NULL DEFAULT ''
);
CREATE INDEX audit_by_target ON kleidia_backup.audit (target, id);
CREATE INDEX audit_by_action ON kleidia_backup.audit (target, action, id);

CREATE TABLE kleidia_backup.settings (
    target text PRIMARY KEY,
    document jsonb NOT NULL,
    version integer NOT NULL,
    changed_at timestamptz,
    changed_by text
);

CREATE TABLE kleidia_backup.schedules (
    target text PRIMARY KEY,
    cron text,
    timezone text,
    next_due timestamptz,
    last_due timestamptz,
    last_fired timestamptz
);

CREATE TABLE kleidia_backup.limits (
    target text,
    key text,
    window_start timestamptz,
    count integer NOT NULL,
    PRIMARY KEY (target, key, window_start)
);
