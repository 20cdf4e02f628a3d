"""Whether there are control tables at all, asked by who does not wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ....stages.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from ....stages.pg.server.settings import PostgresSettings


async def has_tables(settings: PostgresSettings, seconds: int) -> bool:
    """Whether the control tables are there: one attempt, of so many seconds at most. Raises ``DatabaseUnreachable``."""
    given = {"connect_timeout": str(seconds)} | conninfo_to_dict(settings.full_conninfo())
    try:
        async with await psycopg.AsyncConnection.connect(
            make_conninfo("", **given), autocommit=True, fallback_application_name="kleidia-backup command"
        ) as connection:
            cursor = await connection.execute("SELECT to_regclass('kleidia_backup.verifications')")
            return (await cursor.fetchone() or (None,))[0] is not None
    except psycopg.Error as exc:
        raise DatabaseUnreachable(
            f"The control database cannot be asked ({settings.where()}): {type(exc).__name__}.",
            hint="Check that it can be reached, and that the role may read the schema kleidia_backup.",
        ) from None
