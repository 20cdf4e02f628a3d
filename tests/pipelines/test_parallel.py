"""A dump by several pg_dumps of one snapshot is the dump of one: backup, restore, compare, against a real server."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kleidia_backup import ConfigurationError, DirectorySettings, PostgresSettings, Progress, backup, restore, verify
from kleidia_backup.demo.servers.together import PostgresServer
from kleidia_backup.stages.errors import JobTimeout

from .conftest import PASSWORD, System, wreck

pytestmark = pytest.mark.anyio

SCHEMA = """
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE small (id int PRIMARY KEY, boss int REFERENCES small, about text);
CREATE TABLE notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id int REFERENCES users (id), body text, data bytea,
    size int GENERATED ALWAYS AS (length(body)) STORED, lost int
);
ALTER TABLE notes DROP COLUMN lost;
ALTER TABLE notes ADD COLUMN late text DEFAULT 'late';
CREATE TABLE tree (id int PRIMARY KEY, above int REFERENCES tree, body text);
CREATE SCHEMA "Odd ""schema"".x";
CREATE TABLE "Odd ""schema"".x"."Ta*ble $1 ?[a-b]|(.)\\ é" ("Co""l" int PRIMARY KEY, "select" text);
CREATE TABLE "Odd ""schema"".x"."Ta*ble" ("Co""l" int PRIMARY KEY, "select" text);
CREATE TABLE measured (at int, what text) PARTITION BY RANGE (at);
CREATE TABLE measured_low PARTITION OF measured FOR VALUES FROM (0) TO (5000);
CREATE TABLE measured_high (what text, at int NOT NULL);
ALTER TABLE measured ATTACH PARTITION measured_high FOR VALUES FROM (5000) TO (100000);
CREATE INDEX ON measured (at);
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE TABLE hashed (c colour, what text) PARTITION BY HASH (c);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE parent (id int, body text);
CREATE TABLE child (more int) INHERITS (parent);
CREATE TABLE toasted (id int, body text);
ALTER TABLE toasted ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE nothing ();
CREATE TABLE backup_jobs (id int, body text);
CREATE MATERIALIZED VIEW seen AS SELECT user_id, count(*) FROM notes GROUP BY 1;
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$;
"""
ROWS = r"""
INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 5000) n;
INSERT INTO small VALUES (1, NULL, 'one'), (2, 1, 'two');
INSERT INTO notes (user_id, body, data)
    SELECT 1 + n % 5000, E'quote \" back\\slash\ttab\n\\. \u2028 ' || n, sha256(n::text::bytea)
    FROM generate_series(1, 40000) n;
INSERT INTO tree SELECT n, nullif(n / 2, 0), repeat('x', 200) FROM generate_series(1, 5000) n;
INSERT INTO "Odd ""schema"".x"."Ta*ble $1 ?[a-b]|(.)\ é" SELECT n, repeat('odd', 50) FROM generate_series(1, 5000) n;
INSERT INTO "Odd ""schema"".x"."Ta*ble" SELECT n, repeat('odd', 51) FROM generate_series(1, 5000) n;
INSERT INTO measured SELECT n, repeat('m', 100) FROM generate_series(1, 20000) n;
INSERT INTO hashed SELECT (ARRAY['red', 'green', 'blue'])[1 + n % 3]::colour, repeat('h', 100)
    FROM generate_series(1, 9000) n;
INSERT INTO parent SELECT n, repeat('p', 200) FROM generate_series(1, 5000) n;
INSERT INTO child SELECT n, repeat('c', 200), n FROM generate_series(1, 5000) n;
INSERT INTO toasted VALUES (1, repeat('toast', 1200000)), (2, 'dry');
INSERT INTO backup_jobs SELECT n, repeat('job-canary', 100) FROM generate_series(1, 1000) n;
CREATE TRIGGER shout BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION shout();
SELECT lo_from_bytea(0, repeat('large object', 100000)::bytea);
REFRESH MATERIALIZED VIEW seen;
ANALYZE;
"""


@pytest.fixture
def filled(database: str) -> str:
    """A database with large tables of every kind, as its statistics know."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute(ROWS.encode())
        connection.execute("SELECT setval('users_id_seq', 7777)")
    return database


@pytest.fixture
def settings(filled: str, postgres_server: PostgresServer) -> PostgresSettings:
    """Three processes, and every table of some pages is a large one."""
    return PostgresSettings(filled, pg_dump=str(postgres_server.bin_dir / "pg_dump"), jobs=3, large_table=64 * 1024)


def text(settings: PostgresSettings, conninfo: str) -> str:
    """What pg_dump says of a database, and the rows that a restore may put into another partition: enums are hashed."""
    command = [settings.pg_dump, "--dbname", conninfo]
    command += ["--exclude-table-data=backup_jobs", "--exclude-table-data=hashed_*"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    with psycopg.connect(conninfo) as connection:
        hashed = connection.execute("SELECT c, what, count(*) FROM hashed GROUP BY 1, 2 ORDER BY 1, 2").fetchall()
    return re.sub(r"\\(un)?restrict \w+\n", "", done.stdout) + repr(hashed)


def pg_dump(directory: Path, body: str) -> str:
    """A program in the place of pg_dump."""
    path = directory / "pg_dump"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


async def test_the_archive_means_the_same_as_that_of_one_process(
    settings: PostgresSettings, filled: str, new_database: Callable[[], str], store_directory: Path
) -> None:
    """Both are restored, and pg_dump says the same of both and of the source; the larger tables came from others."""
    store = DirectorySettings(store_directory)
    made: dict[int, Any] = {}
    said = text(settings, filled)
    for jobs in (1, 3):
        made[jobs] = await backup(
            database=replace(settings, jobs=jobs), store=store, password=PASSWORD, format="v2", name=f"{jobs}.enc"
        )
        checked = await verify(f"{jobs}.enc", store=store, password=PASSWORD)
        target = new_database()
        restored = await restore(
            f"{jobs}.enc", database=replace(settings, conninfo=target), store=store, password=PASSWORD
        )
        assert text(settings, target) == said
        assert made[jobs].warnings == ()
        assert made[jobs].sql_bytes == checked.sql_bytes == restored.sql_bytes
        assert (checked.rows, checked.tables) == (restored.rows, restored.tables)
    names = [stage.name for stage in made[3].stages]
    assert [name for name in names if "rows" in name] == ["pg_dump rows", "pg_dump rows 2"]
    by_others = sum(stage.bytes for stage in made[3].stages if "rows" in stage.name)
    assert by_others > 0.4 * made[1].sql_bytes
    assert "merge" in names
    assert "merge" not in [stage.name for stage in made[1].stages]


async def test_secrets_are_read_when_all_of_them_have_ended(system: System, tmp_path: Path) -> None:
    """With a vault beside it everything comes back, and the vault begins last."""
    system.sql("ANALYZE")
    slow = f'case " $* " in *" --data-only "*) "{system.postgres.pg_dump}" "$@"; exec sleep 1;; esac'
    script = pg_dump(tmp_path, f'{slow}\nexec "{system.postgres.pg_dump}" "$@"')
    database = replace(system.postgres, jobs=3, large_table=1, pg_dump=script)
    states: list[dict[str, str]] = []

    def look(progress: Progress) -> None:
        states.append({stage.name: stage.state for stage in progress.stages})

    made = await backup(
        database=database, vault=system.vault, store=system.store, password=PASSWORD, format="v2", on_progress=look
    )
    waiting = [each for each in states if each.get("pg_dump rows") == "running"]
    assert any(each["pg_dump"] == "finished" for each in waiting)
    assert {each["vault"] for each in waiting} == {"pending"}
    assert [stage.name for stage in made.stages if "rows" in stage.name] == ["pg_dump rows", "pg_dump rows 2"]
    rows, secrets = system.rows(), system.secrets()
    wreck(system)
    report = await restore(made.name, database=database, vault=system.vault, store=system.store, password=PASSWORD)
    assert system.rows() | {"backup_jobs": []} == rows | {"backup_jobs": []}
    assert system.secrets() == secrets
    assert report.sql_bytes == made.sql_bytes


async def test_the_time_limit_of_a_job_ends_all_of_them(system: System, tmp_path: Path) -> None:
    """No process is left (the system looks for them), and no archive."""
    system.sql("ANALYZE")
    slow = pg_dump(tmp_path, f'"{system.postgres.pg_dump}" "$@"\n[ "$1" = --version ] || sleep 60')
    database = replace(system.postgres, jobs=3, large_table=1, pg_dump=slow)
    with pytest.raises(JobTimeout):
        await backup(database=database, store=system.store, password=PASSWORD, format="v2", timeout=4)
    assert system.archives() == []


async def test_format_v1_refuses_several_jobs(settings: PostgresSettings, store_directory: Path) -> None:
    """It has one COPY for each table, and says what to do."""
    with pytest.raises(ConfigurationError, match="needs an archive of format v2"):
        await backup(database=settings, store=DirectorySettings(store_directory), password=PASSWORD)
