"""What a healthy database may have besides the usual: a drill of its archive is proven."""

from __future__ import annotations

import psycopg
import psycopg.sql
import pytest

from ..archive_format import both_formats
from .conftest import Bench

pytestmark = pytest.mark.anyio

KEYED = "CREATE TABLE p (id int PRIMARY KEY);"
PARTED = "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p DEFAULT;"
#: A row that the constraint which is added behind it refuses.
ROW = "CREATE TABLE c (p int); INSERT INTO c VALUES (-1);"
CHILD = (
    "CREATE TABLE c (p int); CREATE TABLE d () INHERITS (c); CREATE TABLE e () INHERITS (d); INSERT INTO e VALUES (-1);"
)
PARTITIONS = (
    "CREATE TABLE c (p int) PARTITION BY LIST (p); CREATE TABLE c1 PARTITION OF c DEFAULT; INSERT INTO c VALUES (-1);"
)
DEEP = (
    "CREATE TABLE c (p int) PARTITION BY LIST (p); CREATE TABLE c1 PARTITION OF c DEFAULT PARTITION BY LIST (p);"
    "CREATE TABLE c2 PARTITION OF c1 DEFAULT; INSERT INTO c VALUES (-1);"
)
CHECKED = "ALTER TABLE c ADD CONSTRAINT cc CHECK (p > 0) NOT VALID;"
REFERRING = "ALTER TABLE c ADD CONSTRAINT ck FOREIGN KEY (p) REFERENCES p NOT VALID;"

HEALTHY = {
    # The validator of internal functions does not know the function that stands for an aggregate.
    "an aggregate": "CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int);",
    "an ordered aggregate and a window function": (
        "CREATE FUNCTION last(int, int) RETURNS int LANGUAGE sql AS 'SELECT $2';"
        "CREATE AGGREGATE latest (ORDER BY int) (sfunc = last, stype = int);"
        "CREATE FUNCTION row_no() RETURNS bigint LANGUAGE internal WINDOW AS 'window_row_number';"
    ),
    "a procedure that commits": "CREATE PROCEDURE pp() LANGUAGE plpgsql AS 'BEGIN COMMIT; END';",
    # What is not enforced is never valid.
    "a CHECK that is not enforced": "CREATE TABLE c (p int CHECK (p > 0) NOT ENFORCED); INSERT INTO c VALUES (-1);",
    "an inherited CHECK that is not enforced": f"{CHILD} ALTER TABLE c ADD CONSTRAINT cc CHECK (p > 0) NOT ENFORCED;",
    "a key that is not enforced": f"{KEYED} {ROW} ALTER TABLE c ADD FOREIGN KEY (p) REFERENCES p NOT ENFORCED;",
    "a partitioned key that is not enforced": (
        f"{PARTED} {PARTITIONS} ALTER TABLE c ADD FOREIGN KEY (p) REFERENCES p NOT ENFORCED;"
    ),
    # What is not valid, and what it leaves on other tables.
    "a CHECK that is not valid": ROW + CHECKED,
    "a NOT NULL that is not valid": (
        "CREATE TABLE c (p int); INSERT INTO c VALUES (NULL); ALTER TABLE c ADD NOT NULL p NOT VALID;"
    ),
    "an inherited CHECK that is not valid": CHILD + CHECKED,
    "a partition's CHECK that is not valid": DEEP + CHECKED,
    "an inherited NOT NULL that is not valid": (
        "CREATE TABLE c (p int); CREATE TABLE d () INHERITS (c); INSERT INTO d VALUES (NULL);"
        "ALTER TABLE c ADD CONSTRAINT cc NOT NULL p NOT VALID;"
    ),
    "a NOT NULL that is not valid, of another name in the child": (
        "CREATE TABLE c (p int); INSERT INTO c VALUES (NULL); CREATE TABLE d (CONSTRAINT dd NOT NULL p) INHERITS (c);"
        "ALTER TABLE c ADD CONSTRAINT cc NOT NULL p NOT VALID;"
    ),
    "a key that is not valid": KEYED + ROW + REFERRING,
    "a partition's key that is not valid": KEYED + PARTITIONS + REFERRING,
    "a key of a partition's partition that is not valid": KEYED + DEEP + REFERRING,
    "a key into a partitioned table that is not valid": PARTED + ROW + REFERRING,
    "a key from one partitioned table into another that is not valid": PARTED + DEEP + REFERRING,
    "a domain's CHECK that is not valid": (
        "CREATE DOMAIN dom AS int; CREATE TABLE c (p dom); INSERT INTO c VALUES (-1);"
        "ALTER DOMAIN dom ADD CONSTRAINT positive CHECK (value > 0) NOT VALID;"
    ),
    "a domain's CHECK that calls a function, inside of an array": (
        "CREATE FUNCTION ok(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 > 0; END';"
        "CREATE DOMAIN dom AS int CHECK (ok(value)); CREATE TABLE c (p dom[]); INSERT INTO c VALUES ('{1,2}');"
    ),
    "a sequence with a backslash in its name": """CREATE SEQUENCE "back\\slash"; SELECT nextval('"back\\slash"');""",
    # COPY has no columns then.
    "only generated columns": (
        "CREATE TABLE g (a int GENERATED ALWAYS AS (1) STORED, b int GENERATED ALWAYS AS (2));"
        "INSERT INTO g DEFAULT VALUES; INSERT INTO g DEFAULT VALUES;"
    ),
    "no column": "CREATE TABLE g (); INSERT INTO g DEFAULT VALUES; INSERT INTO g DEFAULT VALUES;",
}


def make(bench: Bench, text: str) -> None:
    """Run SQL in the system's database."""
    with psycopg.connect(bench.system.conninfo, autocommit=True) as connection:
        connection.execute(text.encode())


@pytest.mark.parametrize("what", HEALTHY)
async def test_what_is_as_it_was_is_proven(bench: Bench, what: str) -> None:
    """Nothing of it is called damage."""
    make(bench, HEALTHY[what])
    await bench.backup()
    report = await bench.drill()
    assert (report.verdict, report.cause, report.failures, report.reason) == ("proven", "", (), "")


async def test_a_backslash_where_one_escapes(bench: Bench) -> None:
    """There pg_dump doubles it in strings, as in that of a sequence's value."""
    with psycopg.connect(bench.system.conninfo, autocommit=True) as connection:
        name = psycopg.sql.Identifier(connection.info.dbname)
        connection.execute(psycopg.sql.SQL("ALTER DATABASE {} SET standard_conforming_strings = off").format(name))
    make(bench, """CREATE SEQUENCE "back\\slash"; SELECT nextval(E'"back\\\\slash"');""")
    await bench.backup()
    report = await bench.drill()
    assert (report.verdict, report.failures) == ("proven", ())


SPOILED = {
    "a child's CHECK": (CHILD + "ALTER TABLE c ADD CONSTRAINT cc CHECK (p < 0);", "cc", "c", "d", "e"),
    "a child's CHECK of its own": (
        "CREATE TABLE c (p int); CREATE TABLE d (CONSTRAINT cc CHECK (p < 0)) INHERITS (c); INSERT INTO d VALUES (-1);"
        + CHECKED.replace("> 0", "< 0"),
        "cc",
        "d",
    ),
    "a partition's key": (
        f"{KEYED} {PARTITIONS} INSERT INTO p VALUES (-1);" + REFERRING.replace("NOT VALID", ""),
        "ck",
        "c",
        "c1",
    ),
    "a domain's CHECK": ("CREATE DOMAIN dom AS int CONSTRAINT positive CHECK (value > 0);", "positive", "dom"),
}


@both_formats
@pytest.mark.parametrize("what", SPOILED)
async def test_what_was_valid_and_is_no_more_is_damage(bench: Bench, what: str) -> None:
    """Also where it comes from another table's constraint, or a domain has it."""
    text, name, *of = SPOILED[what]
    make(bench, text)
    await bench.backup()
    spoil = f"UPDATE pg_constraint SET convalidated = false WHERE conname = '{name}'"
    report = await bench.drill(scratch=bench.damaging(lambda: bench.sql(spoil)))
    assert report.verdict == "failed"
    found = {(failure.check, failure.name) for failure in report.failures}
    assert found == {("a constraint is not valid", f"public.{each}: {name}") for each in of}


async def test_what_should_be_enforced_and_is_not_is_damage(bench: Bench) -> None:
    """A key that the archive adds without a word about that."""
    await bench.backup()
    spoil = "UPDATE pg_constraint SET convalidated = false, conenforced = false WHERE conname = 'notes_user_id_fkey'"
    report = await bench.drill(scratch=bench.damaging(lambda: bench.sql(spoil)))
    assert [(failure.check, failure.name) for failure in report.failures] == [
        ("a constraint is not valid", "public.notes: notes_user_id_fkey")
    ]


async def test_a_domain_s_constraint_that_is_gone_is_damage(bench: Bench) -> None:
    """One that the archive adds behind the rows."""
    make(bench, HEALTHY["a domain's CHECK that is not valid"])
    await bench.backup()
    lost = "ALTER DOMAIN dom DROP CONSTRAINT positive"
    report = await bench.drill(scratch=bench.damaging(lambda: bench.sql(lost)))
    assert [(failure.check, failure.name) for failure in report.failures] == [
        ("a constraint is missing", "public.dom: positive")
    ]
