"""Brings back what a vault keeps about a key besides its newest value, before and after that is written.

The order, for a key that is not there: first ``max_versions`` high enough for all that comes, then the older versions
in their order (an empty one where the archive has none, so that the numbers fit), then the newest, then what was
deleted or destroyed is again (the newest, too, where it was), then the metadata. ``cas_required`` and
``delete_version_after`` come last, so that they neither stand in the way nor let what was just restored expire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from ....formats.secret import Metadata, Secret
from ...words import count, one_or_more
from ..kv.answers import Conflict, Refused
from ..reports import Named, some
from .keys import Key, Keys

if TYPE_CHECKING:
    from ..kv.client import VaultClient

#: Empty versions that are written before the first one of the archive, so that the numbers fit; a key with more gets
#: other numbers. As many between those of the archive.
MAX_EMPTY = 1000
#: What a mount keeps of a key when neither says how many.
_KEPT = 10
_EMPTY = b"{}"


@dataclass(frozen=True, slots=True)
class Described:
    """A change of a key's metadata, for a journal: ``before`` is None where there was no such key.

    ``alone``: no value of it is written.
    """

    mount: str
    path: str
    before: Metadata | None
    after: Metadata
    alone: bool


class MetadataJournal(Protocol):
    """Records changes of metadata."""

    async def describe(self, change: Described) -> None:
        """Record it; return when it is on the disk."""


@dataclass
class BackReport:
    """What was brought back besides values: ``described`` keys, ``older`` versions.

    The others are pairs of archive path and reason: of keys whose metadata could not be written (``failed``), of those
    whose older versions were not written (``left_out``), of those that have them under other numbers or that keep fewer
    of them from their next version on (``unlike``). ``plain`` names those that went to a mount of KV version 1.
    ``empty`` are versions whose data no archive has, as they were deleted or destroyed when it was made: their number
    and their state are back, and an undelete gives an empty value.
    """

    described: int = 0
    older: int = 0
    failed: Named[tuple[str, str]] = field(default_factory=Named)
    left_out: Named[tuple[str, str]] = field(default_factory=Named)
    unlike: Named[tuple[str, str]] = field(default_factory=Named)
    plain: Named[tuple[str, str]] = field(default_factory=Named)
    empty: Named[str] = field(default_factory=Named)

    def warnings(self) -> list[str]:
        """What an operator should know, one sentence each."""
        found = []
        for named, one, more in (
            (self.failed, "did not get its metadata back", "did not get their metadata back"),
            (self.plain, "lost its metadata or older versions", "lost their metadata or older versions"),
            (self.left_out, "did not get its older versions back", "did not get their older versions back"),
            (self.unlike, "has its older versions, but not as before", "have their older versions, but not as before"),
        ):
            if named.count:
                found.append(
                    f"{count(named.count, 'secret')} {one_or_more(named.count, one, more)}: {some(named.names)}."
                )
        if number := self.empty.count:
            was = one_or_more(number, "was", "were")
            found.append(
                f"{count(number, 'version')} {was} deleted or destroyed when the archive was made, and came back so, "
                f"without data: {one_or_more(number, '', 'for example ')}{self.empty.names[0]}."
            )
        return found


@dataclass(slots=True)
class Place:
    """Where a secret goes. ``live`` is its key there (None: none), or ``why`` that is not known.

    ``raised``: its ``max_versions`` was, so that all of its versions have room. ``shift`` is by how much their numbers
    are lower than in the archive. ``made``: the key was made without a value.
    """

    secret: Secret
    mount: str
    path: str
    live: Key | None = None
    why: str = ""
    raised: bool = False
    shift: int = 0
    made: bool = False

    @property
    def wanted(self) -> Metadata | None:
        """The metadata that it is to have; None when the archive does not know."""
        return self.secret.metadata

    @property
    def changes(self) -> bool:
        """Whether its metadata is to be written."""
        if self.wanted is None:
            return self.raised
        if self.live is None:
            return self.raised or not self.wanted.plain or self.secret.gone == "none"
        live = self.live.metadata
        if self.wanted.partial:
            return live.custom_metadata != self.wanted.custom_metadata
        return self.raised or live != self.wanted


#: Writes a value over the version of that number, journalled; returns what went wrong, or None.
WriteVersion = Callable[[int, bytes], Awaitable[Refused | Conflict | None]]


class BringBack:
    """For one sink. ``report`` is complete after the run. Raises what the client's requests raise, and the journal."""

    def __init__(self, client: VaultClient, journal: MetadataJournal | None) -> None:
        self.report = BackReport()
        self._client = client
        self._journal = journal
        self._keys = Keys(client)
        self._forbidden: set[tuple[str, str]] = set()

    async def look(self, secret: Secret, mount: str, path: str, *, absent: bool) -> Place | None:
        """Where the secret goes, before anything of it is written; None when only its value is to be brought back.

        ``absent``: there is nothing at all.
        """
        if secret.metadata is None and not _historic(secret) and not secret.gone:
            return None
        plain = secret.metadata is None or secret.metadata.plain
        if await self._client.kv_version(mount) == 1:
            if not plain or secret.older or secret.gone:
                self.report.plain.add((secret.path, f"the mount {mount} is KV version 1"))
            return None
        place = Place(secret, mount, path)
        if absent:
            return None if plain and not _historic(secret) else place
        key = await self._keys.read(mount, path)
        if isinstance(key, Key):
            place.live = key
        elif isinstance(key, Refused):
            place.why = key.reason
            if plain and not secret.older and not secret.gone:
                return None  # nothing to say, as far as anybody knows
        return place

    # Before the value ---------------------------------------------------------------------------------------------

    async def before(self, place: Place, *, alone: bool) -> None:
        """Before the newest value is written, or not, where it is there (``alone``)."""
        live = place.live
        older = place.secret.older
        if older and (place.why or (live and not (alone and live.current == place.secret.version))):
            own = ", with versions of its own" if live and live.current else ""
            self.report.left_out.add((place.secret.path, place.why or f"the key is there{own}"))
        if place.why or live is None or not place.changes:
            return
        await self._record(place, alone=alone)
        # What is written now would expire by a setting that is about to go.
        if live.metadata.delete_version_after and not alone:
            await self._keys.set(place.mount, place.path, {"delete_version_after": "0s"})

    async def older(self, place: Place, write: WriteVersion) -> int | Conflict:
        """Write the versions before the newest, where there is no key yet; the number of the last one."""
        secret = place.secret
        if not _historic(secret) or place.live is not None or place.why:
            return 0
        first = secret.older[0].number if secret.older else secret.version
        place.shift = shift_of(secret)
        empty = first - 1 - place.shift
        numbers = range(first, secret.version)
        if len(numbers) - len(secret.older) > MAX_EMPTY:  # no vault has made that, and it would never end
            self.report.left_out.add((secret.path, f"more than {MAX_EMPTY:,} between them are not in the archive"))
            return 0
        if place.shift:
            self.report.unlike.add((secret.path, f"number {first} is number 1 now"))
        await self._record(place, alone=True)
        place.raised = True
        if refused := await self._keys.set(place.mount, place.path, {"max_versions": _room(secret, first)}):
            place.raised = False
            self.report.left_out.add((secret.path, refused.reason))
            return 0
        values = {each.number: each.value for each in secret.older}
        number = 0
        for value in (*[_EMPTY] * empty, *(values.get(each) or _EMPTY for each in numbers)):
            failed = await write(number, value)
            if isinstance(failed, Conflict):
                return failed
            if failed:
                self.report.left_out.add((secret.path, failed.reason))
                return number
            number += 1
        self.report.older += len(values)
        await self._check_kept(place, len(numbers) + 1)
        return number

    async def without_value(self, place: Place, write: WriteVersion) -> Refused | Conflict | None:
        """Bring back a key of which the archive has no value, where the vault has none either; what went wrong.

        Where there is no such key, its newest version is written empty, and deleted or destroyed again.
        """
        secret = place.secret
        if place.why:
            self.report.failed.add((secret.path, place.why))
            return None
        if place.live is None and secret.gone != "none":
            return await self._make_empty(place, write)
        if place.live is None:
            await self._record(place, alone=True)
            place.made = True
        await self.before(place, alone=True)
        await self.after(place, number=0)
        return None

    async def _make_empty(self, place: Place, write: WriteVersion) -> Refused | Conflict | None:
        secret = place.secret
        how: Literal["delete", "destroy"] = "destroy" if secret.gone == "destroyed" else "delete"
        if (place.mount, how) in self._forbidden:  # it would stay there with an empty value
            self.report.failed.add((secret.path, f"{how} is forbidden"))
            return None
        await self._record(place, alone=True)
        number = await self.older(place, write)
        if isinstance(number, Conflict):
            return number
        if failed := await write(number, _EMPTY):
            return failed
        if refused := await self._keys.mark(place.mount, place.path, how, [number + 1]):
            return await self._take_back(place, how, refused)
        place.made = True
        self.report.empty.add(f"{secret.path} (version {number + 1})")
        await self.after(place, number=number)
        return None

    async def _take_back(self, place: Place, how: str, refused: Refused) -> Refused | None:
        """Remove a key whose newest version cannot be deleted or destroyed: nobody is to take it for a value."""
        if refused.status == HTTPStatus.FORBIDDEN:
            self._forbidden.add((place.mount, how))
        result = await self._client.delete(place.mount, place.path, all_versions=True)
        if isinstance(result, Refused):
            return Refused(result.status, f"its newest version is empty, and {how} of it fails: {refused.reason}")
        self.report.failed.add((place.secret.path, f"{how}: {refused.reason}"))
        return None

    async def _check_kept(self, place: Place, written: int) -> None:
        mount = await self._keys.kept(place.mount)
        if mount is None:
            return
        key = place.wanted.max_versions if place.wanted and not place.wanted.partial else 0
        if (kept := max(mount, key) or _KEPT) < written:
            why = f"the mount {place.mount} keeps {kept}, so the others go with its next version"
            self.report.unlike.add((place.secret.path, why))

    # After the value ----------------------------------------------------------------------------------------------

    async def after(self, place: Place, *, number: int) -> None:
        """When the newest value is there; ``number`` of the versions before it were written (0: none)."""
        if number:
            await self._mark(place, number)
        if place.why:
            if place.wanted is not None and not place.wanted.plain:
                self.report.failed.add((place.secret.path, place.why))
            return
        if not place.changes:
            return
        if place.live is None and not place.raised:
            await self._record(place, alone=False)
        wanted = place.wanted or Metadata()
        if place.raised:  # whatever else is not known, this was ours
            wanted = msgspec.structs.replace(wanted, partial=False)
        live = place.live.metadata if place.live else None
        if refused := await self._keys.write(place.mount, place.path, wanted, live=live):
            self.report.failed.add((place.secret.path, refused.reason))
        else:
            self.report.described += 1

    async def _mark(self, place: Place, last: int) -> None:
        """Delete and destroy what was, up to the last version that was written."""
        secret = place.secret
        held = {each.number for each in secret.older}
        numbers = range(secret.older[0].number if secret.older else secret.version, secret.version)
        gone: dict[Literal["delete", "destroy"], list[int]] = {
            "destroy": [each.number for each in secret.older if each.destroyed] + [n for n in numbers if n not in held],
            "delete": [each.number for each in secret.older if each.value is None and not each.destroyed],
        }
        for how, which in gone.items():
            there = [each - place.shift for each in which if each - place.shift <= last]
            if there and (refused := await self._keys.mark(place.mount, place.path, how, there)):
                self.report.unlike.add((secret.path, f"{how} of older versions: {refused.reason}"))
        for each in secret.older:
            if each.value is None and each.number - place.shift <= last:
                self.report.empty.add(f"{secret.path} (version {each.number - place.shift})")

    async def _record(self, place: Place, *, alone: bool) -> None:
        if self._journal is not None:
            before = place.live.metadata if place.live else None
            after = place.wanted or Metadata()
            await self._journal.describe(Described(place.mount, place.path, before, after, alone))


def shift_of(secret: Secret) -> int:
    """By how much the numbers of its versions are lower when they were brought back to where no such key was."""
    first = secret.older[0].number if secret.older else secret.version
    return first - 1 if first - 1 > MAX_EMPTY else 0


def _room(secret: Secret, first: int) -> int:
    """For how many versions there must be room, from the first to the newest.

    A vault says which is the oldest from the moment on when all room is taken, which is so where some were pruned.
    """
    held = secret.version - first + 1
    return held if first > 1 or secret.oldest else held + 1


def _historic(secret: Secret) -> bool:
    """Whether something is to be done for its versions before the newest is written."""
    return secret.version > 1 or secret.oldest > 0
