"""Scratch sides on servers that are configured: a database and a KV mount of their own, made for one drill."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import anyio

from ...stages.errors import DatabaseError
from ...stages.pg.tables.scratch import scratch_database
from ...stages.vault.scratch import disable, enable
from .asked import Scratch

if TYPE_CHECKING:
    from ...formats.facts import Facts
    from ...stages.pg.server.settings import PostgresSettings
    from ...stages.vault.kv.settings import VaultSettings
    from .asked import ScratchMaker


def on_servers(database: PostgresSettings | None, vault: VaultSettings | None) -> ScratchMaker:
    """Makes a database with a random name on the server of ``database``, and a mount in that of ``vault``.

    The role must be allowed to make databases, the token to make and remove mounts. How much room the servers have
    they do not say. Raises ``ConfigurationError``, ``DatabaseError`` and ``VaultError``; then nothing is left.
    """
    return partial(_on_servers, database, vault)


@asynccontextmanager
async def _on_servers(
    database: PostgresSettings | None,
    vault: VaultSettings | None,
    facts: Facts,
    needed: int,  # noqa: ARG001 - no server says how much room it has
) -> AsyncIterator[Scratch]:
    left: list[str] = []
    async with AsyncExitStack() as stack:
        made_database = made_vault = None
        if facts.includes_db and database is not None:
            scratch = await stack.enter_async_context(scratch_database(database))
            # The archive has no rows of preserved tables, and there are none there that could be kept.
            made_database, left = replace(scratch.settings, preserve=(), audit=()), scratch.warnings
        if facts.includes_kv and vault is not None:
            with anyio.CancelScope(shield=True):  # what was made is known to be removed
                made_vault = await enable(vault)
                stack.push_async_callback(disable, made_vault)
        yield Scratch(where="configured servers", own=False, database=made_database, vault=made_vault)
    if left:
        raise DatabaseError(left[0], hint="Drop it yourself: it holds what the archive holds.")
