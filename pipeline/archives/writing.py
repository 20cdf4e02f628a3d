"""Beginning an archive of the format that was asked for."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, TypeAlias

import anyio

from ...formats.v1.header import Header
from ...formats.v2.facts import ArchiveFacts
from ..engine import task_group
from .v1 import WriteV1
from .v2 import WriteV2

if TYPE_CHECKING:
    from ...formats.facts import Facts
    from ..parts.request import Sealing

Writer: TypeAlias = WriteV1 | WriteV2


@asynccontextmanager
async def beginning(request: Sealing, facts: Facts) -> AsyncIterator[Callable[[], Awaitable[Writer]]]:
    """``begin_archive`` beside other work: a key from a password takes a while, and servers do not wait for it.

    What is given waits for the writer, and raises what ``begin_archive`` raises.
    """
    made: list[Writer] = []
    failed: list[Exception] = []
    done = anyio.Event()

    async def begin() -> None:
        try:
            made.append(await begin_archive(request, facts))
        except Exception as exc:  # noqa: BLE001 - raised to who asks for the writer
            failed.append(exc)
        done.set()

    async def begun() -> Writer:
        await done.wait()
        if failed:
            raise failed[0]
        return made[0]

    async with task_group() as tasks:
        tasks.start_soon(begin)
        yield begun


async def begin_archive(request: Sealing, facts: Facts) -> Writer:
    """Make its key and what stands in front of it."""
    known = {each.name: getattr(facts, each.name) for each in fields(facts) if each.name not in ("version", "checksum")}
    if request.format == "v2":
        key = request.keys.signing_key
        signer = b"" if key is None else key.public.raw
        return await WriteV2.begin(
            request, ArchiveFacts(**known, id=str(uuid.uuid4()), tool="kleidia-backup", signer=signer)
        )
    return await WriteV1.begin(request, Header(**known))
