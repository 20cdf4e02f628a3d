"""What became of a transaction whose connection ended: ended on the server, asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from ...errors import CommitUncertain, DatabaseError, DatabaseUnreachable, RestoreFailed
from .connect import connect, one
from .questions import answered

if TYPE_CHECKING:
    from .settings import PostgresSettings

#: Seconds in which the server must have ended our session after its connection was cut.
ENDING = 10.0

#: Seconds to ask for the outcome of a COMMIT whose connection was lost.
SETTLING = 60.0

#: Seconds each of these questions may take to connect.
_CONNECT = 5


def uncertain(failure: DatabaseError, transaction: str) -> DatabaseError:
    """The same failure, when the server did not say that the transaction was rolled back."""
    return type(failure)(
        failure.message,
        hint="Part of it may be committed; ask the server when it can be reached: "
        f"SELECT txid_status({transaction}); says aborted when nothing was changed.",
        effect="unknown",
    )


async def end_backend(settings: PostgresSettings, name: str, transaction: str) -> bool:
    """End the server's side of the session of this application name; whether it is surely gone, and rolled back."""

    def ended() -> bool:
        with connect(settings, timeout=_CONNECT) as connection:
            query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s"
            return bool(one(connection, query, (name,))[0] == 0)

    def rolled_back() -> bool:
        with connect(settings, timeout=_CONNECT) as connection:
            return bool(one(connection, "SELECT txid_status(%s::bigint)", (transaction,))[0] == "aborted")

    limit = settings.query_timeout
    with anyio.move_on_after(ENDING):
        try:
            while not await answered(ended, limit=limit):  # noqa: ASYNC110 - there is no event to wait for
                await anyio.sleep(0.05)
            return not transaction or await answered(rolled_back, limit=limit)
        except DatabaseError:
            return False
    return False


def transaction_status(settings: PostgresSettings, transaction: str) -> str:
    """``committed``, ``aborted``, ``in progress``, or ``forgotten`` long after. Blocks; raises ``DatabaseError``."""
    with connect(settings, timeout=_CONNECT) as connection:
        return one(connection, "SELECT txid_status(%s::bigint)", (transaction,))[0] or "forgotten"


async def settle(settings: PostgresSettings, transaction: str, name: str, failure: DatabaseError | None) -> None:
    """Return when the transaction was committed.

    Raises ``failure`` (or ``RestoreFailed``) when it was rolled back, ``CommitUncertain`` when the server does not say
    within ``SETTLING`` seconds.
    """
    with anyio.move_on_after(SETTLING):
        while True:
            try:
                answer = await answered(transaction_status, settings, transaction, limit=settings.query_timeout)
            except DatabaseUnreachable:
                await anyio.sleep(0.5)
                continue
            except DatabaseError:
                break
            if answer == "committed":
                return
            if answer == "aborted":
                raise failure or RestoreFailed(
                    "PostgreSQL rolled the restore back at COMMIT.",
                    hint="Check the server's log; then restore again.",
                )
            if answer != "in progress":
                break
            await end_backend(settings, name, "")
    raise CommitUncertain(
        f"The connection to PostgreSQL was lost during COMMIT ({settings.where()}): the restore may be there, or not.",
        hint=f"Ask the server: SELECT txid_status({transaction}); it answers committed or aborted.",
    ) from failure
