"""Later tables, which a restore keeps: whatever of them it makes again is afterwards as it was."""

from __future__ import annotations

from .case import Case

KNOWN = """
CREATE TABLE t (id int); INSERT INTO t VALUES (1);
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
"""
CHECKED = "CONSTRAINT lc CHECK (f(id) > 0)"


def stays(name: str, then: str, *, before: str = KNOWN, thorough: bool = True) -> Case:
    """What came later is there afterwards, with everything that pg_dump says of it."""
    return Case(name, before, then, wanted=before + then, thorough=thorough)


# Constraints and defaults that a table inherits -----------------------------------------------------------------------

HEIRS = [
    *[
        stays(
            f"check that an heir declares and inherits, {order}",
            f"CREATE TABLE later (id int, {CHECKED}); CREATE TABLE {heir} ({CHECKED}) INHERITS (later);"
            f"INSERT INTO {heir} VALUES (1);",
            thorough=False,
        )
        for order, heir in [("heir first", "a_later"), ("parent first", "z_later")]
    ],
    stays(
        "check that heirs declare and inherit, three deep",
        f"CREATE TABLE later (id int, {CHECKED}); CREATE TABLE b_later ({CHECKED}) INHERITS (later);"
        f"CREATE TABLE a_later ({CHECKED}) INHERITS (b_later); CREATE TABLE z_later () INHERITS (a_later);"
        "INSERT INTO a_later VALUES (1);",
    ),
    *[
        stays(
            f"check that {heir} only inherits",
            f"CREATE TABLE later (id int, {CHECKED}); CREATE TABLE {heir} () INHERITS (later);"
            f"COMMENT ON CONSTRAINT lc ON {heir} IS 'heir';",
        )
        for heir in ("a_later", "z_later")
    ],
    stays(
        "check of a partitioned table",
        f"CREATE TABLE later (id int, {CHECKED}) PARTITION BY LIST (id); CREATE TABLE a_later PARTITION OF later DEFAULT;"
        "INSERT INTO later VALUES (1);",
    ),
    stays(
        "check of two parents",
        f"CREATE TABLE later (id int, {CHECKED}); CREATE TABLE m_later (id int, {CHECKED});"
        f"CREATE TABLE a_later ({CHECKED}) INHERITS (later, m_later);",
    ),
    stays(
        "check that is not inherited",
        f"CREATE TABLE later (id int, {CHECKED} NO INHERIT); CREATE TABLE a_later () INHERITS (later);",
    ),
    stays(
        "defaults of heirs",
        "CREATE TABLE later (id int DEFAULT f(1)); CREATE TABLE a_later (id int DEFAULT 2) INHERITS (later);"
        "CREATE TABLE b_later () INHERITS (later); ALTER TABLE b_later ALTER id DROP DEFAULT;"
        "CREATE TABLE c_later () INHERITS (later);",
        thorough=False,
    ),
    stays(
        "defaults of partitions",
        "CREATE TABLE later (id int, x int DEFAULT f(1)) PARTITION BY LIST (id);"
        "CREATE TABLE a_later PARTITION OF later (x DEFAULT 2) FOR VALUES IN (1);"
        "CREATE TABLE b_later PARTITION OF later DEFAULT; ALTER TABLE b_later ALTER x DROP DEFAULT;",
    ),
]

# What belongs to a constraint -----------------------------------------------------------------------------------------

LATER = "CREATE TABLE later (id int NOT NULL, x text, CONSTRAINT lc CHECK (f(id) > 0)); INSERT INTO later VALUES (1);"
EXCLUDED = (
    "ALTER TABLE later ADD CONSTRAINT lx EXCLUDE USING btree (f(id) WITH =) WITH (fillfactor = 70);"
    "ALTER TABLE later CLUSTER ON lx; ALTER INDEX lx ALTER COLUMN 1 SET STATISTICS 300;"
    "COMMENT ON CONSTRAINT lx ON later IS 'why'; COMMENT ON INDEX lx IS 'it''s';"
)


def _class() -> str:
    """An order for a type of the server that has none: keys of it need the archive's."""
    made = [
        f"CREATE FUNCTION x{n}(xid, xid) RETURNS {what} LANGUAGE sql IMMUTABLE AS"
        f" 'SELECT {call}($1::text::int, $2::text::int)';"
        for n, (what, call) in enumerate(
            [("int", "btint4cmp"), *(("bool", f"int4{each}") for each in ("lt", "le", "eq", "ge", "gt"))]
        )
    ]
    names = ["", "<", "<=", "=~", ">=", ">"]
    made += [
        f"CREATE OPERATOR {name} (function = x{n}, leftarg = xid, rightarg = xid{', commutator = =~' * (n == 3)});"
        for n, name in enumerate(names)
        if name
    ]
    parts = ", ".join(f"OPERATOR {n} {name}" for n, name in enumerate(names) if name)
    return (
        "".join(made)
        + f"CREATE OPERATOR CLASS cl DEFAULT FOR TYPE xid USING btree AS {parts}, FUNCTION 1 x0(xid, xid);"
    )


CLASS = _class()
DETAILS = [
    stays("comment of a check", LATER + "COMMENT ON CONSTRAINT lc ON later IS 'it''s why';", thorough=False),
    stays(
        "comment of a check that is not valid",
        LATER
        + "ALTER TABLE later ADD CONSTRAINT ln CHECK (f(id) > 5) NOT VALID; COMMENT ON CONSTRAINT ln ON later IS 'n';",
    ),
    stays(
        "comments of checks that heirs inherit",
        f"CREATE TABLE later (id int, {CHECKED}); CREATE TABLE a_later ({CHECKED}) INHERITS (later);"
        "COMMENT ON CONSTRAINT lc ON later IS 'parent'; COMMENT ON CONSTRAINT lc ON a_later IS 'heir';",
    ),
    stays(
        "comment of a domain's check",
        'CREATE DOMAIN "L d" AS int CONSTRAINT lc CHECK (f(value) > 0);'
        'COMMENT ON CONSTRAINT lc ON DOMAIN "L d" IS \'why\'; CREATE TABLE later (a "L d");',
    ),
    stays("index of an exclusion constraint, its comments and settings", LATER + EXCLUDED, thorough=False),
    stays(
        "exclusion constraint of an archived operator",
        "CREATE TABLE later (a xid, CONSTRAINT lx EXCLUDE USING btree (a WITH =~) WHERE (a IS NOT NULL) DEFERRABLE);"
        "COMMENT ON CONSTRAINT lx ON later IS 'why';",
        before=CLASS,
    ),
    stays(
        "keys of an archived operator class",
        "CREATE TABLE later (a xid NOT NULL, b xid PRIMARY KEY WITH (fillfactor = 70),"
        "CONSTRAINT lu UNIQUE (a) WITH (fillfactor = 80, deduplicate_items = off), c xid,"
        "CONSTRAINT ld UNIQUE (c) INCLUDE (a) WITH (fillfactor = 80) DEFERRABLE INITIALLY DEFERRED);"
        "ALTER TABLE later REPLICA IDENTITY USING INDEX lu, CLUSTER ON later_pkey;"
        "COMMENT ON INDEX lu IS 'l'; COMMENT ON CONSTRAINT later_pkey ON later IS 'p'; INSERT INTO later VALUES ('1', '2');",
        before=CLASS,
    ),
    stays(
        "keys of a partitioned table",
        "CREATE TABLE later (id int, a xid, CONSTRAINT lu UNIQUE (id, a) WITH (fillfactor = 80)) PARTITION BY LIST (id);"
        "CREATE TABLE a_later PARTITION OF later DEFAULT;"
        "ALTER INDEX a_later_id_a_key SET (fillfactor = 60); COMMENT ON INDEX a_later_id_a_key IS 'a';",
        before=CLASS,
    ),
]

# Rows that a later table had of an archived one -----------------------------------------------------------------------


def parted(name: str, before: str, then: str, *warns: str, left: str = "DROP TABLE big", thorough: bool = True) -> Case:
    """The archived table is by itself again; that the later one lacks its rows is told, and how it gets them back."""
    return Case(name, before, then, warns=("public.big", *warns), left=left, thorough=thorough)


ONE = "CREATE TABLE t (id int, x text); INSERT INTO t VALUES (1, 'canary');"
ROOT = "CREATE TABLE t (id int, x text) PARTITION BY LIST (x); CREATE TABLE t1 PARTITION OF t DEFAULT; INSERT INTO t VALUES (1);"
BIG = "CREATE TABLE big (id int, x text) PARTITION BY RANGE (id);"
PARTED = [
    parted(
        "archived table became a partition of a later one",
        ONE,
        f"{BIG} ALTER TABLE big ATTACH PARTITION t FOR VALUES FROM (0) TO (10);",
        "ALTER TABLE ONLY public.big ATTACH PARTITION public.t FOR VALUES FROM (0) TO (10)",
        thorough=False,
    ),
    parted(
        "archived table became an heir of a later one",
        ONE,
        "CREATE TABLE big (id int); ALTER TABLE t INHERIT big;",
        "ALTER TABLE public.t INHERIT public.big",
        thorough=False,
    ),
    parted(
        "archived partitioned table became a partition of a later one",
        ROOT,
        f"{BIG} ALTER TABLE big ATTACH PARTITION t FOR VALUES FROM (0) TO (10);",
        "ATTACH PARTITION public.t ",
    ),
    parted(
        "archived partition became one of a later table",
        ROOT,
        f"{BIG} ALTER TABLE t DETACH PARTITION t1; ALTER TABLE big ATTACH PARTITION t1 FOR VALUES FROM (0) TO (10);",
        "ATTACH PARTITION public.t1 ",
    ),
    parted(
        "archived table became a partition, a key refers to the later one",
        ONE.replace("id int", "id int NOT NULL"),
        "CREATE TABLE big (id int PRIMARY KEY, x text) PARTITION BY RANGE (id);"
        "ALTER TABLE big ATTACH PARTITION t FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE c (b int CONSTRAINT k REFERENCES big); INSERT INTO c VALUES (1);",
        left="DROP TABLE c, big",
    ),
    Case(
        "a partition that came later goes with its table, and its partitions do",
        ROOT.replace("DEFAULT;", "FOR VALUES IN (NULL);"),
        "CREATE TABLE mid PARTITION OF t FOR VALUES IN ('a') PARTITION BY RANGE (id);"
        "CREATE TABLE leaf PARTITION OF mid DEFAULT;",
        restored=("public.mid", "public.leaf"),
        thorough=True,
    ),
]

CASES = [*HEIRS, *DETAILS, *PARTED]
