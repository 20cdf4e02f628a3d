"""How many rows tables have now: counted while that is quick, else as the server estimates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from psycopg import sql
from psycopg.errors import InsufficientPrivilege, LockNotAvailable, QueryCanceled, UndefinedTable

from ..server.connect import Connection, one

if TYPE_CHECKING:
    from ..server.settings import Table

#: Seconds for counting one table, and for all of them.
ONE, ALL = 2.0, 10.0
#: Milliseconds to wait for a locked table.
_WAIT = 100
#: Errors of a table that may not be read, is locked, or was dropped meanwhile.
_UNCOUNTED = (LockNotAvailable, InsufficientPrivilege, UndefinedTable)


@dataclass(frozen=True, slots=True)
class Live:
    """A table that exists. ``countable`` is false for foreign tables and for those that the role may not read.

    ``pages`` and ``estimate`` (of the rows, negative when there is none) are those of the last VACUUM or ANALYZE.
    """

    table: Table
    oid: int
    countable: bool
    pages: int
    estimate: int


def count_rows(
    connection: Connection, tables: Iterable[Live], *, each: float = ONE, seconds: float = ALL
) -> dict[Table, tuple[int | None, bool]]:
    """The rows of each table, and whether they were counted; None when there is not even an estimate.

    The small ones are counted first; partitions and children have rows of their own. ``each`` and ``seconds`` limit
    the time for one table and for all. Changes the session's settings. Raises what ``connect`` maps.
    """
    connection.execute(f"SET statement_timeout = {round(each * 1000)}")
    connection.execute(f"SET lock_timeout = {_WAIT}")
    connection.execute("SET row_security = off")  # an error is better than the number of the rows that one may see
    deadline = monotonic() + seconds
    found: dict[Table, tuple[int | None, bool]] = {}
    for live in sorted(tables, key=lambda live: live.pages):
        found[live.table] = live.estimate if live.estimate >= 0 else None, False
        if not live.countable or monotonic() >= deadline:
            continue
        name = sql.Identifier(live.table.schema, live.table.name)
        try:
            rows = one(connection, sql.SQL("SELECT count(*) FROM ONLY {}").format(name))[0]
            found[live.table] = rows, True
        except QueryCanceled:
            found[live.table] = _estimate(connection, name), False
        except _UNCOUNTED:
            pass
    return found


def _estimate(connection: Connection, name: sql.Identifier) -> int | None:
    """The planner's estimate from the table's present size."""
    explain = sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM ONLY {}").format(name)
    try:
        with connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            ((plan,),) = one(connection, explain)
    except _UNCOUNTED:
        return None
    return int(plan["Plan"]["Plan Rows"])
