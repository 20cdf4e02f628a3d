"""Preserved tables keep everything through a restore, on schemas that make it hard."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import anyio
import psycopg
import pytest

from kleidia_backup.pipeline.engine.testing import run_sink
from kleidia_backup.stages.errors import RestoreFailed
from kleidia_backup.stages.pg.session import open_session

pytestmark = pytest.mark.anyio

USERS = (
    "CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE NOT NULL)",
    "INSERT INTO users (name) VALUES ('ann'), ('bob'), ('cyd')",
)
JOBS = "CREATE TABLE backup_jobs (id serial PRIMARY KEY, what text, triggered_by int REFERENCES users (id) {})"


def kept(db: Any, table: str, columns: str = "t") -> dict[str, Any]:
    """Everything that must be as before: rows, the whole definition as pg_dump writes it, values of sequences."""
    sequences = db.query(
        "SELECT s.oid::regclass::text FROM pg_class s JOIN pg_depend d ON d.objid = s.oid"
        f" AND d.classid = 'pg_class'::regclass WHERE s.relkind = 'S' AND d.refobjid = '{table}'::regclass ORDER BY 1"
    )
    return {
        "rows": db.query(f"SELECT ({columns})::text FROM {table} t ORDER BY 1"),
        "text": db.text("--schema-only", "-t", table),
        "values": [db.query(f"SELECT '{name}', last_value, is_called FROM {name}") for (name,) in sequences],
    }


def valid(db: Any) -> dict[str, bool]:
    """Foreign keys by name, and whether each is valid."""
    return dict(db.query("SELECT conname, convalidated FROM pg_constraint WHERE contype = 'f' AND conparentid = 0"))


@pytest.mark.parametrize("action", ["ON DELETE SET NULL", "ON DELETE CASCADE", "ON DELETE NO ACTION", "DEFERRABLE"])
async def test_rows_stay_when_their_user_is_gone(db: Any, action: str) -> None:
    """Whatever the foreign key would do on a delete, no row is lost or changed; the report says what is NOT VALID."""
    db.execute(*USERS, JOBS.format(action), "INSERT INTO backup_jobs (what, triggered_by) VALUES ('old', 1)")
    chunks = await db.dump()
    db.execute("INSERT INTO users VALUES (77, 'new')", "DELETE FROM users WHERE name = 'bob'")
    db.execute("INSERT INTO backup_jobs (what, triggered_by) VALUES ('by a user of today', 77), ('by nobody', NULL)")
    before = kept(db, "backup_jobs")
    session = await db.restore(chunks)
    assert db.query("SELECT name FROM users ORDER BY 1") == [("ann",), ("bob",), ("cyd",)]
    after = kept(db, "backup_jobs")
    assert (after["rows"], after["values"]) == (before["rows"], before["values"])
    assert after["text"] == re.sub(r"(REFERENCES public.users\(id\).*?);", r"\1 NOT VALID;", before["text"])
    assert valid(db) == {"backup_jobs_triggered_by_fkey": False}
    assert [
        w for w in session.report.warnings if "backup_jobs_triggered_by_fkey of public.backup_jobs is NOT VALID" in w
    ]
    db.execute("INSERT INTO backup_jobs (what, triggered_by) VALUES ('afterwards', 1)")
    assert db.value("SELECT id FROM backup_jobs WHERE what = 'afterwards'") == 4


HARD = (
    *USERS,
    "CREATE EXTENSION citext",
    "CREATE TYPE status AS ENUM ('pending', 'done')",
    "CREATE DOMAIN size AS bigint CHECK (VALUE >= 0)",
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := ''touched''; RETURN NEW; END'",
    "CREATE FUNCTION boom() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''boom''; END'",
    "CREATE FUNCTION ok(text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 <> ''bad'''",
    "CREATE SEQUENCE loose",
    """CREATE TABLE backup_jobs (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        number bigint DEFAULT nextval('loose') UNIQUE,
        status status NOT NULL DEFAULT 'pending',
        states status[] DEFAULT '{done}',
        size size, mail citext, doc jsonb, raw bytea, at timestamptz DEFAULT now(), price numeric(10, 2), ratio float8,
        parent int REFERENCES backup_jobs ON DELETE CASCADE,
        triggered_by int REFERENCES users ON DELETE SET NULL,
        note varchar(40) COLLATE "C" CHECK (ok(note)), gone int,
        twice bigint GENERATED ALWAYS AS (size * 2) STORED,
        CONSTRAINT pair UNIQUE (status, id) DEFERRABLE)""",
    "ALTER TABLE backup_jobs DROP COLUMN gone",
    "CREATE INDEX jobs_by_status ON backup_jobs (status) WHERE status = 'pending'::status",
    "CREATE INDEX jobs_lower ON backup_jobs (lower(note)) INCLUDE (id)",
    "CREATE STATISTICS jobs_stat ON status, triggered_by FROM backup_jobs",
    "CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON backup_jobs FOR EACH ROW EXECUTE FUNCTION touch()",
    "CREATE TRIGGER always BEFORE INSERT ON backup_jobs FOR EACH ROW EXECUTE FUNCTION touch()",
    "ALTER TABLE backup_jobs ENABLE ALWAYS TRIGGER always",
    "CREATE TRIGGER off AFTER INSERT ON backup_jobs FOR EACH ROW EXECUTE FUNCTION boom()",
    "ALTER TABLE backup_jobs DISABLE TRIGGER off",
    "ALTER TABLE backup_jobs ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE backup_jobs FORCE ROW LEVEL SECURITY",
    "CREATE POLICY mine ON backup_jobs FOR SELECT TO PUBLIC USING (triggered_by IS NOT NULL)",
    "ALTER TABLE backup_jobs SET (fillfactor = 71)",
    "COMMENT ON TABLE backup_jobs IS 'It''s \\ the history'",
    "COMMENT ON COLUMN backup_jobs.note IS 'a note'",
    "GRANT SELECT, INSERT ON backup_jobs TO PUBLIC",
    "GRANT UPDATE (note) ON backup_jobs TO PUBLIC",
    "ALTER TABLE backup_jobs REPLICA IDENTITY FULL",
    "CREATE VIEW open_jobs AS SELECT id, status FROM backup_jobs WHERE status = 'pending'",
    "CREATE VIEW named_jobs AS SELECT j.id, u.name FROM backup_jobs j LEFT JOIN users u ON u.id = triggered_by",
    "CREATE MATERIALIZED VIEW job_counts AS SELECT status, count(*) FROM open_jobs GROUP BY 1",
    "CREATE UNIQUE INDEX ON job_counts (status)",
    "CREATE FUNCTION all_jobs() RETURNS SETOF backup_jobs LANGUAGE sql BEGIN ATOMIC SELECT * FROM backup_jobs; END",
    "CREATE TABLE job_files (job int REFERENCES backup_jobs ON DELETE CASCADE, file text)",
    """INSERT INTO backup_jobs (size, mail, doc, raw, price, ratio, parent, triggered_by) VALUES
    (5, 'A@b', '{"a": [1, null]}', '\\x00ff', 1.50, 0.1, 1, 1), (6, NULL, NULL, '', NULL, 'NaN', 1, 2)""",
    "INSERT INTO job_files VALUES (1, 'one'), (2, 'two')",
    "REFRESH MATERIALIZED VIEW job_counts",
)
LATER = (
    "INSERT INTO backup_jobs (size, note, parent, triggered_by) VALUES (7, 'later', 2, 3)",
    "DELETE FROM job_files WHERE job = 2",
    "DELETE FROM backup_jobs WHERE id = 2 AND false",
    "SELECT nextval('loose') FROM generate_series(1, 40)",
    "SELECT nextval(pg_get_serial_sequence('backup_jobs', 'id'))",
    "INSERT INTO users (name) VALUES ('dee')",
)


@pytest.mark.parametrize("superuser", [True, False])
async def test_a_hard_schema_is_as_before(db: Any, make_role: Any, superuser: bool) -> None:
    """Types, triggers, policies, views, functions, generated columns: rows and definition are what they were."""
    if not superuser:
        name, theirs = make_role(db)
        db.execute(f"ALTER DATABASE {db.value('SELECT current_database()')} OWNER TO {name}")
        db = theirs
    db.execute(*(statement for statement in HARD if superuser or "FORCE ROW" not in statement))
    chunks = await db.dump()
    original = db.text("--exclude-table-data=backup_jobs")
    db.execute(*LATER)
    before = kept(db, "backup_jobs")
    session = await db.restore(chunks)
    assert kept(db, "backup_jobs") == before
    assert [w for w in session.report.warnings if "session_replication_role" not in w] == []
    assert all(valid(db).values())
    assert db.value("SELECT last_value FROM loose") == 43
    assert db.value("SELECT count FROM job_counts") == 3
    assert db.query("SELECT name FROM users ORDER BY 1") == [("ann",), ("bob",), ("cyd",)]
    assert db.query("SELECT file FROM job_files ORDER BY 1") == [("one",), ("two",)]
    without_values = re.compile(r"SELECT pg_catalog.setval\(.*\n")
    assert without_values.sub("", db.text("--exclude-table-data=backup_jobs")) == without_values.sub("", original)


async def test_a_failure_after_the_rows_were_put_aside_changes_nothing(db: Any) -> None:
    """It is all one transaction: a restore that fails at its last statement leaves the very same database."""
    db.execute(*HARD)
    chunks = await db.dump()
    db.execute(*LATER)
    before = db.text()
    with pytest.raises(RestoreFailed, match="division by zero"):
        await db.restore([*chunks, b"\nSELECT 1/0;\n"])
    assert db.text() == before
    async with open_session(db.settings) as session:
        await run_sink(session, chunks)
    assert session.report.rolled_back
    assert db.text() == before


async def test_tables_that_refer_to_a_preserved_table_come_back_with_their_keys(db: Any) -> None:
    """Their rows are the archive's; where a job is gone since, the key is NOT VALID and the report says so."""
    db.execute(*USERS, JOBS.format(""), "INSERT INTO backup_jobs (what) VALUES ('a'), ('b')")
    db.execute(
        "CREATE TABLE job_files (job int REFERENCES backup_jobs ON DELETE CASCADE, file text)",
        "INSERT INTO job_files VALUES (1, 'one'), (2, 'two')",
        'CREATE TABLE "Job Tags" (job int, tag text, CONSTRAINT "to job" FOREIGN KEY (job) REFERENCES backup_jobs)',
        """INSERT INTO "Job Tags" VALUES (2, 'x')""",
    )
    chunks = await db.dump()
    db.execute("DELETE FROM backup_jobs WHERE id = 1")
    session = await db.restore(chunks)
    assert db.query("SELECT * FROM job_files ORDER BY 1") == [(1, "one"), (2, "two")]
    assert db.query("SELECT id FROM backup_jobs") == [(2,)]
    assert valid(db) == {"job_files_job_fkey": False, "to job": True, "backup_jobs_triggered_by_fkey": True}
    assert len(session.report.warnings) == 1
    assert "job_files_job_fkey of public.job_files is NOT VALID" in session.report.warnings[0]


async def test_an_empty_target_has_the_preserved_tables_empty(db: Any, other: Any) -> None:
    """With everything that belongs to them."""
    db.execute(*HARD, *LATER, "DELETE FROM job_files")
    session = await other.restore(await db.dump())
    assert other.value("SELECT count(*) FROM backup_jobs") == 0
    assert other.text("-s") == db.text("-s")
    assert valid(other)["backup_jobs_triggered_by_fkey"]
    assert session.report.warnings == []


async def test_an_empty_target_with_data_that_refers_to_them(db: Any, other: Any) -> None:
    """Rows that refer to jobs which are not there: the restore succeeds, the key is NOT VALID, the report says so."""
    db.execute(*HARD)
    session = await other.restore(await db.dump())
    assert other.value("SELECT count(*) FROM job_files") == 2
    assert valid(other)["job_files_job_fkey"] is False
    assert any("job_files_job_fkey" in warning for warning in session.report.warnings)


async def test_what_the_archive_does_not_know_stays(db: Any) -> None:
    """Columns, indexes, constraints, triggers, grants, views and tables made since the backup."""
    db.execute(*USERS, JOBS.format(""), "INSERT INTO backup_jobs (what, triggered_by) VALUES ('a', 1), ('b', 2)")
    chunks = await db.dump()
    db.execute(
        "CREATE TYPE kind AS ENUM ('x', 'y')",
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "ALTER TABLE backup_jobs ADD COLUMN kind kind NOT NULL DEFAULT 'y', ADD COLUMN extra bigserial",
        "ALTER TABLE backup_jobs ADD COLUMN again bigint GENERATED ALWAYS AS (extra + 1) STORED",
        "ALTER TABLE backup_jobs ALTER COLUMN what TYPE varchar(30), ALTER COLUMN what SET NOT NULL",
        "ALTER TABLE backup_jobs ADD CONSTRAINT short CHECK (length(what) < 10), ADD UNIQUE (what)",
        "CREATE INDEX newer ON backup_jobs (extra DESC)",
        "CREATE TRIGGER newer BEFORE UPDATE ON backup_jobs FOR EACH ROW EXECUTE FUNCTION nothing()",
        "GRANT SELECT ON backup_jobs TO PUBLIC",
        "GRANT USAGE ON SEQUENCE backup_jobs_extra_seq TO PUBLIC",
        "COMMENT ON COLUMN backup_jobs.extra IS 'new'",
        "CREATE VIEW later WITH (security_barrier) AS SELECT id, kind FROM backup_jobs",
        "CREATE VIEW later_still AS SELECT id FROM later",
        "GRANT SELECT ON later_still TO PUBLIC",
        "COMMENT ON VIEW later IS 'a view'",
        "CREATE MATERIALIZED VIEW later_count AS SELECT count(*) FROM later_still",
        "CREATE TABLE sessions (owner int REFERENCES users ON DELETE CASCADE, job int REFERENCES backup_jobs)",
        "INSERT INTO sessions VALUES (1, 2)",
        "INSERT INTO users VALUES (50, 'new')",
        "INSERT INTO sessions VALUES (50, NULL)",
        "DELETE FROM users WHERE name = 'cyd'",
    )
    before, views = kept(db, "backup_jobs"), db.text("-s", "-t", "later*")
    session = await db.restore(chunks)
    after = kept(db, "backup_jobs")
    assert after["values"] == before["values"]
    assert sorted(after["text"].splitlines()) == sorted(before["text"].splitlines())
    assert after["rows"] == before["rows"]
    assert db.text("-s", "-t", "later*") == views
    assert db.value("SELECT count FROM later_count") == 2
    assert db.query("SELECT * FROM sessions ORDER BY 1") == [(1, 2), (50, None)]
    assert valid(db) == {
        "backup_jobs_triggered_by_fkey": True,
        "sessions_job_fkey": True,
        "sessions_owner_fkey": False,
    }
    (warning,) = session.report.warnings
    assert "sessions_owner_fkey of public.sessions is NOT VALID" in warning


async def test_what_only_the_archive_has_goes(db: Any) -> None:
    """The preserved table is as before, not as it was when the backup was made."""
    db.execute(*USERS, JOBS.format(""))
    db.execute(
        "ALTER TABLE backup_jobs ADD COLUMN old int NOT NULL, ADD CONSTRAINT no CHECK (what <> 'b')",
        "CREATE INDEX old_index ON backup_jobs (what)",
        "CREATE FUNCTION boom() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''boom''; END'",
        "CREATE TRIGGER boom BEFORE INSERT ON backup_jobs FOR EACH ROW EXECUTE FUNCTION boom()",
        "GRANT ALL ON backup_jobs TO PUBLIC",
        "COMMENT ON TABLE backup_jobs IS 'old'",
        "CREATE UNIQUE INDEX one ON backup_jobs ((1))",
    )
    chunks = await db.dump()
    db.execute(
        "ALTER TABLE backup_jobs DROP COLUMN old, DROP CONSTRAINT no",
        "DROP INDEX old_index, one",
        "DROP TRIGGER boom ON backup_jobs",
        "REVOKE ALL ON backup_jobs FROM PUBLIC",
        "COMMENT ON TABLE backup_jobs IS NULL",
        "INSERT INTO backup_jobs (what) VALUES ('a'), ('b')",
    )
    before = kept(db, "backup_jobs")
    session = await db.restore(chunks)
    assert kept(db, "backup_jobs") == before
    assert session.report.warnings == []


async def test_a_column_that_a_view_of_the_archive_needs_stays_and_is_told(db: Any) -> None:
    """It may be empty then; no row is lost over it."""
    db.execute(*USERS, JOBS.format(""), "ALTER TABLE backup_jobs ADD COLUMN old int NOT NULL")
    db.execute("CREATE VIEW old_view AS SELECT old FROM backup_jobs")
    chunks = await db.dump()
    db.execute("DROP VIEW old_view", "ALTER TABLE backup_jobs DROP COLUMN old")
    db.execute("INSERT INTO backup_jobs (what) VALUES ('a')")
    session = await db.restore(chunks)
    assert db.query("SELECT what, old FROM backup_jobs") == [("a", None)]
    assert any("keeps the column old of the archive" in warning for warning in session.report.warnings)


async def test_a_value_that_the_archives_enum_lacks_is_added(db: Any) -> None:
    """Otherwise a row of today could not be kept."""
    db.execute("CREATE TYPE st AS ENUM ('a', 'c')", "CREATE TABLE backup_jobs (id int, st st)")
    chunks = await db.dump()
    db.execute("ALTER TYPE st ADD VALUE 'b' BEFORE 'c'", "ALTER TYPE st ADD VALUE 'd'")
    db.execute("INSERT INTO backup_jobs VALUES (1, 'b'), (2, 'd'), (3, 'a')")
    session = await db.restore(chunks)
    assert db.query("SELECT id, st::text FROM backup_jobs ORDER BY st") == [(3, "a"), (1, "b"), (2, "d")]
    assert db.value("SELECT enum_range(NULL::st)::text") == "{a,b,c,d}"
    assert len(session.report.warnings) == 2


async def test_rows_that_break_a_check_not_validated_stay(db: Any) -> None:
    """NOT VALID stays NOT VALID."""
    db.execute("CREATE TABLE backup_jobs (id int)", "INSERT INTO backup_jobs VALUES (-1)")
    db.execute("ALTER TABLE backup_jobs ADD CONSTRAINT positive CHECK (id > 0) NOT VALID")
    before = kept(db, "backup_jobs")
    session = await db.restore(await db.dump())
    assert kept(db, "backup_jobs") == before
    assert session.report.warnings == []


async def test_another_schema_and_names_that_need_quotes(db: Any) -> None:
    """The schema itself is dropped and made again by the archive."""
    name = '"My App"."Backup ""Jobs"""'
    db = db.using(preserve=(name, "app.backup_jobs"))
    db.execute(
        *USERS,
        'CREATE SCHEMA "My App"',
        "CREATE SCHEMA app",
        'CREATE TYPE "My App"."State" AS ENUM (\'A\')',
        f'CREATE TABLE {name} ("Id" serial PRIMARY KEY, "S" "My App"."State", "By" int)',
        f'ALTER TABLE {name} ADD CONSTRAINT "By ""x" FOREIGN KEY ("By") REFERENCES users',
        "CREATE TABLE app.backup_jobs (id serial, by int REFERENCES users, "
        f'other int CONSTRAINT "Öther" REFERENCES {name} ON DELETE SET NULL)',
        f"INSERT INTO {name} (\"S\", \"By\") VALUES ('A', 1), ('A', 2)",
        "INSERT INTO app.backup_jobs (by, other) VALUES (1, 2)",
    )
    chunks = await db.dump()
    assert b"DROP SCHEMA IF EXISTS app" in b"".join(chunks)
    db.execute(f'INSERT INTO {name} ("By") VALUES (3)', "INSERT INTO app.backup_jobs VALUES (9, 3, 3)")
    before = kept(db, name), kept(db, "app.backup_jobs")
    session = await db.restore(chunks)
    assert (kept(db, name), kept(db, "app.backup_jobs")) == before
    assert session.report.warnings == []
    assert len(session.report.preserved) == 2


async def test_the_audit_table_is_kept_when_the_archive_has_none(db: Any) -> None:
    """Also partitioned, with partitions that the archive does not know yet, and the caller decides."""
    db.execute(
        *USERS,
        "CREATE TABLE audit_logs (id bigserial, at date, who int REFERENCES users, what text) PARTITION BY RANGE (at)",
        "ALTER TABLE audit_logs ADD PRIMARY KEY (id, at)",
        "CREATE TABLE audit_2025 PARTITION OF audit_logs FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
        "CREATE TABLE audit_old PARTITION OF audit_logs FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
        "CREATE INDEX audit_by_what ON audit_logs (what)",
        "INSERT INTO audit_logs (at, who, what) VALUES ('2025-05-05', 1, 'login'), ('2025-06-06', NULL, 'logout')",
    )
    chunks = await db.dump(include_audit=False)
    db.execute(
        "DROP TABLE audit_old",
        "CREATE TABLE audit_2026 PARTITION OF audit_logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"
        " PARTITION BY RANGE (at)",
        "CREATE TABLE audit_2026_h1 PARTITION OF audit_2026 FOR VALUES FROM ('2026-01-01') TO ('2026-07-01')",
        "INSERT INTO audit_logs (at, who, what) VALUES ('2026-05-05', 2, 'login')",
    )
    before = kept(db, "audit_logs", "id, at, who, what, tableoid::regclass")
    session = await db.restore(chunks, preserve=(*db.settings.preserve, *db.settings.audit))
    assert kept(db, "audit_logs", "id, at, who, what, tableoid::regclass") == before
    assert session.report.warnings == []
    assert valid(db) == {"audit_logs_who_fkey": True}


def foreign_dump(db: Any, *options: str) -> list[bytes]:
    """A dump as another writer may have made it."""
    command = [db.settings.pg_dump, "--clean", "--if-exists", f"--dbname={db.settings.full_conninfo()}", *options]
    return [subprocess.run(command, check=True, capture_output=True).stdout]


async def test_an_archive_without_the_preserved_table_at_all(db: Any) -> None:
    """Its sequence is in the archive all the same, and so may be types, functions and views that the table needs."""
    db.execute(*HARD)
    chunks = foreign_dump(db, "--exclude-table=backup_jobs")
    assert b"CREATE SEQUENCE" in chunks[0]
    db.execute(*LATER)
    before, views = kept(db, "backup_jobs"), db.text("-s", "-t", "open_jobs", "-t", "named_jobs", "-t", "job_counts")
    db.execute("DROP FUNCTION all_jobs")
    chunks = [re.sub(rb"CREATE FUNCTION public.all_jobs.*?END;\n.*?;\n", b"", chunks[0], flags=re.DOTALL)]
    session = await db.restore(chunks)
    assert kept(db, "backup_jobs") == before
    assert db.text("-s", "-t", "open_jobs", "-t", "named_jobs", "-t", "job_counts") == views
    assert session.report.warnings == []
    assert db.value("SELECT count FROM job_counts") == 3
    assert all(valid(db).values())


async def test_an_archive_without_it_and_a_serial_column(db: Any) -> None:
    """The plain case of the above."""
    db.execute(*USERS, JOBS.format("ON DELETE SET NULL"))
    chunks = foreign_dump(db, "--exclude-table=backup_jobs")
    db.execute("INSERT INTO users VALUES (9, 'new')", "INSERT INTO backup_jobs VALUES (1), (2)")
    before = kept(db, "backup_jobs")
    session = await db.restore(chunks)
    assert kept(db, "backup_jobs") == before
    assert session.report.warnings == []


async def test_a_table_that_nothing_touches_stays_where_it_is(db: Any) -> None:
    """Even when nobody said that the archive lacks it."""
    db.execute(*USERS, "CREATE TABLE backup_jobs (id int, by int REFERENCES users)")
    db.execute("ALTER TABLE backup_jobs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    chunks = foreign_dump(db, "--exclude-table=backup_jobs")
    db.execute("INSERT INTO backup_jobs VALUES (1, 1), (2, 2)")
    before, oid = kept(db, "backup_jobs"), db.value("SELECT 'backup_jobs'::regclass::oid")
    session = await db.restore(chunks, surveyed=False)
    assert kept(db, "backup_jobs") == before
    assert db.value("SELECT 'backup_jobs'::regclass::oid") == oid
    assert session.report.warnings == []


async def test_a_materialized_view_that_the_kept_rows_break_is_told(db: Any) -> None:
    """It is no reason to refuse the restore."""
    db.execute(*USERS, JOBS.format(""), "CREATE MATERIALIZED VIEW m AS SELECT what FROM backup_jobs")
    db.execute("CREATE UNIQUE INDEX ON m (what)")
    chunks = await db.dump()
    db.execute("INSERT INTO backup_jobs (what) VALUES ('same'), ('same')")
    session = await db.restore(chunks)
    assert db.value("SELECT count(*) FROM backup_jobs") == 2
    assert any("materialized view public.m could not be refreshed" in warning for warning in session.report.warnings)
    assert not any("\x1f" in warning for warning in session.report.warnings)


async def test_an_archive_with_rows_of_the_preserved_table(db: Any) -> None:
    """The live rows win."""
    db.execute(*USERS, JOBS.format(""), "INSERT INTO backup_jobs (what) VALUES ('archived')")
    chunks = foreign_dump(db)
    db.execute(
        "UPDATE backup_jobs SET what = 'live'", "INSERT INTO backup_jobs (what, triggered_by) VALUES ('live', 1)"
    )
    before = kept(db, "backup_jobs")
    await db.restore(chunks)
    assert kept(db, "backup_jobs") == before


@pytest.mark.parametrize("since", [False, True], ids=["in the archive", "made since"])
async def test_tables_that_inherit_from_a_preserved_one_keep_their_rows(db: Any, since: bool) -> None:
    """Their rows are rows of that table as well; heirs of heirs too, with their columns, checks and parents."""
    heirs = (
        "CREATE TABLE a_jobs (size int CHECK (size > 0)) INHERITS (backup_jobs)",
        "CREATE TABLE aa_jobs (more text DEFAULT 'm') INHERITS (a_jobs)",
        "INSERT INTO a_jobs (what, size) VALUES ('a', 1)",
        "INSERT INTO aa_jobs (what, size) VALUES ('aa', 2)",
    )
    db.execute(*USERS, JOBS.format(""), "INSERT INTO backup_jobs (what, triggered_by) VALUES ('old', 1)")
    db.execute(*(() if since else heirs))
    chunks = await db.dump()
    db.execute(*(heirs if since else ()), "ALTER TABLE backup_jobs ADD COLUMN extra int DEFAULT 5")
    db.execute("INSERT INTO a_jobs (what, size) VALUES ('later', 3)", "DELETE FROM users WHERE name = 'cyd'")
    question = (
        "SELECT t.tableoid::regclass::text, t::text, a.size, aa.more FROM backup_jobs t"
        " LEFT JOIN a_jobs a USING (id) LEFT JOIN aa_jobs aa USING (id) ORDER BY t.id"
    )
    before = db.query(question)
    assert len(before) == 4
    session = await db.restore(chunks)
    assert db.query(question) == before
    assert [table.name for table in session.report.preserved] == ["backup_jobs", "a_jobs", "aa_jobs"]
    assert session.report.warnings == []
    assert db.value("SELECT count(*) FROM users") == 3


async def test_writers_wait_and_lose_nothing(db: Any, until: Any) -> None:
    """A job written by somebody else before the restore has the lock is kept."""
    db.execute(*USERS, JOBS.format(""))
    chunks = await db.dump()
    with psycopg.connect(db.settings.full_conninfo()) as writer:
        writer.execute("INSERT INTO backup_jobs (what) VALUES ('just now')")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(db.restore, chunks)
            await until(
                lambda: db.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'")
            )
            writer.commit()
    assert db.query("SELECT what FROM backup_jobs") == [("just now",)]


async def test_foreign_keys_survive_without_preserved_tables(db: Any) -> None:
    """A table made since the backup does not block the restore of those it refers to."""
    db.execute(*USERS)
    chunks = await db.dump()
    db.execute("CREATE TABLE sessions (owner int REFERENCES users)", "INSERT INTO sessions VALUES (1)")
    session = await db.restore(chunks)
    assert valid(db) == {"sessions_owner_fkey": True}
    assert db.query("SELECT * FROM sessions") == [(1,)]
    assert session.report.warnings == []
