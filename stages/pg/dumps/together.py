"""Who begins and who waits when several pg_dumps of one snapshot make one dump.

Each pg_dump has tables of its own from its beginning on, so that all locks are taken in the first seconds: one that
began later could wait behind an ``ALTER TABLE`` which waits for the main one, which waits for us. Nothing is sent
before all of them have begun. Until then any that fails ends the others, and the main one begins again alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from ...errors import DatabaseError
    from ..server.settings import PostgresSettings, Table
    from .snapshot import Shares


class Parallel:
    """What the pg_dumps of one backup know of each other. ``shares`` is what each of them dumps."""

    def __init__(self, shares: Shares) -> None:
        self.shares = shares
        self.begun = False
        self.failure: DatabaseError | None = None
        self._waiting = len(shares.tables)
        self._settled = anyio.Event()
        self._go = anyio.Event()
        self._scopes: list[anyio.CancelScope] = []

    @property
    def tables(self) -> tuple[Table, ...]:
        """Those that the main pg_dump leaves to others."""
        return tuple(table for tables in self.shares.tables for table in tables)

    def enter(self, scope: anyio.CancelScope) -> None:
        """Another than the main one begins: it is cancelled when nothing comes of it."""
        self._scopes.append(scope)
        if self.failure:
            scope.cancel()

    async def ready(self) -> None:
        """Another than the main one has its snapshot and its locks; return when its rows may go on."""
        self._waiting -= 1
        if not self._waiting:
            self._settled.set()
        await self._go.wait()

    async def begin(self) -> None:
        """The main one has too: let all go on, or raise the ``DatabaseError`` for which the others cannot."""
        await self._settled.wait()
        if self.failure:
            raise self.failure
        self.begun = True
        self._go.set()
        await self.shares.release()

    async def give_up(self, failure: DatabaseError) -> None:
        """Nothing comes of it: end the others."""
        self.failure = self.failure or failure
        self._settled.set()
        for scope in self._scopes:
            scope.cancel()
        await self.shares.release()


def one_process(settings: PostgresSettings, reason: DatabaseError) -> str:
    """The warning that ``jobs`` came to nothing."""
    return f"One pg_dump dumped everything, not {settings.jobs} together: {reason.message}"
