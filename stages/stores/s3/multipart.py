"""The requests we make about unfinished uploads of one bucket."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from ...errors import KleidiaError, StoreError, StoreForbidden, StoreUnreachable
from .bucket import MARK, Bucket
from .checksums import announced, checks
from .errors import code_of, no_s3
from .immutable.fields import NO_LOCK, lock_fields
from .rules import NotSupported, UploadMissing
from .wire.demanded import demanded
from .wire.pages import Pages

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import (
        CompletedPartTypeDef,
        CompleteMultipartUploadRequestTypeDef,
        CopySourceTypeDef,
        CreateMultipartUploadOutputTypeDef,
        ListMultipartUploadsRequestTypeDef,
        ListPartsRequestTypeDef,
        MultipartUploadTypeDef,
        UploadPartCopyRequestTypeDef,
        UploadPartOutputTypeDef,
    )

    from ..base import ObjectInfo
    from ..locks import Lock


#: Most difference between the store's clock and this machine's.
_SKEW = timedelta(minutes=1)

#: A 503 that took this many seconds comes from no store that sheds load, but from one that waited for something.
_STALLED = 30.0

#: One such answer may be a proxy's whose queue was full; this many for one part mean that it is the order of the parts.
_STALLS = 2


async def begin(bucket: Bucket, name: str, mark: str, lock: Lock = NO_LOCK) -> str:
    """Begin an upload of what will be locked, and return its id.

    One that an unanswered attempt may have begun as well is aborted.
    """
    started = datetime.now(UTC) - _SKEW
    tries = 0
    fields: dict[str, Any] = {**lock_fields(lock), **demanded(bucket.settings)}
    send_it = partial(bucket.client.create_multipart_upload, **announced(bucket.settings.checksum), **fields)

    async def send() -> CreateMultipartUploadOutputTypeDef:
        nonlocal tries
        tries += 1
        return await send_it(Bucket=bucket.bucket, Key=name, Metadata={MARK: mark})

    kept = ""
    try:
        kept = (await bucket.call("CreateMultipartUpload", name, send)).get("UploadId", "")
    finally:
        if tries > 1:
            with anyio.move_on_after(bucket.settings.connect_timeout, shield=True):
                await _abort_others(bucket, name, kept, started)
    if not kept:
        raise no_s3(bucket.settings)
    return kept


async def _abort_others(bucket: Bucket, name: str, kept: str, started: datetime) -> None:
    try:
        async for upload in unfinished(bucket, name):
            if upload["Key"] == name and upload["UploadId"] != kept and upload["Initiated"] >= started:
                await abort(bucket, name, upload["UploadId"])
    except KleidiaError:
        return  # without the right to list uploads, or without the store: the next run aborts what is stale


async def put_part(
    bucket: Bucket, name: str, upload_id: str, number: int, data: bytearray, *, early: bool = False
) -> CompletedPartTypeDef:
    """Store one part and return what ``complete`` must know of it.

    ``early`` says that part 1 is still to come, which explains a store that lets this one wait in vain.
    """
    fields = await checks(bucket.settings.checksum, data)
    stalled = 0

    async def send() -> UploadPartOutputTypeDef:
        nonlocal stalled
        began = time.monotonic()
        try:
            return await bucket.client.upload_part(
                Bucket=bucket.bucket, Key=name, UploadId=upload_id, PartNumber=number, Body=data, **fields
            )
        except ClientError as exc:
            if early and code_of(exc)[1] == 503 and time.monotonic() - began > _STALLED:
                stalled += 1
                if stalled == _STALLS:
                    raise _wants_ascending(bucket, number) from exc
            raise

    answer = await bucket.call("UploadPart", name, send, attempts=bucket.settings.attempts)
    if "ETag" not in answer:
        raise no_s3(bucket.settings)
    part: CompletedPartTypeDef = {"PartNumber": number, "ETag": answer["ETag"]}
    if "ChecksumCRC32" in fields:
        part["ChecksumCRC32"] = fields["ChecksumCRC32"]
    return part


def _wants_ascending(bucket: Bucket, number: int) -> StoreUnreachable:
    return StoreUnreachable(
        f"{bucket.settings.where} lets part {number} wait and then answers 503, again and again, as long as part 1 is"
        " missing, which carries the archive's header and goes last: it seems to want parts in ascending order (rclone"
        " serve s3 does).",
        hint="Use format v2, raise part_size until the archive fits into one part, or use another store."
        " If it is only overloaded, try again later.",
    )


async def copy_part(
    bucket: Bucket, name: str, upload_id: str, number: int, pin: ObjectInfo, start: int, end: int
) -> CompletedPartTypeDef:
    """Have the store copy bytes of the object itself into a part.

    Raises ``ObjectChanged`` unless it is the object of ``pin``, ``NotSupported`` where the store cannot do that.
    """
    source: CopySourceTypeDef = {"Bucket": bucket.bucket, "Key": pin.name}
    if pin.version:
        source["VersionId"] = pin.version
    request: UploadPartCopyRequestTypeDef = {
        "Bucket": bucket.bucket,
        "Key": name,
        "UploadId": upload_id,
        "PartNumber": number,
        "CopySource": source,
        "CopySourceRange": f"bytes={start}-{end - 1}",
    }
    if condition := quoted(pin):
        request["CopySourceIfMatch"] = condition
    send = bucket.client.upload_part_copy
    attempts = bucket.settings.attempts
    answer = await bucket.call("UploadPartCopy", name, lambda: send(**request), attempts=attempts)
    copied = answer.get("CopyPartResult", {})
    if "ETag" not in copied:
        raise NotSupported(f"{bucket.settings.where} does not copy parts.")
    part: CompletedPartTypeDef = {"PartNumber": number, "ETag": copied["ETag"]}
    if "ChecksumCRC32" in copied:
        part["ChecksumCRC32"] = copied["ChecksumCRC32"]
    return part


async def sizes(bucket: Bucket, name: str, upload_id: str) -> dict[int, int] | None:
    """The bytes of each part that the store has; None where it does not say."""
    found: dict[int, int] = {}
    pages = Pages(bucket.settings, "ListParts")
    request: ListPartsRequestTypeDef = {"Bucket": bucket.bucket, "Key": name, "UploadId": upload_id}
    while True:
        try:
            answer = await bucket.call("ListParts", name, lambda: bucket.client.list_parts(**request))
        except (StoreForbidden, NotSupported):
            return None
        found.update((part["PartNumber"], part["Size"]) for part in answer.get("Parts", []))
        if not pages.goes_on(answer.get("IsTruncated"), answer.get("NextPartNumberMarker"), ""):
            return found
        request["PartNumberMarker"] = answer["NextPartNumberMarker"]


def quoted(pin: ObjectInfo) -> str:
    """The ETag for a condition; empty where there is none that can be used."""
    return f'"{pin.etag}"' if pin.etag and not pin.etag.startswith("W/") else ""


async def complete(
    bucket: Bucket,
    name: str,
    upload_id: str,
    parts: Sequence[CompletedPartTypeDef],
    replaces: ObjectInfo | None = None,
) -> None:
    """Make an object of the parts, a new one or in the place of that which it ``replaces``.

    Raises ``ObjectExists`` where the store reports that another is there, ``UploadMissing``.
    """
    request: CompleteMultipartUploadRequestTypeDef = {
        "Bucket": bucket.bucket,
        "Key": name,
        "UploadId": upload_id,
        "MultipartUpload": {"Parts": parts},
    }
    if replaces is None:
        request["IfNoneMatch"] = "*"
    elif condition := quoted(replaces):
        request["IfMatch"] = condition
    attempts = bucket.settings.attempts
    send = bucket.client.complete_multipart_upload
    try:
        await bucket.call("CompleteMultipartUpload", name, lambda: send(**request), attempts=attempts)
    except NotSupported:
        request.pop("IfNoneMatch", None)
        request.pop("IfMatch", None)
        await bucket.call("CompleteMultipartUpload", name, lambda: send(**request), attempts=attempts)


async def abort(bucket: Bucket, name: str, upload_id: str) -> None:
    """Abort an upload until the store has forgotten it: a part in flight can outlive the first abort."""
    abort_it = partial(bucket.client.abort_multipart_upload, Bucket=bucket.bucket, Key=name, UploadId=upload_id)
    list_it = partial(bucket.client.list_parts, Bucket=bucket.bucket, Key=name, UploadId=upload_id)
    for pause in (0.1, 0.5, 2.0):
        try:
            await bucket.call("AbortMultipartUpload", name, abort_it)
        except UploadMissing:
            return
        try:
            await bucket.call("ListParts", name, list_it)
        except (UploadMissing, StoreForbidden, NotSupported):
            return  # gone, or forbidden
        await anyio.sleep(pause)
    raise StoreError(
        f"{bucket.settings.where} keeps an aborted upload of {name}.",
        hint="The next backup aborts it again; a lifecycle rule of the bucket can do so as well.",
    )


async def unfinished(bucket: Bucket, prefix: str) -> AsyncGenerator[MultipartUploadTypeDef]:
    """Every unfinished upload whose object's name begins with the prefix."""
    request: ListMultipartUploadsRequestTypeDef = {"Bucket": bucket.bucket, "Prefix": prefix}
    client, pages = bucket.client, Pages(bucket.settings, "ListMultipartUploads")
    while True:
        try:
            answer = await bucket.call("ListMultipartUploads", prefix, lambda: client.list_multipart_uploads(**request))
        except UploadMissing:
            return  # rclone's answer when there are none
        uploads = answer.get("Uploads", [])
        for upload in uploads:
            if upload["Key"].startswith(prefix):
                yield upload
        marker = f"{answer.get('NextKeyMarker', '')} {answer.get('NextUploadIdMarker', '')}".strip()
        first = uploads[0]["UploadId"] if uploads else ""
        if not pages.goes_on(answer.get("IsTruncated"), marker, first):
            return
        request["KeyMarker"] = answer["NextKeyMarker"]
        request["UploadIdMarker"] = answer.get("NextUploadIdMarker", "")
