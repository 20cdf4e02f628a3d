"""One history: what the command does is in the control database, beside what the service does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import anyio
import psycopg
import pytest

from kleidia_backup.commands.console.terminal import Terminal
from kleidia_backup.commands.records import history
from kleidia_backup.commands.records.history import Entry, History
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.pipeline.archives.listing import list_archives
from kleidia_backup.service.control.chain.verify import verify_chain
from kleidia_backup.service.control.jobs import Job
from kleidia_backup.service.service import Service

from .conftest import PASSWORD, ended, new_backup

pytestmark = pytest.mark.anyio


@pytest.fixture
def environment(configuration: Path, service: Service) -> dict[str, str]:
    """Of a command with the configuration of the service that runs."""
    text = configuration.read_text(encoding="utf-8")
    configuration.write_text(text.replace("[service]", '[service]\ntarget = "app"'), encoding="utf-8")
    state = {"KLEIDIA_BACKUP_STATE_DIR": str(service.config.state)}
    return os.environ | state | {"KLEIDIA_CONFIG": str(configuration), "SERVICE_PASSWORD": PASSWORD}


@pytest.fixture
def service_settings(service_settings: ServiceSettings) -> ServiceSettings:
    """What is silent for three seconds counts as dead, for a test that kills a command."""
    return replace(service_settings, intervals=replace(service_settings.intervals, dead=3))


_STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """What a test that fails has started ends with it, and is no warning of another test."""
    yield
    while _STARTED:
        with _STARTED.pop() as process:
            process.kill()


def started(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """A command, which is not waited for."""
    words = [sys.executable, "-m", "kleidia_backup.cli", "--json", "--quiet", *arguments]
    _STARTED.append(
        subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    )
    return _STARTED[-1]


async def told(process: subprocess.Popen[str]) -> tuple[int, Any, str]:
    """Exit status, the JSON object, and stderr."""
    out, err = await asyncio.to_thread(process.communicate, timeout=60)
    return process.returncode, json.loads(out) if out else None, err


async def when(service: Service, fits: Callable[[Job], bool]) -> Job:
    """The newest job, as soon as it fits."""
    with anyio.fail_after(120):
        while True:
            jobs = await service.jobs.page(1)
            if jobs and fits(jobs[0]):
                return jobs[0]
            await anyio.sleep(0.05)


async def test_what_commands_do_is_recorded(service: Service, environment: dict[str, str]) -> None:
    """Jobs and entries, chained, by the user and the host; and an archive's verification counts for the service."""

    async def run(*arguments: str) -> Any:
        status, values, err = await told(started(environment, *arguments))
        assert status == 0, err
        assert values["recorded"] is True, err
        return values

    made = await run("backup", "--type", "vault")
    name = made["name"]
    await run("verify", name)
    await run("pin", name, "--reason", "kept for the audit")
    await run("restore", name, "--yes")
    await run("unpin", name)
    listed = await list_archives(await service.settings.store())
    recorded = (await service.verifications.recorded(listed))[name]
    assert recorded.verdict == "verified"
    assert recorded.job is not None
    await run("delete", name, "--yes")

    restored, verified, backed_up = await service.jobs.page()
    assert [(job.kind, job.status, job.archive) for job in (backed_up, verified, restored)] == [
        (kind, "completed", name) for kind in ("backup", "verify", "restore")
    ]
    assert {job.backup_type for job in (backed_up, verified, restored)} == {"vault"}
    assert (backed_up.size, backed_up.checksum) == (made["size"], made["checksum"])
    assert backed_up.report is not None
    assert backed_up.progress["secrets"] == backed_up.progress["secrets_total"] > 0
    entries = await service.audit.page()
    assert [entry.action for entry in reversed(entries)] == [
        "backup.completed",
        "verify.completed",
        "archive.pinned",
        "restore.completed",
        "archive.unpinned",
        "archive.deleted",
    ]
    assert {entry.archive for entry in entries} == {name}
    assert {entry.workstation for entry in entries} == {restored.workstation} == {socket.gethostname()}
    assert {entry.user_id for entry in entries} == {restored.requested_by} == {f"os:{restored.requested_by_name}"}
    found = await service.secrets.chain_key(create=False)
    report = await verify_chain(service.control, "app", found.key, found.chain)
    assert (report.broken, report.entries, report.unchained) == ((), 6, 0)


async def test_a_command_and_the_service_wait_for_each_other(
    service: Service, environment: dict[str, str], application: str
) -> None:
    """What writes is refused while a job runs; a command's backup is one, can be cancelled, is given up when killed."""
    with psycopg.connect(application) as holder:
        holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        killed = started(environment, "backup")
        job = await when(service, lambda job: job.phase == "backup")
        assert (job.status, job.options) == ("running", {"command": True})
        status, values, _ = await told(started(environment, "restore", "--undo"))
        assert (status, values["error"]["type"]) == (9, "Busy"), values
        killed.send_signal(signal.SIGKILL)
        await told(killed)
        lost = await ended(service, job.id)
        assert lost.error is not None
        assert lost.error.startswith("The replica that ran it (command ")

        cancelled = started(environment, "backup")
        job = await when(service, lambda job: job.active and job.phase == "backup")
        await service.jobs.request_cancel(job.id, "ada")
        status, values, err = await told(cancelled)
        assert (status, values["recorded"]) == (143, True), err
        gone = await ended(service, job.id)
        assert gone.error is not None
        assert gone.error.startswith("Cancelled by ada, through the service. No archive was made")

        own = await service.submit(new_backup())
        await when(service, lambda job: job.phase == "backup")
        status, values, _ = await told(started(environment, "restore", "--undo"))
        assert (status, values["error"]["type"]) == (9, "Busy")
        assert f"Job {own.id}" in values["error"]["message"]
    assert (await ended(service, own.id)).status == "completed"


async def test_no_command_fails_for_its_history(service: Service, environment: dict[str, str]) -> None:
    """A control database that is away is a warning; retention alone needs it, for it knows what was proven."""
    away = environment | {"KLEIDIA_SERVICE_CONTROL_CONNINFO": "host=/nowhere dbname=app"}
    status, values, err = await told(started(away, "backup", "--type", "vault"))
    assert (status, values["recorded"]) == (0, False)
    assert err.count("not recorded in the control database") == 1
    status, values, err = await told(started(away, "pin", values["name"]))
    assert (status, values["recorded"]) == (0, False)
    status, values, err = await told(started(away, "retention"))
    assert status == 5
    status, values, err = await told(started(environment, "retention"))
    assert (status, values["rules_from"], values["recorded"]) == (0, "service", True), err
    assert await service.jobs.page() == []


async def test_a_control_database_that_does_not_answer_in_time_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was done is done, and a warning says that it is not recorded; nothing is left out without a word."""
    monkeypatch.setattr(history, "_LAST_WORDS", 0.05)
    monkeypatch.setattr(History, "_opened", lambda *_: anyio.sleep_forever())
    terminal = Terminal(json=True)
    record = History(Namespace(command="pin"), Mock(), terminal, 60.0, bool)
    await record.entries([Entry("archive.pinned", "backups/x.enc")])
    assert terminal.notes["recorded"] is False
    assert capsys.readouterr().err.count("warning: This is not recorded in the control database") == 1
