"""What a backup warns of, held against what a restore by PostgreSQL's own programs does with the same database."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from kleidia_backup.stages.pg.findings.find import find
from kleidia_backup.stages.pg.findings.finding import Finding
from kleidia_backup.stages.pg.server.preflight import ask_facts

from ..databases import without_sessions

pytestmark = pytest.mark.anyio

Restored = Callable[..., str]


@pytest.fixture
def restored(db: Any, other: Any, postgres_server: Any) -> Restored:
    """Restores into an empty database in one transaction; gives what PostgreSQL said, nothing when it worked."""

    def run(search_path: str = "") -> str:
        text = db.text().replace("SET transaction_timeout = 0;\n", "")  # unknown to servers before 17
        if search_path:
            text = text.replace("set_config('search_path', '',", f"set_config('search_path', '{search_path}',")
        command = [postgres_server.bin_dir / "psql", "-XqAt1", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        other.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        done = subprocess.run(
            [*command, "-d", other.settings.full_conninfo()], input=text, capture_output=True, text=True, check=False
        )
        return done.stderr if done.returncode else ""

    return run


async def found(database: Any, **options: Any) -> list[Finding]:
    """The findings."""
    return [*await find(database.settings, await ask_facts(database.settings), **options)]


UNACCENT = "CREATE EXTENSION unaccent"
SLUG = "CREATE FUNCTION slug(t text) RETURNS text LANGUAGE {} IMMUTABLE AS $${}$$"
PLPGSQL = SLUG.format("plpgsql", "BEGIN RETURN lower(unaccent(t)); END")
SQL = SLUG.format("sql", "SELECT lower(unaccent(t))")
PATH = "ALTER ROUTINE public.slug(text) SET search_path = public"

#: What fails in a restore: its name, statements, the object that is named, what is said of it, and the cure as SQL.
FAILING = {
    "generated column": (
        (
            UNACCENT,
            PLPGSQL,
            "CREATE TABLE p (n text, s text GENERATED ALWAYS AS (slug(n)) STORED)",
            "INSERT INTO p VALUES ('É')",
        ),
        "column s of table public.p",
        "public.slug(text) names the function unaccent without a schema",
        PATH,
    ),
    "check of a domain": (
        (
            "CREATE TYPE kind AS ENUM ('a')",
            "CREATE FUNCTION slug(t text) RETURNS bool LANGUAGE plpgsql AS $$DECLARE k kind; BEGIN RETURN true; END$$",
            "CREATE DOMAIN d AS text CHECK (slug(VALUE))",
            "CREATE TABLE p (n d[])",
            "INSERT INTO p VALUES (ARRAY['a'])",
        ),
        "constraint d_check",
        "public.slug(text) names the type kind without a schema",
        PATH,
    ),
    "check that reads a table which comes earlier": (
        (
            "CREATE TABLE b (id int)",
            "INSERT INTO b VALUES (1)",
            (
                "CREATE FUNCTION slug(t text) RETURNS bool LANGUAGE plpgsql AS"
                " $$BEGIN RETURN EXISTS (SELECT FROM b WHERE b.id = t::int); END$$"
            ),
            "CREATE TABLE c (b text CHECK (slug(b)))",
            "INSERT INTO c VALUES ('1')",
        ),
        "constraint c_b_check on table public.c",
        "public.slug(text) names the relation b without a schema",
        PATH,
    ),
    "operator in a check": (
        (
            "CREATE EXTENSION pg_trgm",
            "CREATE FUNCTION slug(t text) RETURNS bool LANGUAGE sql AS $$SELECT NOT t <% 'x'$$",
            "CREATE TABLE c (b text CHECK (slug(b)))",
            "INSERT INTO c VALUES ('1')",
        ),
        "constraint c_b_check on table public.c",
        "public.slug(text) names the operator <% without a schema",
        PATH,
    ),
    "partition key": (
        (
            UNACCENT,
            PLPGSQL,
            "CREATE TABLE p (n text) PARTITION BY LIST (slug(n))",
            "CREATE TABLE p1 PARTITION OF p FOR VALUES IN ('e')",
            "INSERT INTO p VALUES ('É')",
        ),
        "the partition key of table public.p",
        "public.slug(text) names the function unaccent without a schema",
        PATH,
    ),
    "a function that calls another with its schema": (
        (
            UNACCENT,
            PLPGSQL,
            "CREATE FUNCTION outer_(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT public.slug(t)'",
            "CREATE TABLE p (n text, s text GENERATED ALWAYS AS (outer_(n)) STORED)",
            "INSERT INTO p VALUES ('É')",
        ),
        "column s of table public.p",
        "public.slug(text) names the function unaccent without a schema",
        PATH,
    ),
    "operator whose function fails": (
        (
            UNACCENT,
            "CREATE FUNCTION slug(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN unaccent($1); END$$",
            "CREATE OPERATOR #< (FUNCTION = slug, RIGHTARG = text)",
            "CREATE TABLE p (n text CHECK ((#< n) <> ''))",
            "INSERT INTO p VALUES ('É')",
        ),
        "constraint p_n_check on table public.p",
        "public.slug(text) names the function unaccent without a schema",
        PATH,
    ),
    "SQL in a string": (
        (
            "CREATE TABLE a (id int)",
            "INSERT INTO a VALUES (1)",
            (
                "CREATE FUNCTION slug(t text) RETURNS bool LANGUAGE plpgsql AS"
                " $$DECLARE n bigint; BEGIN EXECUTE 'SELECT count(*) FROM a' INTO n; RETURN n > 0; END$$"
            ),
            "CREATE TABLE c (b text CHECK (slug(b)))",
            "INSERT INTO c VALUES ('1')",
        ),
        "constraint c_b_check on table public.c",
        "public.slug(text) names the relation a without a schema",
        PATH,
    ),
    "materialized view that its owner may not fill": (
        (
            "CREATE ROLE {role}",
            "CREATE TABLE t (a int, b int)",
            "CREATE MATERIALIZED VIEW m AS SELECT a FROM t",
            "ALTER MATERIALIZED VIEW m OWNER TO {role}",
        ),
        "materialized view public.m",
        "({role} may not read table public.t)",
        "GRANT SELECT (a) ON t TO {role}",
    ),
    "materialized view over a view of somebody who may not read": (
        (
            "CREATE ROLE {role}",
            "CREATE TABLE t (a int)",
            "CREATE VIEW v AS SELECT * FROM t",
            "CREATE MATERIALIZED VIEW m AS SELECT a FROM v",
            "ALTER VIEW v OWNER TO {role}",
        ),
        "materialized view public.m",
        "({role} may not read table public.t)",
        "GRANT SELECT ON t TO {role}",
    ),
}


@pytest.fixture
def role(db: Any, other: Any) -> Any:
    """A name for a role that goes with the test."""
    name = f"owner_{db.value('SELECT current_database()')}"
    yield name
    db.execute(without_sessions(name))
    for each in (db, other):
        if each.value(f"SELECT count(*) FROM pg_roles WHERE rolname = '{name}'"):
            each.execute(f"DROP OWNED BY {name} CASCADE")
    db.execute(f"DROP ROLE IF EXISTS {name}")


@pytest.mark.parametrize("case", FAILING)
async def test_what_no_restore_takes_is_named_and_its_cure_works(
    db: Any, restored: Restored, role: str, case: str
) -> None:
    """PostgreSQL's own programs fail on it; after the cure they do not, and nothing is said any more."""
    statements, thing, text, cure = FAILING[case]
    db.execute(*(each.replace("{role}", role) for each in statements))
    findings = await found(db)
    assert len(findings) == 1, findings
    assert thing in findings[0].object
    assert text.replace("{role}", role) in str(findings[0])
    assert not findings[0].lost
    assert restored()
    if cure == PATH:
        assert f"{cure};" in findings[0].cure
    db.execute(cure.replace("{role}", role))
    assert not await found(db)
    assert not restored()


async def test_an_index_whose_function_needs_a_search_path(db: Any, other: Any, restored: Restored) -> None:
    """From PostgreSQL 17 on the server empties the search path for it, which psql cannot help; a restore can."""
    db.execute(UNACCENT, PLPGSQL, "CREATE TABLE p (n text)", "CREATE INDEX i ON p (slug(n))")
    assert not await found(db)  # nothing is computed for a table without rows
    assert not restored()
    db.execute("INSERT INTO p VALUES ('É')")
    (finding,) = await found(db)
    assert finding.object == "index public.i"
    assert "--search-path public" in finding.cure
    assert "unaccent" in restored()
    await other.restore(await db.dump(), search_path=("public",))
    assert other.query("SELECT indexdef FROM pg_indexes WHERE indexname = 'i'") == db.query(
        "SELECT indexdef FROM pg_indexes WHERE indexname = 'i'"
    )
    assert other.query("SELECT proconfig FROM pg_proc WHERE proname = 'slug'") == [(None,)]
    db.execute(PATH)
    assert not await found(db)
    assert not restored()


async def test_an_archive_made_before_the_cure_is_restored_by_the_search_path(db: Any, restored: Restored) -> None:
    """The cure names it where it helps."""
    statements, *_ = FAILING["generated column"]
    db.execute(*statements)
    (finding,) = await found(db)
    assert finding.cure.endswith("an archive made before needs restore --search-path public.")
    assert restored()
    assert not restored("public")


#: Databases that every restore takes, though they look like those above.
HEALTHY = {
    "the schema is written": (
        UNACCENT,
        SLUG.format("plpgsql", "BEGIN RETURN lower(public.unaccent(t)); END"),
        "CREATE TABLE p (n text, s text GENERATED ALWAYS AS (slug(n)) STORED)",
        "INSERT INTO p VALUES ('É')",
    ),
    "a body that is parsed when it is made": (
        UNACCENT,
        "CREATE FUNCTION slug(t text) RETURNS text LANGUAGE sql IMMUTABLE RETURN lower(unaccent(t))",
        "CREATE TABLE p (n text, s text GENERATED ALWAYS AS (slug(n)) STORED)",
        "INSERT INTO p VALUES ('É')",
    ),
    "names that are columns, aliases, variables, comments and constants": (
        UNACCENT,
        "CREATE TABLE b (id int)",
        "CREATE TABLE e (year int)",
        "CREATE TYPE mood AS ENUM ('a')",
        SLUG.format(
            "plpgsql",
            "DECLARE mood text := 'FROM b'; e date := 'now'; x int; -- SELECT FROM b\n"
            "BEGIN /* unaccent(t) */ WITH b AS (SELECT 1 AS id) SELECT id INTO x FROM b;"
            " x := extract(year FROM e) + CASE WHEN x IS DISTINCT FROM b THEN 1 ELSE 0 END FROM (SELECT 1) AS q(b);"
            " RETURN trim(both FROM t) || mood || 'unaccent(t)'; END",
        ),
        "CREATE TABLE p (n text, s text GENERATED ALWAYS AS (slug(n)) STORED)",
        "INSERT INTO p VALUES ('É')",
    ),
    "triggers, defaults, views, policies and rules are not run by a restore": (
        UNACCENT,
        PLPGSQL,
        "CREATE TABLE p (n text DEFAULT slug('x'))",
        "INSERT INTO p VALUES ('É')",
        "CREATE VIEW v AS SELECT slug(n) FROM p",
        "CREATE POLICY mine ON p USING (slug(n) = n)",
        "CREATE RULE r AS ON INSERT TO p DO ALSO SELECT slug('x')",
        "CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.n := unaccent(NEW.n); RETURN NEW; END$$",
        "CREATE TRIGGER t BEFORE INSERT ON p FOR EACH ROW WHEN (slug(NEW.n) = '') EXECUTE FUNCTION tr()",
        "CREATE STATISTICS s ON slug(n), n FROM p",
    ),
    "without rows nothing is computed": (
        UNACCENT,
        PLPGSQL,
        "CREATE TABLE p (n text CHECK (slug(n) = 'e'), s text GENERATED ALWAYS AS (slug(n)) STORED)",
        "CREATE INDEX ON p (slug(n))",
    ),
    "a check that is not valid is made after the rows": (
        UNACCENT,
        PLPGSQL,
        "CREATE TABLE p (n text)",
        "ALTER TABLE p ADD CHECK (slug(n) = 'e') NOT VALID",
        "INSERT INTO p VALUES ('É')",
    ),
    "a check that reads a table whose rows are there already": (
        "CREATE TABLE a (id int)",
        "INSERT INTO a VALUES (1)",
        (
            "CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE plpgsql AS"
            " $$BEGIN RETURN EXISTS (SELECT FROM public.a WHERE a.id = i); END$$"
        ),
        "CREATE TABLE b (a int CHECK (ok(a)))",
        "INSERT INTO b VALUES (1)",
    ),
    "operators that SQL can name": (
        "CREATE EXTENSION citext",
        "CREATE TABLE t (id int, a citext UNIQUE, b citext CHECK (b <> ''))",
        (
            "CREATE VIEW v AS SELECT a = b AS a1, a IN ('x') AS a2, a IN (SELECT b FROM t) AS a3, a LIKE b AS a4,"
            " a BETWEEN b AND b AS a5, greatest(a, b) AS a6, CASE WHEN a = b THEN 1 END AS a7,"
            " CASE id WHEN 1 THEN a = b END AS a8, nullif(id, 1) AS a9, id IS DISTINCT FROM 2 AS b1,"
            " (a, b) = (b, a) AS b2, (a, b) < (b, a) AS b3, (a, b) IN (SELECT b, a FROM t) AS b4,"
            " a = ANY (ARRAY[b]) AS b5 FROM t"
        ),
        "CREATE VIEW w AS SELECT DISTINCT a FROM t UNION SELECT b FROM t GROUP BY b ORDER BY 1",
        "CREATE VIEW x AS SELECT t.id FROM t JOIN t AS u USING (id) WHERE t.a = u.b",
    ),
    "extensions as they came": (
        "CREATE EXTENSION hstore",
        "CREATE EXTENSION ltree",
        "CREATE EXTENSION cube",
        "CREATE EXTENSION pg_trgm",
        "CREATE EXTENSION btree_gist",
        "CREATE EXTENSION unaccent",
        "ALTER EXTENSION unaccent SET SCHEMA public",
        "GRANT EXECUTE ON FUNCTION unaccent(text) TO PUBLIC",
    ),
    "others": (
        "CREATE UNLOGGED TABLE u (id serial)",
        "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a",
        "CREATE TEXT SEARCH CONFIGURATION mine (COPY = english)",
        "CREATE FOREIGN DATA WRAPPER w",
        "CREATE SERVER s FOREIGN DATA WRAPPER w",
        "CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (password 'canary')",
    ),
}


@pytest.mark.parametrize("case", HEALTHY)
async def test_nothing_is_said_of_what_every_restore_takes(db: Any, restored: Restored, case: str) -> None:
    """Alarms that come each night for nothing are not read."""
    db.execute(*HEALTHY[case])
    assert not await found(db)
    assert not restored()


@pytest.mark.parametrize(
    "ok",
    [
        "LANGUAGE sql SET search_path = public AS 'SELECT EXISTS (SELECT FROM public.b WHERE b.id = i)'",
        "LANGUAGE sql RETURN EXISTS (SELECT FROM b WHERE b.id = i)",
    ],
)
async def test_a_check_that_reads_rows_which_come_later_is_made_last(db: Any, other: Any, ok: str) -> None:
    """A restore makes it when all rows are there; nothing needs to be said of it."""
    db.execute(
        "CREATE TABLE b (id int PRIMARY KEY)",
        f"CREATE FUNCTION ok(i int) RETURNS bool {ok}",
        "CREATE TABLE a (b int CONSTRAINT fits CHECK (ok(b)))",
        "COMMENT ON CONSTRAINT fits ON a IS 'why'",
        "INSERT INTO b VALUES (1)",
        "INSERT INTO a VALUES (1)",
    )
    assert not await found(db)
    session = await other.restore(await db.dump())
    assert session.report.warnings == []
    assert other.text() == db.text()


UNNAMED = {
    "nullif": "SELECT nullif(a, b) FROM t",
    "distinct": "SELECT a IS DISTINCT FROM b FROM t",
    "not distinct": "SELECT a IS NOT DISTINCT FROM b FROM t",
    "rows that are distinct": "SELECT (id, a) IS DISTINCT FROM (id, b) FROM t",
    "case": "SELECT CASE a WHEN 'x' THEN 1 WHEN b THEN 2 END FROM t",
    "using": "SELECT 1 AS one FROM t JOIN u USING (a)",
    "natural": "SELECT 1 AS one FROM t NATURAL JOIN u",
    "rows": "SELECT (id, a) < (1, b) FROM t",
    "row in a subquery": "SELECT (id, a) IN (SELECT id, a FROM u) FROM t",
    "row equal to a subquery": "SELECT (id, a) = (SELECT id, a FROM u LIMIT 1) FROM t",
    "inside a subquery": "SELECT (SELECT max(nullif(a, 'x')) FROM u) FROM t",
    "in a common table": "WITH c AS (SELECT * FROM t WHERE a IS DISTINCT FROM b) SELECT count(*) FROM c",
}


@pytest.mark.parametrize("case", UNNAMED)
async def test_an_operator_that_sql_cannot_name(db: Any, other: Any, restored: Restored, case: str) -> None:
    """The view means something else after a restore, which says nothing; with the search path it is the same."""
    db.execute(
        "CREATE EXTENSION citext",
        "CREATE TABLE t (id int, a citext, b citext)",
        "CREATE TABLE u (id int, a citext)",
        f"CREATE VIEW v AS {UNNAMED[case]}",
    )
    (finding,) = await found(db)
    assert (finding.kind, finding.object) == ("operator", "view public.v")
    assert "The operator public.= " in str(finding) or "The operator public.< " in str(finding)
    assert finding.cure == "Restore with --search-path public."
    operators = (
        "SELECT count(*) FROM pg_depend d JOIN pg_operator o ON o.oid = d.refobjid JOIN pg_rewrite w ON w.oid = d.objid"
        " WHERE refclassid = 'pg_operator'::regclass AND ev_class = 'v'::regclass"
    )
    assert db.value(operators)
    restored()
    if other.value("SELECT to_regclass('v') IS NOT NULL"):
        assert not other.value(operators)
    assert not restored("public")
    assert other.value(operators) == db.value(operators)


async def test_operators_elsewhere_than_in_views(db: Any) -> None:
    """Whatever keeps an expression is looked at, and alike objects are named together."""
    db.execute(
        "CREATE SCHEMA ext",
        "CREATE EXTENSION citext SCHEMA ext",
        "SET search_path = ext, public; CREATE TABLE public.t (a citext, b citext, c text"
        " GENERATED ALWAYS AS (nullif(a, b)) STORED, d citext DEFAULT nullif('a'::citext, 'b'::citext),"
        " CONSTRAINT k CHECK (a IS DISTINCT FROM b), CONSTRAINT fine CHECK (a <> b));"
        "CREATE INDEX i ON public.t (nullif(a, b)); CREATE INDEX j ON public.t (a) WHERE a IS DISTINCT FROM b;"
        "CREATE POLICY p ON public.t USING (nullif(a, b) IS NULL);"
        "CREATE FUNCTION public.tr() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER g BEFORE UPDATE ON public.t FOR EACH ROW WHEN (OLD.a IS DISTINCT FROM NEW.a)"
        " EXECUTE FUNCTION public.tr();"
        "CREATE RULE r AS ON UPDATE TO public.t WHERE nullif(OLD.a, NEW.a) IS NULL DO ALSO SELECT 1;"
        "CREATE DOMAIN public.d AS citext CHECK (nullif(VALUE, 'x') IS NOT NULL);"
        "CREATE FUNCTION public.f(x citext) RETURNS citext LANGUAGE sql RETURN nullif(x, 'y'::citext);"
        "CREATE STATISTICS public.s ON nullif(a, b), a FROM public.t;"
        "CREATE PUBLICATION o FOR TABLE public.t WHERE (nullif('x'::text, 'y') IS NULL)",
    )
    (finding,) = [each for each in await found(db) if each.kind == "operator"]
    for thing in (
        "default value for column d of table public.t",
        "constraint k on table public.t",
        "index public.i",
        "index public.j",
        "policy p on table public.t",
        "trigger g on table public.t",
        "constraint d_check",
        "function public.f(ext.citext)",
        "statistics object public.s",
    ):
        assert thing in finding.object, thing
    assert "fine" not in finding.object
    assert "column c of table public.t" in finding.object
    assert finding.cure == "Restore with --search-path ext."


async def test_rows_compared_by_operators_of_two_schemas(db: Any, restored: Restored) -> None:
    """pg_dump writes the first one's schema for all of them: nothing but another view helps."""
    db.execute(
        "CREATE EXTENSION citext",
        "CREATE TABLE t (id int, a citext)",
        "CREATE VIEW v AS SELECT (a, id) < ('x', 1) FROM t",
    )
    (finding,) = await found(db)
    assert "no restore can make view public.v" in str(finding)
    assert "does not exist" in restored("public")


async def test_a_changed_function_of_an_extension(db: Any, restored: Restored) -> None:
    """pg_dump leaves the change out, and so the index cannot be made; what a cure made is fine."""
    db.execute(
        UNACCENT,
        "ALTER FUNCTION unaccent(text) IMMUTABLE",
        "CREATE TABLE p (n text)",
        "CREATE INDEX i ON p (unaccent(n))",
    )
    (finding,) = await found(db)
    assert finding.kind == "extension"
    assert finding.lost
    assert finding.object == "function public.unaccent(text) of the extension unaccent"
    assert "must be marked IMMUTABLE" in restored()
    db.execute("DROP EXTENSION unaccent CASCADE", UNACCENT)
    db.execute(SLUG.format("sql", "SELECT public.unaccent(t)"), "CREATE INDEX i ON p (slug(n))")
    assert not await found(db)
    assert not restored()


async def test_functions_of_an_extension_that_were_changed_together(db: Any) -> None:
    """As a migration does it, in one transaction; what an update of the extension changed is no such change."""
    db.execute(
        "CREATE EXTENSION hstore VERSION '1.4'",
        "ALTER EXTENSION hstore UPDATE TO '1.5'",
        "ALTER EXTENSION hstore UPDATE",
        UNACCENT,
        "GRANT EXECUTE ON FUNCTION unaccent_lexize(internal, internal, internal, internal) TO PUBLIC",
    )
    assert not await found(db)
    db.execute(
        "ALTER FUNCTION unaccent(text) IMMUTABLE; ALTER FUNCTION unaccent(regdictionary, text) IMMUTABLE",
        "CREATE TABLE p (n text, s text GENERATED ALWAYS AS (unaccent(n)) STORED)",
        "CREATE INDEX ON p (unaccent('unaccent', n))",
    )
    (finding,) = await found(db)
    assert "function public.unaccent(text) of the extension unaccent" in finding.object
    assert "function public.unaccent(regdictionary,text) of the extension unaccent" in finding.object


async def test_a_generated_column_that_reads_rows_which_come_later(db: Any, other: Any, restored: Restored) -> None:
    """It comes back with another value, and nobody says so."""
    db.execute(
        "CREATE TABLE rates (rate int)",
        "INSERT INTO rates VALUES (7)",
        "CREATE FUNCTION gross(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS"
        " $$BEGIN RETURN (SELECT n * rate FROM public.rates); END$$",
        "CREATE TABLE prices (net int, gross int GENERATED ALWAYS AS (gross(net)) STORED)",
        "INSERT INTO prices VALUES (2)",
    )
    (finding,) = await found(db)
    assert (finding.kind, finding.object) == ("order", "column gross of table public.prices")
    assert "computes other values than now" in str(finding)
    assert not restored()
    assert (db.value("SELECT gross FROM prices"), other.value("SELECT gross FROM prices")) == (14, None)


#: What is simply not in the dump: statements, what is named, whether it counts as missing.
LEFT_OUT = {
    "function in the server's schema": (
        "CREATE FUNCTION pg_catalog.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "function mine()",
        True,
    ),
    "type in the server's schema": ("CREATE DOMAIN information_schema.mine AS int", "information_schema.mine", True),
    "the server's own text search": (
        (
            "CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = simple);"
            "ALTER TEXT SEARCH CONFIGURATION english ALTER MAPPING FOR word WITH d"
        ),
        "text search configuration english",
        True,
    ),
    "invalid index": (
        (
            "CREATE TABLE t (a int); CREATE INDEX broken ON t (a);"
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass"
        ),
        "index public.broken",
        False,
    ),
    "subscription": (
        "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)",
        "subscription s",
        False,
    ),
    "collation of another version": (
        (
            "CREATE COLLATION c (provider = builtin, locale = 'C.UTF-8'); CREATE TABLE t (a text COLLATE c UNIQUE);"
            "UPDATE pg_collation SET collversion = '0' WHERE collname = 'c'"
        ),
        "collation public.c",
        False,
    ),
    "security label": (
        "CREATE TABLE t (a int); INSERT INTO pg_seclabel VALUES ('t'::regclass, 'pg_class'::regclass, 0, 'dummy', 'x')",
        "security labels of the provider 'dummy'",
        False,
    ),
}


@pytest.mark.parametrize("case", LEFT_OUT)
async def test_what_a_dump_leaves_out_is_named(db: Any, case: str) -> None:
    """And counts as missing where it is something that a working database has."""
    statements, thing, lost = LEFT_OUT[case]
    db.execute(*statements.split(";"))
    (finding,) = await found(db)
    assert thing in finding.object
    assert thing in str(finding)
    assert finding.lost == lost
    assert finding.cure
    if case == "subscription":
        db.execute("DROP SUBSCRIPTION s")


async def test_what_an_ordinary_role_may_not_see(db: Any, make_role: Any) -> None:
    """Options of user mappings and subscriptions; what it may see is not told of, nor any option."""
    name, theirs = make_role(db)
    db.execute(
        "CREATE EXTENSION postgres_fdw",
        "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw",
        "CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (user 'u', password 'canary')",
        f"CREATE USER MAPPING FOR {name} SERVER s OPTIONS (user 'u', password 'canary')",
        "CREATE SUBSCRIPTION sub CONNECTION 'password=canary' PUBLICATION p WITH (connect = false, slot_name = NONE)",
        f"GRANT USAGE ON FOREIGN SERVER s TO {name}",
    )
    mapping, subscription = await found(theirs)
    assert (mapping.lost, subscription.lost) == (True, True)
    assert mapping.object == "user mapping for public on server s"
    assert subscription.object == "subscription sub"
    assert "canary" not in f"{mapping} {subscription}"
    (disabled,) = await found(db)
    assert not disabled.lost
    assert "comes back disabled" in str(disabled) or "disabled" in str(disabled)
    db.execute("DROP SUBSCRIPTION sub", f"DROP USER MAPPING FOR {name} SERVER s")


async def test_a_question_that_is_refused_is_told_of_and_stops_nothing(
    db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup without a check is worth more than none."""
    refused = "SELECT 1 / 0, %s::text"
    monkeypatch.setattr("kleidia_backup.stages.pg.findings.operators.script", lambda *_, **__: refused)
    db.execute("CREATE FUNCTION pg_catalog.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    left_out, unchecked = await found(db)
    assert left_out.kind == "system schema"
    assert unchecked.kind == "unchecked"
    assert "22012" in str(unchecked)


async def test_nothing_of_a_user_is_run(db: Any) -> None:
    """A function that would be noticed if it ran: by the role of the backup, with all its rights."""
    db.execute(
        "CREATE SEQUENCE runs",
        "CREATE FUNCTION slug(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS"
        " $$BEGIN PERFORM nextval('public.runs'); RETURN unaccent(t); EXCEPTION WHEN undefined_table THEN NULL; END$$",
        "CREATE TABLE p (n text, s text GENERATED ALWAYS AS (slug(n)) STORED)",
        "CREATE INDEX ON p (slug(n))",
        "CREATE FUNCTION public.format(text, text, text) RETURNS text LANGUAGE sql AS 'SELECT nextval(''runs'')::text'",
    )
    await found(db)
    assert not db.value("SELECT is_called FROM runs")
