-- What is to be told, one row for each channel: written with what it tells of, in one transaction, and sent by whichever replica is first.

CREATE TABLE kleidia_backup.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target text NOT NULL,
    channel text NOT NULL,
    message jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz, -- sent, or given up
    error text -- why the last attempt failed: a code
);
CREATE INDEX outbox_open ON kleidia_backup.outbox (target, channel, id) WHERE ended_at IS NULL;
