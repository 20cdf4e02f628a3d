"""Sessions of people who logged in. A browser has an opaque id; the table has its SHA-256 and who it is."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..database import Control

#: Random bytes of an id.
_ID = 32
#: Seconds between two notes that a session is in use, at most; and what part of the time it may be idle.
_NOTE, _PART = 60.0, 0.1


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who logged in. ``live``: within both limits; else he was here, and must log in again."""

    subject: str
    name: str
    roles: frozenset[str]
    live: bool


class Sessions:
    """The sessions of one service: ``client`` is the provider and its id there.

    ``idle`` and ``longest`` are seconds: without a request, and altogether. Every method raises what
    ``Control.connection`` raises.
    """

    def __init__(self, control: Control, client: str, *, idle: float, longest: float) -> None:
        self._control = control
        self._values = {"client": client, "idle": idle, "longest": longest}
        self._note = min(_NOTE, idle * _PART)

    async def begin(
        self,
        nonce: str,
        subject: str,
        name: str,
        roles: Iterable[str],
        *,
        instead_of: str | None = None,
        ends: float | None = None,
    ) -> str | None:
        """A new session, whose id nobody had before; ``instead_of`` is one that ends with it.

        It ends at ``ends`` (Unix time) if that comes before its limits.

        None when the login with this ``nonce`` was completed before.
        """
        made = secrets.token_urlsafe(_ID)
        values = self._values | {
            "id": _hash(made),
            "subject": subject,
            "name": name,
            "roles": sorted(roles),
            "ends": ends,
        }
        async with self._control.connection() as connection, connection.transaction():
            if not (await connection.execute(_USE, (_hash(nonce),))).rowcount:
                return None
            if instead_of is not None:
                await connection.execute(_END, self._values | {"id": _hash(instead_of)})
            await connection.execute(_BEGIN, values)
            await connection.execute(_SWEEP, self._values)
            await connection.execute(_SWEEP_USED)
        return made

    async def find(self, session: str, *, uses: bool) -> Session | None:
        """Whose session it is; None when it was never begun, or was ended. ``uses``: this request counts as use."""
        values = self._values | {"id": _hash(session)}
        async with self._control.connection() as connection:
            row = await (await connection.execute(_FIND, values)).fetchone()
            if row is None:
                return None
            subject, name, roles, live, noted = row
            if live and uses and noted >= self._note:
                await connection.execute(_NOTE_USE, values)
        return Session(subject, name, frozenset(roles), live)

    async def end(self, session: str) -> None:
        """End a session: from now on nobody is known by it."""
        async with self._control.connection() as connection:
            await connection.execute(_END, self._values | {"id": _hash(session)})


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


_USE = "INSERT INTO kleidia_backup.logins (id) VALUES (%s) ON CONFLICT DO NOTHING"
_BEGIN = """
    INSERT INTO kleidia_backup.sessions (id, client, subject, name, roles, begun_at)
    VALUES (%(id)s, %(client)s, %(subject)s, %(name)s, %(roles)s,
        least(now(), to_timestamp(%(ends)s::double precision) - make_interval(secs => %(longest)s)))
"""
_FIND = """
    SELECT subject, name, roles,
        now() < seen_at + make_interval(secs => %(idle)s) AND now() < begun_at + make_interval(secs => %(longest)s),
        extract(epoch FROM now() - seen_at)::double precision
    FROM kleidia_backup.sessions WHERE id = %(id)s AND client = %(client)s
"""
_NOTE_USE = "UPDATE kleidia_backup.sessions SET seen_at = now() WHERE id = %(id)s AND client = %(client)s"
_END = "DELETE FROM kleidia_backup.sessions WHERE id = %(id)s AND client = %(client)s"
# A day longer than they count, so that a browser that comes back with an old one is not taken for an attacker.
_SWEEP = """
    DELETE FROM kleidia_backup.sessions
    WHERE client = %(client)s AND begun_at < now() - make_interval(secs => %(longest)s) - interval '1 day'
"""
# An ID token is refused long before.
_SWEEP_USED = "DELETE FROM kleidia_backup.logins WHERE at < now() - interval '2 days'"
