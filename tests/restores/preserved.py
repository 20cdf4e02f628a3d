"""Preserved tables of kinds that stood in the way of a restore, or came back other than they were."""

from __future__ import annotations

from .case import Case
from .going_back import has

#: A table with a CHECK that a restore holds back, and the same without.
CHECKED = "CREATE FUNCTION ok(text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END';"
PLAIN = f"{CHECKED} CREATE TABLE backup_jobs (id int, s text); INSERT INTO backup_jobs VALUES (1, 'canary');"
OKC = f"{PLAIN} ALTER TABLE backup_jobs ADD CONSTRAINT okc CHECK (ok(s));"
PARTED = (
    f"{CHECKED} CREATE TABLE backup_jobs (id int, s text CONSTRAINT okc CHECK (ok(s))) PARTITION BY LIST (id);"
    "CREATE TABLE jobs_1 PARTITION OF backup_jobs DEFAULT; ALTER TABLE jobs_1 ADD CONSTRAINT own CHECK (ok(s));"
    "INSERT INTO backup_jobs VALUES (1, 'canary');"
)
CHILD = (
    f"{OKC} CREATE TABLE jobs_1 (t text, CONSTRAINT okt CHECK (ok(t))) INHERITS (backup_jobs);"
    "INSERT INTO jobs_1 VALUES (1, 'canary');"
)
#: One that finds its function's table by a path, or not.
PATHS = """
CREATE TABLE known (s text); INSERT INTO known VALUES ('canary');
CREATE FUNCTION ok(t text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN EXISTS (SELECT FROM known WHERE s = t); END';
CREATE TABLE backup_jobs (s text{}); INSERT INTO backup_jobs VALUES ('canary'); {}
"""
JOBS = "CREATE TABLE backup_jobs (id serial PRIMARY KEY, s text); INSERT INTO backup_jobs (s) VALUES ('canary');"


def changed(name: str, before: str, then: str, *, rows: str = "", **more: object) -> Case:
    """A preserved table stays as it is now: what comes out is the first and then the second."""
    return Case(name, before, then + rows, wanted=before + then, **more)  # type: ignore[arg-type]


CASES = [
    Case(
        "no replica identity, published",
        "CREATE TABLE backup_jobs (s text); INSERT INTO backup_jobs VALUES ('canary'); CREATE PUBLICATION p FOR ALL TABLES;",
    ),
    Case(
        "no replica identity, published by name",
        "CREATE TABLE backup_jobs (s text); INSERT INTO backup_jobs VALUES ('canary'); CREATE PUBLICATION p FOR TABLE backup_jobs;",
        thorough=True,
    ),
    Case(
        "no replica identity in a published schema",
        "CREATE TABLE backup_jobs (s text); INSERT INTO backup_jobs VALUES ('canary'); CREATE PUBLICATION p FOR TABLES IN SCHEMA public;",
        thorough=True,
    ),
    Case(
        "replica identity of nothing",
        f"{JOBS} ALTER TABLE backup_jobs REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR ALL TABLES;",
        thorough=True,
    ),
    Case(
        "audit log in a publication",
        "CREATE TABLE audit_logs (s text); INSERT INTO audit_logs VALUES ('canary'); CREATE PUBLICATION p FOR ALL TABLES;",
        audit=False,
    ),
    Case(
        "a collation of the database",
        "CREATE COLLATION nd (provider = libc, locale = 'C');"
        "CREATE TABLE backup_jobs (id serial PRIMARY KEY, s text COLLATE nd); INSERT INTO backup_jobs (s) VALUES ('canary');",
    ),
    Case(
        "a builtin collation in an array",
        "CREATE COLLATION nd (provider = builtin, locale = 'C.UTF-8');"
        "CREATE TABLE backup_jobs (id serial PRIMARY KEY, s text[] COLLATE nd); INSERT INTO backup_jobs (s) VALUES ('{canary}');",
        thorough=True,
    ),
    Case(
        "a domain with a collation",
        "CREATE COLLATION nd (provider = libc, locale = 'C'); CREATE DOMAIN d AS text COLLATE nd;"
        "CREATE TABLE backup_jobs (id serial PRIMARY KEY, s d, t d COLLATE \"POSIX\"); INSERT INTO backup_jobs (s) VALUES ('canary');",
        thorough=True,
    ),
    Case(
        "a composite type with a collation",
        "CREATE COLLATION nd (provider = libc, locale = 'C'); CREATE TYPE c AS (a text COLLATE nd);"
        "CREATE TABLE backup_jobs (id serial PRIMARY KEY, s c); INSERT INTO backup_jobs (s) VALUES (ROW('canary'));",
        thorough=True,
    ),
    Case(
        "an enum behind a domain",
        "CREATE TYPE st AS ENUM ('a', 'b'); CREATE DOMAIN std AS st;"
        "CREATE TABLE backup_jobs (id serial PRIMARY KEY, s std); INSERT INTO backup_jobs (s) VALUES ('a');",
        "ALTER TYPE st ADD VALUE 'c'; INSERT INTO backup_jobs (s) VALUES ('c');",
        restored=("st",),
        wanted="CREATE TYPE st AS ENUM ('a', 'b', 'c'); CREATE DOMAIN std AS st; CREATE TABLE backup_jobs (id serial PRIMARY KEY, s std);"
        "SELECT nextval('backup_jobs_id_seq'), nextval('backup_jobs_id_seq');",
    ),
    *[
        Case(
            f"an enum behind {name}",
            f"CREATE TYPE st AS ENUM ('a', 'b'); {make}"
            f"CREATE TABLE backup_jobs (id serial PRIMARY KEY, s {kind}); INSERT INTO backup_jobs (s) VALUES ({one});",
            f"ALTER TYPE st ADD VALUE 'c'; INSERT INTO backup_jobs (s) VALUES ({two});",
            restored=("st",),
            wanted=f"CREATE TYPE st AS ENUM ('a', 'b', 'c'); {make} CREATE TABLE backup_jobs (id serial PRIMARY KEY, s {kind});"
            "SELECT nextval('backup_jobs_id_seq'), nextval('backup_jobs_id_seq');",
            thorough=True,
        )
        for name, make, kind, one, two in [
            ("an array", "", "st[]", "'{a}'", "'{c,a}'"),
            ("a domain of an array", "CREATE DOMAIN sd AS st[];", "sd", "'{a}'", "'{c}'"),
            ("an array of a domain", "CREATE DOMAIN sd AS st;", "sd[]", "'{a}'", "'{c}'"),
            ("a composite type", "CREATE TYPE sc AS (x int, y st);", "sc", "ROW(1, 'a')", "ROW(1, 'c')"),
            ("a range", "CREATE TYPE sr AS RANGE (subtype = st);", "sr", "'[a,b]'", "'[b,c]'"),
            (
                "a multirange",
                "CREATE TYPE sr AS RANGE (subtype = st, multirange_type_name = sm);",
                "sm",
                "'{[a,b]}'",
                "'{[b,c]}'",
            ),
            ("a domain of a domain", "CREATE DOMAIN s1 AS st; CREATE DOMAIN sd AS s1;", "sd", "'a'", "'c'"),
        ]
    ],
    Case(
        "a composite type that got an attribute",
        "CREATE TYPE c AS (a int); CREATE TABLE backup_jobs (id serial PRIMARY KEY, s c);"
        "INSERT INTO backup_jobs (s) VALUES (ROW(1));",
        "ALTER TYPE c ADD ATTRIBUTE z int; INSERT INTO backup_jobs (s) VALUES (ROW(1, 2));",
        wanted="CREATE TYPE c AS (a int, z int); CREATE TABLE backup_jobs (id serial PRIMARY KEY, s c);"
        "SELECT nextval('backup_jobs_id_seq'), nextval('backup_jobs_id_seq');",
        restored=("public.c",),
        thorough=True,
    ),
    changed(
        "a generated column of another expression",
        "CREATE TABLE backup_jobs (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO backup_jobs (id, a) VALUES (1, 1);",
        "ALTER TABLE backup_jobs ALTER b SET EXPRESSION AS (a * 5);",
    ),
    changed(
        "a generated column made anew",
        "CREATE TABLE backup_jobs (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO backup_jobs (id, a) VALUES (1, 1);",
        "ALTER TABLE backup_jobs DROP b; ALTER TABLE backup_jobs ADD b int GENERATED ALWAYS AS (a * 7);",
        thorough=True,
    ),
    changed(
        "a plain column that became generated",
        "CREATE TABLE backup_jobs (id int PRIMARY KEY, a int, b int); INSERT INTO backup_jobs VALUES (1, 1, 1);",
        "ALTER TABLE backup_jobs DROP b; ALTER TABLE backup_jobs ADD b int GENERATED ALWAYS AS (a * 7) STORED;",
        thorough=True,
    ),
    changed(
        "a generated column that became plain",
        "CREATE TABLE backup_jobs (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO backup_jobs (id, a) VALUES (1, 1);",
        "ALTER TABLE backup_jobs ALTER b DROP EXPRESSION;",
        thorough=True,
    ),
    # A CHECK that calls a function, which a restore makes last: as it is now, and not as the archive has it.
    Case("a check of a function", OKC),
    Case("a check of a function, of partitions", PARTED, thorough=True),
    Case("a check of a function, of a child", CHILD, thorough=True),
    *[
        changed(f"a check of a function, {name} since", before, then, thorough=thorough)
        for name, before, then, thorough in [
            ("dropped", OKC, "ALTER TABLE backup_jobs DROP CONSTRAINT okc", False),
            ("with its column dropped", OKC, "ALTER TABLE backup_jobs DROP s", False),
            ("with its column renamed", OKC, "ALTER TABLE backup_jobs RENAME s TO z", True),
            ("renamed", OKC, "ALTER TABLE backup_jobs RENAME CONSTRAINT okc TO okd", False),
            (
                "not valid",
                OKC,
                "ALTER TABLE backup_jobs DROP CONSTRAINT okc, ADD CONSTRAINT okc CHECK (ok(s)) NOT VALID;",
                True,
            ),
            ("with a comment", OKC, "COMMENT ON CONSTRAINT okc ON backup_jobs IS 'why'", True),
            ("made", PLAIN, "ALTER TABLE backup_jobs ADD CONSTRAINT okc CHECK (ok(s))", True),
            ("of partitions, dropped", PARTED, "ALTER TABLE backup_jobs DROP CONSTRAINT okc", True),
            ("of a partition, dropped", PARTED, "ALTER TABLE jobs_1 DROP CONSTRAINT own", False),
            ("of a partition, renamed", PARTED, "ALTER TABLE jobs_1 RENAME CONSTRAINT own TO owned", True),
            ("of parent and child, dropped", CHILD, "ALTER TABLE backup_jobs DROP CONSTRAINT okc", True),
            ("of a child, dropped", CHILD, "ALTER TABLE jobs_1 DROP CONSTRAINT okt", True),
        ]
    ],
    Case(
        "a check that needs a path",
        PATHS.format(" CONSTRAINT okc CHECK (ok(s))", ""),
        options={"search_path": ("public",)},
    ),
    Case(
        "a check that needs a path, without it",
        PATHS.format(" CONSTRAINT okc CHECK (ok(s))", "COMMENT ON CONSTRAINT okc ON backup_jobs IS 'why'"),
        wanted=PATHS.format(
            "",
            "ALTER TABLE backup_jobs ADD CONSTRAINT okc CHECK (ok(s)) NOT VALID; COMMENT ON CONSTRAINT okc ON backup_jobs IS 'why'",
        ),
        restored=("okc", "public.backup_jobs", "NOT VALID"),
    ),
    Case("no column", "CREATE TABLE backup_jobs (); INSERT INTO backup_jobs DEFAULT VALUES;"),
    Case(
        "no column any more",
        "CREATE TABLE backup_jobs (a int); INSERT INTO backup_jobs VALUES (1);",
        "ALTER TABLE backup_jobs DROP a",
        wanted="CREATE TABLE backup_jobs ();",
        thorough=True,
    ),
    Case(
        "forced row security, as its owner",
        "CREATE TABLE t (a int); CREATE TABLE backup_jobs (id serial PRIMARY KEY); INSERT INTO backup_jobs DEFAULT VALUES;"
        "ALTER TABLE backup_jobs ENABLE ROW LEVEL SECURITY; ALTER TABLE backup_jobs FORCE ROW LEVEL SECURITY;",
        role="owner",
    ),
    Case(
        "not in the archive, and others need it",
        "CREATE TABLE t (a int);",
        f"{JOBS} CREATE FUNCTION jobs() RETURNS SETOF backup_jobs LANGUAGE sql AS 'SELECT * FROM backup_jobs'; CREATE TABLE later (j backup_jobs);"
        "CREATE VIEW later_view AS SELECT * FROM backup_jobs;",
        left="DROP TABLE later; DROP VIEW later_view; DROP FUNCTION jobs; DROP TABLE backup_jobs",
    ),
    Case(
        "key that a restore left NOT VALID",
        "CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users VALUES (1);"
        "CREATE TABLE backup_jobs (id serial PRIMARY KEY, u int CONSTRAINT j_u REFERENCES users); INSERT INTO backup_jobs (u) VALUES (1);",
        "ALTER TABLE backup_jobs DROP CONSTRAINT j_u; ALTER TABLE backup_jobs ADD CONSTRAINT j_u FOREIGN KEY (u) REFERENCES users NOT VALID",
        thorough=True,
    ),
    Case(
        "in other schemas and with other names",
        'CREATE SCHEMA "My App"; CREATE TABLE "My App"."Jobs; x" (id serial PRIMARY KEY, s text);'
        """INSERT INTO "My App"."Jobs; x" (s) VALUES ('canary'); CREATE VIEW v AS SELECT * FROM "My App"."Jobs; x";""",
        """INSERT INTO "My App"."Jobs; x" (s) VALUES ('later'); ALTER SEQUENCE "My App"."Jobs; x_id_seq" RESTART 1;""",
        wanted='CREATE SCHEMA "My App"; CREATE TABLE "My App"."Jobs; x" (id serial PRIMARY KEY, s text);'
        'CREATE VIEW v AS SELECT * FROM "My App"."Jobs; x";',
        settings={"preserve": ('"My App"."Jobs; x"',)},
        thorough=True,
    ),
    # What only version 18 has: a NOT NULL with a name, and one that older rows break.
    Case(
        "NOT NULL that is not valid",
        f"{JOBS} INSERT INTO backup_jobs DEFAULT VALUES; ALTER TABLE backup_jobs ADD CONSTRAINT s_there NOT NULL s NOT VALID;"
        "COMMENT ON CONSTRAINT s_there ON backup_jobs IS 'why';",
    ),
    changed(
        "NOT NULL that is not valid, made since",
        f"{JOBS} INSERT INTO backup_jobs DEFAULT VALUES;",
        "ALTER TABLE backup_jobs ADD CONSTRAINT s_there NOT NULL s NOT VALID",
        thorough=True,
    ),
    changed(
        "NOT NULL with a name, made since",
        JOBS,
        'ALTER TABLE backup_jobs ADD CONSTRAINT "s; there" NOT NULL s NO INHERIT;'
        "COMMENT ON CONSTRAINT \"s; there\" ON backup_jobs IS 'why';",
        thorough=True,
    ),
    changed(
        "NOT NULL with another name since",
        f"{JOBS} ALTER TABLE backup_jobs ADD CONSTRAINT s_there NOT NULL s;",
        "ALTER TABLE backup_jobs RENAME CONSTRAINT s_there TO s_here",
        thorough=True,
    ),
    Case(
        "not in the archive, with a NOT NULL that is not valid",
        "CREATE TABLE t (a int);",
        f"{JOBS} INSERT INTO backup_jobs DEFAULT VALUES; ALTER TABLE backup_jobs ADD CONSTRAINT s_there NOT NULL s NOT VALID;",
        wanted=f"CREATE TABLE t (a int); {JOBS} INSERT INTO backup_jobs DEFAULT VALUES;"
        "ALTER TABLE backup_jobs ADD CONSTRAINT s_there NOT NULL s NOT VALID;",
        thorough=True,
    ),
    changed(
        "later views on it, one that was never filled",
        JOBS,
        "CREATE VIEW v AS SELECT id AS x FROM backup_jobs; CREATE MATERIALIZED VIEW m AS SELECT * FROM v;"
        "CREATE MATERIALIZED VIEW n AS SELECT x, 1 / (x - 1) AS y FROM m WITH NO DATA;",
    ),
    *[
        Case(
            f"in a publication that came later, {name}",
            before,
            then + "CREATE PUBLICATION later FOR TABLE backup_jobs (id) WHERE (id > 0)",
            wanted=before + then,
            left=has(
                1,
                "SELECT FROM pg_publication_tables WHERE pubname = 'later' AND attnames = '{id}' AND rowfilter IS NOT NULL",
            )
            + "DROP PUBLICATION later",
            thorough=thorough,
        )
        for name, before, then, thorough in [
            ("by columns and rows", JOBS, "", False),
            ("not in the archive", "CREATE TABLE t (a int);", JOBS, True),
        ]
    ],
    Case(
        "a partition in a publication that came later",
        "CREATE TABLE backup_jobs (id int, s text) PARTITION BY LIST (id); CREATE TABLE jobs_1 PARTITION OF backup_jobs DEFAULT;"
        "INSERT INTO backup_jobs VALUES (1, 'canary');",
        "CREATE PUBLICATION later FOR TABLE jobs_1 (id) WHERE (id > 0)",
        left=has(
            1,
            "SELECT FROM pg_publication_tables WHERE pubname = 'later' AND tablename = 'jobs_1' AND attnames = '{id}'",
        )
        + "DROP PUBLICATION later",
        thorough=True,
    ),
    *[
        Case(
            f"rows of a table that has {name} column since",
            "CREATE TABLE other (a int, b text); CREATE TABLE backup_jobs (id serial PRIMARY KEY, o other[]);"
            "INSERT INTO backup_jobs (o) VALUES (ARRAY[ROW(1, 'canary')]::other[]);",
            then,
            outcome="refused",
            says=("public.backup_jobs", "other", "attributes"),
            foreseen=False,  # the columns of the archive are not known before
            thorough=True,
        )
        for name, then in [
            ("a", "ALTER TABLE other ADD c int; UPDATE backup_jobs SET o = ARRAY[ROW(1, 'canary', 2)]::other[]"),
            ("no second", "ALTER TABLE other DROP b"),
        ]
    ],
    *[
        Case(
            f"{what} in its place in the archive",
            f"CREATE TABLE jobs (id int, s text); {make}",
            f"{drop}; {JOBS} INSERT INTO backup_jobs (s) VALUES ('canary')",
            outcome="refused",
            says=("public.backup_jobs", "ename"),
            thorough=what != "a view",
        )
        for what, make, drop in [
            ("a view", "CREATE VIEW backup_jobs AS SELECT * FROM jobs", "DROP VIEW backup_jobs"),
            (
                "a materialized view",
                "CREATE MATERIALIZED VIEW backup_jobs AS SELECT * FROM jobs",
                "DROP MATERIALIZED VIEW backup_jobs",
            ),
            ("a sequence", "CREATE SEQUENCE backup_jobs", "DROP SEQUENCE backup_jobs"),
            ("a type", "CREATE TYPE backup_jobs AS (id int, s text)", "DROP TYPE backup_jobs"),
            (
                "a foreign table",
                "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
                "CREATE FOREIGN TABLE backup_jobs (id int, s text) SERVER s",
                "DROP FOREIGN TABLE backup_jobs",
            ),
        ]
    ],
    # What would swallow rows that go back.
    *[
        Case(
            f"a rule that does nothing instead, {how.lower()}",
            f"{JOBS} CREATE RULE r AS ON INSERT TO backup_jobs DO INSTEAD NOTHING; {state}",
            role=role,  # type: ignore[arg-type]
            thorough=thorough,
        )
        for how, state, role, thorough in [
            ("ALWAYS", "ALTER TABLE backup_jobs ENABLE ALWAYS RULE r;", "superuser", False),
            ("as the owner", "", "owner", True),
            ("DISABLED", "ALTER TABLE backup_jobs DISABLE RULE r;", "owner", True),
        ]
    ],
    changed(
        "a rule that was disabled since",
        f"{JOBS} CREATE RULE r AS ON INSERT TO backup_jobs DO INSTEAD NOTHING;",
        "ALTER TABLE backup_jobs DISABLE RULE r",
        thorough=True,
    ),
    *[
        Case(
            f"a trigger of a partition, {how.lower()}",
            "CREATE TABLE backup_jobs (id int, k int) PARTITION BY LIST (k); CREATE TABLE jobs_1 PARTITION OF backup_jobs FOR VALUES IN (1);"
            "INSERT INTO backup_jobs VALUES (1, 1); CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            f"CREATE TRIGGER tr BEFORE INSERT ON jobs_1 FOR EACH ROW EXECUTE FUNCTION tf(); {state}",
            role=role,  # type: ignore[arg-type]
            thorough=True,
        )
        for how, state, role in [
            ("ALWAYS", "ALTER TABLE jobs_1 ENABLE ALWAYS TRIGGER tr;", "superuser"),
            ("as the owner", "", "owner"),
        ]
    ],
    *[
        Case(
            f"partitions of {name} since",
            f"CREATE TABLE backup_jobs (id serial, k int) {before}; INSERT INTO backup_jobs (k) VALUES (1);",
            f"DROP TABLE backup_jobs; CREATE TABLE backup_jobs (id serial, k int) {then}; INSERT INTO backup_jobs (k) VALUES (2), (3);",
            wanted=f"CREATE TABLE backup_jobs (id serial, k int) {then}; SELECT nextval('backup_jobs_id_seq'), nextval('backup_jobs_id_seq');"
            + rows,
            thorough=name != "other bounds",
        )
        for name, before, then, rows in [
            (
                "other bounds",
                "PARTITION BY LIST (k); CREATE TABLE j_1 PARTITION OF backup_jobs FOR VALUES IN (1); CREATE TABLE j_2 PARTITION OF backup_jobs"
                " FOR VALUES IN (2)",
                "PARTITION BY LIST (k); CREATE TABLE j_1 PARTITION OF backup_jobs FOR VALUES IN (2); CREATE TABLE j_3 PARTITION OF backup_jobs"
                " DEFAULT",
                "INSERT INTO backup_jobs (id, k) VALUES (1, 2), (2, 3);",
            ),
            (
                "another key",
                "PARTITION BY LIST (k); CREATE TABLE j_1 PARTITION OF backup_jobs FOR VALUES IN (1)",
                "PARTITION BY RANGE (id); CREATE TABLE j_1 PARTITION OF backup_jobs FOR VALUES FROM (0) TO (10)",
                "INSERT INTO backup_jobs (id, k) VALUES (1, 2), (2, 3);",
            ),
            (
                "another depth",
                "PARTITION BY LIST (k); CREATE TABLE j_1 PARTITION OF backup_jobs DEFAULT",
                "PARTITION BY LIST (k); CREATE TABLE j_1 PARTITION OF backup_jobs DEFAULT PARTITION BY LIST (id);"
                "CREATE TABLE j_2 PARTITION OF j_1 DEFAULT",
                "INSERT INTO backup_jobs (id, k) VALUES (1, 2), (2, 3);",
            ),
            (
                "a plain table",
                "",
                "PARTITION BY LIST (k); CREATE TABLE j_1 PARTITION OF backup_jobs DEFAULT",
                "INSERT INTO backup_jobs (id, k) VALUES (1, 2), (2, 3);",
            ),
            ("none", "PARTITION BY LIST (k); CREATE TABLE j_1 PARTITION OF backup_jobs DEFAULT", "", ""),
        ]
    ],
    Case(
        "an enum whose first value was renamed",
        "CREATE TYPE st AS ENUM ('a', 'b'); CREATE TABLE backup_jobs (id serial PRIMARY KEY, s st);",
        "ALTER TYPE st RENAME VALUE 'a' TO 'z'; INSERT INTO backup_jobs (s) VALUES ('z')",
        wanted="CREATE TYPE st AS ENUM ('z', 'a', 'b'); CREATE TABLE backup_jobs (id serial PRIMARY KEY, s st);"
        "SELECT nextval('backup_jobs_id_seq');",
        restored=("st",),
        thorough=True,
    ),
    Case(
        "rows that the archive's domain refuses",
        "CREATE DOMAIN d AS text CHECK (value <> 'canary'); CREATE TABLE backup_jobs (id serial PRIMARY KEY, s d);",
        "ALTER DOMAIN d DROP CONSTRAINT d_check; INSERT INTO backup_jobs (s) VALUES ('canary')",
        outcome="refused",
        says=("backup_jobs", "public.d", "d_check"),
        foreseen=False,  # it would mean to check every row
        thorough=True,
    ),
    changed(
        "its key was dropped, and its column may be null",
        "CREATE TABLE backup_jobs (id int CONSTRAINT k PRIMARY KEY, s text);",
        "ALTER TABLE backup_jobs DROP CONSTRAINT k, ALTER id DROP NOT NULL;",
        rows="INSERT INTO backup_jobs VALUES (NULL, 'canary');",
    ),
    changed(
        "its key was dropped, and its column may not be null",
        "CREATE TABLE backup_jobs (id int CONSTRAINT k PRIMARY KEY, s text);",
        "ALTER TABLE backup_jobs DROP CONSTRAINT k;",
        rows="INSERT INTO backup_jobs VALUES (1, 'canary');",
        thorough=True,
    ),
    *[
        changed(
            f"statistics with a target and an owner, {name}",
            before,
            f"{make} CREATE STATISTICS st ON id, s FROM backup_jobs; ALTER STATISTICS st SET STATISTICS 9;"
            "ALTER STATISTICS st OWNER TO pg_monitor; COMMENT ON STATISTICS st IS 'st';",
            thorough=bool(before),
        )
        for name, before, make in [
            ("of a table that came later", "", "CREATE TABLE backup_jobs (id int, s text);"),
            ("that came later", "CREATE TABLE backup_jobs (id int, s text);", ""),
            (
                "that were others",
                "CREATE TABLE backup_jobs (id int, s text); CREATE STATISTICS st ON id, s FROM backup_jobs;",
                "DROP STATISTICS st;",
            ),
        ]
    ],
]
