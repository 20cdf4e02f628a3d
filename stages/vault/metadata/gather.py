"""The metadata and the older versions of the secrets that a backup reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

import anyio

from ....formats.secret import MAX_SECRET, PLAIN, Gone, Metadata, Origin, Secret, Version
from ...words import count, one_or_more
from ..kv.answers import Absent, Deleted, Found, Names, Oversize, Refused
from ..kv.client import SMALL
from ..lacking import Lacking
from ..reports import Named, some
from .keys import Key, Keys, Listed

if TYPE_CHECKING:
    from ..kv.client import VaultClient
    from ..kv.roots import Root
    from .keys import State


#: Characters of a time that says more than tens of microseconds: ``2026-01-31T23:59:59.12345Z``. Of a coarser clock two
#: versions could have the same one.
_FINE = 26
#: Refusals of a mount's metadata after which it is not asked for any more: a policy that gives none costs no request
#: a secret.
ENOUGH = 100


@dataclass
class GatherReport:
    """How many secrets have metadata, and how many older versions were read.

    ``unknown`` are pairs of archive path and the reason why its settings could not be read, ``left_out`` likewise of
    those of which not every older version was. ``forbidden`` are those whose settings the token may not read,
    ``lost`` those of which it may therefore not know whether they are keys with metadata alone.
    """

    described: int = 0
    older: int = 0
    unknown: Named[tuple[str, str]] = field(default_factory=Named)
    left_out: Named[tuple[str, str]] = field(default_factory=Named)
    forbidden: Named[str] = field(default_factory=Named)
    lost: Named[str] = field(default_factory=Named)

    def add_unknown(self, path: str, key: Absent | Refused | None) -> None:
        """Count one whose settings are not known, by what the vault says."""
        if isinstance(key, Refused) and key.status == HTTPStatus.FORBIDDEN:
            self.forbidden.add(path)
        else:
            self.unknown.add((path, key.reason if isinstance(key, Refused) else "it was removed meanwhile"))

    def lacking(self) -> list[Lacking]:
        """What the token may not read."""
        found = []
        for named, what in ((self.forbidden, "the settings of"), (self.lost, "the metadata, if there is any, of")):
            if number := named.count:
                example = one_or_more(number, "", "for example ") + named.names[0]
                text = f"{what} {count(number, 'secret')} ({example})"
                found.append(Lacking(text, ("read on metadata/",), "metadata"))
        return found

    def warnings(self) -> list[str]:
        """What an operator should know, one sentence each."""
        found = []
        if number := self.unknown.count:
            have = one_or_more(number, "is in the archive without its settings", "are in it without their settings")
            found.append(f"{count(number, 'secret')} {have}, which could not be read: {some(self.unknown.names)}.")
        if number := self.left_out.count:
            are = one_or_more(number, "is", "are")
            found.append(
                f"{count(number, 'secret')} {are} in the archive without some of the older versions: "
                f"{some(self.left_out.names)}."
            )
        return found


class Gather:
    """Completes secrets for one stage. ``versions`` of each are read, the newest one included; 0 is all of them.

    Raises what the client's requests raise.
    """

    def __init__(self, client: VaultClient, versions: int) -> None:
        self.report = GatherReport()
        #: The roots in whose listings the states of keys are asked for.
        self.with_states: set[Root] = set()
        self._client = client
        self._keys = Keys(client)
        self._versions = versions
        self._one_by_one: set[Root] = set()
        self._refused: Counter[str] = Counter()
        self._granted: set[str] = set()
        #: For each root and depth of a folder, whether the last one listed there held a secret.
        self._held: dict[tuple[Root, int], bool] = {}
        self._one_large = anyio.Lock()

    @property
    def reads_older(self) -> bool:
        """Whether older versions are read."""
        return self._versions != 1

    def lists(self, root: Root) -> bool:
        """Whether the metadata in this root is still listed by the folder."""
        return root not in self._one_by_one

    async def list(self, root: Root, folder: str) -> Listed | Refused:
        """The names in a folder, and the metadata of those that have some, unless it has to be asked for each.

        One request serves both. A server looks for metadata of sub-folders too, one after the other, so of a folder
        that may hold nothing else (as others at its depth) the names are asked for first. A policy may hide names in
        one list that the other has: then that one is believed, and the root's metadata are asked for one by one.
        """
        if root in self._one_by_one or await self._client.kv_version(root.mount) != 2:
            return _alone(await self._client.list(root.mount, folder))
        place = root, folder.count("/")
        names: Names | None = None
        if not self._held.get(place):
            found = await self._client.list(root.mount, folder)
            if isinstance(found, Refused):
                return found
            if found.folders_alone:
                return Listed(found, {})
            names = found
        states = root in self.with_states
        listed = await self._keys.folder(root.mount, folder, states=states, older=states and self.reads_older)
        if names is None and (listed is None or listed.names.none):  # who named this folder, or its root, found some
            found = await self._client.list(root.mount, folder)
            if isinstance(found, Refused):
                return found
            names = found
        if listed is not None and (names is None or await self._has_all(root, folder, listed.names, names)):
            self._held[place] = not listed.names.folders_alone
            return listed
        assert names is not None
        self._one_by_one.add(root)
        return _alone(names)

    async def _has_all(self, root: Root, folder: str, listed: Names, names: Names) -> bool:
        """Whether ``listed`` has all ``names`` of a folder, but for what was deleted in between."""
        if not listed.lacks(names):
            return True
        again = await self._client.list(root.mount, folder)
        return isinstance(again, Names) and not listed.lacks(again)

    async def complete(
        self,
        mount: str,
        path: str,
        secret: Secret,
        found: Found,
        listed: dict[str, Metadata] | None,
        send: Callable[[Secret], Awaitable[None]],
    ) -> None:
        """Send the secret with all that is asked for."""
        if await self._client.kv_version(mount) != 2:
            await send(secret)
            return
        metadata = None if listed is None else listed.get(path.rpartition("/")[2], PLAIN)
        # With room for one, that one is the oldest from the start.
        older = self._versions != 1 and (found.version > 1 or (metadata is not None and metadata.max_versions == 1))
        key = await self._key(mount, path) if older or listed is None else None
        if isinstance(key, Key):
            metadata = key.metadata
        elif metadata is None:
            metadata = Metadata(custom_metadata=found.custom_metadata, partial=True)
            self.report.add_unknown(secret.path, key)
        self.report.described += not metadata.plain
        secret = Secret(
            secret.path,
            secret.value,
            metadata,
            found.version if self._versions != 1 and not older else 0,
            origin=Origin(found.version, found.created) if found.created else None,
        )
        if not older:
            await send(secret)
            return
        if not isinstance(key, Key):
            self.report.left_out.add((secret.path, "its versions could not be listed"))
            await send(secret)
            return
        async with AsyncExitStack() as stack:
            versions = await self._older(mount, path, secret, found.version, key, stack)
            self.report.older += len(versions)
            await send(replace(secret, version=found.version, older=versions, oldest=key.oldest))

    async def without_value(
        self,
        mount: str,
        path: str,
        name: str,
        found: Deleted | Absent,
        listed: dict[str, Metadata] | None,
        send: Callable[[Secret], Awaitable[None]],
    ) -> bool:
        """Send a key that has no value under its archive path ``name``; False when there is no such key."""
        if await self._client.kv_version(mount) != 2:
            return isinstance(found, Deleted)
        metadata = None if listed is None else listed.get(path.rpartition("/")[2], PLAIN)
        key: Key | Absent | Refused | None = None
        if isinstance(found, Absent) or self._versions != 1 or metadata is None:
            key = await self._key(mount, path)
        if isinstance(key, Key):
            metadata = key.metadata
        if isinstance(found, Absent):
            if isinstance(key, Key) and not key.current and metadata is not None:
                self.report.described += not metadata.plain
                await send(Secret(name, b"", metadata, gone="none"))
                return True
            if isinstance(key, Refused):
                self.report.lost.add(name)
            return False
        if metadata is None:
            metadata = Metadata(custom_metadata=found.custom_metadata, partial=True)
            self.report.add_unknown(name, None if isinstance(key, Key) else key)
        self.report.described += not metadata.plain
        gone: Gone = "destroyed" if found.destroyed else "deleted"
        secret = Secret(name, b"", metadata, found.version, gone=gone)
        if self._versions == 1:
            await send(secret)
            return True
        if not isinstance(key, Key):
            self.report.left_out.add((name, "its versions could not be listed"))
            await send(secret)
            return True
        async with AsyncExitStack() as stack:
            versions = await self._older(mount, path, secret, found.version, key, stack)
            self.report.older += len(versions)
            await send(replace(secret, older=versions, oldest=key.oldest))
        return True

    def unchanged(self, known: Secret, state: State, metadata: Metadata) -> Secret | None:
        """What ``complete`` would send of a secret, made of one that an archive has; None where it has not all of it.

        ``state`` and ``metadata`` are those that the vault says now. Nothing is counted.
        """
        origin = known.origin
        if known.gone or origin is None or len(state.created) < _FINE:
            return None
        if (origin.version, origin.created) != (state.newest, state.created):
            return None
        older = self._versions != 1 and (state.newest > 1 or metadata.max_versions == 1)
        if not older:
            version = state.newest if self._versions != 1 else 0
            if known.version == version and not known.older and not known.oldest and known.metadata == metadata:
                return known
            return Secret(known.path, known.value, metadata, version, origin=origin)
        had = {each.number: each for each in known.older}
        numbers = sorted((number for number in state.older if number < state.newest), reverse=True)
        versions: list[Version] = []
        for number in numbers[: self._versions - 1] if self._versions else numbers:
            created, before = state.older[number], had.get(number)
            if created is None:
                versions.append(Version(number, destroyed=True))
            elif before is None or before.value is None or before.created != created or len(created) < _FINE:
                return None
            else:
                versions.append(before)
        return Secret(
            known.path,
            known.value,
            metadata,
            state.newest,
            tuple(reversed(versions)),
            state.oldest,
            origin=known.origin,
        )

    async def _key(self, mount: str, path: str) -> Key | Absent | Refused:
        """The metadata of one key; not asked for any more where a mount refused it so often, and never gave any."""
        if self._refused[mount] >= ENOUGH and mount not in self._granted:
            return Refused(HTTPStatus.FORBIDDEN, "permission denied")
        key = await self._keys.read(mount, path)
        if isinstance(key, Refused) and key.status == HTTPStatus.FORBIDDEN:
            self._refused[mount] += 1
        else:
            self._granted.add(mount)
        return key

    async def _older(
        self, mount: str, path: str, secret: Secret, newest: int, key: Key, stack: AsyncExitStack
    ) -> tuple[Version, ...]:
        """The older versions, the newest of them first read; ``stack`` holds the lock for those that are large."""
        numbers = sorted((number for number in key.destroyed if number < newest), reverse=True)
        found: list[Version] = []
        held, large, why = len(secret.value), False, ""
        for number in numbers[: self._versions - 1] if self._versions else numbers:
            if key.destroyed[number]:
                found.append(Version(number, destroyed=True))
                continue
            result = await self._client.read(mount, path, version=number, limit=max(0, SMALL - held))
            if isinstance(result, Oversize):
                if not large:
                    await stack.enter_async_context(self._one_large)
                    large = True
                result = await self._client.read(mount, path, version=number, limit=max(0, MAX_SECRET - held))
            match result:
                case Found() if result.value.startswith(b"{"):
                    held += len(result.value)
                    found.append(Version(number, result.value, created=result.created))
                case Deleted():
                    found.append(Version(number, destroyed=result.destroyed))
                case Absent():  # pruned meanwhile
                    pass
                case Found():
                    why = why or f"version {number} holds no object"
                case Oversize():
                    why = why or f"together they are larger than {MAX_SECRET >> 20} MiB"
                case Refused():
                    why = why or result.reason
        if why:
            self.report.left_out.add((secret.path, why))
        return tuple(reversed(found))


def _alone(names: Names | Refused) -> Listed | Refused:
    """Names without metadata."""
    return names if isinstance(names, Refused) else Listed(names, None)
