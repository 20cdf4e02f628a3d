"""Jobs from beginning to end, on a running service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import anyio
import psycopg
import pytest
import structlog

from kleidia_backup import DirectorySettings, Keys, PrivateKey, SigningKey, inspect
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.demo.servers.together import KvMount
from kleidia_backup.formats.v2.head import Head
from kleidia_backup.service.control.audit import Actor
from kleidia_backup.service.control.jobs import Job
from kleidia_backup.service.service import Service
from kleidia_backup.stages.errors import Busy
from kleidia_backup.stages.vault.kv.client import VaultClient

from .conftest import PASSWORD, SECRETS, ended, files, new_backup

pytestmark = pytest.mark.anyio


async def test_a_backup_from_trigger_to_completed(service: Service, store_directory: Path) -> None:
    """The job says everything about its archive, and the audit log who asked for it."""
    job = await service.submit(new_backup())
    assert job.status == "pending"
    done = await ended(service, job.id)
    assert (done.status, done.error) == ("completed", None)
    assert done.archive is not None
    assert (store_directory / done.archive).stat().st_size == done.size
    assert done.report is not None
    assert done.report["secrets"] == SECRETS + 1
    _all_done(done)
    assert done.replica == service.replica
    (entry,) = await service.audit.page()
    assert (entry.action, entry.user_id, entry.user_name, entry.ip) == ("backup.completed", "u-1", "ada", "192.0.2.7")
    assert (entry.job_id, entry.archive, entry.size, entry.backup_type) == (done.id, done.archive, done.size, "full")
    assert entry.duration == done.duration


async def test_a_restore_and_its_history(service: Service, application: str, kv: KvMount) -> None:
    """Database and vault are as in the archive; jobs, audit log and the service's own secrets are as before."""
    backup = await ended(service, (await service.submit(new_backup())).id)
    with psycopg.connect(application, autocommit=True) as connection:
        connection.execute("DELETE FROM users")
    kv.put("app/secret-3", {"value": "wrong"})
    asked = await service.submit(new_backup(kind="restore", archive=backup.archive))
    restore = await ended(service, asked.id)
    assert (restore.status, restore.error, restore.warnings) == ("completed", None, [])
    _all_done(restore)
    with psycopg.connect(application) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (20,)
    assert kv.get("app/secret-3") == {"value": "s3"}
    assert [job.id for job in await service.jobs.page()] == [restore.id, backup.id]
    assert [entry.action for entry in await service.audit.page()] == ["restore.completed", "backup.completed"]
    assert (await service.jobs.get(backup.id)) == backup


async def test_a_restore_leaves_the_services_own_secrets(service_settings: ServiceSettings, kv: KvMount) -> None:
    """They lie in the root that is backed up: not in the archive, and after a restore with a prune as set last."""
    settings = replace(service_settings, secrets_path="app/backup-service/app")
    own = "app/backup-service/app/encryption-password"
    async with Service(settings) as service:
        await service.settings.put(
            {"encryption_password": "canary-of-the-first"}, None, Actor("u-1", "ada", "192.0.2.7", "desk")
        )
        backup = await ended(service, (await service.submit(new_backup())).id)
        assert backup.report is not None
        assert (backup.report["secrets"], backup.report["own_secrets"]) == (SECRETS + 1, ["backup-service/app/"])
        await service.settings.put(
            {"encryption_password": "canary-of-later"}, None, Actor("u-1", "ada", "192.0.2.7", "desk")
        )
        now, options = kv.get(own), {"prune": True}
        new = new_backup(kind="restore", archive=backup.archive, options=options)
        restore = await ended(service, (await service.submit(new, password="canary-of-the-first")).id)
        assert (restore.status, restore.warnings) == ("completed", [])
        assert kv.get(own) == now
        assert await service.settings.password() == "canary-of-later"


async def test_progress_moves_while_the_very_database_is_restored(service: Service, application: str) -> None:
    """A lock holds the restore in the middle: polls are answered, the clock of its progress goes on, and it ends."""
    backup = await ended(service, (await service.submit(new_backup())).id)
    async with await psycopg.AsyncConnection.connect(application) as holder:
        await holder.execute("LOCK TABLE users IN ACCESS SHARE MODE")
        job = await service.submit(new_backup(kind="restore", archive=backup.archive))
        seen = [await _polled(service, job.id, lambda now: now.phase == "restore")]
        for _ in range(3):
            last = seen[-1].progress["seconds"]
            seen.append(await _polled(service, job.id, lambda now, last=last: now.progress["seconds"] > last))  # type: ignore[misc]
        assert {one.status for one in seen} == {"running"}
    assert (await ended(service, job.id)).status == "completed"


async def test_a_failure_is_written_with_its_next_step(service: Service) -> None:
    """A restore of an archive that is not there: failed, with error and hint, in the audit log as well."""
    job = await ended(service, (await service.submit(new_backup(kind="restore", archive="backups/no.enc"))).id)
    assert job.status == "failed"
    assert job.error is not None
    assert "no.enc" in job.error
    assert job.hint
    (entry,) = await service.audit.page()
    assert (entry.action, entry.details, entry.archive) == ("restore.failed", job.error, "backups/no.enc")


async def test_a_restore_with_its_own_password(service: Service, kv: KvMount) -> None:
    """The password goes through the vault, opens the archive, and is gone afterwards; a wrong one fails the job."""
    backup = await ended(service, (await service.submit(new_backup())).id)
    wrong = new_backup(kind="restore", archive=backup.archive)
    with structlog.testing.capture_logs() as log:
        failed = await ended(service, (await service.submit(wrong, password="other")).id)
        with anyio.fail_after(10):  # it is logged a moment after the job has ended
            while not any(each["log_level"] == "error" for each in log):  # noqa: ASYNC110 - the log tells nobody
                await anyio.sleep(0.02)
    assert {each["log_level"] for each in log if each["event"].startswith("Stage")} <= {"debug"}
    assert [each["event"] for each in log if each["log_level"] == "error"] == ["job failed"]
    assert failed.status == "failed"
    assert "other" not in str(failed)
    right = await ended(service, (await service.submit(wrong, password="canary-encryption-password")).id)
    assert right.status == "completed"
    assert kv.paths("service/restores/") == []


async def test_a_vault_that_is_slow_with_the_password(
    service: Service, kv: KvMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can run the restore before its password is kept: there is no job before, for any replica to deliver."""
    backup = await ended(service, (await service.submit(new_backup())).id)
    write = VaultClient.write

    async def slow(self: VaultClient, mount: str, path: str, *values: Any, **more: Any) -> Any:
        if "restores/" in path:
            await service.queue.deliver()
            assert await service.jobs.running() == []
        return await write(self, mount, path, *values, **more)

    monkeypatch.setattr(VaultClient, "write", slow)
    wanted = new_backup(kind="restore", archive=backup.archive)
    restore = await ended(service, (await service.submit(wanted, password=PASSWORD)).id)
    assert (restore.status, restore.error) == ("completed", None)


async def test_no_password_is_left_of_a_restore_that_does_not_run(
    service_settings: ServiceSettings, kv: KvMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is refused because another waits, and one that is cancelled while it waits."""
    service, restore = Service(service_settings), new_backup(kind="restore", archive="backups/no.enc")
    monkeypatch.setattr(service.queue, "defer", AsyncMock())
    async with service.control:  # and not the service: nobody takes the jobs
        job = await service.submit(restore, password="canary-restore")
        kept = kv.paths("service/restores/")
        assert len(kept) == 1
        with pytest.raises(Busy):
            await service.submit(restore, password="canary-restore")
        assert kv.paths("service/restores/") == kept
        cancelled = await service.cancel(job.id, Actor("u-2", "bob", "192.0.2.8"))
    assert cancelled is not None
    assert cancelled.error == "Cancelled by bob."
    assert kv.paths("service/restores/") == []


async def test_cancel_a_running_backup(service: Service, application: str, store_directory: Path) -> None:
    """It ends while the lock still stands in its way, says who cancelled it, and leaves nothing in the store."""
    async with await psycopg.AsyncConnection.connect(application) as holder:
        await holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        job = await service.submit(new_backup())
        await _polled(service, job.id, lambda now: now.phase == "backup")
        with pytest.raises(Busy, match=f"Job {job.id}"):
            await service.submit(new_backup())
        with anyio.fail_after(20):
            assert await service.cancel(job.id, Actor("u-2", "bob", "192.0.2.8")) is not None
            cancelled = await ended(service, job.id)
    assert cancelled.status == "failed"
    assert cancelled.error == "Cancelled by bob. No archive was made, and nothing is left in the store."
    assert [entry.action for entry in await service.audit.page()] == ["backup.failed", "job.cancelled"]
    assert files(store_directory) == []
    assert (await ended(service, (await service.submit(new_backup())).id)).status == "completed"


async def test_a_scheduled_run_is_the_systems(service: Service) -> None:
    """Its entry in the audit log is as the specification says; here it fails, for the store is gone."""
    job = await service.jobs.create(
        new_backup(requested_by=None, requested_by_name="system", ip="system", workstation="")
    )
    assert isinstance(service.config.store, DirectorySettings)
    service.config.store.path.rmdir()
    await ended(service, job.id)
    (entry,) = await service.audit.page()
    assert (entry.action, entry.user_id, entry.user_name, entry.ip) == ("backup.failed", None, "system", "system")
    assert entry.details.startswith("[Scheduled] ")
    assert "store" in entry.details


async def test_what_follows_a_backup(service: Service, store_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives that became too old are deleted, audited, and the newest are kept; but none after a small one.

    A small archive is warned about. What is missing in it may be in those that would be deleted.
    """
    await service.settings.put({"keep_at_least": 1}, None, Actor("u-1", "ada", "192.0.2.7"))
    first = await ended(service, (await service.submit(new_backup())).id)
    async with service.control.connection() as connection:
        await connection.execute("UPDATE kleidia_backup.jobs SET size = 1000000 WHERE id = %s", (first.id,))
    assert first.archive is not None
    later = Mock(now=Mock(return_value=datetime.now(UTC) + timedelta(days=31)))
    monkeypatch.setattr("kleidia_backup.service.work.post_backup.datetime", later)
    second = await ended(service, (await service.submit(new_backup())).id)
    assert second.status == "completed"
    (warning,) = second.warnings
    assert "less than half of the last one's 1000000" in warning
    assert "No older archive was deleted" in warning
    assert second.archive is not None
    assert {path.name for path in files(store_directory)} == {
        Path(each).name for each in (first.archive, second.archive)
    }
    third = await ended(service, (await service.submit(new_backup())).id)
    assert third.warnings == []
    assert third.archive is not None
    deleted = await service.audit.page(action="archive.deleted")
    assert [(entry.archive, entry.job_id, entry.user_name) for entry in deleted] == [
        (second.archive, third.id, "system"),
        (first.archive, third.id, "system"),
    ]
    assert files(store_directory) == [store_directory / third.archive]


async def test_a_stopped_service_ends_its_job(service_settings: ServiceSettings, application: str) -> None:
    """When the grace is over the job is cancelled cleanly, and its row says why."""
    async with await psycopg.AsyncConnection.connect(application) as holder:
        await holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        async with Service(replace(service_settings, grace=0.2)) as service:
            job = await service.submit(new_backup())
            await _polled(service, job.id, lambda now: now.phase == "backup")
    async with Service(service_settings) as later:
        stopped = await later.jobs.get(job.id)
    assert stopped is not None
    assert stopped.error == "The service was stopped. No archive was made, and nothing is left in the store."


async def test_a_stopping_service_lets_a_job_end(service_settings: ServiceSettings, application: str) -> None:
    """Within the grace a running job ends as if nothing was."""
    async with await psycopg.AsyncConnection.connect(application) as holder:
        await holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        async with Service(service_settings) as service:
            job = await service.submit(new_backup())
            await _polled(service, job.id, lambda now: now.phase == "backup")
            await holder.rollback()
    async with Service(service_settings) as later:
        done = await later.jobs.get(job.id)
    assert done is not None
    assert (done.status, done.error) == ("completed", None)


async def test_incremental_reads(service_settings: ServiceSettings, kv: KvMount) -> None:
    """With `incremental` in [backup] a job takes what did not change from the archive before, and reports it."""
    async with Service(replace(service_settings, incremental=True)) as service:
        first = await ended(service, (await service.submit(new_backup(options={"format": "v2"}))).id)
        kv.put("app/secret-3", {"value": "changed"})
        second = await ended(service, (await service.submit(new_backup(options={"format": "v2"}))).id)
    assert first.report is not None
    assert second.report is not None
    assert first.report["incremental"]["full"] == [{"why": "no_archive", "root": ""}]
    found = second.report["incremental"]
    assert (found["archive"], found["taken"], found["read"]) == (first.archive, SECRETS, 1)
    assert second.report["secrets"] == SECRETS + 1


def _all_done(job: Job) -> None:
    """The progress is what the report says, and every bar is at its end."""
    report, progress = job.report, job.progress
    assert report is not None
    assert report["sql_bytes"] > 0
    assert job.phase is None
    assert progress["sql_total"] == progress["sql_bytes"] == report["sql_bytes"]
    assert progress["secrets_total"] == progress["secrets"] == report["secrets"]
    assert progress["archive_total"] == progress["archive_bytes"] == job.size


async def _polled(service: Service, job_id: int, found: Callable[[Job], bool]) -> Job:
    """The job, once it is as asked for."""
    with anyio.fail_after(20):
        while True:
            job: Any = await service.jobs.get(job_id)
            assert job.active, job
            if found(job):
                return job  # type: ignore[no-any-return]
            await anyio.sleep(0.02)


async def test_jobs_know_both_formats(service: Service) -> None:
    """As the settings say, or as a trigger asks; a restore of V2 has no checksum to tell, and V1's is its header's."""
    await service.settings.put({"format": "v2"}, None, Actor("u-1", "ada", "192.0.2.7", "desk"))
    newer = await ended(service, (await service.submit(new_backup())).id)
    older = await ended(service, (await service.submit(new_backup(options={"format": "v1"}))).id)
    for backup, version in ((newer, "v2"), (older, "v1")):
        assert (backup.status, backup.error) == ("completed", None)
        assert backup.report is not None
        assert backup.report["format"] == version
        assert backup.checksum
        restore = await ended(service, (await service.submit(new_backup(kind="restore", archive=backup.archive))).id)
        assert (restore.status, restore.error) == ("completed", None)
        assert restore.checksum == (None if version == "v2" else backup.checksum)


async def test_keys_of_the_configuration(service_settings: ServiceSettings) -> None:
    """Backups in V2 have the recipients' slots and are signed; a restore trusts its own signature, not a stranger's."""
    private, signing = PrivateKey.generate("x25519"), SigningKey.generate()
    keys = Keys(recipients=(private.public,), signing_key=signing)
    async with Service(replace(service_settings, keys=keys)) as service:
        backup = await ended(service, (await service.submit(new_backup(options={"format": "v2"}))).id)
        assert backup.archive is not None
        assert service_settings.store is not None
        _, head = await inspect(backup.archive, service_settings.store)
        assert isinstance(head, Head)
        assert [slot.members()["type"] for slot in head.slots] == ["password", "x25519"]
        restore = await ended(service, (await service.submit(new_backup(kind="restore", archive=backup.archive))).id)
        assert (restore.status, restore.error) == ("completed", None)
    async with Service(service_settings) as service:
        refused = await ended(service, (await service.submit(new_backup(kind="restore", archive=backup.archive))).id)
        assert refused.status == "failed"
        assert "not trusted here" in (refused.error or "")
