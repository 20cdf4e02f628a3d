"""The fan-out sink: writes secrets into a vault with many workers, and only those that differ from what is there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Protocol

import anyio

from ...formats.secret import MAX_SECRET, Secret
from ..errors import VaultThreshold
from ..words import count
from .answers import Absent, Conflict, Found, Names, Oversize, Refused
from .fan_out import AHEAD, fan_out
from .live import LiveValues, same
from .reports import WriteReport, some
from .roots import Root, check_roots, locate
from .source import SMALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...pipeline.engine import Inlet
    from .client import VaultClient

#: How often a secret that somebody else keeps writing is read again.
_CONFLICTS = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One write, for a journal: told when it is sent next (``after`` is None) and again when the vault confirmed it.

    ``before`` is the number of the newest version before the write, deleted or not, 0 when there was none (KV
    version 1 has no numbers: always 0). ``existed`` says whether there was a value, ``after`` which version the write
    made. One that the vault refused is told again as ``refused``. A change that was sent and told of no more may or may
    not have happened. Before all that, the creation of a secret may be told ``ahead``; it is ``planned`` then.
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

    @property
    def sends(self) -> bool:
        """Whether it is sent next."""
        return self.after is None and not self.refused and not self.ahead

    def sent(self) -> Change:
        """One that was told ahead, when it is sent."""
        return Change(self.mount, self.path, self.kv_version, self.before, self.existed, planned=self.planned)

    def done(self, after: int | None) -> Change:
        """One that was sent, when the vault confirmed version ``after`` of it, or refused it."""
        return Change(
            self.mount,
            self.path,
            self.kv_version,
            self.before,
            self.existed,
            after,
            refused=after is None,
            planned=self.planned,
        )


class Journal(Protocol):
    """Takes what a sink tells."""

    async def __call__(self, *changes: Change) -> None:
        """Note them; return when those that are ahead, or sent next and were not planned, are on the disk."""


@dataclass(frozen=True, slots=True)
class _Task:
    """A secret on its way to its place. ``first`` is its first write, told ahead, where it is known to be absent."""

    secret: Secret
    mount: str
    path: str
    first: Change | None


class VaultSink:
    """Writes every secret to its place below the roots. ``report`` is complete after the run.

    Raises ``VaultThreshold`` at the end when half of the secrets or more could not be written (below, the report has
    warnings), ``ConfigurationError`` for an archive path that no root takes, and what the client's requests raise.
    ``journal`` is awaited before and after each write; what it raises ends the run.
    """

    name = "vault"

    def __init__(
        self, client: VaultClient, roots: Sequence[Root], *, workers: int = 20, journal: Journal | None = None
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
        self._empty: set[Root] = set()
        self._live = LiveValues(client)

    async def __call__(self, secrets: Inlet[Secret]) -> None:
        """Write every secret."""
        started = monotonic()
        await self._look()
        tasks = partial(self._tasks, secrets)
        await fan_out(tasks, self._workers, self._put, lambda task: task.secret.nbytes > SMALL)
        self.report.seconds = monotonic() - started
        self._judge()

    async def _look(self) -> None:
        """Find the roots in which nothing is. A missing mount shows before anything is written.

        What is not there need not be read first: the server itself refuses to write over a secret that somebody else
        made meanwhile. KV version 1 has no such check.
        """
        for root in self._roots:
            if await self._client.kv_version(root.mount) == 2:
                names = await self._client.list(root.mount, root.folder)
                if isinstance(names, Names) and names.none:
                    self._empty.add(root)

    async def _tasks(self, secrets: Inlet[Secret]) -> Sequence[_Task]:
        """Where the next secrets go. The journal is told of absent ones ahead of the workers, of many at once."""
        tasks = [self._task(secret) for secret in await secrets.batch()]
        if self._journal and (ahead := [task.first for task in tasks if task.first]):
            await self._journal(*ahead)
        return tasks

    def _task(self, secret: Secret) -> _Task:
        root, path = locate(self._roots, secret.path)
        first = Change(root.mount, path, 2, 0, existed=False, ahead=True, planned=True) if root in self._empty else None
        return _Task(secret, root.mount, path, first)

    def _judge(self) -> None:
        report = self.report
        if report.failed_count * 2 >= report.total > 0 and report.failed_count:
            total = count(report.total, "secret")
            raise VaultThreshold(
                f"{report.failed_count:,} of {total} could not be written: {some(report.failed)}.",
                hint="Below half it would have been a warning. Mend the reason and restore again.",
                paths=tuple(path for path, _ in report.failed),
            )

    async def _put(self, task: _Task) -> None:
        self.report.total += 1
        if why := await self._settle(task, task.secret.value):
            self.report.note_failed(task.secret.path, why)

    async def _settle(self, task: _Task, value: bytes) -> str:
        """Make the live value equal; returns why that failed, or nothing."""
        version = await self._client.kv_version(task.mount)
        change = task.first.sent() if task.first else None
        for attempt in range(_CONFLICTS):
            if attempt:
                await anyio.sleep(0.1 * attempt)  # a standby may be a little behind
            if change is None:
                live = await self._live.read(task.mount, task.path)
                match live:
                    case Refused():
                        return f"its live value cannot be read: {live.reason}"
                    case Oversize():
                        return f"its live value is larger than {MAX_SECRET >> 20} MiB"
                    case Found() if await same(live.value, value):
                        self.report.unchanged += 1
                        return ""
                before = 0 if isinstance(live, Absent) else live.version
                change = Change(task.mount, task.path, version, before, existed=isinstance(live, Found))
                del live  # half of what is in memory
            result = await self._write(change, value)
            if isinstance(result, Refused):
                return result.reason
            if not isinstance(result, Conflict):
                self.report.written += 1
                self.report.created += not change.existed
                return ""
            change = None
        return "somebody else keeps writing it"

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
