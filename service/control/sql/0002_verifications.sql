-- Jobs that read an archive and change nothing of what is backed up: verifications and drills, each with a schedule of its own.

ALTER TABLE kleidia_backup.jobs DROP CONSTRAINT jobs_kind_check;
ALTER TABLE kleidia_backup.jobs ADD CONSTRAINT jobs_kind_check CHECK (kind IN ('backup', 'restore', 'verify', 'drill'));
ALTER TABLE kleidia_backup.jobs DROP CONSTRAINT fired_once;
ALTER TABLE kleidia_backup.jobs ADD CONSTRAINT fired_once UNIQUE (target, kind, scheduled_for);
CREATE INDEX jobs_by_archive ON kleidia_backup.jobs (target, archive, id);

ALTER TABLE kleidia_backup.schedules ADD COLUMN kind text NOT NULL DEFAULT 'backup';
ALTER TABLE kleidia_backup.schedules DROP CONSTRAINT schedules_pkey;
ALTER TABLE kleidia_backup.schedules ADD PRIMARY KEY (target, kind);

-- What each of them said, and of which object exactly: an archive that was replaced since is another one.
CREATE TABLE kleidia_backup.verifications (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('verify', 'drill')),
    archive text NOT NULL,
    backup_type text NOT NULL,
    size bigint NOT NULL, -- bytes; this and the next two as the store lists the archive
    etag text NOT NULL,
    modified timestamptz NOT NULL,
    checksum text NOT NULL DEFAULT '', -- as the archive says: format v1 alone has one
    at timestamptz NOT NULL DEFAULT now(),
    verdict text NOT NULL CHECK (verdict IN ('verified', 'proven', 'failed', 'inconclusive')),
    cause text NOT NULL DEFAULT '',
    error text NOT NULL DEFAULT '',
    evidence text NOT NULL DEFAULT '', -- the file of a drill's report
    job_id bigint NOT NULL -- whose report says more
);
CREATE INDEX verifications_by_archive ON kleidia_backup.verifications (target, archive, id);
