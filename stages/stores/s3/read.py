"""Reading a range of one certain object."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....pipeline.engine import MAX_CHUNK
from ...errors import StoreError, StoreUnreachable
from .errors import FOREIGN, changed, translated
from .rules import OutOfRange

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef

    from ..base import ObjectInfo
    from .bucket import Bucket

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Bytes ``start`` to before ``end`` of a certain object."""

    name: str
    start: int
    end: int | None
    pin: ObjectInfo | None

    @property
    def header(self) -> str:
        if self.end is not None:
            return f"bytes={self.start}-{max(self.end, self.start + 1) - 1}"
        return f"bytes={self.start}-" if self.start else ""


@asynccontextmanager
async def opened(
    bucket: Bucket, name: str, start: int, end: int | None, pin: ObjectInfo | None
) -> AsyncIterator[AsyncIterator[bytes]]:
    """As ``base.ObjectStore.get``: one attempt."""
    wanted = _Wanted(name, start, end, pin)
    try:
        answer = await bucket.get(name, byte_range=wanted.header, pin=pin, attempts=1)
    except OutOfRange:
        if pin is not None and start < pin.size:
            raise changed(name) from None
        yield _nothing()
        return
    try:
        skip, length = _range(answer, bucket, wanted)
        async with aclosing(_chunks(answer, bucket, name, skip, length)) as chunks:
            yield chunks
    finally:
        answer["Body"].close()


def _range(answer: GetObjectOutputTypeDef, bucket: Bucket, wanted: _Wanted) -> tuple[int, int]:
    """How many bytes to pass over, and how many to read; raises unless the range asked for is there.

    Some stores ignore If-Match, some answer a range with the whole object, or with it and without a word of where it
    begins: so nothing but the answer's own headers counts.
    """
    length = answer.get("ContentLength", 0)
    first, last, whole = 0, length - 1, length
    if _is_part(answer, wanted, length):
        first, last = wanted.start, wanted.start + length - 1
        whole = wanted.pin.size if wanted.pin is not None else last + 1
    found = _CONTENT_RANGE.fullmatch(answer.get("ContentRange", ""))
    if found:
        first, last, whole = (int(number) for number in found.groups())
    pin = wanted.pin
    if pin is not None and not pin.is_same(bucket.info_of(wanted.name, answer, size=whole)):
        raise changed(wanted.name)
    end = whole if wanted.end is None else min(wanted.end, whole)
    if first > wanted.start or last + 1 < end or (found and first != wanted.start):
        raise StoreError(
            f"{bucket.settings.where} sent bytes {first}-{last} of {wanted.name}, not {wanted.start}-{end - 1}.",
            hint="It does not understand range requests: use another store.",
        )
    return wanted.start - first, max(end - wanted.start, 0)


def _is_part(answer: GetObjectOutputTypeDef, wanted: _Wanted, length: int) -> bool:
    """Whether an answer that does not say where it begins is the range asked for: by its status, or its size."""
    pin = wanted.pin
    if answer["ResponseMetadata"]["HTTPStatusCode"] == 206 or pin is None:
        return answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    return (
        length != pin.size and length == (pin.size if wanted.end is None else min(wanted.end, pin.size)) - wanted.start
    )


async def _chunks(
    answer: GetObjectOutputTypeDef, bucket: Bucket, name: str, skip: int, length: int
) -> AsyncGenerator[bytes]:
    left = length
    while left:
        try:
            chunk = await answer["Body"].read(min(skip or left, MAX_CHUNK))
        except FOREIGN as exc:
            raise translated(exc, bucket.settings, "GetObject", name) from exc
        if not chunk:
            raise StoreUnreachable(
                f"The download of {name} ended {left} bytes too early.",
                hint="Check the network, and the store's own log.",
            )
        if skip:
            skip -= len(chunk)
            continue
        left -= len(chunk)
        yield chunk


async def _nothing() -> AsyncIterator[bytes]:
    for chunk in tuple[bytes, ...]():
        yield chunk
