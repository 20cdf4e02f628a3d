"""Tables come back as the archive has them, and nothing else changes."""

from __future__ import annotations

import pytest

from ...archive_format import both_formats
from .lab import Lab

pytestmark = pytest.mark.anyio


@both_formats
async def test_rows_are_replaced(lab: Lab) -> None:
    """A table that is still what it was keeps its place: a view on it stays, as does all else in the database."""
    await lab.backup()
    lab.sql("CREATE VIEW shouting AS SELECT shout FROM users; CREATE MATERIALIZED VIEW moods AS SELECT mood FROM users")
    before, oid = lab.dump(), lab.sql("SELECT 'users'::regclass::oid")
    lab.sql("DELETE FROM notes WHERE user_id = 105; DELETE FROM users WHERE id = 105; UPDATE users SET mood = 'good'")
    lab.sql("INSERT INTO notes SELECT * FROM (SELECT n, 100, 'new' FROM generate_series(900, 905) n)")
    lab.sql("INSERT INTO users (name) SELECT 'new' FROM generate_series(1, 500)")
    notes = lab.sql("SELECT * FROM notes ORDER BY id")
    report = await lab.restore("public.users")
    assert (report.how, report.rows) == ("rows replaced", 50)
    assert report.warnings == (
        "The materialized view public.moods shows the rows from before: REFRESH MATERIALIZED VIEW public.moods;",
    )
    assert lab.sql("SELECT 'users'::regclass::oid") == oid
    assert lab.sql("SELECT * FROM notes ORDER BY id") == notes
    lab.sql("DELETE FROM notes WHERE id >= 900")
    assert {*before.splitlines()} - {*lab.dump().splitlines()} == {
        line for line in before.splitlines() if line.split("\t")[1:2] == ["105"]
    }


@both_formats
async def test_a_dropped_table(lab: Lab) -> None:
    """It is made again with all its parts; what pg_dump says of it is what it said before."""
    await lab.backup()
    before = lab.dump("users")
    everything = lab.dump("notes"), lab.dump("other"), lab.dump("events*")
    lab.sql("DROP TABLE users CASCADE")
    report = await lab.restore("users")
    assert (report.how, report.rows, report.warnings) == ("made", 50, ())
    assert lab.dump("users") == before
    assert lab.sql("INSERT INTO users (name) VALUES ('next') RETURNING id, name") == [(350, "touched")]
    lab.sql("ALTER TABLE notes ADD CONSTRAINT notes_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id)")
    lab.sql("COMMENT ON CONSTRAINT notes_user_id_fkey ON notes IS 'who wrote it'")
    assert (lab.dump("notes"), lab.dump("other"), lab.dump("events*")) == everything


@both_formats
async def test_another_definition_is_replaced(lab: Lab) -> None:
    """Foreign keys of others are made again as they were; what the archive does not know of the table goes."""
    await lab.backup()
    before = lab.dump()
    lab.sql("ALTER TABLE users ADD COLUMN more text; DROP INDEX users_name_idx; CREATE INDEX new_idx ON users (mood)")
    lab.sql("ALTER TABLE users DISABLE TRIGGER touching; REVOKE SELECT ON users FROM PUBLIC")
    lab.sql("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC")
    report = await lab.restore("users")
    assert (report.how, report.rows, report.warnings) == ("replaced", 50, ())
    lab.sql("ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC")
    assert lab.dump() == before


@both_formats
async def test_several_tables(lab: Lab) -> None:
    """Also when they refer to each other."""
    await lab.backup()
    before = lab.dump()
    lab.sql("DROP TABLE notes; DELETE FROM users")
    report = await lab.restore("notes", "users", 'app."Odd ""Name"')
    assert {each.name: each.rows for each in report.tables} == {
        '"public"."notes"': 200,
        '"public"."users"': 50,
        '"app"."Odd ""Name"': 1,
    }
    assert lab.dump() == before


@both_formats
async def test_rows_that_no_longer_fit(lab: Lab) -> None:
    """A foreign key of another table is made NOT VALID, with a warning, and so is the table's own."""
    await lab.backup()
    lab.sql("INSERT INTO users (name) OVERRIDING SYSTEM VALUE VALUES ('new')")
    lab.sql("INSERT INTO notes (user_id, body) SELECT max(id), 'later' FROM users")
    report = await lab.restore("users")
    assert [warning for warning in report.warnings if "notes_user_id_fkey of public.notes is NOT VALID" in warning]
    key = "SELECT convalidated, obj_description(oid) FROM pg_constraint WHERE conname = 'notes_user_id_fkey'"
    assert lab.sql(key) == [(False, "who wrote it")]
    lab.sql(
        "TRUNCATE notes; ALTER TABLE notes VALIDATE CONSTRAINT notes_user_id_fkey; DELETE FROM users WHERE id > 300"
    )
    report = await lab.restore("notes")
    assert [warning for warning in report.warnings if "notes_user_id_fkey of public.notes is NOT VALID" in warning]
    assert lab.sql(key) == [(False, "who wrote it")]
    assert lab.sql("SELECT count(*) FROM notes") == [(200,)]


@both_formats
async def test_partitions(lab: Lab) -> None:
    """They come back with their table; one that the archive does not know is named."""
    await lab.backup()
    before = lab.dump()
    lab.sql("DELETE FROM events WHERE at < '2024-08-01'")
    report = await lab.restore("events")
    assert (report.how, report.rows, report.warnings) == ("rows replaced", 61, ())
    assert lab.dump() == before
    lab.sql("CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
    lab.sql("DROP TABLE events_2024; INSERT INTO events VALUES ('2026-02-02', 'later')")
    report = await lab.restore("events")
    assert report.how == "replaced"
    assert [warning for warning in report.warnings if "events_2026" in warning] == list(report.warnings)
    assert lab.dump() == before


async def test_a_table_that_was_attached_since(lab: Lab) -> None:
    """It comes back as the archive has it; that another table loses its rows by that is said."""
    await lab.backup()
    before = lab.dump("other", "app.*")
    lab.sql("CREATE TABLE above (id int NOT NULL, v text) PARTITION BY RANGE (id)")
    lab.sql('CREATE TABLE old (id int NOT NULL, v text); ALTER TABLE app."Odd ""Name" INHERIT old')
    lab.sql("ALTER TABLE above ATTACH PARTITION other FOR VALUES FROM (0) TO (5000)")
    report = await lab.restore("other", 'app."Odd ""Name"')
    assert (report.how, report.rows) == ("replaced", 1001)
    assert [("public.above" in each, "public.old" in each) for each in report.warnings] == [
        (False, True),
        (True, False),
    ]
    assert lab.dump("other", "app.*") == before


async def test_publications_list_it_again(lab: Lab) -> None:
    """With their columns and conditions."""
    lab.sql("CREATE PUBLICATION part FOR TABLE other (id, v) WHERE (id > 3); CREATE PUBLICATION whole FOR TABLE other")
    await lab.backup()
    before = lab.dump()
    lab.sql("ALTER TABLE other ADD COLUMN more int")
    report = await lab.restore("other")
    assert (report.how, report.warnings) == ("replaced", ())
    assert lab.dump() == before


async def test_a_sequence_that_the_archive_has_apart(lab: Lab) -> None:
    """It is not lost with a table that owns it since: functions may name it."""
    lab.sql("CREATE SEQUENCE apart; SELECT nextval('apart')")
    await lab.backup()
    before = lab.dump()
    lab.sql("ALTER SEQUENCE apart OWNED BY other.id; ALTER TABLE other ADD COLUMN more serial")
    report = await lab.restore("other")
    assert (report.how, report.warnings) == ("replaced", ())
    assert lab.dump() == before


async def test_settings_of_the_database(lab: Lab) -> None:
    """How it writes times and bytes makes no table another one."""
    lab.sql("CREATE TABLE p (at timestamptz, b bytea DEFAULT '\\x00ff') PARTITION BY RANGE (at)")
    lab.sql("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')")
    lab.sql("INSERT INTO p VALUES ('2024-05-05'); CREATE VIEW on_it AS SELECT at FROM p")
    (database,) = lab.sql("SELECT quote_ident(current_database())")[0]
    for setting in ("timezone = 'Asia/Tokyo'", "bytea_output = 'escape'", "quote_all_identifiers = 'on'"):
        lab.sql(f"ALTER DATABASE {database} SET {setting}")
    await lab.backup()
    before = lab.dump()
    lab.sql("DELETE FROM p")
    report = await lab.restore("p")
    assert (report.how, report.rows, report.warnings) == ("rows replaced", 1, ())
    assert lab.dump() == before
