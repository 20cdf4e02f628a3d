"""Appending entries of the audit log to the chain, in the transaction that writes them."""

from __future__ import annotations

import secrets as random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import structlog
from psycopg.rows import dict_row

from ....stages.errors import KleidiaError
from .codes import ENTRY, FIRST, code_of, key_name, seal_of

if TYPE_CHECKING:
    from ..database import Connection, Control
    from ..secrets import ChainKey, ServiceSecrets

#: Entries that are appended late in one transaction.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a chain, which has no name where there is none. ``highest`` is the last place that is taken."""

    chain: str = ""
    place: int = 0
    code: bytes = FIRST
    key: str = ""
    seal: bytes = b""
    highest: int = 0


class AuditChain:
    """The chain of one target.

    An entry is written whether or not the vault, which has the key, could be reached yet. What was written before is
    appended as late: then nobody can tell whether it is what was written.
    """

    def __init__(self, control: Control, secrets: ServiceSecrets, target: str) -> None:
        self._control = control
        self._secrets = secrets
        self._target = target
        self._key: bytes | None = None
        self._begun = False
        self._log = structlog.get_logger("kleidia_backup.audit")

    async def begin(self) -> None:
        """Read the key, which is made with the first entry ever, and append what is late; later the latter alone.

        Commands write entries as well, and some of them have no key.

        Raises what ``Control.connection`` and ``ServiceSecrets`` raise, ``ConfigurationError`` for a key that is gone.
        """
        if self._begun:
            await self._append_late()
            return
        async with self._control.connection() as connection:
            end = await self._end(connection)
        if end.chain:  # without the lock: whoever writes an entry would wait for the vault
            found = await self._secrets.chain_key(create=False)
        else:
            end, found = await self._first()
        if (end.chain and end.key != key_name(found.key)) or not (end.chain or found.pending):
            self._log.error("the audit log's chain was begun anew, or has another key: `kleidia-backup audit verify`")
        if found.pending:
            await self._secrets.chain_begun(found)
        self._key = found.key
        await self._append_late()
        self._begun = True

    async def _append_late(self) -> None:
        assert self._key is not None
        async with self._control.connection() as connection:
            cursor = await connection.execute(_ANY_LATE, (self._target,))
            if (await cursor.fetchone() or (False,))[0]:
                while await self._late(self._key) == _AT_ONCE:
                    pass

    async def _first(self) -> tuple[_End, ChainKey]:
        """The end, if another replica has just begun the chain, else none; and the key."""
        async with self._control.connection() as connection, connection.transaction():
            await connection.execute(_LOCK, (self._target,))
            end = await self._end(connection)
            found = await self._secrets.chain_key(create=not end.chain)
            if not end.chain:  # one that was begun before has another name in the vault: then verifying says so
                new = found.chain if found.pending else random.token_hex(8)
                await self._set_end(found.key, connection, _End(new, end.highest))
        return end, found

    async def try_to_begin(self) -> None:
        """``begin``, at the start: what is in the way is logged, and it is tried again."""
        try:
            await self.begin()
        except KleidiaError as exc:
            self._log.warning("the audit log is not chained yet", error=exc.message, hint=exc.hint)

    async def append(self, entry: int, connection: Connection) -> None:
        """Append the entry of that number, within the transaction that has written it."""
        if self._key is not None:
            await connection.execute(_LOCK, (self._target,))
            await self._append(self._key, connection, _ONE, (entry,))

    async def _late(self, key: bytes) -> int:
        async with self._control.connection() as connection, connection.transaction():
            await connection.execute(_LOCK, (self._target,))
            return await self._append(key, connection, _UNCHAINED, (self._target, _AT_ONCE), late=True)

    async def _append(
        self, key: bytes, connection: Connection, query: str, values: tuple[object, ...], *, late: bool = False
    ) -> int:
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(query, values)
            entries: list[dict[str, Any]] = await cursor.fetchall()
        end = self._continued(key, await self._end(connection))
        for entry in entries:
            place = end.place + 1
            code = code_of(key, end.code, entry | {"place": place, "late": late})
            await connection.execute(_CHAIN, (place, code, late, entry["id"]))
            end = replace(end, place=place, code=code)
        if entries:
            await self._set_end(key, connection, end)
        return len(entries)

    def _continued(self, key: bytes, end: _End) -> _End:
        """The end that the next entry follows. One that is not ours must not be made ours by a new seal.

        So it follows nothing then, and verifying finds that at its place for ever. Entries are written all the same.
        """
        genuine = end.seal == seal_of(key, self._target, end.chain, end.place, end.code)
        if genuine and end.place >= end.highest:
            return end
        self._log.error("the audit log is not what was written: `kleidia-backup audit verify`")
        return replace(end, place=max(end.place, end.highest), code=FIRST)

    async def _end(self, connection: Connection) -> _End:
        cursor = await connection.execute(_END, (self._target, self._target))
        row = await cursor.fetchone()
        assert row is not None  # the first of the two is always there
        return _End(highest=row[-1]) if row[0] is None else _End(*row)

    async def _set_end(self, key: bytes, connection: Connection, end: _End) -> None:
        seal = seal_of(key, self._target, end.chain, end.place, end.code)
        await connection.execute(_SET_END, (self._target, end.place, end.code, seal, end.chain, key_name(key)))


_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('kleidia_backup.audit of ' || %s, 0))"
_ONE = f"SELECT {ENTRY} FROM kleidia_backup.audit WHERE id = %s"  # noqa: S608 - constants
_UNCHAINED = f"""
    SELECT {ENTRY} FROM kleidia_backup.audit WHERE target = %s AND place IS NULL ORDER BY id LIMIT %s
"""  # noqa: S608 - likewise
_ANY_LATE = "SELECT EXISTS (SELECT FROM kleidia_backup.audit WHERE target = %s AND place IS NULL)"
_END = """
    SELECT chain, place, code, key, seal, highest
    FROM (SELECT coalesce(max(place), 0) AS highest FROM kleidia_backup.audit WHERE target = %s) taken
    LEFT JOIN kleidia_backup.audit_ends ON target = %s
"""
_CHAIN = "UPDATE kleidia_backup.audit SET place = %s, code = %s, late = %s WHERE id = %s"
_SET_END = """
    INSERT INTO kleidia_backup.audit_ends (target, place, code, seal, chain, key) VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (target) DO UPDATE SET place = excluded.place, code = excluded.code, seal = excluded.seal,
        chain = excluded.chain, key = excluded.key
"""
