"""Secrets that the vault has and an archive does not: found by listing, named for a dry run, removed for a prune."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...formats.secret import Secret
from ..words import VAULT
from .fan_out import fan_out
from .kv.answers import Absent, Deleted, Found, Oversize, Refused
from .kv.client import SMALL, VaultClient
from .kv.roots import Root, locate, owner
from .reports import Named
from .source import VaultSource

if TYPE_CHECKING:
    from ...pipeline.engine import Inlet, Outlet
    from .path_set import PathSet


class Extras(VaultSource):
    """Sends every secret below the roots whose archive path is not ``known``, with an empty value.

    Only these are read, to see whether they have a value: what is deleted already is not sent. Nor is a secret whose
    archive path belongs to another root, for no archive can have it, nor are the product's ``own``. Paths that cannot
    be listed or read are named in the report, and do not fail it. Raises ``VaultForbidden`` when a root cannot be
    listed, and what every request of the client raises.
    """

    name = "extras"

    def __init__(
        self,
        client: VaultClient,
        roots: Sequence[Root],
        known: PathSet,
        *,
        workers: int = 20,
        own: Sequence[str] = (),
    ) -> None:
        super().__init__(client, roots, workers=workers, allow_unreadable=True, own=own)
        self._known = known

    async def _read(self, root: Root, path: str, out: Outlet[Secret]) -> None:
        name = self._archive_path(root, path)
        if name in self._known or owner(self._roots, name) is not root:
            return
        live = await self._client.read(root.mount, path, limit=SMALL)
        match live:
            case Found() | Oversize():
                self.report.read += 1
                await out.send(Secret(name, b""))
            case Refused():
                self._unreadable(root, path, live.reason)
            case Deleted():
                self.report.deleted += 1
            case Absent():
                self.report.vanished += 1

    async def _check_folder(self, root: Root) -> None:
        """A root of which the archive has everything sends nothing; that it is a secret matters to who reads it."""


@dataclass
class PruneReport:
    """What a prune did: ``removed``, and ``failed`` with the reason of the first."""

    removed: Named[str] = field(default_factory=Named)
    failed: Named[str] = field(default_factory=Named)
    reason: str = ""


class Prune:
    """Removes every secret that it is sent. ``report`` is complete after the run.

    In KV version 2 that deletes the newest version, which can be undeleted; in version 1 it is final. What cannot be
    removed is named in the report. Raises what the client's requests raise.
    """

    name = "prune"
    server = VAULT

    def __init__(self, client: VaultClient, roots: Sequence[Root], *, workers: int = 20) -> None:
        self.report = PruneReport()
        self._client = client
        self._roots = tuple(roots)
        self._workers = workers

    async def __call__(self, secrets: Inlet[Secret]) -> None:
        """Remove every secret."""
        await fan_out(secrets.batch, self._workers, self._remove)

    async def _remove(self, secret: Secret) -> None:
        root, path = locate(self._roots, secret.path)
        result = await self._client.delete(root.mount, path)
        if isinstance(result, Refused):
            self.report.failed.add(secret.path)
            self.report.reason = self.report.reason or result.reason
        else:
            self.report.removed.add(secret.path)
