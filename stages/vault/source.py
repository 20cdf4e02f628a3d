"""The fan-out source: walks the roots of a vault with many workers and sends every secret it can read.

Listing overlaps reading. The folder found last is worked on first, so what is remembered is the unread names of the
folders on one way down for each worker: memory follows the breadth of the tree, not the number of secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import anyio

from ...formats.secret import MAX_SECRET, Secret
from ..errors import ConfigurationError, VaultForbidden, VaultUnreadable
from ..words import count
from . import jsontext
from .answers import Absent, Deleted, Found, Names, Oversize, ReadResult, Refused
from .reports import SERVER_STRINGS, ReadReport, some
from .roots import Root, check_roots, owner, unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...pipeline.engine import Outlet
    from .client import VaultClient

#: Largest value, in bytes, that every worker may hold at once; larger ones are read one at a time.
SMALL = 1024 * 1024


@dataclass
class _Folder:
    """A folder that was listed, and the names in it that nobody took yet."""

    root: Root
    path: str
    names: Names


class VaultSource:
    """Sends every secret below the roots, in any order. ``report`` is complete after the run.

    Raises ``VaultUnreadable`` at the end when some paths could not be read, unless ``allow_unreadable``;
    ``VaultForbidden`` when a root cannot be listed or nothing could be read; ``ConfigurationError`` when a secret's
    path belongs to another root; and what every request of the client raises.
    """

    name = "vault"

    def __init__(
        self, client: VaultClient, roots: Sequence[Root], *, workers: int = 20, allow_unreadable: bool = False
    ) -> None:
        check_roots(roots)
        self.report = ReadReport()
        self.senders = workers
        #: Bytes: an answer and the value cut out of it, for each worker, and one large one.
        self.working_set = 2 * (workers * SMALL + MAX_SECRET)
        self._client = client
        self._roots = tuple(roots)
        self._allow_unreadable = allow_unreadable
        self._folders: list[_Folder] = []
        self._busy = 0
        self._waiting = 0
        self._forbidden = 0
        self._denied: Root | None = None
        self._wake = anyio.Event()
        self._one_large = anyio.Lock()

    async def __call__(self, out: Outlet[Secret]) -> None:
        """Walk every root."""
        started = monotonic()
        for root in self._roots:
            seen = self.report.seen
            await self._list(root, root.folder, top=True)
            async with anyio.create_task_group() as workers:
                for _ in range(self.senders):
                    workers.start_soon(self._work, out)
            if seen == self.report.seen:
                self.report.empty_roots.append(str(root))
        self.report.seconds = monotonic() - started
        await self._judge()

    async def _judge(self) -> None:
        report = self.report
        if not report.unreadable_count or self._allow_unreadable:
            return
        grant = "Look into the vault's log"
        if self._denied is not None:
            data = "data/" if await self._client.kv_version(self._denied.mount) == 2 else ""
            grant = f"Grant read on {self._denied.mount}/{data}{self._denied.folder}*"
        if self._forbidden == report.unreadable_count and not report.read:
            raise VaultForbidden(
                f"The token may list secrets but read none: {some(report.unreadable)}.", hint=f"{grant}."
            )
        raise VaultUnreadable(
            f"{count(report.unreadable_count, 'vault path')} could not be read: {some(report.unreadable)}.",
            hint=f"{grant}, or allow unreadable paths and accept a backup without them.",
            paths=tuple(path for path, _ in report.unreadable),
        )

    # Workers --------------------------------------------------------------------------------------------------

    async def _work(self, out: Outlet[Secret]) -> None:
        while True:
            while (taken := self._take()) is None:
                if not self._busy:
                    self._rouse()  # the others wait in vain
                    return
                self._waiting += 1
                await self._wake.wait()
            root, path = taken
            self._busy += 1
            try:
                if path.endswith("/"):
                    await self._list(root, path)
                else:
                    await self._read(root, path, out)
            finally:
                self._busy -= 1
                if self._waiting and (self._folders or not self._busy):
                    self._rouse()

    def _take(self) -> tuple[Root, str] | None:
        while self._folders:
            folder = self._folders[-1]
            try:
                name = next(folder.names, None)
            except ValueError:
                self._unreadable(folder.root, folder.path, "the answer is not what a KV engine says")
                name = None
            if name is None:
                self._folders.pop()
            elif why := unusable(name.removesuffix("/")):
                self._unreadable(folder.root, folder.path + name, why)
            else:
                return folder.root, folder.path + name
        return None

    def _rouse(self) -> None:
        self._waiting = 0
        self._wake.set()
        self._wake = anyio.Event()

    async def _list(self, root: Root, path: str, *, top: bool = False) -> None:
        names = await self._client.list(root.mount, path)
        if isinstance(names, Refused):
            if top and names.status == 403:
                kind = "metadata/" if await self._client.kv_version(root.mount) == 2 else ""
                raise VaultForbidden(
                    f"The token may not list the folder {root.mount}/{kind}{path}.",
                    hint=f"Grant it list on {root.mount}/{kind}{path}*.",
                )
            self._unreadable(root, path, names.reason, forbidden=names.status == 403)
            return
        self._folders.append(_Folder(root, path, names))

    async def _read(self, root: Root, path: str, out: Outlet[Secret]) -> None:
        result = await self._client.read(root.mount, path, limit=SMALL)
        if not isinstance(result, Oversize):
            await self._pass_on(root, path, result, out)
            return
        # One at a time, so that twenty of them do not meet in memory. The lock is this source's own, and nothing
        # downstream ever asks for it; no connection is held meanwhile.
        async with self._one_large:
            await self._pass_on(root, path, await self._client.read(root.mount, path), out)

    async def _pass_on(self, root: Root, path: str, result: ReadResult, out: Outlet[Secret]) -> None:
        report = self.report
        match result:
            case Found():
                name = self._archive_path(root, path)
                if owner(self._roots, name) is not root:
                    raise ConfigurationError(
                        f"The secret {root.mount}/{path} has the archive path {name!r}, which belongs to another root.",
                        hint="Choose a prefix for that root which no folder of this one has.",
                    )
                report.read += 1
                report.bytes += len(result.value)
                report.custom_metadata += result.has_custom_metadata
                self._weigh(name, result.value)
                await out.send(Secret(name, result.value))
            case Deleted():
                report.deleted += 1
            case Absent():
                report.vanished += 1
            case Oversize():
                self._unreadable(root, path, f"it is larger than {MAX_SECRET >> 20} MiB")
            case Refused():
                self._unreadable(root, path, result.reason, forbidden=result.status == 403)

    def _archive_path(self, root: Root, path: str) -> str:
        return root.prefix + path[len(root.folder) :]

    def _weigh(self, name: str, value: bytes) -> None:
        # A string has two quotes: counting those first is quick, and enough for nearly all.
        if value.count(b'"') > 2 * SERVER_STRINGS - 16 and jsontext.strings(value) > SERVER_STRINGS - 8:
            self.report.note_heavy(name)

    def _unreadable(self, root: Root, path: str, why: str, *, forbidden: bool = False) -> None:
        self.report.note_unreadable(self._archive_path(root, path), why)
        if forbidden:
            self._forbidden += 1
            self._denied = self._denied or root
