-- People who logged in (service/control/logins). A session counts as long as the configuration says, from these two times.

CREATE TABLE kleidia_backup.sessions (
    id bytea PRIMARY KEY, -- SHA-256 of what the browser has
    client text NOT NULL, -- the issuer and our id there: another service on these tables has other people
    subject text NOT NULL,
    name text NOT NULL,
    roles text[] NOT NULL, -- the values of the role claim; what they mean the configuration says at each request
    begun_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sessions_begun ON kleidia_backup.sessions (begun_at);

-- Logins that were completed: none is completed twice, whatever the provider says.
CREATE TABLE kleidia_backup.logins (
    id bytea PRIMARY KEY, -- SHA-256 of the nonce
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX logins_at ON kleidia_backup.logins (at);
