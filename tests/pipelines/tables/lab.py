"""A database with tables of every kind, and what pg_dump says of one of them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from kleidia_backup import DirectorySettings, PostgresSettings
from kleidia_backup.pipeline.reports.tables import TablesReport
from kleidia_backup.pipeline.tables.restore import restore_tables

from ...archive_format import backup

PASSWORD = "correct horse battery staple"

SCHEMA = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := 'touched'; RETURN NEW; END $$;
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 100 INCREMENT BY 5) PRIMARY KEY,
    name text NOT NULL, mood mood DEFAULT 'good', boss bigint REFERENCES users (id),
    shout text GENERATED ALWAYS AS (upper(name)) STORED, CONSTRAINT named CHECK (name <> '')
);
CREATE INDEX users_name_idx ON users (lower(name));
CREATE STATISTICS users_stats ON name, mood FROM users;
CREATE TRIGGER touching BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE users ENABLE ALWAYS TRIGGER touching;
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON users USING (true);
COMMENT ON TABLE users IS 'people; all of them';
COMMENT ON COLUMN users.name IS 'what they are called';
GRANT SELECT ON users TO PUBLIC;
CREATE TABLE notes (id serial PRIMARY KEY, user_id bigint REFERENCES users (id), body text);
COMMENT ON CONSTRAINT notes_user_id_fkey ON notes IS 'who wrote it';
CREATE TABLE events (at date NOT NULL, what text, n bigserial, PRIMARY KEY (at, n)) PARTITION BY RANGE (at);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE INDEX events_what_idx ON events (what);
CREATE SCHEMA app;
CREATE TABLE app."Odd ""Name" (id int PRIMARY KEY, v text);
CREATE TABLE backup_jobs (id serial PRIMARY KEY, status text);
CREATE TABLE other (id int PRIMARY KEY, v text);
"""
ROWS = """
INSERT INTO other SELECT n, 'other ' || n FROM generate_series(1, 1000) n;
ALTER TABLE users DISABLE TRIGGER touching;
INSERT INTO users (name, mood) SELECT E'user\\t\\\\' || n, 'bad' FROM generate_series(1, 50) n;
UPDATE users SET boss = 100 WHERE id > 200;
ALTER TABLE users ENABLE ALWAYS TRIGGER touching;
INSERT INTO notes (user_id, body) SELECT 100 + 5 * (n % 50), 'note ' || n FROM generate_series(0, 199) n;
INSERT INTO events (at, what) SELECT '2024-06-01'::date + n * 7, 'event ' || n FROM generate_series(0, 60) n;
INSERT INTO app."Odd ""Name" VALUES (1, 'odd');
INSERT INTO backup_jobs (status) VALUES ('completed');
"""


@dataclass
class Lab:
    """The database, a store, and how to look at both."""

    conninfo: str = field(repr=False)
    postgres: PostgresSettings
    store: DirectorySettings
    name: str = ""

    def sql(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run statements; the rows of the last."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            cursor = connection.execute(text.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def dump(self, *tables: str) -> str:
        """What pg_dump says of these tables, or of everything: definition, rows in order, values of sequences."""
        options = [f"--table={table}" for table in tables]
        done = subprocess.run(
            [self.postgres.pg_dump, f"--dbname={self.conninfo}", *options],
            check=True,
            capture_output=True,
            text=True,
        )
        return re.sub(r"^\\(un)?restrict .*\n", "", done.stdout, flags=re.MULTILINE)

    async def backup(self) -> str:
        """Make an archive, of which the tables then come back."""
        made = await backup(database=self.postgres, store=self.store, password=PASSWORD)
        self.name = made.name
        return made.name

    async def restore(self, *tables: str, **options: Any) -> TablesReport:
        """Bring tables of the archive back."""
        options = {"database": self.postgres, **options}
        return await restore_tables(self.name, tables, store=self.store, password=PASSWORD, **options)

    def scratch(self) -> list[tuple[Any, ...]]:
        """The scratch databases that there are."""
        return self.sql("SELECT datname FROM pg_database WHERE starts_with(datname, 'kleidia_scratch_')")


def make(conninfo: str, pg_dump: Path, directory: Path) -> Lab:
    """A filled one."""
    directory.mkdir()
    lab = Lab(conninfo, PostgresSettings(conninfo, pg_dump=str(pg_dump)), DirectorySettings(directory))
    lab.sql(SCHEMA)
    lab.sql(ROWS)
    return lab
