"""What pg_dump cannot say: names that are resolved while SQL is run, orders that no text can have, rows that do not fit.

pg_dump empties the search path. What needs one is warned of by the backup, named by the error of a restore, and
comes back with ``search_path``. Constraints that only the order or the rows break come back, in the worst case NOT VALID.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .case import Case, both

PUBLIC = {"search_path": ("public",)}

# The search path ----------------------------------------------------------------------------------------------------

SLUG = """
CREATE EXTENSION unaccent;
CREATE FUNCTION slug(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN lower(unaccent(t)); END$$;
"""
#: Cases: name, SQL, the object that a refusal names, the search path that brings it back, words of the backup's warning.
_PATHS: list[tuple[str, str, str, tuple[str, ...], tuple[str, ...]]] = [
    (
        "generated column",
        f"{SLUG} CREATE TABLE p (n text, s text GENERATED ALWAYS AS (slug(n)) STORED); INSERT INTO p (n) VALUES ('É');",
        "public.p",
        ("public",),
        ("slug",),
    ),
    (
        "expression index",
        f"{SLUG} CREATE TABLE p (n text); CREATE INDEX p_slug ON p (slug(n)); INSERT INTO p VALUES ('É');",
        "p_slug",
        ("public",),
        ("slug",),
    ),
]
_MORE: list[tuple[str, str, str, tuple[str, ...], tuple[str, ...]]] = [
    (
        "partial index",
        f"{SLUG} CREATE TABLE p (n text); CREATE INDEX p_slug ON p (n) WHERE slug(n) = 'e'; INSERT INTO p VALUES ('É');",
        "p_slug",
        ("public",),
        ("slug",),
    ),
    (
        "unique index",
        f"{SLUG} CREATE TABLE p (n text); CREATE UNIQUE INDEX p_slug ON p (slug(n)); INSERT INTO p VALUES ('É');",
        "p_slug",
        ("public",),
        ("slug",),
    ),
    (
        "exclusion constraint",
        f"{SLUG} CREATE TABLE p (n text, CONSTRAINT p_slug EXCLUDE USING btree (slug(n) WITH =)); INSERT INTO p VALUES ('É');",
        "p_slug",
        ("public",),
        ("slug",),
    ),
    (
        "index of a partitioned table",
        f"{SLUG} CREATE TABLE p (n text) PARTITION BY LIST (n); CREATE TABLE p1 PARTITION OF p DEFAULT;"
        "CREATE INDEX p_slug ON p (slug(n)); INSERT INTO p VALUES ('É');",
        "p1_slug_idx",
        ("public",),
        ("slug",),
    ),
    (
        "function of another schema",
        "CREATE SCHEMA lib; CREATE FUNCTION lib.inner_f(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)';"
        "CREATE FUNCTION outer_f(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN inner_f(t); END$$;"
        "SET search_path = public, lib;"
        "CREATE TABLE p (n text, s text GENERATED ALWAYS AS (outer_f(n)) STORED); INSERT INTO p (n) VALUES ('canary');",
        "public.p",
        ("public", "lib"),
        ("outer_f",),
    ),
    (
        "quoted schema",
        'CREATE SCHEMA "My App"; SET search_path = "My App";'
        "CREATE FUNCTION inner_f(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)';"
        "CREATE FUNCTION outer_f(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN inner_f(t); END$$;"
        'CREATE TABLE "P q" (n text, s text GENERATED ALWAYS AS (outer_f(n)) STORED); INSERT INTO "P q" (n) VALUES (1);',
        '"My App"."P q"',
        ("My App",),
        ("outer_f",),
    ),
    (
        "function in SQL",
        "CREATE FUNCTION inner_f(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN upper($1); END$$;"
        "CREATE FUNCTION outer_f(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT inner_f($1)';"
        "CREATE TABLE p (n text, s text GENERATED ALWAYS AS (outer_f(n)) STORED); INSERT INTO p (n) VALUES ('canary');",
        "public.p",
        ("public",),
        ("outer_f",),
    ),
    (
        "function that reads a table",
        "CREATE TABLE rates (r int); INSERT INTO rates VALUES (7);"
        "CREATE FUNCTION rate(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN i * (SELECT r FROM rates); END$$;"
        "CREATE TABLE sales (n int, s int GENERATED ALWAYS AS (rate(n)) STORED); INSERT INTO sales (n) VALUES (6);",
        "public.sales",
        ("public",),
        ("rate",),
    ),
    (
        "function that casts to a type",
        "CREATE TYPE mood AS ENUM ('sad');"
        "CREATE FUNCTION feel(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN t::mood::text; END$$;"
        "CREATE TABLE p (n text, s text GENERATED ALWAYS AS (feel(n)) STORED); INSERT INTO p (n) VALUES ('sad');",
        "public.p",
        ("public",),
        ("feel",),
    ),
    (
        "operator of an extension",
        "CREATE EXTENSION hstore;"
        "CREATE FUNCTION pick(h hstore) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN h -> 'a'; END$$;"
        "CREATE TABLE p (n hstore, s text GENERATED ALWAYS AS (pick(n)) STORED); INSERT INTO p (n) VALUES ('a=>1');",
        "public.p",
        ("public",),
        ("pick",),
    ),
]


def unresolved(
    name: str, before: str, what: str, path: tuple[str, ...], words: tuple[str, ...], **more: Any
) -> list[Case]:
    """StatementRefused without a search path, the same with it; the backup warned of it."""
    with_path = Case(f"{name}, with a search path", before, options={"search_path": path}, backed_up=words, **more)
    without = Case(
        name, before, outcome="refused", says=(what, "--search-path"), foreseen=False, backed_up=words, **more
    )
    return [*both(with_path), replace(without, target="empty")]


SEARCH_PATH = [
    *[case for each in _PATHS for case in unresolved(*each)],
    *[case for each in _MORE for case in unresolved(*each, thorough=True)],
    # What looks like it and can be restored: nothing is said.
    Case(
        "function that sets its own path",
        f"{SLUG} ALTER FUNCTION slug SET search_path = public; CREATE TABLE p (n text); CREATE INDEX p_slug ON p (slug(n));"
        "INSERT INTO p VALUES ('É');",
        target="empty",
    ),
    Case(
        "function that names its schemas",
        "CREATE EXTENSION unaccent;"
        "CREATE FUNCTION slug(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT lower(public.unaccent(t))$$;"
        "CREATE TABLE p (n text, s text GENERATED ALWAYS AS (slug(n)) STORED); INSERT INTO p (n) VALUES ('É');"
        "CREATE INDEX p_slug ON p (slug(n));",
        target="empty",
    ),
    Case(
        "function whose body is parsed",
        "CREATE FUNCTION a(text) RETURNS text IMMUTABLE RETURN upper($1); CREATE FUNCTION b(text) RETURNS text IMMUTABLE RETURN a($1);"
        "CREATE TABLE p (n text, s text GENERATED ALWAYS AS (b(n)) STORED); INSERT INTO p (n) VALUES ('canary');",
        target="empty",
    ),
    Case(
        "default, trigger and policy with unqualified names",
        "CREATE TABLE b (id int); INSERT INTO b VALUES (1);"
        "CREATE FUNCTION n() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(id) FROM b); END';"
        "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM n(); RETURN NEW; END';"
        "CREATE TABLE p (a int DEFAULT n()); CREATE TRIGGER tr BEFORE INSERT ON p FOR EACH ROW EXECUTE FUNCTION tf();"
        "CREATE POLICY po ON p USING (a = n()); INSERT INTO p DEFAULT VALUES;",
        target="empty",
    ),
    Case(
        "materialized view of a function with a path of its own",
        "CREATE TABLE b (id int); INSERT INTO b VALUES (1);"
        "CREATE FUNCTION n() RETURNS int LANGUAGE plpgsql SET search_path = public AS 'BEGIN RETURN (SELECT max(id) FROM b); END';"
        "CREATE MATERIALIZED VIEW m AS SELECT n() AS n;",
        target="empty",
    ),
    *both(
        Case(
            "rows that are names",
            "CREATE TABLE t (a int); CREATE VIEW v AS SELECT 1 AS a; CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';"
            "CREATE TYPE mood AS ENUM ('a'); CREATE SEQUENCE s;"
            "CREATE TABLE names (c regclass, p regprocedure, y regtype, r regrole, n regnamespace);"
            "INSERT INTO names VALUES ('t', 'f(int)', 'mood', 'postgres', 'public'), ('v', NULL, 'int', NULL, NULL), ('s', NULL, NULL, NULL, NULL);",
            thorough=True,
        )
    ),
    Case(
        "rows that are names of what comes later",
        "CREATE TABLE t (a int); CREATE INDEX later_i ON t (a); CREATE TABLE names (c regclass); INSERT INTO names VALUES ('later_i');",
        target="empty",
        outcome="refused",
        says=("public.names",),
        foreseen=False,
        thorough=True,
    ),
    # A search path does not help where the extension's own function was altered.
    *[
        Case(
            f"function of an extension made IMMUTABLE, {target}",
            "CREATE EXTENSION unaccent; ALTER FUNCTION unaccent(text) IMMUTABLE;"
            "CREATE TABLE p (n text); INSERT INTO p VALUES ('É'); CREATE INDEX p_unaccent ON p (unaccent(n));",
            target=target,
            outcome="refused",
            says=("p_unaccent",),
            foreseen=False,
            backed_up=("unaccent",),
        )
        for target in ("self", "empty")
    ],
    Case(
        "generated column of an extension's function made IMMUTABLE",
        "CREATE EXTENSION unaccent; ALTER FUNCTION unaccent(text) IMMUTABLE;"
        "CREATE TABLE p (n text, s text GENERATED ALWAYS AS (unaccent(n)) STORED); INSERT INTO p VALUES ('É');",
        target="empty",
        outcome="refused",
        says=("public.p",),
        foreseen=False,
        backed_up=("unaccent",),
    ),
    Case(
        "materialized view of a function that needs a path",
        "CREATE TABLE b (id int); INSERT INTO b VALUES (1);"
        "CREATE FUNCTION n() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(id) FROM b); END';"
        "CREATE MATERIALIZED VIEW m AS SELECT n() AS n WITH NO DATA;"
        "UPDATE pg_class SET relispopulated = true WHERE relname = 'm';",
        target="empty",
        outcome="refused",
        says=("public.m",),
        foreseen=False,
        thorough=True,
    ),
    Case(
        "materialized view of an owner who may not read its table",
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE MATERIALIZED VIEW m AS SELECT a FROM t;"
        "ALTER MATERIALIZED VIEW m OWNER TO pg_monitor;",
        target="empty",
        outcome="refused",
        says=("public.m",),
        foreseen=False,
        backed_up=("public.m",),
    ),
]

# Checks -------------------------------------------------------------------------------------------------------------

LIMIT = """
CREATE TABLE b (id int PRIMARY KEY);
CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE plpgsql AS $$BEGIN RETURN EXISTS (SELECT FROM b WHERE b.id = i); END$$;
CREATE TABLE a (b int{check});
INSERT INTO b VALUES (1);
INSERT INTO a VALUES (1);
"""
_NOT_VALID = "ALTER TABLE a ADD CONSTRAINT a_b_check CHECK (ok(b)) NOT VALID;"


def _qualified(text: str) -> str:
    """The same with a table that is named with its schema."""
    return text.replace("FROM b", "FROM public.b")


WORD = """
CREATE FUNCTION low(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN lower(t); END$$;
CREATE FUNCTION ok(t text) RETURNS bool LANGUAGE plpgsql AS $$BEGIN RETURN low(t) = t; END$$;
CREATE DOMAIN word AS text{check}; CREATE TABLE p (n word); INSERT INTO p VALUES ('canary'); {later}
"""
CHANGED = "CREATE OR REPLACE FUNCTION ok(i int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT i > 100';"
CHECKS = [
    *both(
        Case(
            "check that names a table",
            LIMIT.format(check=" CHECK (ok(b))"),
            wanted=LIMIT.format(check="") + _NOT_VALID,
            restored=("a_b_check",),
        )
    ),
    *both(Case("check that names a table, with a search path", LIMIT.format(check=" CHECK (ok(b))"), options=PUBLIC)),
    *both(Case("check that needs rows of a later table", _qualified(LIMIT.format(check=" CHECK (ok(b))")))),
    Case(
        "check that needs rows of its own table",
        "CREATE TABLE a (id int, parent int); CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE plpgsql AS "
        "$$BEGIN RETURN i IS NULL OR EXISTS (SELECT FROM public.a WHERE id = i); END$$;"
        "INSERT INTO a VALUES (2, 1), (1, NULL); ALTER TABLE a ADD CONSTRAINT a_parent CHECK (ok(parent));",
        target="empty",
    ),
    Case(
        "check of a partitioned table that needs rows of a later one",
        "CREATE TABLE z (id int PRIMARY KEY); CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE sql AS"
        "'SELECT EXISTS (SELECT FROM public.z WHERE id = i)'; INSERT INTO z VALUES (1), (2);"
        "CREATE TABLE a (z int CHECK (ok(z))) PARTITION BY LIST (z); CREATE TABLE a1 PARTITION OF a FOR VALUES IN (1);"
        "CREATE TABLE a2 PARTITION OF a DEFAULT; INSERT INTO a VALUES (1), (2);",
        target="empty",
        thorough=True,
    ),
    Case(
        "check of an inherited table that needs rows of a later one",
        "CREATE TABLE z (id int PRIMARY KEY); CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE sql AS"
        "'SELECT EXISTS (SELECT FROM public.z WHERE id = i)'; INSERT INTO z VALUES (1);"
        "CREATE TABLE a (z int CONSTRAINT a_z CHECK (ok(z))); CREATE TABLE a1 () INHERITS (a);"
        "CREATE TABLE a2 (y int CONSTRAINT a_y CHECK (ok(y)) NO INHERIT) INHERITS (a);"
        "INSERT INTO a1 VALUES (1); INSERT INTO a2 VALUES (1, 1);",
        target="empty",
        thorough=True,
    ),
    Case(
        "check of a domain that needs rows of a later table",
        "CREATE TABLE z (id int PRIMARY KEY); CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE sql AS"
        "'SELECT EXISTS (SELECT FROM public.z WHERE id = i)'; INSERT INTO z VALUES (1);"
        "CREATE DOMAIN zid AS int CHECK (ok(value)); CREATE TABLE a (z zid); INSERT INTO a VALUES (1);",
        target="empty",
        thorough=True,
    ),
    Case(
        "comment on a check that needs rows of a later table",
        _qualified(LIMIT.format(check=" CHECK (ok(b))")) + "COMMENT ON CONSTRAINT a_b_check ON a IS 'why';",
        target="empty",
        thorough=True,
    ),
    *both(
        Case(
            "check that the rows do not fit any more",
            f"CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT i > 0';"
            f"CREATE TABLE a (b int CHECK (ok(b))); INSERT INTO a VALUES (1); {CHANGED}",
            wanted=f"{CHANGED} CREATE TABLE a (b int); INSERT INTO a VALUES (1); {_NOT_VALID}",
            restored=("a_b_check",),
        )
    ),
    Case(
        "check of a domain that the rows do not fit any more",
        "CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT i > 0';"
        f"CREATE DOMAIN d AS int CHECK (ok(value)); CREATE TABLE a (b d); INSERT INTO a VALUES (1); {CHANGED}",
        wanted=f"CREATE DOMAIN d AS int; CREATE TABLE a (b d); INSERT INTO a VALUES (1); {CHANGED}"
        "ALTER DOMAIN d ADD CONSTRAINT d_check CHECK (ok(value)) NOT VALID;",
        target="empty",
        restored=("d_check",),
        thorough=True,
    ),
    Case(
        "check of a domain that names a function",
        WORD.format(check=" CHECK (ok(value))", later=""),
        wanted=WORD.format(check="", later="ALTER DOMAIN word ADD CONSTRAINT word_check CHECK (ok(value)) NOT VALID;"),
        target="empty",
        restored=("word_check",),
        thorough=True,
    ),
    Case(
        "check of a domain that names a function, with a search path",
        WORD.format(check=" CHECK (ok(value))", later=""),
        target="empty",
        options=PUBLIC,
        thorough=True,
    ),
    Case(
        "quoted check that needs rows of a later table",
        'CREATE SCHEMA "S s"; CREATE TABLE "S s"."Z" (id int PRIMARY KEY); INSERT INTO "S s"."Z" VALUES (1);'
        'CREATE FUNCTION "S s"."O k"(i int) RETURNS bool LANGUAGE sql AS $$SELECT EXISTS (SELECT FROM "S s"."Z" WHERE id = i)$$;'
        'CREATE TABLE "S s"."A, (a" ("b ""c" int CONSTRAINT "ch); --" CHECK ("S s"."O k"("b ""c")), t text DEFAULT E\'x, y\\\')\');'
        'INSERT INTO "S s"."A, (a" VALUES (1);',
        target="empty",
        thorough=True,
    ),
]

# The server adds no CHECK to a domain that lies inside of other types, unless it is NOT VALID.
POSITIVE = "CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN i > 0 AND length(i::text) < 9; END$$;"
ROWS = "CREATE TABLE z (id int PRIMARY KEY); INSERT INTO z VALUES (1);"
INSIDE = f"{POSITIVE} CREATE DOMAIN d AS int CHECK (ok(value)); COMMENT ON CONSTRAINT d_check ON DOMAIN d IS 'why';"
_NOW = "CREATE OR REPLACE FUNCTION ok(i int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN i > 100; END$$;"
_BEHIND = "ALTER DOMAIN d ADD CONSTRAINT d_check CHECK (ok(value)) NOT VALID;"
CHECKS += [
    *[
        replace(case, thorough=case.thorough or case.target == "self")
        for name, make, thorough in [
            ("an array", "CREATE TABLE t (a d[]); INSERT INTO t VALUES ('{1,2}')", False),
            ("a composite type", "CREATE TYPE c AS (x d); CREATE TABLE t (a c); INSERT INTO t VALUES (ROW(1))", False),
            (
                "a range",
                "CREATE TYPE r AS RANGE (subtype = d, subtype_opclass = int4_ops);"
                "CREATE TABLE t (a r); INSERT INTO t VALUES ('[1,3)')",
                True,
            ),
            ("a row of a table", "CREATE TABLE s (x d); CREATE TABLE t (a s); INSERT INTO t VALUES (ROW(1))", True),
            (
                "an array of a domain over it",
                "CREATE DOMAIN e AS d CHECK (ok(value)); CREATE DOMAIN f AS e[]; CREATE TABLE t (a e, b f);"
                "INSERT INTO t VALUES (1, '{1}')",
                True,
            ),
            ("an array of a partitioned table", "CREATE TABLE t (a d[], b int) PARTITION BY LIST (b)", True),
            ("an array of a materialized view", "CREATE MATERIALIZED VIEW m AS SELECT ARRAY[1::d] AS a", True),
            ("an array of a view alone", "CREATE VIEW v AS SELECT ARRAY[1::d] AS a; CREATE TABLE t (a d)", True),
            (
                "an array, where the server knows what its function calls",
                "CREATE FUNCTION ok2(i int) RETURNS bool LANGUAGE sql IMMUTABLE RETURN i > 0;"
                "CREATE DOMAIN d2 AS int CHECK (ok2(value)); CREATE TABLE t (a d2[])",
                True,
            ),
        ]
        for case in both(Case(f"check of a domain inside of {name}", f"{INSIDE} {make};", thorough=thorough))
    ],
    Case(
        "check of a domain inside of an array of a preserved table",
        f"{INSIDE} CREATE TABLE backup_jobs (s d[]); INSERT INTO backup_jobs VALUES ('{{1}}');",
    ),
    *[
        Case(
            f"check of a domain inside of an array that {name}",
            f"{ROWS} {function} CREATE DOMAIN d AS int CHECK (ok(value)); {table}",
            wanted=f"{ROWS} {function} CREATE DOMAIN d AS int; {table} {_BEHIND}",
            target="empty",
            restored=("d_check", "public.d ", "inside of arrays"),
            thorough=thorough,
        )
        for table in ["CREATE TABLE a (b d[]); INSERT INTO a VALUES ('{1}');"]
        for name, function, thorough in [
            (
                "needs rows of a later table",
                "CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM public.z WHERE id = i)';",
                False,
            ),
            (
                "needs rows of a later table, as the server knows",
                "CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE sql RETURN EXISTS (SELECT FROM z WHERE id = i);",
                True,
            ),
            (
                "needs rows of a later table by another function",
                "CREATE FUNCTION there(i int) RETURNS bool LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM public.z WHERE id = i)';"
                "CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN public.THERE(i); END';",
                True,
            ),
            (
                "needs rows of a later table with an odd name",
                'CREATE TABLE "z; z" (id int); INSERT INTO "z; z" VALUES (1); CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE sql'
                " AS 'SELECT EXISTS (SELECT FROM public.\"z; z\" WHERE id = i)';",
                True,
            ),
            (
                "asks what time it is",
                "CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE sql AS 'SELECT current_date > ''2020-01-01''::date';",
                True,
            ),
            (
                "uses an operator of its own",
                "CREATE FUNCTION more(int, int) RETURNS bool LANGUAGE sql AS 'SELECT $1 > $2';"
                "CREATE OPERATOR |> (leftarg = int, rightarg = int, function = more);"
                "CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN i |> 0; END';",
                True,
            ),
        ]
    ],
    # A dump has such a CHECK before the rows: nothing can be done about these.
    Case(
        "check of a domain inside of an array that the rows do not fit any more",
        f"{INSIDE} CREATE TABLE a (b d[]); INSERT INTO a VALUES ('{{1}}'); {_NOW}",
        target="empty",
        outcome="refused",
        says=("d_check",),
        foreseen=False,
        thorough=True,
    ),
]

# Keys ---------------------------------------------------------------------------------------------------------------

BROKEN = "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1); {more} SET session_replication_role = replica; {rows}"


def broken(name: str, table: str, rows: str, key: str, not_valid: str, **more: Any) -> Case:
    """Rows that break a key which the catalog calls valid: NOT VALID, with a warning. ``key`` is added at the end."""
    before = BROKEN.format(more=f"{table}; {key};", rows=rows)
    wanted = BROKEN.format(more=f"{table};", rows=f"{rows} {not_valid};")
    return Case(name, before, wanted=wanted, restored=more.pop("restored", ("c_p",)), **more)


_KEY = "ALTER TABLE c ADD CONSTRAINT c_p FOREIGN KEY (p) REFERENCES p"
KEYS = [
    *both(
        broken("key that rows break", "CREATE TABLE c (p int)", "INSERT INTO c VALUES (99);", _KEY, f"{_KEY} NOT VALID")
    ),
    broken(
        "deferrable key that rows break",
        "CREATE TABLE c (p int)",
        "INSERT INTO c VALUES (99);",
        f"{_KEY} ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
        f"{_KEY} ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED NOT VALID",
        target="empty",
    ),
    broken(
        "key into itself that rows break",
        "CREATE TABLE c (id int PRIMARY KEY, p int)",
        "INSERT INTO c VALUES (1, 99);",
        "ALTER TABLE c ADD CONSTRAINT c_p FOREIGN KEY (p) REFERENCES c",
        "ALTER TABLE c ADD CONSTRAINT c_p FOREIGN KEY (p) REFERENCES c NOT VALID",
        target="empty",
    ),
    broken(
        "key of a partitioned table that rows break",
        "CREATE TABLE c (p int) PARTITION BY LIST (p); CREATE TABLE c1 PARTITION OF c DEFAULT",
        "INSERT INTO c VALUES (99);",
        _KEY,
        f"{_KEY} NOT VALID",
        target="empty",
        thorough=True,
    ),
    broken(
        "key of a partition that rows break",
        "CREATE TABLE cc (p int) PARTITION BY LIST (p); CREATE TABLE c PARTITION OF cc DEFAULT",
        "INSERT INTO c VALUES (99);",
        _KEY,
        f"{_KEY} NOT VALID",
        target="empty",
        thorough=True,
    ),
    broken(
        "quoted key that rows break",
        'CREATE TABLE "C c" (p int)',
        'INSERT INTO "C c" VALUES (99);',
        'ALTER TABLE "C c" ADD CONSTRAINT "k ""1" FOREIGN KEY (p) REFERENCES p',
        'ALTER TABLE "C c" ADD CONSTRAINT "k ""1" FOREIGN KEY (p) REFERENCES p NOT VALID',
        restored=('k ""1',),
        target="empty",
        thorough=True,
    ),
    broken(
        "commented key that rows break",
        "CREATE TABLE c (p int)",
        "INSERT INTO c VALUES (99);",
        f"{_KEY}; COMMENT ON CONSTRAINT c_p ON c IS 'why'",
        f"{_KEY} NOT VALID; COMMENT ON CONSTRAINT c_p ON c IS 'why'",
        target="empty",
    ),
    broken(
        "two keys, one that rows break",
        "CREATE TABLE c (p int, q int)",
        "INSERT INTO c VALUES (99, 1);",
        f"{_KEY}; ALTER TABLE c ADD CONSTRAINT c_q FOREIGN KEY (q) REFERENCES p",
        f"{_KEY} NOT VALID; ALTER TABLE c ADD CONSTRAINT c_q FOREIGN KEY (q) REFERENCES p",
        target="empty",
        thorough=True,
    ),
    broken(
        "key of several columns that rows break",
        "CREATE TABLE pp (a int, b text, UNIQUE (a, b)); CREATE TABLE c (a int, b text)",
        "INSERT INTO c VALUES (1, 'canary');",
        "ALTER TABLE c ADD CONSTRAINT c_p FOREIGN KEY (a, b) REFERENCES pp (a, b) MATCH FULL",
        "ALTER TABLE c ADD CONSTRAINT c_p FOREIGN KEY (a, b) REFERENCES pp (a, b) MATCH FULL NOT VALID",
        target="empty",
        thorough=True,
    ),
    *both(
        Case(
            "key that was NOT VALID before",
            BROKEN.format(more="CREATE TABLE c (p int);", rows=f"INSERT INTO c VALUES (99); {_KEY} NOT VALID;"),
        )
    ),
    Case(
        "keys in a circle",
        "CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);"
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b; INSERT INTO a VALUES (1, NULL); INSERT INTO b VALUES (1, 1);"
        "UPDATE a SET b = 1;",
        target="empty",
        thorough=True,
    ),
]

_COMMENTED = "CREATE TABLE f (j int CONSTRAINT f_fk REFERENCES {0}); COMMENT ON CONSTRAINT f_fk ON f IS 'why';"
HELD_BACK = [
    *both(
        Case(
            "comment on a key into a preserved table",
            f"CREATE TABLE backup_jobs (id int PRIMARY KEY); {_COMMENTED.format('backup_jobs')}",
        )
    ),
    *both(
        Case(
            "comment on a key into the audit log, without it",
            f"CREATE TABLE audit_logs (id int PRIMARY KEY); INSERT INTO audit_logs VALUES (1); {_COMMENTED.format('audit_logs')}",
            audit=False,
        )
    ),
    *both(
        Case(
            "comment on a key of a preserved table",
            "CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE backup_jobs (id int PRIMARY KEY, u int CONSTRAINT j_u REFERENCES users);"
            "INSERT INTO users VALUES (1); INSERT INTO backup_jobs VALUES (1, 1); COMMENT ON CONSTRAINT j_u ON backup_jobs IS 'why';",
            thorough=True,
        )
    ),
    *both(
        Case(
            "comment with quotes on a quoted key into a preserved table",
            "CREATE TABLE backup_jobs (id int PRIMARY KEY);"
            'CREATE TABLE "F; f" (j int CONSTRAINT "f ""k" REFERENCES backup_jobs);'
            """COMMENT ON CONSTRAINT "f ""k" ON "F; f" IS E'it''s\\nwhy; \\\\ COMMIT;';""",
            thorough=True,
        )
    ),
    Case(
        "comment on a key of a table that the archive lacks",
        "CREATE TABLE p (id int PRIMARY KEY);",
        f"{_COMMENTED.format('p')} INSERT INTO p VALUES (1); INSERT INTO f VALUES (1);",
        left="DO $$ BEGIN ASSERT (SELECT obj_description(oid) FROM pg_constraint WHERE conname = 'f_fk') = 'why', 'comment'; END $$;"
        "DROP TABLE f",
    ),
    *both(
        Case(
            "key of a partitioned table into a preserved table",
            "CREATE TABLE backup_jobs (id int PRIMARY KEY); CREATE TABLE f (j int CONSTRAINT f_fk REFERENCES backup_jobs)"
            "PARTITION BY LIST (j); CREATE TABLE f1 PARTITION OF f DEFAULT; COMMENT ON CONSTRAINT f_fk ON f IS 'why';",
            thorough=True,
        )
    ),
]

# Uniqueness that rows break -------------------------------------------------------------------------------------------

_BREAK = """
UPDATE pg_index SET indisready = false WHERE indexrelid = '{0}'::regclass;
INSERT INTO {1} VALUES ('canary'), ('canary');
UPDATE pg_index SET indisready = true WHERE indexrelid = '{0}'::regclass;
"""
DUPLICATES = [
    *[
        Case(
            f"duplicates behind {name}",
            f"CREATE TABLE t (x text{constraint}); {more} " + _BREAK.format("t_u", "t"),
            target="empty" if empty else "self",
            outcome="refused",
            says=("public.t", "t_u"),
            foreseen=False,
            thorough=thorough,
        )
        for name, constraint, more, empty, thorough in [
            ("a unique index", "", "CREATE UNIQUE INDEX t_u ON t (x);", False, False),
            ("a unique index, empty", "", "CREATE UNIQUE INDEX t_u ON t (x);", True, False),
            ("a primary key", " CONSTRAINT t_u PRIMARY KEY", "", True, False),
            ("a unique constraint", " CONSTRAINT t_u UNIQUE", "", True, True),
            ("a unique expression", "", "CREATE UNIQUE INDEX t_u ON t (lower(x));", True, True),
            ("an exclusion", "", "ALTER TABLE t ADD CONSTRAINT t_u EXCLUDE USING btree (x WITH =);", True, True),
        ]
    ],
    Case(
        "empty values in a column that is NOT NULL",
        "CREATE TABLE t (x text, y text NOT NULL); UPDATE pg_attribute SET attnotnull = false WHERE attrelid = 't'::regclass"
        " AND attname = 'y'; INSERT INTO t VALUES ('canary', NULL);"
        "UPDATE pg_attribute SET attnotnull = true WHERE attrelid = 't'::regclass AND attname = 'y';",
        target="empty",
        outcome="refused",
        says=("public.t", "y"),
        foreseen=False,
        thorough=True,
    ),
]

# Statements of the cleaning part ---------------------------------------------------------------------------------------

_GROUPED = [
    (
        "in a schema",
        "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, x text); CREATE VIEW s.v AS SELECT id, x, count(*) FROM s.t GROUP BY id;",
        False,
    ),
    (
        "with an enum",
        "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE t (id int PRIMARY KEY, m mood); CREATE VIEW v AS SELECT id, m, count(*) FROM t GROUP BY id;",
        False,
    ),
    (
        "with an extension's type",
        "CREATE EXTENSION citext; CREATE TABLE t (id int PRIMARY KEY, m citext); CREATE VIEW v AS SELECT id, m, count(*) FROM t GROUP BY id;",
        False,
    ),
    (
        "with a short name",
        "CREATE TYPE st AS ENUM ('a'); CREATE TABLE o (id int PRIMARY KEY, s st); CREATE VIEW v AS SELECT id, s, count(*) FROM o GROUP BY id;",
        True,
    ),
    (
        "with a domain",
        "CREATE DOMAIN d AS int; CREATE TABLE t (id int PRIMARY KEY, m d); CREATE VIEW v AS SELECT id, m, count(*) FROM t GROUP BY id;",
        True,
    ),
    (
        "with a composite type",
        "CREATE TYPE c AS (a int); CREATE TABLE t (id int PRIMARY KEY, m c); CREATE VIEW v AS SELECT id, m, count(*) FROM t GROUP BY id;",
        True,
    ),
    (
        "with an array",
        "CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (id int PRIMARY KEY, m e[]); CREATE VIEW v AS SELECT id, m, count(*) FROM t GROUP BY id;",
        True,
    ),
    (
        "with a range",
        "CREATE TYPE r AS RANGE (subtype = int); CREATE TABLE t (id int PRIMARY KEY, m r); CREATE VIEW v AS SELECT id, m, count(*) FROM t GROUP BY id;",
        True,
    ),
    (
        "with rows of a table",
        "CREATE TABLE u (a int); CREATE TABLE t (id int PRIMARY KEY, m u); CREATE VIEW v AS SELECT id, m, count(*) FROM t GROUP BY id;",
        True,
    ),
    (
        "with a collation",
        'CREATE COLLATION co FROM "C"; CREATE TABLE t (id int PRIMARY KEY, m text COLLATE co); CREATE VIEW v AS SELECT id, m, count(*) FROM t GROUP BY id;',
        True,
    ),
    (
        "with quoted names",
        'CREATE SCHEMA "S; s"; CREATE TYPE "S; s"."E""e" AS ENUM (\'a\'); CREATE TABLE "S; s"."T t" (id int PRIMARY KEY, "m;" "S; s"."E""e");'
        'CREATE VIEW "S; s"."V AS SELECT" AS SELECT id, "m;", count(*) FROM "S; s"."T t" GROUP BY id;',
        True,
    ),
    (
        "and a view of it",
        "CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (id int PRIMARY KEY, m e); CREATE VIEW v AS SELECT id, m, count(*) FROM t GROUP BY id;"
        "CREATE VIEW v2 AS SELECT * FROM v; CREATE MATERIALIZED VIEW m AS SELECT * FROM v2;",
        True,
    ),
    (
        "with options",
        "CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (id int PRIMARY KEY, m e);"
        "CREATE VIEW v WITH (security_barrier, security_invoker) AS SELECT id, m, count(*) FROM t GROUP BY id; COMMENT ON VIEW v IS 'x'; GRANT SELECT ON v TO PUBLIC;",
        True,
    ),
    (
        "and rules and triggers",
        "CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (id int PRIMARY KEY, m e);"
        "CREATE VIEW v AS SELECT id, m, count(*) FROM t GROUP BY id; CREATE RULE r AS ON DELETE TO v DO INSTEAD DELETE FROM t WHERE id = OLD.id;"
        "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER tr INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION tf();",
        True,
    ),
    (
        "and a function that returns its rows",
        "CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (id int PRIMARY KEY, m e);"
        "CREATE VIEW v AS SELECT id, m, count(*) FROM t GROUP BY id; CREATE FUNCTION f() RETURNS SETOF v LANGUAGE sql AS 'SELECT * FROM v';"
        "CREATE VIEW w AS SELECT * FROM f();",
        True,
    ),
]
CLEANING = [
    *[
        case
        for name, before, thorough in _GROUPED
        for case in both(Case(f"view that groups by a key, {name}", before, thorough=thorough))
    ],
    *both(
        Case(
            "domain with a check that is not valid",
            "CREATE DOMAIN d AS int; ALTER DOMAIN d ADD CONSTRAINT pos CHECK (value > 0) NOT VALID;",
        )
    ),
    *both(
        Case(
            "domain whose check takes the domain",
            "CREATE DOMAIN d AS int; CREATE FUNCTION f(d) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END';"
            "ALTER DOMAIN d ADD CONSTRAINT pos CHECK (f(value));",
        )
    ),
    *both(
        Case(
            "domain with a check that is not valid in a schema",
            'CREATE SCHEMA "S s"; CREATE DOMAIN "S s"."D d" AS int; ALTER DOMAIN "S s"."D d" ADD CONSTRAINT "p ""q" CHECK (value > 0) NOT VALID;',
            thorough=True,
        )
    ),
    *both(
        Case(
            "foreign table with a serial column",
            "CREATE FOREIGN DATA WRAPPER d; CREATE SERVER s FOREIGN DATA WRAPPER d; CREATE FOREIGN TABLE ft (id serial) SERVER s;",
        )
    ),
    *both(
        Case(
            "foreign table with defaults and checks in a schema",
            'CREATE SCHEMA "S s"; CREATE FOREIGN DATA WRAPPER d; CREATE SERVER s FOREIGN DATA WRAPPER d; CREATE SEQUENCE "S s".seq;'
            'CREATE FOREIGN TABLE "S s"."Ft" (id int DEFAULT nextval(\'"S s".seq\') CONSTRAINT c CHECK (id > 0), b serial) SERVER s;'
            "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
            'CREATE TRIGGER tr BEFORE INSERT ON "S s"."Ft" FOR EACH ROW EXECUTE FUNCTION tf();',
            thorough=True,
        )
    ),
    *both(
        Case(
            "view with a default that is changed",
            "CREATE TABLE t (id serial PRIMARY KEY, x text); CREATE VIEW v AS SELECT id, x FROM t; ALTER VIEW v ALTER id SET DEFAULT 7;",
            thorough=True,
        )
    ),
    *both(
        Case(
            "function and view that need each other",
            "CREATE TABLE t (id int PRIMARY KEY, x text); CREATE VIEW v AS SELECT id, x FROM t;"
            "CREATE FUNCTION f(v) RETURNS bool LANGUAGE sql AS 'SELECT true'; CREATE OR REPLACE VIEW v AS SELECT id, x FROM t WHERE id > 0;"
            "CREATE FUNCTION g() RETURNS SETOF v LANGUAGE sql AS 'SELECT * FROM v'; CREATE VIEW w AS SELECT f(g) AS ok FROM g() g;",
            thorough=True,
        )
    ),
    *both(
        Case(
            "kinds of objects in schemas of their own",
            'CREATE SCHEMA "S s"; CREATE FUNCTION "S s".eq(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS $$SELECT $1 = $2$$;'
            'CREATE OPERATOR "S s".=== (function = "S s".eq, leftarg = int, rightarg = int);'
            'CREATE TYPE "S s".c AS (a int); CREATE FUNCTION "S s".to_c(int) RETURNS "S s".c LANGUAGE sql AS $$SELECT ROW($1)::"S s".c$$;'
            'CREATE CAST (int AS "S s".c) WITH FUNCTION "S s".to_c(int); CREATE COLLATION "S s".co FROM "C";'
            'CREATE TEXT SEARCH CONFIGURATION "S s".ts (copy = simple); CREATE TEXT SEARCH DICTIONARY "S s".di (template = simple);'
            'CREATE OPERATOR FAMILY "S s".fam USING btree; CREATE AGGREGATE "S s".agg(int) (sfunc = int4pl, stype = int);'
            'CREATE OPERATOR CLASS "S s".cl FOR TYPE int USING btree FAMILY "S s".fam AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =,'
            "OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);"
            'CREATE TABLE "S s".t (a int, b text); CREATE STATISTICS "S s".st ON a, b FROM "S s".t; CREATE RULE r AS ON DELETE TO "S s".t DO NOTHING;'
            'CREATE POLICY po ON "S s".t USING (true); CREATE PUBLICATION pub FOR TABLES IN SCHEMA "S s";'
            'CREATE PROCEDURE "S s".p() LANGUAGE sql AS $$SELECT 1$$; CREATE DOMAIN "S s".d AS int CHECK (value > 0);'
            "CREATE CONVERSION \"S s\".conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;",
        )
    ),
    *both(
        Case(
            "partitions with indexes and keys of their own",
            "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE pt (id int, x int REFERENCES p, PRIMARY KEY (id)) PARTITION BY RANGE (id);"
            "CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (10) PARTITION BY LIST (id); CREATE TABLE pt1a PARTITION OF pt1 DEFAULT;"
            "CREATE INDEX own ON pt1a (x); CREATE INDEX ON pt (x); ALTER TABLE pt1a ADD CHECK (x > 0);"
            "INSERT INTO p VALUES (1); INSERT INTO pt VALUES (1, 1);",
            thorough=True,
        )
    ),
]

# Names that the reader of a dump may stumble over ------------------------------------------------------------------------

_STUMBLING = [
    (
        "sequence named like set_config",
        "CREATE TABLE asset_config (id serial PRIMARY KEY, x text); INSERT INTO asset_config (x) VALUES ('canary');",
        False,
    ),
    (
        "function body with a column named begin",
        'CREATE TABLE t ("begin" int); CREATE FUNCTION f() RETURNS SETOF int LANGUAGE sql BEGIN ATOMIC SELECT "begin" FROM t; END;',
        False,
    ),
    ("function named begin", "CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'select 1';", False),
    (
        "sequences named like settings",
        "CREATE TABLE offset_configs (id serial); CREATE TABLE client_encoding (id serial);"
        "CREATE TABLE standard_conforming_strings (id serial); CREATE TABLE search_path (set_config serial);",
        True,
    ),
    (
        "sequences named set_config",
        'CREATE SEQUENCE set_config; CREATE SEQUENCE "set_config(";'
        """CREATE SEQUENCE "x', set_config('standard_conforming_strings', 'off', false), '"; SELECT nextval('set_config');""",
        True,
    ),
    (
        "default that calls set_config",
        "CREATE TABLE t (a text DEFAULT set_config('my.x', 'y', false), b text DEFAULT current_setting('client_encoding'));",
        True,
    ),
    (
        "view that calls set_config",
        "CREATE VIEW v AS SELECT set_config('my.x', 'y', false) AS a; CREATE MATERIALIZED VIEW m AS SELECT set_config('my.x', 'y', false) AS a;",
        True,
    ),
    (
        "function that sets",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET standard_conforming_strings = off SET client_encoding = 'LATIN1' AS 'SELECT 1';"
        "CREATE FUNCTION g() RETURNS void LANGUAGE plpgsql AS $$BEGIN SET client_encoding = 'SJIS'; COMMIT; END$$;",
        True,
    ),
    (
        "function body with other keywords as names",
        'CREATE TABLE t ("end" int, "case" int, "atomic" int, "BEGIN" int, "select" int); CREATE FUNCTION f() RETURNS SETOF int LANGUAGE sql BEGIN ATOMIC '
        'SELECT CASE WHEN "end" > 0 THEN CASE "case" WHEN 1 THEN 2 END ELSE "atomic" END AS "begin" FROM t AS "end"; SELECT "BEGIN" FROM t; END;',
        True,
    ),
    (
        "procedure body with keywords as names",
        'CREATE TABLE "begin" ("begin" text, "end" text); CREATE PROCEDURE "end"("case" text) LANGUAGE sql BEGIN ATOMIC '
        """INSERT INTO "begin" VALUES ("case", 'begin; end;'); DELETE FROM "begin" WHERE "end" = 'BEGIN ATOMIC'; END;""",
        True,
    ),
    (
        "schema named begin",
        'CREATE SCHEMA "begin"; CREATE TABLE "begin"."case" ("end" int); CREATE FUNCTION "begin"."end"() RETURNS bigint LANGUAGE sql '
        'BEGIN ATOMIC SELECT count("begin"."case"."end") FROM "begin"."case"; END;',
        True,
    ),
    (
        "function named case",
        'CREATE FUNCTION "case"() RETURNS int LANGUAGE sql AS \'select 1\'; CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN "case"();',
        True,
    ),
    (
        "empty function body",
        "CREATE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC END; CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC END;",
        True,
    ),
    (
        "table named like COPY",
        """CREATE TABLE "COPY t FROM stdin;" (a text); GRANT SELECT ON "COPY t FROM stdin;" TO PUBLIC; INSERT INTO "COPY t FROM stdin;" VALUES ('canary');""",
        False,
    ),
    (
        "rows that look like SQL",
        r"""CREATE TABLE t (a text); INSERT INTO t VALUES (E'\\.'), (E'COPY t FROM stdin;\n1\n\\.\n'), ('\! touch x'), (E'\\restrict x'), ('COMMIT;'), (E'\r\n'), (E'\x01\t\b\f\v'), (repeat('\', 1000)), ('$$'), (E'--\n/*');""",
        True,
    ),
    (
        "names that look like SQL",
        r"""CREATE TABLE "a
b; COMMIT; --" ("\! touch x" text, ":x" text, ":'v'" text, "$tag$" text DEFAULT '$tag$'); COMMENT ON TABLE "a
b; COMMIT; --" IS E'x\n\\! touch y\n\\.\n'; CREATE SCHEMA "-- x"; CREATE TYPE "-- x"."/*" AS ENUM ('''; COMMIT; --', E'\\');""",
        True,
    ),
    (
        "bodies with all kinds of quotes",
        r"""CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$SELECT $a$it's \$a$ || E'\'' || U&'\0041' || '$$' || "current_user"()$_$;
CREATE FUNCTION g() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN ''a''''b\''; -- '' $x$
END';""".replace('"current_user"()', "current_user"),
        True,
    ),
    (
        "table without columns",
        "CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; CREATE TABLE n2 () INHERITS (nothing);",
        True,
    ),
    (
        "many kinds of rows",
        "CREATE TABLE t (a float8, b timestamptz, c bytea, d jsonb, e int[], f numeric, g interval, h inet, i tsvector, j point, l money, m bit(3), n uuid);"
        "INSERT INTO t VALUES ('NaN', 'infinity', '\\x00ff', '{\"a\": [1, null]}', '[2:3]={1,2}', 'Infinity', '1 year -2 days', '::1', 'a:1', '(1,2)', 1.5, '101', gen_random_uuid());",
        True,
    ),
]
STUMBLING = [case for name, before, thorough in _STUMBLING for case in both(Case(name, before, thorough=thorough))]

CASES = [*SEARCH_PATH, *CHECKS, *KEYS, *HELD_BACK, *DUPLICATES, *CLEANING, *STUMBLING]
