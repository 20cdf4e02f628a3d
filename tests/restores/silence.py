"""What a backup or a restore must not do without a word: another meaning, and what is left out."""

from __future__ import annotations

from .case import Case, both

PATH = {"search_path": ("public",)}

# Operators that cannot be written with their schema -----------------------------------------------------------------

CITEXT = "CREATE EXTENSION citext; CREATE TABLE t (id int, a citext, b citext); INSERT INTO t VALUES (1, 'A', 'a'), (2, 'x', 'y');"
#: Name, SQL behind that, a question whose answer must be the same, the object that the backup's warning names.
_MEANT = [
    (
        "view",
        "CREATE VIEW v AS SELECT nullif(a, b) IS NULL AS eq, a IS DISTINCT FROM b AS differ,"
        " CASE a WHEN b THEN 'same' ELSE 'other' END AS c FROM t;",
        "SELECT * FROM v ORDER BY 1, 2, 3",
        "public.v",
        False,
    ),
    (
        "view with NULLIF",
        "CREATE VIEW v AS SELECT nullif(a, b) IS NULL AS x FROM t;",
        "SELECT * FROM v ORDER BY 1",
        "public.v",
        True,
    ),
    (
        "view with IS DISTINCT FROM",
        "CREATE VIEW v AS SELECT a IS DISTINCT FROM b AS x FROM t;",
        "SELECT * FROM v ORDER BY 1",
        "public.v",
        True,
    ),
    (
        "view with CASE",
        "CREATE VIEW v AS SELECT CASE a WHEN b THEN 1 WHEN 'X' THEN 2 END AS x FROM t;",
        "SELECT * FROM v ORDER BY 1",
        "public.v",
        True,
    ),
    (
        "view with IN",
        "CREATE VIEW v AS SELECT id FROM t WHERE a IN ('A', 'X') OR a IN (SELECT b FROM t);",
        "SELECT * FROM v ORDER BY 1",
        "",
        True,
    ),
    (
        "view with NOT IN",
        "CREATE VIEW v AS SELECT id FROM t WHERE a NOT IN (SELECT b FROM t);",
        "SELECT * FROM v ORDER BY 1",
        "",
        True,
    ),
    (
        "view with rows compared",
        "CREATE VIEW v AS SELECT (id, a) = (id, b) AS x, (id, a) IS DISTINCT FROM (id, b) AS y, (a, b) < (b, a) AS z FROM t;",
        "SELECT * FROM v ORDER BY 1",
        "public.v",
        True,
    ),
    (
        "view with JOIN USING",
        "CREATE TABLE u (a citext, n int); INSERT INTO u VALUES ('a', 7); CREATE VIEW v AS SELECT n FROM t JOIN u USING (a);",
        "SELECT * FROM v",
        "public.v",
        True,
    ),
    (
        "view with NATURAL JOIN",
        "CREATE TABLE u (a citext, n int); INSERT INTO u VALUES ('a', 7); CREATE VIEW v AS SELECT n FROM t NATURAL JOIN u;",
        "SELECT * FROM v",
        "public.v",
        True,
    ),
    (
        "view with BETWEEN and ANY",
        "CREATE VIEW v AS SELECT a BETWEEN 'a' AND 'B' AS x, a = ANY (ARRAY['a'::citext]) AS y, a LIKE 'A' AS z FROM t;",
        "SELECT * FROM v ORDER BY 1, 2",
        "",
        True,
    ),
    (
        "materialized view",
        "CREATE MATERIALIZED VIEW m AS SELECT id, nullif(a, b) IS NULL AS x FROM t;",
        "SELECT * FROM m ORDER BY 1",
        "public.m",
        True,
    ),
    (
        "check",
        "ALTER TABLE t ADD CONSTRAINT differ CHECK (id <> 2 OR a IS DISTINCT FROM b);",
        "SELECT 1",
        "differ",
        True,
    ),
    ("index", "CREATE INDEX i ON t (id) WHERE a IS NOT DISTINCT FROM b;", "SELECT 1", "i", True),
    (
        "generated column",
        "ALTER TABLE t ADD g bool GENERATED ALWAYS AS (nullif(a, b) IS NULL) STORED;",
        "SELECT id, g FROM t ORDER BY 1",
        "g",
        True,
    ),
    (
        "default",
        "CREATE TABLE d (x bool DEFAULT ('A'::citext IS DISTINCT FROM 'a'::citext));",
        "WITH i AS (SELECT 1) SELECT 1",
        "d",
        True,
    ),
    ("policy", "CREATE POLICY po ON t USING (a IS DISTINCT FROM b);", "SELECT 1", "po", True),
    (
        "rule",
        "CREATE VIEW w AS SELECT id FROM t; CREATE RULE r AS ON DELETE TO w DO INSTEAD DELETE FROM t WHERE id = OLD.id AND a IS DISTINCT FROM b;",
        "SELECT 1",
        "r",
        True,
    ),
    (
        "trigger",
        "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.a IS NOT DISTINCT FROM NEW.b) EXECUTE FUNCTION tf();",
        "SELECT 1",
        "tr",
        True,
    ),
    (
        "function",
        "CREATE FUNCTION f(x citext, y citext) RETURNS bool LANGUAGE sql BEGIN ATOMIC SELECT x IS NOT DISTINCT FROM y; END;",
        "SELECT f('A', 'a')",
        "f",
        True,
    ),
    (
        "domain",
        "CREATE DOMAIN d AS citext CHECK (value IS DISTINCT FROM 'BAD'::citext); CREATE TABLE dd (x d);",
        "SELECT 1",
        "d",
        True,
    ),
    ("statistics", "CREATE STATISTICS st ON (a IS DISTINCT FROM b), id FROM t;", "SELECT 1", "st", True),
    (
        "view in another schema",
        'CREATE SCHEMA "S s"; CREATE VIEW "S s"."V v" AS SELECT a IS DISTINCT FROM b AS x FROM t;',
        'SELECT * FROM "S s"."V v" ORDER BY 1',
        '"V v"',
        True,
    ),
]
MEANING = [
    case
    for name, more, question, what, thorough in _MEANT
    for case in both(
        Case(
            f"meaning of {name}",
            CITEXT + more,
            options=PATH if what else {},  # else SQL can write the operator's schema
            asks=question,
            backed_up=(what, "search") if what else (),
            thorough=thorough,
        )
    )
]
MEANING += [
    Case(
        "meaning with an extension in a schema of its own",
        "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; SET search_path = public, ext;"
        "CREATE TABLE t (a citext, b citext); INSERT INTO t VALUES ('A', 'a');"
        "CREATE VIEW v AS SELECT nullif(a, b) IS NULL AS x FROM t;",
        target="empty",
        options={"search_path": ("public", "ext")},
        asks="SELECT * FROM v",
        backed_up=("public.v", "ext"),
        thorough=True,
    ),
    Case(
        "meaning with an operator of the database itself",
        "CREATE TYPE w AS (t text); CREATE FUNCTION weq(w, w) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT lower(($1).t) = lower(($2).t)';"
        "CREATE OPERATOR = (function = weq, leftarg = w, rightarg = w); CREATE TABLE t (a w, b w); INSERT INTO t VALUES (ROW('A'), ROW('a'));"
        "CREATE VIEW v AS SELECT nullif(a, b) IS NULL AS x, a IS DISTINCT FROM b AS y FROM t;",
        target="empty",
        options=PATH,
        asks="SELECT * FROM v",
        backed_up=("public.v", "search"),
        thorough=True,
    ),
    Case(
        "rows compared by operators of two schemas",
        f"{CITEXT} CREATE VIEW v AS SELECT (a, id) < (b, id) AS x FROM t;",
        target="empty",
        outcome="refused",
        says=("public.v",),
        foreseen=False,
        backed_up=("public.v",),
        thorough=True,
    ),
    Case(
        "type without an operator of the server's own",
        "CREATE EXTENSION ltree; CREATE TABLE t (a ltree, b ltree); INSERT INTO t VALUES ('x.y', 'x.y');"
        "CREATE VIEW v AS SELECT nullif(a, b) IS NULL AS x FROM t;",
        target="empty",
        outcome="refused",
        says=("public.v", "--search-path"),
        foreseen=False,
        backed_up=("public.v", "search"),
    ),
    Case(
        "type without an operator of the server's own, with a search path",
        "CREATE EXTENSION ltree; CREATE TABLE t (a ltree, b ltree); INSERT INTO t VALUES ('x.y', 'x.y');"
        "CREATE VIEW v AS SELECT nullif(a, b) IS NULL AS x FROM t;",
        target="empty",
        options=PATH,
        asks="SELECT * FROM v",
        backed_up=("public.v", "search"),
    ),
    Case(
        "types of the server itself mean the same and nothing is said",
        "CREATE TABLE t (a text, b varchar, c int, d jsonb); INSERT INTO t VALUES ('A', 'a', 1, '{}');"
        "CREATE VIEW v AS SELECT nullif(a, b) IS NULL AS x, c IS DISTINCT FROM 1 AS y, CASE d WHEN '{}' THEN 1 END AS z FROM t;",
        target="empty",
        asks="SELECT * FROM v",
    ),
]

# What a role may not see, and what a dump cannot hold ------------------------------------------------------------------

MAPPED = """
CREATE EXTENSION postgres_fdw;
CREATE SERVER srv FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1');
CREATE USER MAPPING FOR pg_monitor SERVER srv{options};
CREATE TABLE t (a int);
"""
SUBSCRIBED = """
CREATE TABLE t (a int);
CREATE SUBSCRIPTION sub_s CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION p WITH (connect = false{more});
"""
LEFT_OUT = [
    Case(
        "options of a mapping that the role may not see",
        MAPPED.format(options=" OPTIONS (user 'u', password 'canary')"),
        role="reader",
        target="empty",
        wanted=MAPPED.format(options=""),
        backed_up=("srv",),
    ),
    *both(Case("options of a mapping, superuser", MAPPED.format(options=" OPTIONS (user 'u', password 'canary')"))),
    Case(
        "subscription that the role may not see",
        SUBSCRIBED.format(more=""),
        role="reader",
        backed_up=("sub_s",),
        target="empty",
        wanted="CREATE TABLE t (a int);",
    ),
    Case("subscription, empty", SUBSCRIBED.format(more=""), target="empty", restored=("sub_s",)),
    Case("subscription without a slot", SUBSCRIBED.format(more=", slot_name = NONE"), restored=("sub_s",)),
    Case("subscription with a slot", SUBSCRIBED.format(more=""), outcome="refused", says=("sub_s", "slot_name")),
    Case(
        "subscription with a slot that came later",
        "CREATE TABLE t (a int);",
        SUBSCRIBED.replace("CREATE TABLE t (a int);", "").format(more=""),
        left="ALTER SUBSCRIPTION sub_s SET (slot_name = NONE); DROP SUBSCRIPTION sub_s",
        thorough=True,
    ),
    Case(
        "subscription with a slot that was dropped",
        SUBSCRIBED.format(more=""),
        "ALTER SUBSCRIPTION sub_s SET (slot_name = NONE); DROP SUBSCRIPTION sub_s",
        restored=("sub_s",),
        thorough=True,
    ),
    Case(
        "large object of another owner",
        "SELECT lo_from_bytea(4711, 'canary'); CREATE TABLE t (a int);",
        role="reader",
        outcome="no backup",
        says=("large object",),
    ),
    Case(
        "table that the role may not read",
        "CREATE TABLE t (a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; INSERT INTO t VALUES (1);",
        role="reader",
        outcome="no backup",
        says=("public.t",),
    ),
    Case(
        "sequence and table as README's role",
        "CREATE SCHEMA s; CREATE TABLE s.t (id serial, x text); INSERT INTO s.t (x) VALUES ('canary');"
        "CREATE MATERIALIZED VIEW s.m AS SELECT * FROM s.t;",
        role="reader",
        target="empty",
    ),
]

CASES = [*MEANING, *LEFT_OUT]
