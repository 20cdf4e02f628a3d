"""Trying each right that a backup and a restore need."""

from __future__ import annotations

import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING

from . import s3_multipart
from .names import probe_name
from .s3_read import opened
from .s3_rules import RightMissing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from .s3_bucket import Bucket

_PROBE = b"kleidia-backup tries what it may do here; this can be deleted."


async def missing_rights(bucket: Bucket, prefix: str) -> tuple[str, ...]:
    """The IAM names of the rights that are missing, each once, in the order tried.

    What is stored for that carries one of our names and is removed again, where removing is allowed.
    """
    missing: dict[str, None] = {}

    async def may(attempt: Coroutine[None, None, object]) -> bool:
        try:
            await attempt
        except RightMissing as exc:
            missing[exc.action] = None
            return False
        return True

    name, mark = probe_name(prefix), secrets.token_hex(16)
    await may(_first(bucket.objects(prefix, page=1)))
    if await may(bucket.put(name, bytearray(_PROBE), mark)):
        await may(bucket.head(name))
        await may(_read(bucket, name))
        await may(bucket.delete(name))
    await may(_upload(bucket, name, mark))
    await may(_first(s3_multipart.unfinished(bucket, name)))
    return tuple(missing)


async def _first(found: AsyncGenerator[object]) -> None:
    async with aclosing(found):
        await anext(found, None)


async def _read(bucket: Bucket, name: str) -> None:
    async with opened(bucket, name, 0, None, None) as chunks:
        async for _ in chunks:
            pass


async def _upload(bucket: Bucket, name: str, mark: str) -> None:
    upload_id = await s3_multipart.begin(bucket, name, mark)
    try:
        await s3_multipart.put_part(bucket, name, upload_id, 1, bytearray(_PROBE))
    finally:
        await s3_multipart.abort(bucket, name, upload_id)
