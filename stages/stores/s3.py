"""Archives in a bucket of S3, or of a store that speaks its language."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from ..errors import ConfigurationError, InternalError
from . import s3_multipart, s3_whole
from .names import is_ours
from .s3_bucket import Bucket
from .s3_check import missing_rights
from .s3_client import open_client
from .s3_errors import changed
from .s3_read import opened
from .s3_settings import S3Settings
from .s3_upload import S3Upload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from .base import ObjectInfo

__all__ = ["S3Settings", "S3Store"]

#: S3 signs a URL for no longer.
_LONGEST = timedelta(days=7)


class S3Store:
    """Implements ``base.ObjectStore`` over one bucket, on asyncio. Enter it once at a time.

    In a bucket that keeps versions, ``delete`` with a pin removes that version; without, it leaves a delete marker,
    and the bucket's lifecycle rules decide when the space is free.
    """

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._open: Bucket | None = None
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
    def prefix(self) -> str:
        """As in ``base.ObjectStore``."""
        return self._settings.prefix

    async def create(self, name: str, *, part_size: int) -> S3Upload:
        """As in ``base.ObjectStore``."""
        await s3_whole.refuse_taken(self._bucket, name)
        return await S3Upload.begin(self._bucket, name, part_size)

    async def put(self, name: str, data: bytearray) -> ObjectInfo:
        """As in ``base.ObjectStore``."""
        return await s3_whole.put(self._bucket, name, data)

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

    async def delete(self, name: str, *, pin: ObjectInfo | None = None) -> None:
        """As in ``base.ObjectStore``."""
        found = await self.head(name)
        if pin is not None and not pin.is_same(found):
            raise changed(name)
        await self._bucket.delete(name, pin.version if pin else "")

    async def presign(self, name: str, expires: timedelta) -> str:
        """As in ``base.ObjectStore``. Raises ``ConfigurationError`` for more than seven days, and ``ObjectMissing``."""
        if not timedelta(0) < expires <= _LONGEST:
            raise ConfigurationError("S3 signs a URL for at most seven days.", hint="Choose a shorter time.")
        await self.head(name)
        where = {"Bucket": self._settings.bucket, "Key": name}
        seconds = int(expires.total_seconds())
        client = self._bucket.client
        return await self._bucket.call(
            "GetObject", name, lambda: client.generate_presigned_url("get_object", Params=where, ExpiresIn=seconds)
        )

    async def abort_stale(self, older_than: timedelta) -> int:
        """As in ``base.ObjectStore``."""
        limit = datetime.now(UTC) - older_than
        count = 0
        async for upload in s3_multipart.unfinished(self._bucket, self.prefix):
            if upload["Initiated"] < limit and is_ours(upload["Key"], self.prefix):
                await s3_multipart.abort(self._bucket, upload["Key"], upload["UploadId"])
                count += 1
        return count

    async def check(self) -> tuple[str, ...]:
        """As in ``base.ObjectStore``; the names are those of IAM actions, for example ``s3:PutObject``."""
        return await missing_rights(self._bucket, self.prefix)
