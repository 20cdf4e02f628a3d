"""An upload to S3 that broke off, gone on with: which parts the store has, and whether they are the right ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING

from .....pipeline.engine import in_thread
from ....errors import StoreForbidden
from ...resuming import UnfinishedUpload
from .. import multipart
from ..checksums import checks
from ..rules import NotSupported, UploadMissing
from ..wire.pages import Pages

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef, ListPartsRequestTypeDef, PartTypeDef

    from ...base import ObjectInfo
    from ..bucket import Bucket
    from ..upload import S3Upload


@dataclass(frozen=True, slots=True)
class Left:
    """What an earlier attempt left: the upload, and its parts by number, as the store lists them."""

    upload_id: str
    parts: dict[int, PartTypeDef] = field(default_factory=dict)


async def left_of(bucket: Bucket, name: str, part_size: int) -> Left | None:
    """The latest unfinished upload of that name, or None where there is none, or the store does not say.

    One whose parts have another size is aborted, for it cannot be gone on with.
    """
    try:
        unfinished = [each async for each in multipart.unfinished(bucket, name) if each["Key"] == name]
        if not unfinished:
            return None
        upload_id = max(unfinished, key=lambda each: each["Initiated"])["UploadId"]
        left = Left(upload_id, await _parts(bucket, name, upload_id))
    except (StoreForbidden, NotSupported, UploadMissing):
        return None
    sizes = [left.parts[number]["Size"] for number in sorted(left.parts)]
    if any(size != part_size for size in sizes[:-1]) or any(size > part_size for size in sizes):
        await multipart.abort(bucket, name, left.upload_id)
        return None
    return left


async def _parts(bucket: Bucket, name: str, upload_id: str) -> dict[int, PartTypeDef]:
    parts: dict[int, PartTypeDef] = {}
    pages = Pages(bucket.settings, "ListParts")
    request: ListPartsRequestTypeDef = {"Bucket": bucket.bucket, "Key": name, "UploadId": upload_id}
    while True:
        answer = await bucket.call("ListParts", name, lambda: bucket.client.list_parts(**request))
        parts.update((part["PartNumber"], part) for part in answer.get("Parts", []))
        if not pages.goes_on(answer.get("IsTruncated"), answer.get("NextPartNumberMarker"), ""):
            return parts
        request["PartNumberMarker"] = answer["NextPartNumberMarker"]


async def names(bucket: Bucket, prefix: str) -> frozenset[str]:
    """The names of what is being uploaded under the prefix; none where the store does not say."""
    try:
        return frozenset([upload["Key"] async for upload in multipart.unfinished(bucket, prefix)])
    except (StoreForbidden, NotSupported):
        return frozenset()


async def uploads(bucket: Bucket, prefix: str, *, sizes: bool) -> list[UnfinishedUpload]:
    """As in ``resuming.Resumable``."""
    found: list[UnfinishedUpload] = []
    async for upload in multipart.unfinished(bucket, prefix):
        name, upload_id, size = upload["Key"], upload["UploadId"], None
        if sizes:
            try:
                parts = await multipart.sizes(bucket, name, upload_id)
            except UploadMissing:
                continue  # it ended meanwhile
            size = None if parts is None else sum(parts.values())
        found.append(UnfinishedUpload(name, upload["Initiated"].astimezone(UTC), size, upload_id))
    return found


class ResumedUpload:
    """Implements ``base.Upload``: a part that the store has already, by its checksum, is not sent again."""

    def __init__(self, upload: S3Upload, bucket: Bucket, left: Left) -> None:
        self._upload = upload
        self._bucket = bucket
        self._left = left.parts

    async def put_part(self, number: int, data: bytearray) -> None:
        """As in ``base.Upload``."""
        part = self._left.get(number)
        if part is not None and (known := await self._same(part, data)) is not None:
            self._upload.keep(known, len(data))
        else:
            await self._upload.put_part(number, data)

    async def _same(self, part: PartTypeDef, data: bytearray) -> CompletedPartTypeDef | None:
        """What ``complete`` must know of a part, if it has these bytes as far as the store tells."""
        if part["Size"] != len(data):
            return None
        known: CompletedPartTypeDef = {"PartNumber": part["PartNumber"], "ETag": part["ETag"]}
        fields = await checks(self._bucket.settings.checksum, data)
        if "ChecksumCRC32" in part:  # the store took it only with the right one
            known["ChecksumCRC32"] = part["ChecksumCRC32"]
            if fields.get("ChecksumCRC32") not in {None, part["ChecksumCRC32"]}:
                return None
        elif "ChecksumCRC32" in fields:
            known["ChecksumCRC32"] = fields["ChecksumCRC32"]
        digest = await in_thread(lambda: hashlib.md5(data, usedforsecurity=False).hexdigest())
        if part["ETag"].strip('"') == digest or part.get("ChecksumCRC32") == fields.get("ChecksumCRC32", ""):
            return known
        return None

    async def complete(self, size: int) -> ObjectInfo:
        """As in ``base.Upload``."""
        return await self._upload.complete(size)

    async def abort(self) -> None:
        """As in ``base.Upload``."""
        await self._upload.abort()

    async def leave(self) -> None:
        """Stop, and leave what the store has."""
        await self._upload.leave()
