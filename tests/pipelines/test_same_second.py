"""Backups that begin at the same moment: each finds a name of its own before it works, or is refused then."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from kleidia_backup import DirectorySettings
from kleidia_backup.pipeline.archives import claims as module
from kleidia_backup.pipeline.archives.claims import claimed
from kleidia_backup.pipeline.backup import backup
from kleidia_backup.stages.errors import ObjectExists

from .conftest import PASSWORD, System

pytestmark = pytest.mark.anyio

MOMENT = datetime(2026, 1, 17, 12, 0, 5, tzinfo=UTC)

_HOLD = (
    "import sys; from pathlib import Path; from kleidia_backup import DirectorySettings; "
    "from kleidia_backup.pipeline.archives.claims import claimed\n"
    "with claimed(DirectorySettings(Path(sys.argv[1])), sys.argv[2]) as ours: print(ours, flush=True); input()"
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that says the same moment twice, and goes on a second each time from then on."""

    def moments() -> Iterator[datetime]:
        yield MOMENT
        for second in range(99):
            yield MOMENT + timedelta(seconds=second)

    said = moments()

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return next(said)

    monkeypatch.setattr(module, "datetime", Clock)


@pytest.mark.usefixtures("clock")
async def test_two_backups_in_the_same_second(system: System) -> None:
    """Both end well: the later one is named after the next second."""
    names = []

    async def run() -> None:
        names.append((await backup(store=system.store, password=PASSWORD, vault=system.vault)).name)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        group.start_soon(run)
    assert sorted(names) == [f"backups/backup-vault-20260117-12000{second}.enc" for second in (5, 6)]
    assert system.archives() == sorted(names)


async def test_a_chosen_name_that_a_running_backup_has(system: System) -> None:
    """It is refused before anything is read, and free again when that backup has ended."""
    with claimed(system.store, "backups/mine.enc") as ours:
        assert ours
        with pytest.raises(ObjectExists, match=r"will be named backups/mine\.enc"):
            await backup(store=system.store, password=PASSWORD, vault=system.vault, name="mine.enc")
    assert (await backup(store=system.store, password=PASSWORD, vault=system.vault, name="mine.enc")).secrets


def test_another_process_holds_its_claim_until_it_ends(tmp_path: Path) -> None:
    """Even one that is killed lets go; other names and other stores are none of its business."""
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    other = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path), "a.enc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == "True\n"
        for store, name, free in (
            (tmp_path, "a.enc", False),
            (tmp_path / "link", "a.enc", False),
            (tmp_path, "b.enc", True),
            (tmp_path.parent, "a.enc", True),
        ):
            with claimed(DirectorySettings(store), name) as ours:
                assert ours is free
    finally:
        other.kill()
        other.communicate()
    with claimed(DirectorySettings(tmp_path), "a.enc") as ours:
        assert ours
