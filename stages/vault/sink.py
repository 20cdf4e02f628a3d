"""The fan-out sink: writes secrets into a vault with many workers, and only those that differ from what is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import anyio

from ...formats.secret import MAX_SECRET, Secret
from ..errors import VaultThreshold
from ..words import VAULT, count
from .fan_out import AHEAD, fan_out
from .kv.answers import Absent, Conflict, Found, Names, Oversize, Refused
from .kv.client import SMALL, VaultClient
from .kv.identity import may_be_behind
from .kv.roots import Root, check_roots, locate, owns
from .kv.values import Values, equal
from .reports import WriteReport, some

if TYPE_CHECKING:
    from ...pipeline.engine import Inlet
    from .metadata.bring_back import BringBack

#: Attempts at a secret that another client writes at the same time.
_CONFLICTS = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One write, for a journal: passed before it is sent (``after`` is None) and again when the vault confirmed it.

    ``before`` is the number of the newest version before the write, deleted or not, 0 when there was none (KV
    version 1 has no numbers: always 0). ``existed`` says whether there was a value, ``after`` which version the write
    made. One that the vault refused is passed again as ``refused``. A change that was sent and not passed again may or
    may not have happened. Before all that, the creation of a secret may be passed ``ahead``; it is ``planned`` then.
    One that makes a further version of the same secret comes ``again``.
    """

    mount: str
    path: str
    kv_version: int
    before: int
    existed: bool
    after: int | None = None
    refused: bool = False
    ahead: bool = False
    planned: bool = False
    again: bool = False

    @property
    def sends(self) -> bool:
        """Whether it is sent next."""
        return self.after is None and not self.refused and not self.ahead

    def sent(self) -> Change:
        """The change when it is sent, after it was passed ahead."""
        return Change(self.mount, self.path, self.kv_version, self.before, self.existed, planned=self.planned)

    def further(self, before: int) -> Change:
        """The change that makes the version behind ``before``, which we made."""
        return Change(self.mount, self.path, self.kv_version, before, existed=False, again=True) if before else self

    def done(self, after: int | None) -> Change:
        """The change when the vault confirmed version ``after`` of it, or refused it (None)."""
        return Change(
            self.mount,
            self.path,
            self.kv_version,
            self.before,
            self.existed,
            after,
            refused=after is None,
            planned=self.planned,
            again=self.again,
        )


class WriteJournal(Protocol):
    """Records a sink's writes."""

    async def __call__(self, *changes: Change) -> None:
        """Record them; return when those that are ahead, or sent next and were not planned, are on the disk."""


@dataclass(frozen=True, slots=True)
class _Task:
    """A secret on its way to its place. ``first`` is its creation, passed ahead, where it is known to be absent."""

    secret: Secret
    mount: str
    path: str
    first: Change | None


class VaultSink:
    """Writes every secret to its place below the roots. ``report`` is complete after the run.

    The product's ``own`` (see ``VaultSettings``) are left as they are. ``back`` brings back what a secret has besides
    its newest value. ``total`` is how many secrets there are to write, at least, as far as that is known.

    Raises ``VaultThreshold`` at the end when half of the secrets or more could not be written (below, the report has
    warnings), ``ConfigurationError`` for an archive path that no root takes, and what the client's requests raise.
    ``journal`` is awaited before and after each write; what it raises ends the run.
    """

    name = "vault"
    server = VAULT

    def __init__(
        self,
        client: VaultClient,
        roots: Sequence[Root],
        *,
        workers: int = 20,
        journal: WriteJournal | None = None,
        own: Sequence[str] = (),
        back: BringBack | None = None,
        total: int = 0,
    ) -> None:
        check_roots(roots)
        self.report = WriteReport()
        #: Bytes: a secret, its live value, and the answer it came in or the request it goes out in, per worker; and
        #: those that wait.
        self.working_set = 3 * (workers * SMALL + MAX_SECRET) + AHEAD * SMALL
        self._client = client
        self._roots = tuple(roots)
        self._workers = workers
        self._journal = journal
        self._own = tuple(own)
        self._back = back
        self._total = total
        self._empty: set[Root] = set()
        self._values = Values(client)

    async def __call__(self, secrets: Inlet[Secret]) -> None:
        """Write every secret."""
        await self._find_empty_roots()
        tasks = partial(self._tasks, secrets)
        with self._client.expected(lambda: self._total - self.report.total):
            await fan_out(tasks, self._workers, self._put, lambda task: task.secret.nbytes > SMALL)
        self.report.behind = await may_be_behind(self._client)
        self._check_threshold()

    async def _find_empty_roots(self) -> None:
        """Find the roots in which nothing is. A missing mount shows before anything is written.

        What is not there need not be read first: the server itself refuses to write over a secret that another
        client made meanwhile. KV version 1 has no such check.
        """
        for root in self._roots:
            if await self._client.kv_version(root.mount) == 2:
                names = await self._client.list(root.mount, root.folder)
                if isinstance(names, Names) and names.none:
                    self._empty.add(root)

    async def _tasks(self, secrets: Inlet[Secret]) -> Sequence[_Task]:
        """Where the next secrets go. Creations are journalled ahead of the workers, many at once."""
        tasks: list[_Task] = []
        while not tasks and (batch := await secrets.batch()):
            tasks = [task for secret in batch if (task := self._task(secret))]
        if self._journal and (ahead := [task.first for task in tasks if task.first]):
            await self._journal(*ahead)
        return tasks

    def _task(self, secret: Secret) -> _Task | None:
        root, path = locate(self._roots, secret.path)
        if owns(self._own, root.mount, path):
            self.report.own_secrets.add(secret.path)
            return None
        first = None
        if root in self._empty and not secret.gone:
            first = Change(root.mount, path, 2, 0, existed=False, ahead=True, planned=True)
        return _Task(secret, root.mount, path, first)

    def _check_threshold(self) -> None:
        failed, total = self.report.failed, self.report.total
        if failed.count * 2 >= total > 0:
            raise VaultThreshold(
                f"{failed.count:,} of {count(total, 'secret')} could not be written: {some(failed.names)}.",
                hint="Below half it would have been a warning. Mend the reason and restore again.",
                paths=tuple(path for path, _ in failed.names),
            )

    async def _put(self, task: _Task) -> None:
        self.report.total += 1
        if why := await (self._leave_empty(task) if task.secret.gone else self._update(task, task.secret.value)):
            self.report.failed.add((task.secret.path, why))

    async def _update(self, task: _Task, value: bytes) -> str:
        """Make the live value equal; returns why that failed, or nothing."""
        version = await self._client.kv_version(task.mount)
        change = task.first.sent() if task.first else None
        for attempt in range(_CONFLICTS):
            if attempt:
                await anyio.sleep(0.1 * attempt)  # a standby may be a little behind
            if change is None:
                async with self._values.read(task.mount, task.path) as live:
                    match live:
                        case Refused():
                            return f"its live value cannot be read: {live.reason}"
                        case Oversize():
                            return f"its live value is larger than {MAX_SECRET >> 20} MiB"
                    same = isinstance(live, Found) and await equal(live.value, value)
                    before = 0 if isinstance(live, Absent) else live.version
                    change = Change(task.mount, task.path, version, before, existed=isinstance(live, Found))
                del live  # half of what is in memory
            else:
                same = False
            result = await self._bring(task, change, same=same)
            if isinstance(result, Refused):
                return result.reason
            if not isinstance(result, Conflict):
                self.report.written += not same
                self.report.unchanged += same
                return ""
            change = None
        return "somebody else keeps writing it"

    async def _leave_empty(self, task: _Task) -> str:
        """A key of which the archive has no value comes back without one; a value that is there stays."""
        report, secret, back = self.report, task.secret, self._back
        live = await self._client.read(task.mount, task.path, limit=SMALL)
        if isinstance(live, Refused):
            return f"its live value cannot be read: {live.reason}"
        place = None
        if isinstance(live, Found | Oversize):
            report.kept.add(secret.path)
        elif back is not None:
            place = await back.look(secret, task.mount, task.path, absent=False)
        if back is None or place is None:
            report.unchanged += 1
            return ""
        first = Change(task.mount, task.path, 2, 0, existed=False)
        failed = await back.without_value(place, lambda before, value: self._write(first.further(before), value))
        if failed is not None:
            return failed.reason if isinstance(failed, Refused) else "somebody else has written it meanwhile"
        report.written += place.made
        report.unchanged += not place.made
        return ""

    async def _bring(self, task: _Task, change: Change, *, same: bool) -> Refused | Conflict | None:
        """Write what is not the ``same``, and all that belongs to it."""
        place, written = None, 0
        if self._back is not None:
            absent = change.planned
            place = await self._back.look(task.secret, task.mount, task.path, absent=absent)
        if self._back is not None and place is not None:
            await self._back.before(place, alone=same)
            if not same:
                older = await self._back.older(place, lambda before, value: self._write(change.further(before), value))
                if isinstance(older, Conflict):
                    return older
                written = older
        if not same and (failed := await self._write(change.further(written), task.secret.value)):
            return failed
        if self._back is not None and place is not None:
            await self._back.after(place, number=written)
        return None

    async def _write(self, change: Change, value: bytes) -> Refused | Conflict | None:
        if self._journal:
            await self._journal(change)
        cas = change.before if change.kv_version == 2 else None
        result = await self._client.write(change.mount, change.path, value, cas=cas)
        if isinstance(result, Refused | Conflict):
            if self._journal and (isinstance(result, Conflict) or result.status >= 400):
                await self._journal(change.done(None))
            return result
        if self._journal:
            await self._journal(change.done(result.version))
        return None
