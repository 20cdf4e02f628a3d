"""A bucket as it was at a time: what was deleted or replaced since is read by its version."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from ....errors import ConfigurationError, ObjectMissing
from ..read import opened
from ..store import S3Store
from .history import keeps_versions, objects_at

if TYPE_CHECKING:
    from ...base import ObjectInfo
    from ...locks import Lock
    from ..bucket import Bucket
    from ..settings import S3Settings


class PastStore(S3Store):
    """Implements ``base.ObjectStore`` for reading; what would change anything raises ``ConfigurationError``."""

    def __init__(self, settings: S3Settings, moment: datetime) -> None:
        super().__init__(settings)
        self._moment = moment
        self._asked = False

    async def head(self, name: str) -> ObjectInfo:
        """As in ``base.ObjectStore``: the version of that time."""
        version = await self._version(name)
        found = (await self._bucket.head(name, version.version)).info
        return replace(found, version=version.version)

    def get(
        self, name: str, *, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """As in ``base.ObjectStore``: the version of that time, or the one of ``pin``."""
        return self._opened(name, start, end, pin)

    @asynccontextmanager
    async def _opened(
        self, name: str, start: int, end: int | None, pin: ObjectInfo | None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async with opened(self._bucket, name, start, end, pin or await self.head(name)) as chunks:
            yield chunks

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        """As in ``base.ObjectStore``: what was there then."""
        for info in (await self._objects(prefix)).values():
            yield info

    async def lock_of(self, name: str) -> Lock:
        """As in ``locks.Locking``, of the version of that time."""
        return (await self._bucket.head(name, (await self._version(name)).version)).lock

    async def _version(self, name: str) -> ObjectInfo:
        found = (await self._objects(name)).get(name)
        if found is None:
            raise ObjectMissing(
                f"There was no {name} in bucket {self._settings.bucket} at {self._moment:%Y-%m-%d %H:%M:%S %Z}.",
                hint="`kleidia-backup list --as-of` with the same time shows what there was.",
            )
        return found

    async def _objects(self, prefix: str) -> dict[str, ObjectInfo]:
        if not self._asked and await keeps_versions(self._bucket) is False:
            raise ConfigurationError(
                f"Bucket {self._settings.bucket} of {self._settings.where} keeps no versions: what was there at another"
                " time is not known.",
                hint="Ask for what is there now. From now on it keeps them if you switch its versioning on.",
            )
        self._asked = True
        return await objects_at(self._bucket, prefix, self._moment)

    @property
    def _changing(self) -> Bucket:
        raise ConfigurationError(
            "A store as it was at another time can only be read.", hint="Leave out the time (--as-of, as_of)."
        )
