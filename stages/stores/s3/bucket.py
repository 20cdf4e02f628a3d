"""Requests about whole objects of one bucket: retried, with our errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from ...errors import KleidiaError, StoreError, StoreUnreachable
from ..base import ObjectInfo
from .calls import call
from .checksums import checks
from .errors import no_s3, retained
from .immutable.fields import NO_LOCK, lock_by, lock_fields
from .rules import NotSupported
from .settings import QUICK, S3Settings
from .wire.demanded import demanded
from .wire.pages import Pages

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import (
        GetObjectOutputTypeDef,
        GetObjectRequestTypeDef,
        HeadObjectOutputTypeDef,
        HeadObjectRequestTypeDef,
        ListObjectsV2RequestTypeDef,
    )

    from ..locks import Lock


T = TypeVar("T")

#: Metadata of every object we store: a random word by which its writer knows it again.
MARK = "kleidia-upload"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object, the mark its writer gave it (empty where the store keeps no metadata), and what locks it."""

    info: ObjectInfo
    mark: str
    lock: Lock


class Bucket:
    """One bucket at one store. Errors as in ``base``; each request is retried unless it says otherwise."""

    def __init__(self, client: S3Client, settings: S3Settings) -> None:
        self.client = client
        self.settings = settings
        self.bucket = settings.bucket

    async def call(self, operation: str, name: str, send: Callable[[], Awaitable[T]], *, attempts: int = QUICK) -> T:
        """Send one request, as ``calls.call`` does."""
        return await call(self.settings, operation, name, send, attempts=attempts)

    async def head(self, name: str, version: str = "") -> Stored:
        """Size, pin, mark and lock, of one version if it is named. Raises ``ObjectMissing``."""
        request: HeadObjectRequestTypeDef = {"Bucket": self.bucket, "Key": name}
        if version:
            request["VersionId"] = version
        try:
            answer = await self.call("HeadObject", name, lambda: self.client.head_object(**request))
        except KleidiaError as exc:
            # A refused HEAD has a status and no body: only a GET's answer distinguishes a missing object from a missing
            # bucket, and a wrong key from a missing right. Anything else needs no other opinion.
            if isinstance(exc.__cause__, ClientError) and not isinstance(exc, StoreUnreachable):
                await self.explain(name, version)
            raise
        return Stored(self.info_of(name, answer), answer.get("Metadata", {}).get(MARK, ""), lock_by(answer))

    def info_of(
        self, name: str, answer: HeadObjectOutputTypeDef | GetObjectOutputTypeDef, *, size: int | None = None
    ) -> ObjectInfo:
        """An object by the answer to a HEAD or a GET; of a range, ``size`` is the whole object's."""
        modified: datetime | None = answer.get("LastModified")
        length = answer.get("ContentLength") if size is None else size
        if modified is None or length is None:
            raise no_s3(self.settings)
        version = answer.get("VersionId", "")
        # "null" is what an object is called that was written while the bucket kept no versions.
        return ObjectInfo(
            name,
            length,
            modified.astimezone(UTC),
            etag_of(answer.get("ETag", "")),
            "" if version == "null" else version,
        )

    async def explain(self, name: str, version: str = "") -> None:
        """Raise what a GET of the object's first byte is refused with, if it is."""
        pin = ObjectInfo(name, 0, datetime.now(UTC), version=version)
        answer = await self.get(name, byte_range="bytes=0-0", pin=pin)
        answer["Body"].close()

    async def get(
        self, name: str, *, byte_range: str = "", pin: ObjectInfo | None = None, attempts: int = QUICK
    ) -> GetObjectOutputTypeDef:
        """Open an object for reading; the caller closes the answer's Body."""
        request: GetObjectRequestTypeDef = {"Bucket": self.bucket, "Key": name}
        if byte_range:
            request["Range"] = byte_range
        if pin and pin.version:
            request["VersionId"] = pin.version
        if pin and pin.etag and not pin.etag.startswith("W/"):
            request["IfMatch"] = f'"{pin.etag}"'
        return await self.call("GetObject", name, lambda: self.client.get_object(**request), attempts=attempts)

    async def put(self, name: str, data: bytearray, mark: str, lock: Lock = NO_LOCK) -> None:
        """Store an object in one request, locked. Raises ``ObjectExists`` where the store reports it."""
        put = partial(self.client.put_object, **lock_fields(lock), **demanded(self.settings))
        fields = await checks(self.settings.checksum, data)
        try:
            await self.call(
                "PutObject",
                name,
                lambda: put(Bucket=self.bucket, Key=name, Body=data, Metadata={MARK: mark}, IfNoneMatch="*", **fields),
                attempts=self.settings.attempts,
            )
        except NotSupported:
            # A store without conditions; the caller has looked whether the name is free.
            await self.call(
                "PutObject",
                name,
                lambda: put(Bucket=self.bucket, Key=name, Body=data, Metadata={MARK: mark}, **fields),
                attempts=self.settings.attempts,
            )

    async def delete(self, name: str, version: str = "") -> None:
        """Delete an object, or exactly one version of it. Not an error when it is not there.

        Raises ``ObjectRetained`` where a lock keeps the version.
        """
        if not version:
            await self.call("DeleteObject", name, lambda: self.client.delete_object(Bucket=self.bucket, Key=name))
            return
        delete = partial(self.client.delete_object, Bucket=self.bucket, Key=name, VersionId=version)
        try:
            await self.call("DeleteObjectVersion", name, delete)
        except StoreUnreachable:
            raise
        except StoreError as exc:
            await self._refuse_locked(name, version, exc)
            raise

    async def _refuse_locked(self, name: str, version: str, error: StoreError) -> None:
        """Raise ``ObjectRetained`` where a lock is why: stores refuse that as they refuse a right, or otherwise."""
        try:
            lock = (await self.head(name, version)).lock
        except KleidiaError:
            return
        if lock.holds:
            raise retained(name, lock) from error

    async def objects(self, prefix: str, *, page: int = 1000) -> AsyncGenerator[ObjectInfo]:
        """Every object under the prefix, in the store's order, ``page`` of them a request."""
        request: ListObjectsV2RequestTypeDef = {"Bucket": self.bucket, "Prefix": prefix, "MaxKeys": page}
        pages = Pages(self.settings, "ListObjectsV2")
        while True:
            answer = await self.call("ListObjectsV2", prefix, lambda: self.client.list_objects_v2(**request))
            if "IsTruncated" not in answer:
                raise no_s3(self.settings)
            contents = answer.get("Contents", [])
            for found in contents:
                if not found["Key"].startswith(prefix):
                    continue  # a store that ignores the prefix: what lies elsewhere is none of ours
                yield ObjectInfo(
                    found["Key"], found["Size"], found["LastModified"].astimezone(UTC), etag_of(found.get("ETag", ""))
                )
            marker = answer.get("NextContinuationToken", "")
            if not pages.goes_on(answer["IsTruncated"], marker, contents[0]["Key"] if contents else ""):
                return
            request["ContinuationToken"] = answer["NextContinuationToken"]


def etag_of(header: str) -> str:
    """An ETag without its quotes; one marked weak stays as it is, for it cannot be used in a condition."""
    return header if header.startswith("W/") else header.strip('"')
