"""The database of the demo: what an application that manages security keys keeps in PostgreSQL."""

SCHEMA = """
CREATE TYPE key_status AS ENUM ('unassigned', 'active', 'lost', 'revoked');

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

CREATE TABLE organizations (
    id SERIAL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    settings JSONB NOT NULL DEFAULT '{}',
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE users (
    id SERIAL PRIMARY KEY,
    organization_id INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    email TEXT NOT NULL,
    display_name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    is_admin BOOLEAN NOT NULL DEFAULT false,
    created_at TIMESTAMPTZ NOT NULL,
    last_login TIMESTAMPTZ
);
CREATE UNIQUE INDEX users_email_key ON users (lower(email));
COMMENT ON TABLE users IS 'People who may sign in; "admin" isn''t a role of PostgreSQL''s';

CREATE TABLE yubikeys (
    id SERIAL PRIMARY KEY,
    serial TEXT NOT NULL UNIQUE CHECK (serial <> ''),
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    status key_status NOT NULL DEFAULT 'unassigned',
    firmware TEXT NOT NULL,
    notes TEXT,
    enrolled_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX yubikeys_active ON yubikeys (user_id) WHERE status = 'active';
CREATE TRIGGER yubikeys_touch BEFORE UPDATE ON yubikeys FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE TABLE certificates (
    id SERIAL PRIMARY KEY,
    yubikey_id INTEGER NOT NULL REFERENCES yubikeys (id) ON DELETE CASCADE,
    slot TEXT NOT NULL,
    subject TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    pem TEXT NOT NULL,
    not_after TIMESTAMPTZ NOT NULL,
    revoked BOOLEAN NOT NULL DEFAULT false,
    fingerprint_hex TEXT GENERATED ALWAYS AS (encode(fingerprint, 'hex')) STORED,
    UNIQUE (yubikey_id, slot)
);
CREATE INDEX certificates_not_after ON certificates (not_after) WHERE NOT revoked;

CREATE TABLE audit_logs (
    id BIGSERIAL PRIMARY KEY,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL,
    action TEXT NOT NULL,
    ip_address TEXT NOT NULL,
    hostname TEXT,
    details JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX audit_logs_created_at ON audit_logs (created_at);

CREATE TABLE backup_jobs (
    id SERIAL PRIMARY KEY,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    triggered_by INTEGER REFERENCES users (id) ON DELETE SET NULL,
    file_name TEXT,
    error TEXT,
    started_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ
);
CREATE INDEX backup_jobs_status ON backup_jobs (status);

CREATE VIEW key_holders AS
    SELECT organizations.name AS organization, users.email, yubikeys.serial, yubikeys.status
    FROM yubikeys
    JOIN users ON users.id = yubikeys.user_id
    JOIN organizations ON organizations.id = users.organization_id;
"""
