"""How many rows there are now: counted, or estimated where counting takes too long or must wait."""

from __future__ import annotations

from typing import Any

import psycopg

from kleidia_backup.stages.pg.inventory.counting import Live, count_rows
from kleidia_backup.stages.pg.inventory.inventory import TableChange, take_inventory
from kleidia_backup.stages.pg.server.connect import connect
from kleidia_backup.stages.pg.server.settings import Table
from kleidia_backup.stages.pg.survey import SqlFacts


def rows(db: Any) -> dict[str, TableChange]:
    """The tables of a database, as an inventory for an empty archive shows them."""
    return {each.name: each for each in take_inventory(db.settings, SqlFacts(), ()).tables}


def test_rows_are_counted(db: Any) -> None:
    """Each table has its own rows, not those of its children and partitions; the product's own tables are not shown."""
    db.execute(
        "CREATE TABLE parent (a int)",
        "CREATE TABLE child () INHERITS (parent)",
        "INSERT INTO parent SELECT generate_series(1, 3)",
        "INSERT INTO child SELECT generate_series(1, 5)",
        'CREATE TABLE "Od""d" (a int) PARTITION BY RANGE (a)',
        'CREATE TABLE part PARTITION OF "Od""d" FOR VALUES FROM (0) TO (10)',
        'INSERT INTO "Od""d" SELECT generate_series(1, 7)',
        "CREATE SCHEMA kleidia_backup",
        "CREATE TABLE kleidia_backup.own (a int)",
        "CREATE EXTENSION file_fdw",
        "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw",
        "CREATE FOREIGN TABLE away (a int) SERVER files OPTIONS (filename '/nowhere')",
    )
    found = rows(db)
    assert list(found) == sorted(found)
    assert {name: (each.rows_now, each.exact) for name, each in found.items()} == {
        "public.parent": (3, True),
        "public.child": (5, True),
        'public."Od""d"': (0, True),
        "public.part": (7, True),
        "public.away": (None, False),
    }


def test_what_takes_too_long_is_estimated(db: Any) -> None:
    """A count that runs into its limit gives the planner's estimate, marked as one; so does what is not begun."""
    db.execute("CREATE TABLE large AS SELECT n FROM generate_series(1, 300000) n")
    with connect(db.settings) as connection:
        oid = connection.execute("SELECT 'large'::regclass::oid").fetchall()[0][0]
        live = Live(Table("public", "large"), oid, countable=True, pages=1000, estimate=-1)
        (cancelled,) = count_rows(connection, [live], each=0.001).values()
        (unbegun,) = count_rows(connection, [live], seconds=0).values()
        (counted,) = count_rows(connection, [live]).values()
    assert counted == (300_000, True)
    assert unbegun == (None, False)
    estimate, exact = cancelled
    assert not exact
    assert estimate is not None
    assert 200_000 < estimate < 450_000


def test_nobody_is_waited_for(db: Any) -> None:
    """A table that somebody has locked, or whose rows the role may not all see, is estimated at once."""
    db.execute("CREATE TABLE busy AS SELECT generate_series(1, 100) n", "ANALYZE busy")
    with psycopg.connect(db.settings.full_conninfo()) as other:
        other.execute("LOCK TABLE busy")
        assert rows(db)["public.busy"].rows_now == 100
        assert not rows(db)["public.busy"].exact
    assert rows(db)["public.busy"].exact


def test_rows_that_the_role_may_not_see(db: Any, make_role: Any) -> None:
    """Row security, or no right at all: the number would be a lie, so it is the estimate or nothing."""
    name, limited = make_role(db)
    db.execute(
        "CREATE TABLE secured AS SELECT generate_series(1, 100) n",
        "CREATE TABLE forbidden (n int)",
        "ALTER TABLE secured ENABLE ROW LEVEL SECURITY",
        f"GRANT SELECT ON secured TO {name}",
        "ANALYZE secured",
    )
    found = rows(limited)
    assert (found["public.secured"].rows_now, found["public.secured"].exact) == (100, False)
    assert (found["public.forbidden"].rows_now, found["public.forbidden"].exact) == (None, False)
