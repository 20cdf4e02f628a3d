"""What became of a transaction whose psql ended: explained, ended on the server, asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import anyio

from ..errors import CommitUncertain, DatabaseError, DatabaseUnreachable, RestoreFailed
from .connect import connect, is_connection_failure, login_error, one
from .questions import answered

if TYPE_CHECKING:
    from .settings import PostgresSettings

#: Seconds in which the server must have ended our session after psql was killed.
ENDING = 10.0

#: Seconds to ask for the outcome of a COMMIT whose connection was lost.
SETTLING = 60.0

#: Seconds each of these questions may take to connect.
_CONNECT = 5

_LINE = re.compile(r"^psql:<stdin>:(\d+): (.*)$", re.MULTILINE)
_LOST = re.compile(r"server closed the connection|connection to server was lost|terminating connection|SSL SYSCALL")
_QUOTED = re.compile(r'"(?:[^"]|"")*"?')
#: What may stand before a quoted name; anything else that is quoted may be a value from a row.
_NAMED = re.compile(
    r"(?:\.|\b(?:(?:relation|(?:foreign )?table|view|index|sequence|column|constraint|type|domain|enum|role|user|schema"
    r"|function|procedure|aggregate|operator|language|extension|database|collation|trigger|policy|rule|parameter"
    r"|tablespace|publication|subscription|server|wrapper|method|configuration|dictionary|encoding|partition|file"
    r"|library|attribute|statistics|owner|to|of) ))$",
    re.IGNORECASE,
)

#: What to do about a lock that another session holds.
LOCKED = (
    "Another session holds a lock: stop the application, or end what pg_locks and pg_stat_activity show; "
    "lock_timeout in the settings says how long to wait."
)

_HINTS = (
    ("out of shared memory", "Raise max_locks_per_transaction on the server: a restore locks every object at once."),
    ("other objects depend on it", "Drop what depends on it (the archive does not know it), or restore elsewhere."),
    ("must be owner of", "Restore as the role that owns the tables, or as a superuser."),
    ("must be able to SET ROLE", "Restore as a superuser, or grant that role to the role that restores."),
    ("permission denied", "Grant the right, or restore as a superuser."),
    ("is not available", "Install that extension on the server."),
    ("unrecognized configuration parameter", "The archive comes from a newer PostgreSQL: restore it on such a server."),
    (
        "No space left on device",
        "Nothing was changed. Free space on the server: a restore needs room for the old rows and the new ones.",
    ),
    (
        "File too large",
        "Nothing was changed. Raise the limit on the size of a file on the server (ulimit -f, or its file system's).",
    ),
    ("deadlock detected", "Stop the application during the restore."),
    ("due to lock timeout", f"Nothing was changed. {LOCKED}"),
)


def explain(settings: PostgresSettings, status: int, said: str, before: int = 0) -> DatabaseError:
    """The error for a psql that ended with ``status`` having ``said`` this; ``before`` lines preceded the archive's."""
    if is_connection_failure(said):
        return login_error(settings, said)
    found = [match for match in _LINE.finditer(said) if not match.group(2).startswith(("WARNING", "NOTICE"))]
    if _LOST.search(said):
        return DatabaseUnreachable(
            f"The connection to PostgreSQL was lost during the restore ({settings.where()}).",
            hint="Nothing was changed. Check the server's log; then restore again.",
        )
    if not found:
        how = f"was killed by signal {-status}" if status < 0 else f"ended early with status {status}"
        last = said.strip().rpartition("\n")[2]
        return RestoreFailed(f"psql {how}{': ' + last if last else ''}.", hint="Nothing was changed. Try again.")
    match = found[0]
    where = int(match.group(1)) - before
    reason = without_values(re.sub(r"^[A-Z]+:\s*", "", match.group(2)))
    hint = next((hint for text, hint in _HINTS if text in said), "Nothing was changed.")
    place = f" at line {where} of the archive's SQL" if where > 0 else ""
    return RestoreFailed(f"PostgreSQL refused the restore{place}: {reason}{_details(said)}.", hint=hint)


def without_values(message: str) -> str:
    """What the server says, up to the first quoted text that is not a name: it may be a value from a row."""
    for match in _QUOTED.finditer(message):
        if not _NAMED.search(message[: match.start()]):
            return message[: match.start()].removesuffix(" at or near ").rstrip(" :")
    return message


def uncertain(failure: DatabaseError, transaction: str) -> DatabaseError:
    """The same failure, when the server did not say that the transaction was rolled back."""
    return type(failure)(
        failure.message,
        hint="Part of it may be committed; ask the server when it can be reached: "
        f"SELECT txid_status({transaction}); says aborted when nothing was changed.",
    )


def _details(said: str) -> str:
    """What else may be shown: never a value from a row."""
    details = [line.removeprefix("DETAIL:").strip() for line in said.splitlines() if " depends on " in line][:5]
    if context := re.search(r"^CONTEXT:\s+(COPY [^,]+, line \d+(?:, column [^:]+)?)", said, re.MULTILINE):
        details.append(context.group(1))
    return f" ({'; '.join(details)})" if details else ""


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
            while not await answered(ended, limit=limit):  # noqa: ASYNC110 - nobody tells us
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
                    "PostgreSQL rolled the restore back at COMMIT.", hint="Nothing was changed."
                )
            if answer != "in progress":
                break
            await end_backend(settings, name, "")
    raise CommitUncertain(
        f"The connection to PostgreSQL was lost during COMMIT ({settings.where()}): the restore may be there, or not.",
        hint=f"Ask the server: SELECT txid_status({transaction}); it answers committed or aborted.",
    ) from failure
