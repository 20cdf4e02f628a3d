"""Puts back what a restore wrote: the value that a secret had, or no secret where there was none.

Nothing that somebody else wrote since is overwritten, but for one case: a write that was under way when the restore
was killed, of which nobody knows whether it arrived, and the same version number written by somebody else within two
minutes. A former value is written over the version that the restore
made and over no other (check-and-set), and a version of the restore's is deleted by its number. Only a key that the
restore created is removed by two requests, a look and the removal, for a vault knows no removal on condition. KV
version 1 keeps no versions: what the restore overwrote there is gone, and what it created could be somebody else's
by now. Both are left, and named.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from time import time
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio
import msgspec

from ...formats.secret import MAX_SECRET
from ...pipeline.engine import in_thread
from ..errors import KleidiaError
from . import jsontext
from .answers import Absent, Conflict, Deleted, Found, Oversize, Refused
from .backoff import GaveUp
from .reports import NAMED
from .source import SMALL
from .transport import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.streams.memory import MemoryObjectReceiveStream

    from .client import VaultClient
    from .journal import Journal
    from .journal_records import Attempt, Entry
    from .troubles import Answer

#: Seconds in which a write that was under way when the restore ended arrives, or does not.
SETTLE = 2.0
#: A version that the vault made this many seconds before or after a write of ours was sent, and that it never
#: confirmed, may be that write: a server works on one for 90 s at most, and clocks differ a little. What somebody
#: else wrote under that very number in this time cannot be told from ours.
EARLY, LATE = 60.0, 150.0

_Done: TypeAlias = Literal["put_back", "removed", "unchanged"]


@dataclass
class VaultUndoReport:
    """What an undo did: secrets with their former value, removed ones, those that were as before already.

    ``left`` are pairs of mount/path and the reason why it could not be put back, ``NAMED`` of ``left_count`` at most.
    """

    put_back: int = 0
    removed: int = 0
    unchanged: int = 0
    left_count: int = 0
    left: list[tuple[str, str]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All secrets that were looked at."""
        return self.put_back + self.removed + self.unchanged + self.left_count


class _Left(Exception):
    """This secret stays as it is; why."""


class _Large(Exception):
    """This secret is too large to be held by every worker."""


class _Version(msgspec.Struct):
    created_time: str = ""


class _Key(msgspec.Struct):
    current_version: int = 0
    created_time: str = ""
    custom_metadata: dict[str, str] | None = None
    versions: dict[str, _Version] = msgspec.field(default_factory=dict)


class _KeyAnswer(msgspec.Struct):
    data: _Key = msgspec.field(default_factory=_Key)


class VaultUndo:
    """Undoes a journal with many workers. ``report`` says what was done, also after a failure.

    The journal learns of each secret, so that an undo that was interrupted can go on. Raises what the client's
    requests raise, and ``ConfigurationError`` when the journal cannot be read or written. ``step`` is called after
    each secret.
    """

    def __init__(
        self, client: VaultClient, journal: Journal, *, workers: int = 20, step: Callable[[], None] | None = None
    ) -> None:
        self.report = VaultUndoReport()
        self._client = client
        self._journal = journal
        self._workers = workers
        self._step = step
        self._one_large = anyio.Lock()
        self._failure: KleidiaError | None = None

    async def __call__(self) -> None:
        """Put everything back that can be."""
        parts = self._journal.parts
        for part in range(parts):
            entries = await in_thread(self._journal.entries, part, parts)
            hand, taken = anyio.create_memory_object_stream["Entry"](0)
            async with anyio.create_task_group() as workers, hand:
                with taken:
                    for _ in range(self._workers):
                        workers.start_soon(self._work, taken.clone(), workers.cancel_scope)
                for entry in entries:
                    await hand.send(entry)
            if self._failure is not None:
                raise self._failure

    async def _work(self, entries: MemoryObjectReceiveStream[Entry], everybody: anyio.CancelScope) -> None:
        with entries:
            async for entry in entries:
                try:
                    await self._undo(entry)
                except KleidiaError as exc:
                    self._failure = self._failure or exc
                    everybody.cancel()
                    return
                if self._step:
                    self._step()

    async def _undo(self, entry: Entry) -> None:
        report = self.report
        attempt = self._plain if entry.kv_version == 1 else self._versioned
        try:
            try:
                done = await attempt(entry, SMALL)
            except _Large:
                async with self._one_large:
                    done = await attempt(entry, MAX_SECRET)
        except _Left as exc:
            self._journal.leave(entry, str(exc))
            report.left_count += 1
            if len(report.left) < NAMED:
                report.left.append((f"{entry.mount}/{entry.path}", str(exc)))
            return
        self._journal.settle(entry)
        report.put_back += done == "put_back"
        report.removed += done == "removed"
        report.unchanged += done == "unchanged"

    # KV version 1 -------------------------------------------------------------------------------------------------

    async def _plain(self, entry: Entry, limit: int) -> _Done:
        if entry.refused:
            return "unchanged"
        if entry.attempts[entry.first].existed:
            raise _Left("KV version 1 keeps no versions: the value that it had is gone")
        if isinstance(await self._read(entry, limit), Absent):
            return "unchanged"
        raise _Left("it was created, and KV version 1 does not tell whether somebody else has written it since")

    # KV version 2 -------------------------------------------------------------------------------------------------

    async def _versioned(self, entry: Entry, limit: int) -> _Done:
        live = await self._read(entry, limit)
        if _number(live) < entry.first and (pause := _pause(entry)):
            await anyio.sleep(pause)
            live = await self._read(entry, limit)
        current = _number(live)
        attempt = entry.attempts.get(current)
        if attempt is None:
            return await self._moved_on(entry, live, limit)
        _check_ours(attempt, live)
        version, existed = entry.origin(current)
        if isinstance(live, Deleted):
            if existed:
                raise _Left("somebody else has deleted it since")
            return "unchanged"
        del live  # before the former value comes
        if existed:
            return await self._write_back(entry, current, version, limit)
        return await (self._delete(entry, current) if version else self._remove(entry, current))

    async def _moved_on(self, entry: Entry, live: Found | Deleted | Absent, limit: int) -> _Done:
        """The newest version is none of ours: it was never written, is back already, or is somebody else's."""
        current = _number(live)
        if entry.refused or (current == entry.first - 1 and not entry.written):
            return "unchanged"
        version, existed = entry.origin(max(entry.attempts))
        if not existed and not isinstance(live, Found):
            return "unchanged"
        if existed and isinstance(live, Found):
            former = await self._read(entry, limit, version)
            if isinstance(former, Found) and await in_thread(jsontext.same, former.value, live.value):
                return "unchanged"
        raise _Left(f"somebody else has {'written' if current else 'removed'} it since")

    async def _write_back(self, entry: Entry, current: int, version: int, limit: int) -> _Done:
        former = await self._read(entry, limit, version)
        if not isinstance(former, Found):
            raise _Left(f"the version that it had, {version}, is not kept any more")
        result = await self._client.write(entry.mount, entry.path, former.value, cas=current)
        if isinstance(result, Conflict):
            raise _Left("somebody else has written it since")
        if isinstance(result, Refused):
            raise _Left(result.reason)
        return "put_back"

    async def _delete(self, entry: Entry, version: int) -> _Done:
        """Delete one version; the key stays, as it was there before."""
        body = msgspec.json.encode({"versions": [version]})
        await self._ask(Call("POST", f"{entry.mount}/delete/{entry.path}", body))
        return "removed"

    async def _remove(self, entry: Entry, current: int) -> _Done:
        """Remove a key that the restore made."""
        answer = await self._ask(Call("GET", f"{entry.mount}/metadata/{entry.path}"))
        if answer.status == 404:
            return "removed"
        try:
            key = msgspec.json.decode(answer.body, type=_KeyAnswer).data
        except msgspec.DecodeError:
            raise _Left("the vault's answer is not what a KV engine says") from None
        if key.current_version != current:
            raise _Left("somebody else has written it since")
        ours = key.versions.get("1")
        if key.custom_metadata or ours is None or ours.created_time != key.created_time:
            return await self._delete(entry, current)  # a key with metadata alone was there before
        result = await self._client.delete(entry.mount, entry.path, all_versions=True)
        if isinstance(result, Refused):
            raise _Left(result.reason)
        return "removed"

    # Requests -----------------------------------------------------------------------------------------------------

    async def _read(self, entry: Entry, limit: int, version: int = 0) -> Found | Deleted | Absent:
        found = await self._client.read(entry.mount, entry.path, version=version, limit=limit)
        if isinstance(found, Oversize):
            if limit < MAX_SECRET:
                raise _Large
            raise _Left(f"it is larger than {MAX_SECRET >> 20} MiB")
        if isinstance(found, Refused):
            raise _Left(f"it cannot be read: {found.reason}")
        return found

    async def _ask(self, call: Call) -> Answer:
        try:
            answer = await self._client.request(call)
        except GaveUp as exc:
            raise _Left(exc.trouble.clause) from None
        if answer.status not in {200, 204, 404}:
            raise _Left(answer.errors() or f"the server answers {answer.status}")
        return answer


def _number(live: Found | Deleted | Absent) -> int:
    return 0 if isinstance(live, Absent) else live.version


def _pause(entry: Entry) -> float:
    """How long to wait for writes that may still arrive, in seconds."""
    sent = [attempt.at for attempt in entry.attempts.values() if attempt.state == "sent"]
    return min(max(sent) + SETTLE - time(), SETTLE) if sent and max(sent) + SETTLE > time() else 0.0


def _check_ours(attempt: Attempt, live: Found | Deleted | Absent) -> None:
    """Whether the newest version, which has the number of a write of ours, is ours."""
    if attempt.state == "refused":
        raise _Left("it has a version that may be somebody else's")
    if attempt.state == "sent" and isinstance(live, Found):
        try:
            created = datetime.fromisoformat(live.created).timestamp()
        except ValueError:
            created = 0.0
        if not attempt.at - EARLY <= created <= attempt.at + LATE:
            raise _Left("somebody else has written it since")
