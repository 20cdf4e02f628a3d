"""One secret out of an archive of format V2 with all of the keys and a long audit log: the whole command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import anyio
import pytest

from kleidia_backup import backup, contents, restore
from kleidia_backup.demo.servers.s3 import S3Server
from kleidia_backup.stages.stores.directory import store as directory

from . import command
from .configuration import PASSWORD
from .measuring import Measure
from .system import Sizes, System, secret_bodies, uploaded

pytestmark = pytest.mark.timeout(1800)


def bytes_read(job: Callable[[], Awaitable[Any]]) -> int:
    """What a job reads of archives in a directory."""
    read, chunks = 0, directory._chunks  # noqa: SLF001 - where a directory is read

    async def counted(file: int, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        nonlocal read
        async for data in chunks(file, name, start, end):
            read += len(data)
            yield data

    with patch.object(directory, "_chunks", counted):
        anyio.run(job)
    return read


def test_one_secret(measure: Measure, system: System, sizes: Sizes, s3: S3Server) -> None:
    """From a directory and over S3, into a vault that does not have it."""
    local = system.store()
    job = partial(backup, database=system.database(sizes.keys, sizes.memory_rows[1]), vault=system.vault(sizes.keys))
    made = anyio.run(partial(job, store=local, password=PASSWORD, format="v2"))
    remote = uploaded(s3, "one-secret", local.path / made.name)
    path = secret_bodies(sizes.keys)[sizes.keys // 2][0]
    asked = ("restore", "--yes", "--secret", path, made.name)

    def over_s3() -> float:
        into = system.configured(vault=system.empty_vault(), store=remote)
        seconds, report = command.timed(into, *asked)
        assert (report["secrets"], report["written"]) == (1, 1)
        return seconds

    _, report = measure.race(
        lambda into: command.timed(into, *asked),
        rounds=5,
        prepare=lambda: (system.configured(vault=system.empty_vault(), store=local),),
        s3=over_s3,
    )
    assert (report["secrets"], report["written"]) == (1, 1)
    opened = bytes_read(partial(contents, made.name, store=local, password=PASSWORD))  # head, slots and index
    into = partial(restore, vault=system.empty_vault(), state=system.state(), secrets=(path,))
    read = bytes_read(partial(into, made.name, store=local, password=PASSWORD)) - opened
    assert read > 0
    measure.line("secret_v2", measure.best(), median=measure.median(), size=made.size, secrets=made.secrets)
    measure.line("secret_s3_v2", measure.best("s3"), median=measure.median("s3"), size=made.size)
    measure.line("secret_read_v2", read / 2**20, size=made.size)
    measure.judge()
