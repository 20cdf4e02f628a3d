"""What the dry run asks of the live catalog, held against what a restore then does."""

from __future__ import annotations

from typing import Any

import pytest

from kleidia_backup.pipeline.engine.testing import run_sink
from kleidia_backup.stages.errors import DatabaseError, RestoreFailed, Right
from kleidia_backup.stages.pg.inventory.inventory import Inventory, take_inventory
from kleidia_backup.stages.pg.inventory.restore_rights import rights_missing
from kleidia_backup.stages.pg.server.preflight import require_server
from kleidia_backup.stages.pg.session import open_session
from kleidia_backup.stages.pg.survey import SqlFacts, SqlSurvey

from ..databases import without_sessions
from .test_preserve import foreign_dump, kept

pytestmark = pytest.mark.anyio


def facts(chunks: list[bytes]) -> SqlFacts:
    survey = SqlSurvey(characters=True)
    for chunk in chunks:
        survey.feed(chunk)
    survey.finish()
    return survey.facts


def look(db: Any, chunks: list[bytes]) -> Inventory:
    return take_inventory(db.settings, facts(chunks), db.settings.preserve)


# Locks ------------------------------------------------------------------------------------------------------------

KEYS = [
    "CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE)",
    "CREATE TABLE backup_jobs (id serial PRIMARY KEY, by int REFERENCES users)",
    *(
        statement
        for n in range(40)
        for statement in (
            (
                f"CREATE TABLE t{n} (id serial PRIMARY KEY, name text DEFAULT 'x', u int REFERENCES users,"
                f" p int REFERENCES t{n}, at timestamptz DEFAULT now(), CHECK (p < 10))"
            ),
            f"CREATE INDEX ON t{n} (name)",
        )
    ),
]
OBJECTS = [
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE EXTENSION citext",
    "CREATE TABLE parts (id int PRIMARY KEY, what text) PARTITION BY RANGE (id)",
    *(f"CREATE TABLE part{n} PARTITION OF parts FOR VALUES FROM ({n}) TO ({n + 1})" for n in range(30)),
    *(
        statement
        for n in range(30)
        for statement in (
            f"CREATE TYPE e{n} AS ENUM ('a')",
            f"CREATE DOMAIN d{n} AS int CHECK (VALUE > 0)",
            f"CREATE FUNCTION f{n}(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            f"CREATE TABLE n{n} (a int, b e{n}, c d{n})",
            f"CREATE VIEW v{n} AS SELECT * FROM n{n}",
            f"CREATE TRIGGER touch BEFORE UPDATE ON n{n} FOR EACH ROW EXECUTE FUNCTION touch()",
            f"CREATE POLICY p ON n{n} USING (a > 1)",
        )
    ),
]
HELD = (
    "SELECT count(*) FROM (SELECT DISTINCT locktype, database, relation, classid, objid, objsubid FROM pg_locks"
    " WHERE pid <> pg_backend_pid() AND (database IS NULL OR database = (SELECT oid FROM pg_database"
    " WHERE datname = current_database()))) l"
)


@pytest.mark.parametrize("schema", [KEYS, OBJECTS, []], ids=["keys", "objects", "nothing"])
@pytest.mark.parametrize("where", ["over itself", "into an empty database"])
async def test_the_estimate_of_locks(db: Any, other: Any, schema: list[str], where: str) -> None:
    """It is what a restore holds before its COMMIT, within a fifth; a little more is better than less."""
    db.execute(*schema)
    chunks = await db.dump()
    target = db if where == "over itself" else other
    needed = look(target, chunks).locks_needed
    async with open_session(target.settings, facts=facts(chunks)) as session:
        await run_sink(session, chunks)
        held = target.value(HELD)
    assert 0.9 * held <= needed <= 1.2 * held + 40


# Obstacles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what",
    [
        "CREATE FUNCTION f() RETURNS SETOF backup_jobs LANGUAGE sql BEGIN ATOMIC SELECT * FROM backup_jobs; END",
        "CREATE TABLE t (job backup_jobs)",
        "CREATE TABLE t (jobs backup_jobs[])",
        "CREATE VIEW v AS SELECT * FROM backup_jobs; CREATE FUNCTION f(v) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
async def test_what_depends_on_a_preserved_table_that_the_archive_lacks(db: Any, what: str) -> None:
    """It is not in the way: the table stays where it is."""
    db.execute("CREATE TABLE users (id int)", "CREATE TABLE backup_jobs (id int)", "INSERT INTO backup_jobs VALUES (1)")
    chunks = foreign_dump(db, "--exclude-table=backup_jobs")
    db.execute(what)
    before, rest = kept(db, "backup_jobs"), db.text("-s")
    assert look(db, chunks).obstacles == ()
    session = await db.restore(chunks)
    assert (kept(db, "backup_jobs"), db.text("-s")) == (before, rest)
    assert session.report.warnings == []


async def test_what_keeps_such_a_table_from_making_room(db: Any) -> None:
    """The table stays, and so does what it needs of what the archive drops: that is in the way."""
    db.execute("CREATE TYPE st AS ENUM ('a')", "CREATE TABLE backup_jobs (s st)")
    chunks = foreign_dump(db, "--exclude-table=backup_jobs")
    assert look(db, chunks).obstacles == ()
    db.execute("CREATE TABLE t (job backup_jobs)")
    assert look(db, chunks).obstacles == ("column s of table public.backup_jobs depends on type public.st",)
    with pytest.raises(RestoreFailed, match="other objects depend on it"):
        await db.restore(chunks)


@pytest.mark.parametrize(
    "statement",
    [
        'GRANT SELECT ON TABLE public."COPY t FROM stdin;" TO ann;',
        'GRANT SELECT ON TABLE public."a TO bob;" TO ann WITH GRANT OPTION;',
        "CREATE POLICY p ON public.t FOR SELECT TO ann USING ((x = 'go to bob;'::text));",
        "CREATE POLICY p ON public.t TO ann USING ((EXISTS ( SELECT 1 FROM bob WITH ORDINALITY)));",
        'REVOKE ALL ON TABLE public."x from bob;" FROM ann;',
    ],
)
def test_a_role_is_no_word_of_a_name(statement: str) -> None:
    """Names and constants may hold what looks like the end of a GRANT."""
    assert facts([statement.encode()]).roles == {"ann"}


# Targets ----------------------------------------------------------------------------------------------------------


def test_a_server_that_is_too_old() -> None:
    """It is refused before anything is asked that it does not know."""
    with pytest.raises(DatabaseError, match=r"The server is PostgreSQL 12\.22: a restore needs 13 or newer"):
        require_server(120022)
    require_server(130000)


LACKING = {
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC, {}": "CREATE on schema public",
    "REVOKE TEMPORARY ON DATABASE {db} FROM PUBLIC": "TEMPORARY on database {db}",
    "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC": "USAGE on language plpgsql",
    "DROP EXTENSION plpgsql": "CREATE on database {db}",
}


@pytest.mark.parametrize(("revoke", "right"), LACKING.items(), ids=LACKING)
async def test_rights_in_a_fresh_database(db: Any, other: Any, make_role: Any, revoke: str, right: str) -> None:
    """A role that owns nothing there: each right that a restore fails without is named, and no other."""
    name, theirs = make_role(other)
    own = db.using(conninfo=theirs.settings.conninfo.replace(dbname(other), dbname(db)))
    db.execute(f"GRANT CREATE ON SCHEMA public TO {name}")
    own.execute("CREATE TABLE t (id serial PRIMARY KEY, x text)", "INSERT INTO t (x) VALUES ('a')")
    chunks = await db.dump()
    other.execute(f"GRANT CREATE ON SCHEMA public TO {name}")
    assert look(theirs, chunks).rights_missing == ()
    other.execute(revoke.format(name, db=dbname(other)))
    missing = (right.format(db=dbname(other)),)
    found = look(theirs, chunks).rights_missing
    assert tuple(map(str, found)) == missing
    assert rights_missing(theirs.settings, facts(chunks), theirs.settings.preserve) == (name, found)
    with pytest.raises(RestoreFailed, match="permission denied") as caught:
        await theirs.restore(chunks)
    if right.startswith("CREATE on schema"):  # the others are refused before the archive's first statement
        assert caught.value.rights == found
    db.execute(without_sessions(name), f"REASSIGN OWNED BY {name} TO CURRENT_USER", f"DROP OWNED BY {name}")


async def test_owners_that_may_have_nothing_there(db: Any, other: Any, make_role: Any) -> None:
    """Who is made the owner of something must be allowed to create in its schema, unless a superuser says so."""
    name, theirs = make_role(other)
    owner, _ = make_role(other)
    db.execute("CREATE TABLE t (id int)", f"ALTER TABLE t OWNER TO {owner}")
    chunks = await db.dump()
    other.execute(f"ALTER DATABASE {dbname(other)} OWNER TO {name}", f"GRANT {owner} TO {name}")
    assert look(theirs, chunks).rights_missing == (Right("CREATE", f"schema public for {owner}"),)
    assert look(other, chunks).rights_missing == ()
    with pytest.raises(RestoreFailed, match="permission denied for schema public"):
        await theirs.restore(chunks)
    other.execute(f"GRANT CREATE ON SCHEMA public TO {owner}")
    assert look(theirs, chunks).rights_missing == ()
    await theirs.restore(chunks)
    db.execute("DROP TABLE t")


async def test_what_only_a_superuser_may_make(db: Any, other: Any, make_role: Any) -> None:
    """Each is named to a role that is none, before a restore fails at the first of them."""
    name, theirs = make_role(other)
    db.execute(
        "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN /* language c */ END'",
        "CREATE FUNCTION sum2(int, int) RETURNS int LANGUAGE internal STRICT AS 'int4pl'",
        "CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION f()",
        "CREATE FOREIGN DATA WRAPPER fdw",
        "CREATE OPERATOR FAMILY fam USING btree",
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "CREATE PUBLICATION little",
        "CREATE TEXT SEARCH TEMPLATE tpl (LEXIZE = dsimple_lexize)",
    )
    chunks = await db.dump()
    other.execute(f"ALTER DATABASE {dbname(other)} OWNER TO {name}")
    assert [str(each) for each in look(theirs, chunks).rights_missing if each.verb == "superuser"] == [
        f"superuser, to create the {what}"
        for what in (
            "event trigger et",
            "foreign data wrapper fdw",
            "function public.sum2",
            "operator family public.fam",
            "publication everything",
            "text search template public.tpl",
        )
    ]
    assert look(other, chunks).rights_missing == ()
    with pytest.raises(RestoreFailed):
        await theirs.restore(chunks)
    await other.restore(chunks)


async def test_event_triggers_made_since(db: Any, make_role: Any) -> None:
    """One that cannot be kept from running is named; one with a function of the archive goes, and is named."""
    name, theirs = make_role(db)
    db.execute(
        f"ALTER DATABASE {dbname(db)} OWNER TO {name}",
        "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "CREATE EVENT TRIGGER known ON ddl_command_start EXECUTE FUNCTION f()",
    )
    chunks = await db.dump()
    assert look(db, chunks).obstacles == ()
    assert look(db, chunks).event_triggers == ()
    assert look(theirs, chunks).event_triggers == ("known",)
    db.execute("CREATE EVENT TRIGGER later ON ddl_command_start EXECUTE FUNCTION f()")
    assert look(db, chunks).dropped == ("event trigger later depends on function public.f()",)
    session = await db.restore(chunks)
    assert any("event trigger later" in warning for warning in session.report.warnings)
    assert db.query("SELECT evtname FROM pg_event_trigger") == [("known",)]
    db.execute("DROP EVENT TRIGGER known")


def dbname(db: Any) -> str:
    name: str = db.value("SELECT current_database()")
    return name


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP", "SQL_ASCII"])
async def test_characters_that_the_database_has_not(db: Any, make_database: Any, encoding: str) -> None:
    """Found one by one, and named by their numbers: they may be from a row. What fits is no reason to warn."""
    target = make_database(f"ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    db.execute("CREATE TABLE t (x text)", "INSERT INTO t VALUES ('plain é')")
    chunks = await db.dump()
    assert look(target, chunks).characters_missing == ()
    await target.restore(chunks)
    db.execute("INSERT INTO t VALUES ('😀'), ('€')", 'CREATE TABLE "😀" (n int)')
    chunks = await db.dump()
    missing = look(target, chunks).characters_missing
    assert missing == {"LATIN1": ("U+20AC", "U+1F600"), "EUC_JP": ("U+20AC", "U+1F600"), "SQL_ASCII": ()}[encoding]
    if missing:
        with pytest.raises(RestoreFailed, match="has no equivalent"):
            await target.restore(chunks)
    else:
        await target.restore(chunks)


async def test_a_database_without_the_schema_public(db: Any, other: Any) -> None:
    """The archive does not make it."""
    db.execute("CREATE TABLE t (id int)")
    chunks = await db.dump()
    assert look(other, chunks).schemas_missing == ()
    other.execute("DROP SCHEMA public")
    assert look(other, chunks).schemas_missing == ("public",)
    with pytest.raises(RestoreFailed, match="does not exist"):
        await other.restore(chunks)


async def test_an_extension_of_another_version(db: Any) -> None:
    """No archive says a version: afterwards it is the server's."""
    db.execute("CREATE EXTENSION citext VERSION '1.5'", "CREATE TABLE t (x citext)")
    chunks = await db.dump()
    (updated,) = look(db, chunks).extensions_updated
    assert updated.startswith("citext ")
    assert updated.endswith("(now 1.5)")
    await db.restore(chunks)
    assert look(db, chunks).extensions_updated == ()
