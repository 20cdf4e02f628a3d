"""What a preserved table has beside its rows, and rows of kinds that are hard to put aside."""

from __future__ import annotations

from typing import Any

import pytest

from kleidia_backup.stages.errors import RestoreFailed

from .test_preserve import USERS, foreign_dump, kept

pytestmark = pytest.mark.anyio


def ordered(text: str) -> list[str]:
    """A table's definition, whatever order its parts are written in."""
    return sorted(line.strip().rstrip(",") for line in text.splitlines())


PARTS = {
    "comments": (
        "COMMENT ON INDEX jobs_what IS 'i'",
        "COMMENT ON CONSTRAINT short ON backup_jobs IS 'c'",
        "COMMENT ON CONSTRAINT backup_jobs_pkey ON backup_jobs IS 'p'",
        "COMMENT ON TRIGGER touch ON backup_jobs IS 't'",
        "COMMENT ON RULE nothing ON backup_jobs IS 'r'",
        "COMMENT ON POLICY mine ON backup_jobs IS 'p'",
        "COMMENT ON STATISTICS jobs_stat IS 's'",
        "COMMENT ON SEQUENCE backup_jobs_id_seq IS 'q'",
        "COMMENT ON COLUMN backup_jobs.what IS 'w'",
    ),
    "settings of columns": (
        "ALTER TABLE backup_jobs ALTER what SET STATISTICS 700, ALTER what SET STORAGE EXTERNAL",
        "ALTER TABLE backup_jobs ALTER size SET (n_distinct = -0.5)",
        "ALTER TABLE backup_jobs ALTER what SET COMPRESSION pglz",
    ),
    "settings of the table": (
        "ALTER TABLE backup_jobs SET UNLOGGED",
        "ALTER TABLE backup_jobs SET (fillfactor = 55, toast.autovacuum_enabled = off)",
        "ALTER TABLE backup_jobs CLUSTER ON jobs_what",
        "CREATE INDEX jobs_twice ON backup_jobs ((size * 2))",
        "ALTER INDEX jobs_twice ALTER COLUMN 1 SET STATISTICS 300",
    ),
    "extensions": (
        "CREATE EXTENSION pg_trgm",
        "ALTER INDEX jobs_what DEPENDS ON EXTENSION pg_trgm",
        "ALTER TRIGGER touch ON backup_jobs DEPENDS ON EXTENSION pg_trgm",
    ),
    "settings of keys": (
        "ALTER INDEX backup_jobs_pkey SET (fillfactor = 70)",
        "ALTER TABLE backup_jobs ADD CONSTRAINT jobs_size UNIQUE (size, what) INCLUDE (id)",
        "ALTER INDEX jobs_size SET (fillfactor = 71, deduplicate_items = off)",
        "ALTER TABLE backup_jobs ADD CONSTRAINT late UNIQUE (id) WITH (fillfactor = 73) DEFERRABLE INITIALLY DEFERRED",
        "ALTER TABLE backup_jobs ADD EXCLUDE USING btree (id WITH =) WITH (fillfactor = 72) WHERE (id > 1) DEFERRABLE",
    ),
    "unlogged sequences": (
        "ALTER TABLE backup_jobs ADD g int GENERATED ALWAYS AS IDENTITY",
        "ALTER SEQUENCE backup_jobs_g_seq SET UNLOGGED",
        "ALTER SEQUENCE backup_jobs_id_seq SET UNLOGGED",
    ),
    "a logged sequence of an unlogged table": (
        "ALTER TABLE backup_jobs SET UNLOGGED",
        "ALTER SEQUENCE backup_jobs_id_seq SET LOGGED",
    ),
    "a row type": ("CREATE TYPE job AS (id int, what text, size int)", "ALTER TABLE backup_jobs OF job"),
}
TABLE = (
    *USERS,
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TABLE backup_jobs (id serial PRIMARY KEY, what text, size int, CONSTRAINT short CHECK (size < 10))",
    "CREATE INDEX jobs_what ON backup_jobs (what)",
    "CREATE STATISTICS jobs_stat ON what, size FROM backup_jobs",
    "CREATE TRIGGER touch BEFORE UPDATE ON backup_jobs FOR EACH ROW EXECUTE FUNCTION touch()",
    "CREATE RULE nothing AS ON DELETE TO backup_jobs WHERE size = 1 DO INSTEAD NOTHING",
    "CREATE POLICY mine ON backup_jobs USING (size > 0)",
    "CREATE VIEW jobs AS SELECT id, what FROM backup_jobs",
    "INSERT INTO backup_jobs (what, size) VALUES ('a', 1), ('b', 2)",
)

VIEWS = (
    "CREATE VIEW later AS SELECT what FROM backup_jobs",
    "COMMENT ON COLUMN later.what IS 'w'",
    "CREATE TRIGGER on_later INSTEAD OF UPDATE ON later FOR EACH ROW EXECUTE FUNCTION touch()",
    "COMMENT ON TRIGGER on_later ON later IS 't'",
    "CREATE MATERIALIZED VIEW later_all AS SELECT what FROM later",
    "CREATE INDEX later_what ON later_all (what)",
    "COMMENT ON INDEX later_what IS 'i'",
    "ALTER MATERIALIZED VIEW later_all ALTER what SET STATISTICS 300, CLUSTER ON later_what, SET (fillfactor = 33)",
)


async def archived(db: Any, made: tuple[str, ...], parts: tuple[str, ...], archive: str, *tables: str) -> list[bytes]:
    """Make tables with parts; an archive that has them, was made before them, or does not know the tables."""
    db.execute(*made, *(parts if archive == "has them" else ()))
    without = [f"--exclude-table={name}" for name in tables]
    chunks: list[bytes] = foreign_dump(db, *without) if archive == "has no such table" else await db.dump()
    db.execute(*(() if archive == "has them" else parts))
    return chunks


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("archive", ["has them", "has them not", "has no such table"])
async def test_parts_stay(db: Any, parts: tuple[str, ...], archive: str) -> None:
    """Whether the archive has them, was made before them, or does not know the table."""
    chunks = await archived(db, TABLE, parts, archive, "backup_jobs")
    db.execute(*VIEWS)
    before, views = kept(db, "backup_jobs"), db.text("-s", "-t", "jobs", "-t", "later*")
    session = await db.restore(chunks)
    after = kept(db, "backup_jobs")
    assert (after["rows"], after["values"]) == (before["rows"], before["values"])
    assert ordered(after["text"]) == ordered(before["text"])
    assert ordered(db.text("-s", "-t", "jobs", "-t", "later*")) == ordered(views)
    assert session.report.warnings == []


async def test_parts_that_only_the_archive_has_go(db: Any) -> None:
    """All of them."""
    everything = [part for kind, parts in PARTS.items() if kind != "a row type" for part in parts]
    db.execute(*TABLE, *everything)
    chunks = await db.dump()
    db.execute(*DROPPED)
    before = kept(db, "backup_jobs")
    session = await db.restore(chunks)
    assert ordered(kept(db, "backup_jobs")["text"]) == ordered(before["text"])
    assert session.report.warnings == []


DROPPED = (
    "DROP TABLE backup_jobs CASCADE",
    *(statement for statement in TABLE if "backup_jobs" in statement),
)


async def test_a_partition_keeps_its_own(db: Any) -> None:
    """Owner, grants, indexes, comments and checks, whether the archive knows the partition or not."""
    db.execute(
        "CREATE TABLE backup_jobs (id int, what text) PARTITION BY RANGE (id)",
        "CREATE INDEX by_what ON backup_jobs (what)",
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER touch BEFORE UPDATE ON backup_jobs FOR EACH ROW EXECUTE FUNCTION touch()",
        "CREATE TABLE p1 PARTITION OF backup_jobs FOR VALUES FROM (0) TO (10)",
    )
    chunks = await db.dump()
    db.execute("CREATE TABLE p2 PARTITION OF backup_jobs FOR VALUES FROM (10) TO (20)")
    for name in ("p1", "p2"):
        db.execute(
            f"CREATE INDEX {name}_lower ON {name} (lower(what))",
            f"COMMENT ON TABLE {name} IS 'of {name}'",
            f"COMMENT ON INDEX {name}_lower IS 'of {name}'",
            f"ALTER TABLE {name} ADD CONSTRAINT {name}_short CHECK (length(what) < 10)",
            f"ALTER TABLE {name} SET (fillfactor = 44), ALTER what SET DEFAULT '{name}'",
            f"ALTER TABLE {name} OWNER TO pg_monitor",
            f"GRANT SELECT ON {name} TO PUBLIC",
            f"ALTER TABLE {name} DISABLE TRIGGER touch",
        )
    db.execute("INSERT INTO backup_jobs VALUES (1, 'a'), (11, 'b')")
    before = [kept(db, name) for name in ("backup_jobs", "p1", "p2")]
    session = await db.restore(chunks)
    after = [kept(db, name) for name in ("backup_jobs", "p1", "p2")]
    assert [each["rows"] for each in after] == [each["rows"] for each in before]
    assert [ordered(each["text"]) for each in after] == [ordered(each["text"]) for each in before]
    assert session.report.warnings == []


PARTITIONED = (
    "CREATE TABLE backup_jobs (id int NOT NULL, what text) PARTITION BY RANGE (id)",
    "CREATE TABLE p1 PARTITION OF backup_jobs FOR VALUES FROM (0) TO (10)",
    "CREATE TABLE p2 PARTITION OF backup_jobs FOR VALUES FROM (10) TO (20) PARTITION BY LIST (what)",
    "CREATE TABLE p2a PARTITION OF p2 DEFAULT",
    "INSERT INTO backup_jobs VALUES (1, 'a'), (11, 'b')",
)
INDEXES = {
    "of the table alone": ("CREATE INDEX by_what ON ONLY backup_jobs (what)", "COMMENT ON INDEX by_what IS 'i'"),
    "of some partitions": (
        "CREATE INDEX by_what ON ONLY backup_jobs (what)",
        "CREATE INDEX mine ON p2 (what) WITH (fillfactor = 44)",
        "ALTER INDEX by_what ATTACH PARTITION mine",
        "COMMENT ON INDEX mine IS 'i'",
    ),
    "of some partitions of a partition": (
        "CREATE INDEX by_what ON ONLY backup_jobs (what)",
        "CREATE INDEX mine ON ONLY p2 (what)",
        "ALTER INDEX by_what ATTACH PARTITION mine",
    ),
    "a key of the table alone": (
        "ALTER TABLE ONLY backup_jobs ADD CONSTRAINT k UNIQUE (id, what) WITH (fillfactor = 44)",
        "ALTER TABLE p1 ADD CONSTRAINT k1 UNIQUE (id, what) WITH (fillfactor = 55)",
        "ALTER INDEX k ATTACH PARTITION k1",
        "COMMENT ON CONSTRAINT k1 ON p1 IS 'k'",
    ),
    "a primary key of the table alone": ("ALTER TABLE ONLY backup_jobs ADD CONSTRAINT k PRIMARY KEY (id)",),
    "with names and settings of their own": (
        "CREATE INDEX by_what ON backup_jobs (what) WITH (fillfactor = 44)",
        'ALTER INDEX p1_what_idx RENAME TO "1\'st"',
        'ALTER INDEX "1\'st" SET (fillfactor = 55)',
        "ALTER INDEX p2a_what_idx RENAME TO second",
        "ALTER TABLE backup_jobs ADD CONSTRAINT k UNIQUE (id, what)",
        "ALTER INDEX p1_id_what_key RENAME TO k1",
        "COMMENT ON CONSTRAINT k1 ON p1 IS 'k'",
        "COMMENT ON INDEX second IS 'i'",
    ),
}


@pytest.mark.parametrize("indexes", INDEXES.values(), ids=INDEXES)
@pytest.mark.parametrize("archive", ["has them", "has them not", "has no such table"])
async def test_indexes_of_partitions(db: Any, indexes: tuple[str, ...], archive: str) -> None:
    """They are of the table alone, or of some partitions, or have names and settings of their own, as before."""
    tables = ("backup_jobs", "p1", "p2", "p2a")
    chunks = await archived(db, PARTITIONED, indexes, archive, *tables)
    before = [kept(db, name) for name in tables]
    session = await db.restore(chunks)
    after = [kept(db, name) for name in tables]
    assert [each["rows"] for each in after] == [each["rows"] for each in before]
    assert [ordered(each["text"]) for each in after] == [ordered(each["text"]) for each in before]
    assert session.report.warnings == []


# Rows -------------------------------------------------------------------------------------------------------------

VALUES = {
    "published without a replica identity": (
        (
            "CREATE TABLE backup_jobs (s text)",
            "INSERT INTO backup_jobs VALUES ('x')",
            "CREATE PUBLICATION p FOR ALL TABLES",
        ),
        (),
    ),
    "a collation of its own": (
        (
            "CREATE COLLATION nd (provider = libc, locale = 'C')",
            "CREATE DOMAIN word AS text COLLATE nd",
            "CREATE TABLE backup_jobs (id serial PRIMARY KEY, s text COLLATE nd, w word, a text[] COLLATE nd)",
            "INSERT INTO backup_jobs (s, w, a) VALUES ('x', 'y', '{z}')",
        ),
        (),
    ),
    "a new value of an enum behind other types": (
        (
            "CREATE TYPE st AS ENUM ('a', 'b')",
            "CREATE DOMAIN std AS st",
            "CREATE TYPE pair AS (n int, s st)",
            "CREATE TYPE span AS RANGE (subtype = st)",
            "CREATE DOMAIN many AS std[]",
            "CREATE TABLE backup_jobs (d std, p pair, r span, m many, q pair[])",
            "CREATE TABLE other (d std, p pair, r span, m many)",
        ),
        (
            "ALTER TYPE st ADD VALUE 'c'",
            "INSERT INTO backup_jobs VALUES ('c', '(1,c)', '[a,c]', '{c}', '{\"(1,c)\"}')",
        ),
    ),
    "odd values of an enum": (
        (
            r"CREATE TYPE st AS ENUM ('it''s, (1);', 'a\b', 'é')",
            "CREATE TABLE backup_jobs (d st)",
            r"INSERT INTO backup_jobs VALUES ('a\b'), ('é')",
        ),
        (r"ALTER TYPE st ADD VALUE '''new\' BEFORE 'é'", r"INSERT INTO backup_jobs VALUES ('''new\')"),
    ),
    "a new attribute": (
        (
            "CREATE TYPE pair AS (a int, b text)",
            "CREATE TABLE backup_jobs (id int, p pair, q pair[])",
            "INSERT INTO backup_jobs VALUES (1, '(1,x)', '{\"(2,y)\"}')",
        ),
        ("ALTER TYPE pair ADD ATTRIBUTE z int", "INSERT INTO backup_jobs VALUES (2, '(1,x,5)')"),
    ),
    "a renamed attribute": (
        ("CREATE TYPE pair AS (a int, b text)", "CREATE TABLE backup_jobs (id int, p pair)"),
        (
            "ALTER TYPE pair RENAME ATTRIBUTE a TO c",
            "ALTER TYPE pair RENAME ATTRIBUTE b TO d",
            "INSERT INTO backup_jobs VALUES (2, '(1,x)')",
        ),
    ),
    "no column": (("CREATE TABLE backup_jobs ()", "INSERT INTO backup_jobs DEFAULT VALUES"), ()),
    "generated columns only": (
        ("CREATE TABLE backup_jobs (a int GENERATED ALWAYS AS (1) STORED)", "INSERT INTO backup_jobs DEFAULT VALUES"),
        (),
    ),
}


@pytest.mark.parametrize(("make", "later"), VALUES.values(), ids=VALUES)
async def test_rows_stay(db: Any, make: tuple[str, ...], later: tuple[str, ...]) -> None:
    """However they are typed."""
    db.execute(*make)
    chunks = await db.dump()
    db.execute(*later)
    before = kept(db, "backup_jobs")
    session = await db.restore(chunks)
    assert kept(db, "backup_jobs")["rows"] == before["rows"]
    assert before["rows"]
    assert all("was given the" in warning for warning in session.report.warnings)


async def test_rows_of_another_writers_archive_in_a_published_table(db: Any) -> None:
    """They go without a DELETE, which a published table may refuse."""
    db.execute("CREATE TABLE backup_jobs (s text)", "INSERT INTO backup_jobs VALUES ('archived')")
    db.execute("CREATE PUBLICATION p FOR ALL TABLES")
    chunks = foreign_dump(db)
    db.execute("TRUNCATE backup_jobs", "INSERT INTO backup_jobs VALUES ('live')")
    await db.restore(chunks)
    assert db.query("SELECT s FROM backup_jobs") == [("live",)]


async def test_attributes_in_another_order_are_refused(db: Any) -> None:
    """Values would land in the wrong one."""
    db.execute("CREATE TYPE pair AS (a text, b text)", "CREATE TABLE backup_jobs (p pair)")
    chunks = await db.dump()
    db.execute("ALTER TYPE pair DROP ATTRIBUTE a", "ALTER TYPE pair ADD ATTRIBUTE a text")
    db.execute("INSERT INTO backup_jobs VALUES ('(b,a)')")
    with pytest.raises(RestoreFailed, match=r"rows of the preserved table public\.backup_jobs have values of the type"):
        await db.restore(chunks)
    assert db.query("SELECT p FROM backup_jobs") == [("(b,a)",)]


async def test_digits_and_dates_whatever_the_databases_settings(db: Any) -> None:
    """Values that are remembered as text, and constants in what is made again, are exact."""
    name = db.value("SELECT current_database()")
    db.execute(
        "CREATE DOMAIN f8 AS float8",
        "CREATE TYPE pair AS (f float8, d date)",
        "CREATE TYPE span AS RANGE (subtype = float8)",
        "CREATE DOMAIN day AS date",
        "CREATE DOMAIN later AS interval",
        "CREATE TABLE backup_jobs (f f8, p pair, s span, d day, i later, g float8, at date DEFAULT '2020-03-02')",
        "INSERT INTO backup_jobs VALUES (0.1::float8 + 0.2, ROW(0.1::float8 + 0.2, '2020-03-02')::pair,"
        " span(0.1::float8 + 0.2, 5), '2020-03-02', '-1 day +02:03:04', 0.1::float8 + 0.2)",
    )
    chunks = await db.dump()
    db.execute(
        f"ALTER DATABASE {name} SET extra_float_digits = -10",
        f"ALTER DATABASE {name} SET DateStyle = 'SQL, DMY'",
        f"ALTER DATABASE {name} SET IntervalStyle = 'sql_standard'",
        "ALTER TABLE backup_jobs ADD COLUMN since date DEFAULT date '2020-03-02'",
        "CREATE VIEW seen AS SELECT * FROM backup_jobs WHERE since = date '2020-03-02'",
    )
    same = (
        "SELECT f = 0.1::float8 + 0.2 AND (p).f = 0.1::float8 + 0.2 AND (p).d = make_date(2020, 3, 2)"
        " AND lower(s) = 0.1::float8 + 0.2 AND d = make_date(2020, 3, 2)"
        " AND i = make_interval(days => -1, secs => 7384) AND at = make_date(2020, 3, 2)"
        " AND since = make_date(2020, 3, 2) FROM seen"
    )
    assert db.value(same)
    before = kept(db, "backup_jobs")
    await db.restore(chunks)
    assert db.value(same)
    assert kept(db, "backup_jobs") == before


GENERATED = {
    "another expression": (
        "a int, b int GENERATED ALWAYS AS (a * 2) STORED",
        ("ALTER TABLE backup_jobs DROP b, ADD b int GENERATED ALWAYS AS (a * 5) STORED",),
    ),
    "plain now": (
        "a int, b int GENERATED ALWAYS AS (a * 2) STORED",
        ("ALTER TABLE backup_jobs ALTER b DROP EXPRESSION",),
    ),
    "generated now": (
        "a int, b int",
        ("ALTER TABLE backup_jobs DROP b, ADD b int GENERATED ALWAYS AS (a * 3) STORED",),
    ),
    "another type": (
        "a int, b int GENERATED ALWAYS AS (a * 2) STORED",
        ("ALTER TABLE backup_jobs DROP b, ADD b text GENERATED ALWAYS AS (a::text) STORED",),
    ),
}


@pytest.mark.parametrize(("columns", "later"), GENERATED.values(), ids=GENERATED)
@pytest.mark.parametrize(
    "more", [(), ("CREATE INDEX jobs_b ON backup_jobs (b)", "CREATE VIEW seen AS TABLE backup_jobs")]
)
async def test_a_generated_column_is_todays(
    db: Any, columns: str, later: tuple[str, ...], more: tuple[str, ...]
) -> None:
    """Expression, type, and whether it is one at all; also with an index, and a view that the archive does not have."""
    db.execute(f"CREATE TABLE backup_jobs (id serial PRIMARY KEY, {columns})")
    chunks = await db.dump()
    db.execute(*later, *more, "INSERT INTO backup_jobs (a) VALUES (1)")
    if "DROP EXPRESSION" in later[0]:
        db.execute("UPDATE backup_jobs SET b = 77")
    before = kept(db, "backup_jobs")
    session = await db.restore(chunks)
    after = kept(db, "backup_jobs")
    assert after["rows"] == before["rows"]
    assert ordered(after["text"]) == ordered(before["text"])
    assert session.report.warnings == []


async def test_values_where_the_archive_generates_them_and_a_view_needs_that(db: Any) -> None:
    """DROP EXPRESSION keeps the column: nothing of the row is lost."""
    db.execute(
        "CREATE TABLE backup_jobs (a int, b int GENERATED ALWAYS AS (a * 2) STORED)",
        "CREATE VIEW seen AS SELECT b FROM backup_jobs",
    )
    chunks = await db.dump()
    db.execute("ALTER TABLE backup_jobs ALTER b DROP EXPRESSION", "INSERT INTO backup_jobs VALUES (1, 77)")
    await db.restore(chunks)
    assert db.query("SELECT a, b FROM backup_jobs") == [(1, 77)]
