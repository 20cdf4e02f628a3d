"""Puts back what a restore wrote: the value and the metadata that a secret had, or no secret where there was none.

Nothing that another client wrote since is overwritten, but for one case: a write that was under way when the restore
was killed, which may or may not have arrived, and the same version number written by another client within two
minutes. A former value is written over the version that the restore
made and over no other (check-and-set), and a version of the restore's is deleted by its number. Only a key that the
restore created is removed by two requests, a read and the removal, for a vault has no conditional removal. KV
version 1 keeps no versions: what the restore overwrote there is gone, and what it created could be another client's
by now. Both are left, and named.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import time
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio
import msgspec

from ....formats.json.broken import BROKEN
from ....formats.secret import MAX_SECRET
from ....pipeline.engine import in_thread
from ..fan_out import fan_out
from ..kv.answers import Absent, Conflict, Deleted, Found, Oversize, Refused
from ..kv.backoff import GaveUp
from ..kv.client import SMALL, VaultClient
from ..kv.transport import Call
from ..kv.values import equal
from ..metadata.keys import Keys
from ..reports import Named

if TYPE_CHECKING:
    from ..kv.troubles import Answer
    from .journal import Journal
    from .journal_records import Attempt, Entry, Settings

#: Seconds in which a write that was under way when the restore ended arrives, or does not.
LATE_ARRIVAL = 2.0
#: Seconds in which a standby that answers has what the active server confirmed.
CATCH_UP = 10.0
_LOOK_AGAIN = 0.25
#: A version made this many seconds before or after an unconfirmed write was sent may be that write: a server works on
#: one for 90 s at most, and clocks differ a little. What another client wrote under that very number in this time
#: cannot be distinguished from it.
EARLY, LATE = 60.0, 150.0

_Done: TypeAlias = Literal["put_back", "removed", "unchanged"]


@dataclass
class VaultUndoReport:
    """What an undo did: secrets with their former value, removed ones, those that were as before already.

    ``left`` are pairs of mount/path and the reason why it could not be put back.
    """

    put_back: int = 0
    removed: int = 0
    unchanged: int = 0
    left: Named[tuple[str, str]] = field(default_factory=Named)

    @property
    def total(self) -> int:
        """All secrets that were looked at."""
        return self.put_back + self.removed + self.unchanged + self.left.count


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
        self._keys = Keys(client)

    async def __call__(self) -> None:
        """Put everything back that can be."""
        parts = self._journal.parts
        for part in range(parts):
            entries = await in_thread(self._journal.entries, part, parts)
            try:
                await fan_out(_once(entries), self._workers, self._undo)
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None

    async def _undo(self, entry: Entry) -> None:
        report = self.report
        attempt = self._plain if entry.kv_version == 1 else self._versioned
        done: _Done = "unchanged"
        try:
            try:
                if entry.attempts:
                    done = await attempt(entry, SMALL)
            except _Large:
                async with self._one_large:
                    done = await attempt(entry, MAX_SECRET)
            if entry.settings:
                done = await self._describe(entry, entry.settings, done)
        except _Left as exc:
            self._journal.record_left(entry, str(exc))
            report.left.add((f"{entry.mount}/{entry.path}", str(exc)))
        else:
            self._journal.record_put_back(entry)
            report.put_back += done == "put_back"
            report.removed += done == "removed"
            report.unchanged += done == "unchanged"
        if self._step:
            self._step()

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
        live = await self._caught_up(entry, live, limit)
        current = _number(live)
        attempt = entry.attempts.get(current)
        if attempt is None:
            return await self._moved_on(entry, live, limit)
        _check_own(attempt, live)
        version, existed = entry.origin(current)
        if isinstance(live, Deleted):
            if existed:
                raise _Left("somebody else has deleted it since")
            if not version and entry.settings and entry.settings.before is None:
                return await self._remove(entry, current)  # a key that came back without a value
            return "unchanged"
        del live  # before the former value comes
        if existed:
            return await self._write_back(entry, current, version, limit)
        return await (self._delete(entry, current) if version else self._remove(entry, current))

    async def _caught_up(self, entry: Entry, live: Found | Deleted | Absent, limit: int) -> Found | Deleted | Absent:
        """What is live, not less than what was confirmed: a standby may answer with an older state.

        A key that is not there any more was removed since; only one that was not there before can be that.
        """
        if self._client.consistent:
            return live
        confirmed = entry.confirmed
        for _ in range(int(CATCH_UP / _LOOK_AGAIN)):
            if _number(live) >= confirmed:
                return live
            await anyio.sleep(_LOOK_AGAIN)
            live = await self._read(entry, limit)
        if isinstance(live, Absent) or _number(live) >= confirmed:
            return live
        raise _Left("the vault shows an older state of it than it had confirmed")

    async def _moved_on(self, entry: Entry, live: Found | Deleted | Absent, limit: int) -> _Done:
        """The newest version is not the restore's: it was never written, is back already, or is another client's."""
        current = _number(live)
        if entry.refused or (current == entry.first - 1 and not entry.written):
            return "unchanged"
        version, existed = entry.origin(max(entry.attempts))
        if not existed and not isinstance(live, Found):
            return "unchanged"
        if existed and isinstance(live, Found):
            former = await self._read(entry, limit, version)
            if isinstance(former, Found) and await equal(live.value, former.value):
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
        except BROKEN:
            raise _Left("the vault's answer is not what a KV engine says") from None
        if key.current_version != current:
            raise _Left("somebody else has written it since")
        ours = key.versions.get("1")
        described = entry.settings
        if described and described.before is None:
            if key.custom_metadata and key.custom_metadata != described.after.custom_metadata:
                raise _Left("somebody else has changed its metadata since")
        elif described or key.custom_metadata or ours is None or ours.created_time != key.created_time:
            return await self._delete(entry, current)  # a key with metadata alone was there before
        result = await self._client.delete(entry.mount, entry.path, all_versions=True)
        if isinstance(result, Refused):
            raise _Left(result.reason)
        return "removed"

    # Metadata -----------------------------------------------------------------------------------------------------

    async def _describe(self, entry: Entry, change: Settings, done: _Done) -> _Done:
        """Give the key the metadata again that it had; ``done`` is what became of its value."""
        key = await self._keys.read(entry.mount, entry.path)
        if isinstance(key, Refused):
            raise _Left(f"its metadata cannot be read: {key.reason}")
        if isinstance(key, Absent):
            return done
        if change.before is None:
            if key.current:
                return done  # what there is was left, or is another client's
            result = await self._client.delete(entry.mount, entry.path, all_versions=True)
            if isinstance(result, Refused):
                raise _Left(result.reason)
            return "removed"
        before, live = change.before, key.metadata
        if live == before:
            return done
        after = change.after
        if after.partial:
            after = msgspec.structs.replace(before, custom_metadata=after.custom_metadata)
        if live not in (after, msgspec.structs.replace(before, delete_version_after="")):
            raise _Left("somebody else has changed its metadata since")
        if refused := await self._keys.write(entry.mount, entry.path, before, live=live):
            raise _Left(f"its metadata: {refused.reason}")
        return "put_back" if done == "unchanged" else done

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


def _once(entries: Sequence[Entry]) -> Callable[[], Awaitable[Sequence[Entry]]]:
    """Gives one batch, and then none."""
    batches = iter((entries, ()))

    async def batch() -> Sequence[Entry]:
        return next(batches)

    return batch


def _number(live: Found | Deleted | Absent) -> int:
    return 0 if isinstance(live, Absent) else live.version


def _pause(entry: Entry) -> float:
    """How long to wait for writes that may still arrive, in seconds."""
    sent = [attempt.at for attempt in entry.attempts.values() if attempt.state == "sent"]
    return min(max(sent) + LATE_ARRIVAL - time(), LATE_ARRIVAL) if sent and max(sent) + LATE_ARRIVAL > time() else 0.0


def _check_own(attempt: Attempt, live: Found | Deleted | Absent) -> None:
    """Raise ``_Left`` unless the newest version, which has the number of one of our writes, is that write."""
    if attempt.state == "refused":
        raise _Left("it has a version that may be somebody else's")
    if attempt.state == "sent" and isinstance(live, Found):
        try:
            created = datetime.fromisoformat(live.created).timestamp()
        except ValueError:
            created = 0.0
        if not attempt.at - EARLY <= created <= attempt.at + LATE:
            raise _Left("somebody else has written it since")
