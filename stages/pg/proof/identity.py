"""Who a database is, whatever name or address leads there. Blocking; called in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..server.connect import connect, one

if TYPE_CHECKING:
    from ..server.settings import PostgresSettings

_IDENTITY = """
SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()), oid::bigint
FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
"""


def identity(settings: PostgresSettings) -> tuple[str, int]:
    """The cluster's system identifier and the database's oid: the same whatever name or address leads there.

    Raises as ``connect``.
    """
    with connect(settings) as connection:
        system, number = one(connection, _IDENTITY)
        return str(system), int(number)
