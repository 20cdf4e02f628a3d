"""The audit log: what is written stays written, whatever the application does with it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from kleidia_backup.service.control import audit as module
from kleidia_backup.service.control.audit import SYSTEM, Actor, Audit, AuditEntry
from kleidia_backup.service.control.database import Control

ADA = Actor("u-1", "ada", "192.0.2.7", "desk")


class Application:
    """An embedding application's audit log that does what it is told to."""

    def __init__(self, behave: Callable[[], Awaitable[None]] | None = None) -> None:
        self.seen: list[AuditEntry] = []
        self._behave = behave

    async def write(self, entry: AuditEntry) -> None:
        self.seen.append(entry)
        if self._behave is not None:
            await self._behave()


@pytest.mark.anyio
async def test_every_field_comes_back(control: Control) -> None:
    """User, workstation, address, archive, type, duration, size, details: as written, with a time and a number."""
    entry = AuditEntry.by(
        ADA,
        "backup.completed",
        job_id=7,
        archive="backups/backup-full-20260105-020000.enc",
        backup_type="full",
        duration=1.5,
        size=2**40,
        details="[Scheduled] fine",
    )
    written = await Audit(control, "app").write(entry)
    assert written == entry
    assert written.id is not None
    assert written.at is not None
    assert await Audit(control, "app").page() == [written]


@pytest.mark.anyio
async def test_what_the_system_does_has_no_user(control: Control) -> None:
    """The schedule and retention: address `system`, name `system`, no user id."""
    written = await Audit(control, "app").write(AuditEntry.by(SYSTEM, "archive.deleted"))
    assert (written.user_id, written.user_name, written.ip) == (None, "system", "system")


@pytest.mark.anyio
async def test_pages_are_newest_first(control: Control) -> None:
    """Pages follow each other by number without gap or repetition, also of one action; limits are kept."""
    audit = Audit(control, "app")
    for number in range(7):
        await audit.write(AuditEntry(action="login.refused" if number % 2 else "backup.failed", details=str(number)))
    first = await audit.page(3)
    second = await audit.page(3, before=first[-1].id)
    rest = await audit.page(before=second[-1].id)
    assert [entry.details for entry in (*first, *second, *rest)] == ["6", "5", "4", "3", "2", "1", "0"]
    assert [entry.details for entry in await audit.page(action="login.refused")] == ["5", "3", "1"]
    assert await audit.page(0) == []
    assert await audit.page(-1) == []
    assert len(await audit.page(10**9)) == 7


async def _raise() -> None:
    raise RuntimeError("canary-of-the-application")


async def _hang() -> None:
    await asyncio.Event().wait()


async def _cancel() -> None:
    raise asyncio.CancelledError


@pytest.mark.anyio
@pytest.mark.parametrize("behave", [_raise, _hang, _cancel])
async def test_an_application_that_fails_takes_nothing_away(
    control: Control,
    behave: Callable[[], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An application that raises, hangs or is cancelled: our entry is there, nothing is raised, the log says so."""
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    application = Application(behave)
    audit = Audit(control, "app", application)
    written = await audit.write(AuditEntry.by(ADA, "restore.failed"))
    assert application.seen == [written]
    assert await audit.page() == [written]
    said = capsys.readouterr().out
    assert "application's audit log failed" in said
    assert "canary" not in said


@pytest.mark.anyio
async def test_the_application_hears_of_it_after_it_was_written(control: Control) -> None:
    """What the application gets is in the table already, with its number and time."""
    found: list[AuditEntry] = []

    async def look() -> None:
        found.extend(await Audit(control, "app").page())

    written = await Audit(control, "app", Application(look)).write(AuditEntry.by(ADA, "job.cancelled"))
    assert found == [written]


@pytest.mark.anyio
async def test_what_strangers_say_is_made_harmless(control: Control) -> None:
    """NUL, line breaks, escapes, half surrogates and megabytes in a refused login's fields: written, cleaned, cut."""
    stranger = Actor(None, "eve\0\n\x1b[31m\ud800", "192.0.2.9", "x" * 10**6)
    written = await Audit(control, "app").write(AuditEntry.by(stranger, "login.refused", details="a\u2028b"))
    assert written.user_name == "eve\ufffd\ufffd\ufffd[31m\ufffd"
    assert written.details == "a\ufffdb"
    assert written.workstation is not None
    assert len(written.workstation) == 2000
