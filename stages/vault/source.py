"""The fan-out source: walks the roots of a vault with many workers and sends every secret it can read.

Listing overlaps reading. The folder found last is worked on first, so what is remembered is the unread names of the
folders on one way down for each worker: memory follows the breadth of the tree, not the number of secrets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import anyio

from ...formats.secret import MAX_ITEM, MAX_SECRET, Secret
from ..errors import ConfigurationError, Right, VaultForbidden, VaultUnreadable
from ..words import VAULT, count, listed
from .incremental.unchanged import Unchanged
from .kv.answers import Absent, Deleted, Found, Names, Oversize, ReadResult, Refused
from .kv.check import list_right, read_right
from .kv.client import SMALL, VaultClient
from .kv.identity import may_be_behind
from .kv.mounts import check_version
from .kv.roots import Root, check_roots, owner, owns, unusable
from .kv.values import Values
from .metadata.keys import Listed
from .reports import ReadReport, some

if TYPE_CHECKING:
    from ...formats.secret import Metadata
    from ...pipeline.engine import Outlet
    from .incremental.earlier import Earlier
    from .metadata.gather import Gather


#: Rights that are named, at most.
_NAMED = 10


@dataclass
class _Folder:
    """A folder that was listed, and the names in it that no worker took yet.

    ``metadata`` is that of the secrets in it which have some, None where it is not known. ``done`` are names of secrets
    that were taken from an earlier archive.
    """

    root: Root
    path: str
    names: Names
    metadata: dict[str, Metadata] | None = None
    done: Collection[str] = ()


class VaultSource:
    """Sends every secret below the roots, in any order. ``report`` is complete after the run.

    The product's ``own`` (see ``VaultSettings``) are passed over. ``gather`` completes each with what the vault keeps
    besides its value.

    Raises ``VaultUnreadable`` at the end when some paths could not be read, unless ``allow_unreadable``;
    ``VaultForbidden`` when a root cannot be listed or nothing could be read; ``ConfigurationError`` when a root
    is a secret, or a secret's path belongs to another root, and with ``refuse_empty`` when a root is empty that
    may not be; and what every request of the client raises.
    """

    name = "vault"
    server = VAULT

    def __init__(
        self,
        client: VaultClient,
        roots: Sequence[Root],
        *,
        workers: int = 20,
        allow_unreadable: bool = False,
        own: Sequence[str] = (),
        gather: Gather | None = None,
        refuse_empty: bool = False,
    ) -> None:
        check_roots(roots)
        self.report = ReadReport(carries_metadata=gather is not None)
        self.senders = workers
        #: Bytes: a small secret for each worker, and one large one.
        self.in_hand = workers * SMALL + MAX_ITEM
        #: Bytes: an answer and the value cut out of it, for each worker, and one large one.
        self.working_set = 2 * (workers * SMALL + MAX_SECRET)
        self._client = client
        self._roots = tuple(roots)
        self._allow_unreadable = allow_unreadable
        self._refuse_empty = refuse_empty
        self._own = tuple(own)
        self._gather = gather
        if (
            gather is not None and gather.reads_older
        ):  # one with large older versions, besides the one that is large itself
            self.in_hand += MAX_ITEM
            self.working_set += 2 * MAX_SECRET
        self._unchanged: Unchanged | None = None
        self._folders: list[_Folder] = []
        self._busy = 0
        self._waiting = 0
        self._unread = 0  # secrets that the token may not read
        self._denied: dict[Right, None] = {}  # what it lacks, as far as it was met
        self._wake = anyio.Event()
        self._values = Values(client)

    def take_from(self, earlier: Earlier, roots: Collection[Root]) -> None:
        """Before it runs: take from an earlier archive what did not change since, in these roots."""
        assert self._gather is not None
        self._gather.with_states = set(roots)
        self._unchanged = Unchanged(earlier, self._gather, self.report)
        self.working_set += earlier.working_set
        self.in_hand += SMALL  # those that wait to be sent together

    async def __call__(self, out: Outlet[Secret]) -> None:
        """Walk every root."""
        with self._client.expected(self._left):
            await self._walk(out)
        if self._unchanged is not None:
            await self._unchanged.send(out)
        self.report.behind = await may_be_behind(self._client)
        await self._check_unreadable()

    def _left(self) -> int:
        """What is listed and not read yet."""
        return sum(max(0, folder.names.left - len(folder.done)) for folder in self._folders)

    async def _walk(self, out: Outlet[Secret]) -> None:
        for root in self._roots:
            seen = self._met
            await self._list(root, root.folder, out, top=True)
            async with anyio.create_task_group() as workers:
                for _ in range(self.senders):
                    workers.start_soon(self._work, out)
            if seen == self._met:
                await self._check_folder(root)
                self.report.empty_roots.append(str(root))

    @property
    def _met(self) -> int:
        return self.report.seen + self.report.own_secrets.count

    async def _check_folder(self, root: Root) -> None:
        """Refuse a root that holds nothing because it is a secret, or because its mount or path is another one."""
        if root.path and isinstance(await self._client.read(root.mount, root.path), Found | Oversize):
            raise ConfigurationError(
                f"The vault root {root.mount}/{root.path} is a secret, and a root is a folder: nothing was backed up.",
                hint="Configure the folder that it is in.",
            )
        await check_version(self._client.control, self._client.settings.address, root)
        if self._refuse_empty and not root.allow_empty:
            raise ConfigurationError(
                f"The vault root {root} holds no secret, so the archive would have none of it: nothing was backed up.",
                hint="Correct its mount or path. If it may be empty, say so with allow_empty = true at this root.",
            )

    async def _check_unreadable(self) -> None:
        unreadable = self.report.unreadable
        if not unreadable.count or self._allow_unreadable:
            return
        rights = tuple(self._denied)
        grant = f"Grant {listed(list(map(str, rights)))}" if rights else "Look into the vault's log"
        if self._unread == unreadable.count and not self.report.read:
            raise VaultForbidden(
                f"The token may list secrets but read none: {some(unreadable.names)}.",
                hint=f"{grant}.",
                rights=rights,
            )
        raise VaultUnreadable(
            f"{count(unreadable.count, 'vault path')} could not be read: {some(unreadable.names)}.",
            hint=f"{grant}, or allow unreadable paths and accept a backup without them.",
            rights=rights,
            paths=tuple(path for path, _ in unreadable.names),
        )

    # Workers --------------------------------------------------------------------------------------------------

    async def _work(self, out: Outlet[Secret]) -> None:
        while True:
            while (taken := self._take()) is None:
                if not self._busy:
                    self._wake_all()  # nothing more will come
                    return
                self._waiting += 1
                await self._wake.wait()
            folder, path = taken
            self._busy += 1
            try:
                if path.endswith("/"):
                    await self._list(folder.root, path, out)
                elif self._gather is None:
                    await self._read(folder.root, path, out)
                else:
                    await self._read_all(self._gather, folder, path, out)
            finally:
                self._busy -= 1
                if self._waiting and (self._folders or not self._busy):
                    self._wake_all()

    def _take(self) -> tuple[_Folder, str] | None:
        while self._folders:
            folder = self._folders[-1]
            try:
                name = next(folder.names, None)
            except ValueError:
                self._unreadable(folder.root, folder.path, "the answer is not what a KV engine says")
                name = None
            if name is None:
                self._folders.pop()
            elif name in folder.done:
                pass
            elif why := unusable(name.removesuffix("/")):
                self._unreadable(folder.root, folder.path + name, why)
            elif owns(self._own, folder.root.mount, folder.path + name):
                self.report.own_secrets.add(self._archive_path(folder.root, folder.path + name))
            else:
                return folder, folder.path + name
        return None

    def _wake_all(self) -> None:
        self._waiting = 0
        self._wake.set()
        self._wake = anyio.Event()

    async def _list(self, root: Root, path: str, out: Outlet[Secret], *, top: bool = False) -> None:
        unchanged = self._unchanged
        turn = unchanged.turns.begin() if unchanged else 0
        try:
            folder = await self._listed(root, path, top=top)
            if folder is not None:
                done: Collection[str] = ()
                if unchanged and folder.states:
                    done = await unchanged.take(folder, lambda name: self._wanted(root, path + name), out, turn)
                self._folders.append(_Folder(root, path, folder.names, folder.metadata, done))
        finally:
            if unchanged:
                unchanged.turns.end(turn)

    async def _listed(self, root: Root, path: str, *, top: bool) -> Listed | None:
        """A folder; None for one that cannot be listed, which is in the report then."""
        if self._gather is None:
            names = await self._client.list(root.mount, path)
            listed = names if isinstance(names, Refused) else Listed(names, None)
        else:
            listed = await self._gather.list(root, path)
        if not isinstance(listed, Refused):
            return listed
        if top and listed.status == 403:
            right = await list_right(self._client, root, path)
            raise VaultForbidden(
                f"The token may not list the folder {right.path.removesuffix('*')}.",
                hint=f"Grant it {right}.",
                rights=(right,),
            )
        if listed.status == 403:
            await self._deny(root, "list", path)
        self._unreadable(root, path, listed.reason)
        return None

    def _wanted(self, root: Root, path: str) -> str | None:
        """The archive path of a secret; None for one that is passed over, or that no vault can hold."""
        if unusable(path.rpartition("/")[2]) or owns(self._own, root.mount, path):
            return None
        return self._own_path(root, path)

    async def _read(self, root: Root, path: str, out: Outlet[Secret]) -> None:
        async with self._values.read(
            root.mount, path
        ) as result:  # nothing downstream asks for the lock that it may hold
            await self._pass_on(root, path, result, out.send)

    async def _read_all(self, gather: Gather, folder: _Folder, path: str, out: Outlet[Secret]) -> None:
        async with self._values.read(folder.root.mount, path) as result:
            if isinstance(result, Deleted | Absent):
                await self._read_gone(gather, folder, path, result, out)
            elif isinstance(result, Found):

                async def send(secret: Secret) -> None:
                    await gather.complete(folder.root.mount, path, secret, result, folder.metadata, out.send)

                await self._pass_on(folder.root, path, result, send)
            else:
                await self._pass_on(folder.root, path, result, out.send)

    async def _read_gone(
        self, gather: Gather, folder: _Folder, path: str, result: Deleted | Absent, out: Outlet[Secret]
    ) -> None:
        name = self._own_path(folder.root, path)
        known = await gather.without_value(folder.root.mount, path, name, result, folder.metadata, out.send)
        self.report.deleted += known
        self.report.vanished += not known

    async def _pass_on(
        self, root: Root, path: str, result: ReadResult, send: Callable[[Secret], Awaitable[None]]
    ) -> None:
        report = self.report
        match result:
            case Found():
                name = self._own_path(root, path)
                report.read += 1
                report.custom_metadata += result.has_custom_metadata
                report.look_at(name, result.value)
                await send(Secret(name, result.value))
            case Deleted():
                report.deleted += 1
            case Absent():
                report.vanished += 1
            case Oversize():
                self._unreadable(root, path, f"it is larger than {MAX_SECRET >> 20} MiB")
            case Refused():
                if result.status == 403:
                    self._unread += 1
                    await self._deny(root, "read")
                self._unreadable(root, path, result.reason)

    def _own_path(self, root: Root, path: str) -> str:
        name = self._archive_path(root, path)
        if len(self._roots) > 1 and owner(self._roots, name) is not root:
            raise ConfigurationError(
                f"The secret {root.mount}/{path} has the archive path {name!r}, which belongs to another root.",
                hint="Choose a prefix for that root which no folder of this one has.",
            )
        return name

    def _archive_path(self, root: Root, path: str) -> str:
        return root.prefix + path[len(root.folder) :]

    def _unreadable(self, root: Root, path: str, why: str) -> None:
        self.report.unreadable.add((self._archive_path(root, path), why))

    async def _deny(self, root: Root, verb: Literal["list", "read"], folder: str = "") -> None:
        """Remember which right was missing: of folders that may not be listed the first few."""
        if verb == "read":
            self._denied[await read_right(self._client, root)] = None
        elif len(self._denied) < _NAMED:
            self._denied[await list_right(self._client, root, folder)] = None
