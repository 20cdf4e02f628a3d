"""Archives in a bucket of S3, or of a store that speaks its language."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from ...errors import ConfigurationError, InternalError, StoreError, StoreUnreachable
from ..names import is_ours
from . import multipart, replace, whole
from .bucket import Bucket
from .client import open_client
from .errors import changed
from .immutable.fields import lock_for
from .immutable.locking import default_lock, set_hold
from .immutable.probing import allowed
from .read import opened
from .resuming import resume
from .rights import clean, missing_rights
from .rules import NotSupported, RightMissing, Unknown
from .settings import S3Settings
from .upload import S3Upload

if TYPE_CHECKING:
    from ..base import ObjectInfo
    from ..locks import Allowed, Lock
    from ..resuming import UnfinishedUpload

__all__ = ["S3Settings", "S3Store"]

#: S3 signs a URL for no longer.
_LONGEST = timedelta(days=7)


class S3Store:
    """Implements ``base.ObjectStore`` over one bucket, on asyncio. Enter it once at a time.

    In a bucket that keeps versions, ``delete`` with a pin removes that version; without, or where the key may not
    delete versions, it leaves a delete marker, and the bucket's lifecycle rules decide when the space is free. So it
    does where an older version lies below the one that is removed.

    Also implements ``locks.Locking``: archives are locked as the settings say, and nothing else is.
    """

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._open: Bucket | None = None
        self._locks: bool | None = None
        self._odd: tuple[str, ...] = ()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        client = await self._stack.enter_async_context(open_client(self._settings))
        self._open = Bucket(client, self._settings)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._open = None
        await self._stack.aclose()

    @property
    def _bucket(self) -> Bucket:
        if self._open is None:
            raise InternalError("The store was used before it was entered, or after it was left.")
        return self._open

    @property
    def _changing(self) -> Bucket:
        """The bucket, for whoever changes something in it."""
        return self._bucket

    @property
    def prefix(self) -> str:
        """As in ``base.ObjectStore``."""
        return self._settings.prefix

    async def create(self, name: str, *, part_size: int) -> S3Upload:
        """As in ``base.ObjectStore``."""
        await whole.refuse_taken(self._changing, name)
        return await S3Upload.begin(self._bucket, name, part_size, lock_for(self._settings, name))

    async def resume(self, name: str, *, part_size: int) -> S3Upload | resume.ResumedUpload:
        """As in ``resuming.Resumable``."""
        left = await resume.left_of(self._bucket, name, part_size)
        if left is None:
            return await self.create(name, part_size=part_size)
        await whole.refuse_taken(self._changing, name)
        lock = lock_for(self._settings, name)
        upload = S3Upload(self._bucket, name, part_size, left.upload_id, "", lock)
        return resume.ResumedUpload(upload, self._bucket, left)

    async def unfinished(self) -> frozenset[str]:
        """As in ``resuming.Resumable``."""
        return await resume.names(self._bucket, self.prefix)

    async def uploads(self, *, sizes: bool = True) -> tuple[UnfinishedUpload, ...]:
        """As in ``resuming.Resumable``."""
        return tuple(await resume.uploads(self._bucket, self.prefix, sizes=sizes))

    async def put(self, name: str, data: bytearray) -> ObjectInfo:
        """As in ``base.ObjectStore``."""
        return await whole.put(self._changing, name, data)

    def get(
        self, name: str, *, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """As in ``base.ObjectStore``."""
        return opened(self._bucket, name, start, end, pin)

    async def head(self, name: str) -> ObjectInfo:
        """As in ``base.ObjectStore``."""
        return (await self._bucket.head(name)).info

    def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        """As in ``base.ObjectStore``."""
        return self._bucket.objects(prefix)

    async def replace_start(self, name: str, data: bytearray, *, skip: int, pin: ObjectInfo) -> ObjectInfo:
        """As in ``base.ObjectStore``. In a bucket that keeps versions the old one stays, with its old beginning."""
        return await replace.replace_start(self._changing, name, data, skip, pin)

    async def delete(self, name: str, *, pin: ObjectInfo | None = None) -> None:
        """As in ``base.ObjectStore``."""
        bucket, found = self._changing, await self.head(name)
        if pin is not None and not pin.is_same(found):
            raise changed(name)
        if pin is None or not pin.version:
            await bucket.delete(name)
        else:
            await whole.delete_version(bucket, pin)

    async def presign(self, name: str, expires: timedelta) -> str:
        """As in ``base.ObjectStore``. Raises ``ConfigurationError`` for more than seven days, and ``ObjectMissing``."""
        if not timedelta(0) < expires <= _LONGEST:
            raise ConfigurationError("S3 signs a URL for at most seven days.", hint="Choose a shorter time.")
        await self.head(name)
        where = {"Bucket": self._settings.bucket, "Key": name}
        seconds = int(expires.total_seconds())
        bucket = self._changing
        client = bucket.client
        return await bucket.call(
            "GetObject", name, lambda: client.generate_presigned_url("get_object", Params=where, ExpiresIn=seconds)
        )

    async def abort_stale(self, older_than: timedelta) -> int:
        """As in ``base.ObjectStore``: none where the store, or the key, cannot; ``check`` says so, no backup needs it.

        Removes what was left of tries, too.
        """
        return len(await self.abort_older(older_than))

    async def abort_older(self, older_than: timedelta) -> tuple[str, ...]:
        """As in ``resuming.Resumable``."""
        limit = datetime.now(UTC) - older_than
        aborted: list[str] = []
        with suppress(NotSupported, RightMissing, Unknown):
            async for upload in multipart.unfinished(self._changing, self.prefix):
                if upload["Initiated"] < limit and is_ours(upload["Key"], self.prefix):
                    await multipart.abort(self._bucket, upload["Key"], upload["UploadId"])
                    aborted.append(upload["Key"])
        await clean(self._changing, self.prefix, older_than)
        return tuple(aborted)

    async def check(self) -> tuple[str, ...]:
        """As in ``base.ObjectStore``; the names are those of IAM actions, for example ``s3:PutObject``."""
        missing, self._odd = await missing_rights(self._changing, self.prefix)
        return missing

    @property
    def odd(self) -> tuple[str, ...]:
        """As in ``base.Odd``."""
        return self._odd

    async def can_lock(self) -> bool:
        """As in ``locks.Locking``."""
        if self._locks is None:
            try:
                default = await default_lock(self._bucket)
            except StoreUnreachable:
                raise
            except StoreError:
                self._locks = self._settings.lock_mode != "none"
            else:
                self._locks = default is not None
        return self._locks

    async def lock_of(self, name: str) -> Lock:
        """As in ``locks.Locking``."""
        return (await self._bucket.head(name)).lock

    async def hold(self, name: str, on: bool) -> None:
        """As in ``locks.Locking``."""
        await set_hold(self._changing, name, on)

    async def allowed(self) -> Allowed:
        """As in ``locks.Locking``."""
        return await allowed(self._changing, self.prefix)
