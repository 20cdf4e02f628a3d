"""Trying each right that a backup and a restore need."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ...errors import ObjectMissing, ObjectRetained, Right, StoreError, StoreForbidden, StoreUnreachable
from ..locks import Lock
from ..names import is_probe, probe_name, probes
from . import multipart
from .read import opened
from .rules import ACTIONS, NotSupported, RightMissing, Unknown
from .whole import delete_version

if TYPE_CHECKING:
    from .bucket import Bucket

#: A try that lasts longer left what it stored.
_ABANDONED = timedelta(hours=1)
_NO_UPLOADS = "What is left of a backup that was killed stays there until the store removes it by itself"
_SLOW = ": each look into an archive reads all of it, and a restore reads it several times."
_PROBE = b"kleidia-backup tries what it may do here; this can be deleted."


async def missing_rights(bucket: Bucket, prefix: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The IAM names of the rights that are missing, each once, in the order tried; and what is odd about the store.

    What is stored for that carries one of our names and is removed again, where removing is allowed; what an earlier
    try left is removed as well.
    """
    missing: dict[str, None] = {}
    odd: list[str] = []

    async def may(attempt: Coroutine[None, None, object], lacking: str = "") -> bool:
        try:
            await attempt
        except RightMissing as exc:
            missing.update({right.verb: None for right in exc.rights})
            return False
        except StoreUnreachable:
            raise
        except StoreError as exc:
            if not lacking:
                raise
            odd.append(f"{lacking} ({exc.message})")
            return False
        return True

    name, mark = probe_name(prefix), secrets.token_hex(16)
    await may(_first(bucket.objects(prefix, page=1)))
    if await may(bucket.put(name, bytearray(_PROBE), mark)):
        await may(bucket.head(name))
        if await may(_read(bucket, name)) and await _ignores_ranges(bucket, name):
            odd.append(f"{bucket.settings.where} answers with a whole object where a part is asked for{_SLOW}")
        if not await _gone(bucket, name):
            await may(bucket.delete(name))
    await may(_upload(bucket, name, mark))
    if bucket.settings.lock_mode != "none":
        await may(_locked(bucket, name, mark))
    await may(_first(multipart.unfinished(bucket, name)), _NO_UPLOADS)
    await clean(bucket, prefix, _ABANDONED)
    return tuple(missing), tuple(odd)


async def clean(bucket: Bucket, prefix: str, older_than: timedelta) -> None:
    """Remove the probes that were left, as far as that is allowed, but for those of a try that may go on."""
    limit = datetime.now(UTC) - older_than
    with suppress(StoreForbidden, NotSupported, Unknown, ObjectMissing, ObjectRetained):
        async for info in bucket.objects(probes(prefix)):
            if is_probe(info.name, prefix) and info.modified < limit:
                await delete_version(bucket, (await bucket.head(info.name)).info)


async def _ignores_ranges(bucket: Bucket, name: str) -> bool:
    answer = await bucket.get(name, byte_range="bytes=1-2")
    answer["Body"].close()
    return answer.get("ContentLength") == len(_PROBE)


async def _first(found: AsyncGenerator[object]) -> None:
    async with aclosing(found):
        await anext(found, None)


async def _read(bucket: Bucket, name: str) -> None:
    async with opened(bucket, name, 0, None, None) as chunks:
        async for _ in chunks:
            pass


async def _gone(bucket: Bucket, name: str) -> bool:
    """Remove the very version that was stored, where versions are kept and that is allowed; whether it is gone."""
    try:
        version = (await bucket.head(name)).info.version
        if version:
            await bucket.delete(name, version)
    except (RightMissing, ObjectRetained):
        return False
    return bool(version)


async def _locked(bucket: Bucket, name: str, mark: str) -> None:
    """Begin an upload of what would be locked. A bucket that cannot lock is found by ``immutable.probing``."""
    lock = Lock("governance", datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1))
    try:
        upload_id = await multipart.begin(bucket, name, mark, lock)
    except RightMissing as exc:
        action = ACTIONS["PutObjectRetention"]
        raise RightMissing(exc.message, rights=(Right(action, name),)) from exc
    except StoreUnreachable:
        raise
    except StoreError:
        return
    await multipart.abort(bucket, name, upload_id)


async def _upload(bucket: Bucket, name: str, mark: str) -> None:
    upload_id = await multipart.begin(bucket, name, mark)
    try:
        await multipart.put_part(bucket, name, upload_id, 1, bytearray(_PROBE))
    finally:
        with suppress(NotSupported, Unknown):  # it lies there until the store forgets it by itself
            await multipart.abort(bucket, name, upload_id)
