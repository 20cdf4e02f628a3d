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

CASES = HEIRS
