-- Restores whose journal lies in a replica's state directory: every replica tells of them, and those that have the directory keep this up to date.

CREATE TABLE kleidia_backup.unfinished_restores (
    target text NOT NULL,
    place text NOT NULL, -- of the state directory: the same for all replicas that share it
    replica text NOT NULL, -- that has looked at it last
    journal text NOT NULL, -- the file's path there
    archive text NOT NULL,
    job_id bigint, -- that restored; NULL: a command
    message text NOT NULL DEFAULT '', -- what the journal says; empty: nobody has read it since the job began
    begun_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(), -- when a replica last had that directory
    PRIMARY KEY (target, place)
);
