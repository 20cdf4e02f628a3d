"""Which archives are our own: those that a job recorded, or that the password or a key opens.

A header that is well formed proves nothing: anybody who can write to the bucket can write one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import structlog

from ...stages.errors import ArchiveError, ConfigurationError
from ..archives.opening import open_archive

if TYPE_CHECKING:
    from ...stages.stores.base import ObjectInfo, ObjectStore
    from ..parts.keys import Keys

#: Archives that are tried to be opened, at most; each costs a key from the password. The others are not our own.
MOST = 50


class Made(Protocol):
    """What was noted of an archive when it was made: bytes, and SHA-256 where its head has one."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def checksum(self) -> str | None:
        """SHA-256, hex."""


class OwnArchives:
    """Tells our archives from others, for one run of retention.

    ``recorded`` gives what was noted of those that jobs made, by their full names, and ``password`` the password, None
    where there is none; both are asked once, and only when an archive has to be told.
    """

    def __init__(
        self,
        recorded: Callable[[], Awaitable[Mapping[str, Made]]],
        password: Callable[[], Awaitable[str | None]],
        keys: Keys,
        *,
        most: int = MOST,
    ) -> None:
        self._ask_recorded, self._ask_password = recorded, password
        self._keys = keys
        self._most = most
        self._recorded: Mapping[str, Made] | None = None
        self._password: str | None = None
        self._opened = 0
        self._log = structlog.get_logger("kleidia_backup.retention")

    async def has(self, store: ObjectStore, info: ObjectInfo, checksum: str) -> bool:
        """Whether this archive is one of ours; ``checksum`` is what its head says, empty in format V2.

        Raises the ``StoreError`` tree, and what ``recorded`` and ``password`` raise but for ``ConfigurationError``.
        """
        if self._recorded is None:
            self._recorded = await self._ask_recorded()
            try:
                self._password = await self._ask_password()
            except ConfigurationError as exc:  # records may be enough
                self._log.warning("archives cannot be tried by the password", error=exc.message)
        known = self._recorded.get(info.name)
        if known is not None and known.size == info.size and checksum in {"", known.checksum}:
            return True
        return await self._opens(store, info.name)

    async def _opens(self, store: ObjectStore, name: str) -> bool:
        if self._opened >= self._most or (self._password is None and not self._keys.open_something):
            return False
        self._opened += 1
        try:
            archive = await open_archive(store, name, self._password, self._keys)
            await archive.check_password()
        except (ArchiveError, ConfigurationError):
            return False
        return True
