"""The audit log: who did what, when, from where, and what came of it.

It is written before an embedding application is notified, and nothing that an embedding application does with an entry
can undo it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import structlog

from .database import row_of

if TYPE_CHECKING:
    from .chain.append import AuditChain
    from .database import Connection, Control

#: What is logged (specification, Audit Logging, and what else an auditor asks for).
Action: TypeAlias = Literal[
    "backup.completed",
    "backup.failed",
    "restore.completed",
    "restore.failed",
    "verify.completed",
    "verify.failed",
    "verify.inconclusive",
    "drill.completed",
    "drill.failed",
    "drill.inconclusive",
    "settings.changed",
    "archive.deleted",
    "archive.downloaded",
    "archive.inspected",
    "archive.pinned",
    "archive.unpinned",
    "job.cancelled",
    "login.refused",
    "login.completed",
    "login.ended",
    "password.refused",
]

#: What the details of a scheduled run begin with (specification, Scheduled Backup Audit Entries).
SCHEDULED = "[Scheduled] "
#: Most entries that one page has.
MAX_PAGE = 1000
#: Longest text of an entry, in characters: some of it comes from unauthenticated clients.
_LONGEST = 2000
#: Seconds that the application has for an entry.
_PATIENCE = 10.0
#: What no text of an entry holds: PostgreSQL takes no NUL, a log no line breaks, UTF-8 no half of a pair.
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for something: subject (None: the system itself), name, IP address, host name of the workstation."""

    user_id: str | None
    user_name: str
    ip: str
    workstation: str = ""


#: The service itself: the schedule, retention.
SYSTEM = Actor(None, "system", "system")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the log. ``duration`` is seconds, ``size`` bytes. Writing it gives ``target``, ``at`` and ``id``.

    ``place``, ``code`` and ``late`` are those of the chain (``chain/``).

    ``action`` is an ``Action``, or what a newer version has written.
    """

    action: str
    user_id: str | None = None
    user_name: str | None = SYSTEM.user_name
    ip: str | None = SYSTEM.ip
    workstation: str | None = ""
    job_id: int | None = None
    archive: str | None = None
    backup_type: str | None = None
    duration: float | None = None
    size: int | None = None
    details: str = ""
    target: str = field(default="", compare=False)
    at: datetime | None = field(default=None, compare=False)
    id: int | None = field(default=None, compare=False)
    place: int | None = field(default=None, compare=False)
    code: bytes | None = field(default=None, compare=False, repr=False)
    late: bool = field(default=False, compare=False)

    @classmethod
    def by(cls, actor: Actor, action: str, **rest: Any) -> AuditEntry:
        """What ``actor`` did; ``rest`` are the other fields."""
        return cls(
            action=action,
            user_id=actor.user_id,
            user_name=actor.user_name,
            ip=actor.ip,
            workstation=actor.workstation,
            **rest,
        )


class ApplicationAudit(Protocol):
    """An embedding application's own audit log. What it raises is logged; it has ten seconds."""

    async def write(self, entry: AuditEntry) -> None:
        """Handle an entry that was written."""


class Audit:
    """The audit entries of one target. ``told`` learns of each in its transaction.

    Every method raises what ``Control.connection`` raises.
    """

    def __init__(
        self,
        control: Control,
        target: str,
        application: ApplicationAudit | None = None,
        chain: AuditChain | None = None,
        told: Callable[[AuditEntry, Connection], Awaitable[None]] | None = None,
    ) -> None:
        self._control = control
        self._told = told
        self._target = target
        self._application = application
        self._chain = chain
        self._log = structlog.get_logger("kleidia_backup.audit")

    async def write(self, entry: AuditEntry) -> AuditEntry:
        """Write an entry, then notify the application; the entry as it was written."""
        async with self._control.connection() as connection, connection.transaction():
            written = await self.insert(entry, connection)
        await self.notify(written)
        return written

    async def insert(self, entry: AuditEntry, connection: Connection) -> AuditEntry:
        """Write an entry within a transaction; call ``notify`` when that is committed."""
        async with connection.cursor(row_factory=row_of(AuditEntry)) as cursor:
            await cursor.execute(_INSERT, {**_values(entry), "target": self._target})
            written = await cursor.fetchone()
        assert written is not None
        assert written.id is not None
        if self._chain is not None:
            await self._chain.append(written.id, connection)
        if self._told is not None:
            await self._told(written, connection)
        return written

    async def notify(self, entry: AuditEntry) -> None:
        """Notify the application, if there is one. Raises nothing."""
        if self._application is None:
            return
        # In a task of its own: not even a cancellation by the application reaches our caller.
        task = asyncio.create_task(self._application.write(entry), name="the application's audit log")
        try:
            await asyncio.wait({task}, timeout=_PATIENCE)
        finally:
            task.cancel()
        problem = "timeout"
        if task.done():
            problem = "cancelled" if task.cancelled() else type(task.exception()).__name__
        if problem != "NoneType":  # its message may hold anything
            self._log.error("the application's audit log failed", action=entry.action, entry=entry.id, problem=problem)

    async def page(self, limit: int = 50, before: int | None = None, action: str | None = None) -> list[AuditEntry]:
        """Entries, newest first: at most ``limit`` (and 1000), with an id below ``before``, of one action or all."""
        limit = max(0, min(limit, MAX_PAGE))
        async with (
            self._control.connection() as connection,
            connection.cursor(row_factory=row_of(AuditEntry)) as cursor,
        ):
            await cursor.execute(_PAGE, {"target": self._target, "limit": limit, "before": before, "action": action})
            return await cursor.fetchall()


def _values(entry: AuditEntry) -> Mapping[str, object]:
    texts = ("action", "user_id", "user_name", "ip", "workstation", "archive", "backup_type", "details")
    numbers = {"job_id": entry.job_id, "duration": entry.duration, "size": entry.size}
    return {name: _clean(getattr(entry, name)) for name in texts} | numbers


def _clean(text: str | None) -> str | None:
    if text is None:
        return None
    text = _UNPRINTABLE.sub("\ufffd", text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


_INSERT = """
    INSERT INTO kleidia_backup.audit
        (target, action, user_id, user_name, ip, workstation, job_id, archive, backup_type, duration, size, details)
    VALUES (%(target)s, %(action)s, %(user_id)s, %(user_name)s, %(ip)s, %(workstation)s, %(job_id)s, %(archive)s,
        %(backup_type)s, %(duration)s, %(size)s, %(details)s)
    RETURNING *
"""
_PAGE = """
    SELECT * FROM kleidia_backup.audit
    WHERE target = %(target)s AND (%(before)s::bigint IS NULL OR id < %(before)s)
      AND (%(action)s::text IS NULL OR action = %(action)s)
    ORDER BY id DESC LIMIT %(limit)s
"""
