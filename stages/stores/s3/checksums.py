"""Checksums that go with a body, computed in a thread beforehand."""

from __future__ import annotations

import zlib
from base64 import b64encode
from hashlib import md5
from typing import TYPE_CHECKING, Literal, TypedDict

from ....pipeline.engine import in_thread

if TYPE_CHECKING:
    from .settings import Checksum


class Algorithm(TypedDict, total=False):
    """The field that names the checksum: an upload must announce it, and a bucket with a retention asks for it."""

    ChecksumAlgorithm: Literal["CRC32"]


class Checks(Algorithm, total=False):
    """The checksum fields of a request with a body."""

    ChecksumCRC32: str
    ContentMD5: str


async def checks(kind: Checksum, data: bytearray) -> Checks:
    """The fields for this body."""
    return await in_thread(_checks, kind, data)


def announced(kind: Checksum) -> Algorithm:
    """The field for an upload."""
    return {"ChecksumAlgorithm": "CRC32"} if kind == "crc32" else {}


def _checks(kind: Checksum, data: bytearray) -> Checks:
    if kind == "crc32":
        crc = b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        return {"ChecksumAlgorithm": "CRC32", "ChecksumCRC32": crc}
    if kind == "md5":
        return {"ContentMD5": b64encode(md5(data, usedforsecurity=False).digest()).decode()}
    return {}
