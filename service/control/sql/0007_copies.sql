-- Second copies: how each archive is in each of the other stores, and who fills one.

CREATE TABLE kleidia_backup.copies (
    target text NOT NULL,
    copy text NOT NULL, -- its name in [[copies]]
    archive text NOT NULL, -- without the prefix of the store
    state text NOT NULL CHECK (state IN ('missing', 'copying', 'ok', 'differs', 'failed')),
    stored_at timestamptz NOT NULL, -- in the first store: what is not ok is behind since then
    size bigint, -- bytes in the copy
    copied_at timestamptz, -- as the copy's store says
    error text NOT NULL DEFAULT '',
    hint text NOT NULL DEFAULT '',
    attempts integer NOT NULL DEFAULT 0, -- that failed, in a row
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (target, copy, archive)
);

CREATE TABLE kleidia_backup.copy_runs (
    target text NOT NULL,
    copy text NOT NULL,
    due_at timestamptz NOT NULL DEFAULT now(),
    replica text, -- that fills it now, as long as it says so
    beat_at timestamptz,
    checked_at timestamptz, -- when a run last ended
    error text NOT NULL DEFAULT '',
    hint text NOT NULL DEFAULT '',
    attempts integer NOT NULL DEFAULT 0,
    told_at timestamptz, -- when it was told that it is behind; null when it is not
    PRIMARY KEY (target, copy)
);
CREATE INDEX copy_runs_due ON kleidia_backup.copy_runs (due_at);
