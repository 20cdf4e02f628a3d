"""What the service tells: once, in order, whatever happens to the receiver or to a replica."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from kleidia_backup.config.notifying.settings import NotifySettings
from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.notify.message import test_message as a_test
from kleidia_backup.service.control import outbox as outboxes
from kleidia_backup.service.control.audit import Actor
from kleidia_backup.service.control.outbox import Outbox
from kleidia_backup.service.service import Service
from kleidia_backup.service.work.notices.notifier import Notifier

from ..receiving import Receiver, receiving
from .asking import admin_of
from .conftest import PASSWORD, ended, new_backup

pytestmark = pytest.mark.anyio

SECRET = "canary-of-the-webhook-secret"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def settings(service_settings: ServiceSettings, receiver: Receiver) -> ServiceSettings:
    """Both a ping and a webhook, at different addresses of one server."""
    notify = NotifySettings(ping_url=f"{receiver.url}/ping", webhook_url=f"{receiver.url}/hook", webhook_secret=SECRET)
    return replace(service_settings, notify=notify)


async def told(receiver: Receiver, number: int) -> tuple[list[str], list[str]]:
    """The pings and the webhook's events, when there are so many together."""
    with anyio.fail_after(60):
        while len(receiver.requests) < number:  # noqa: ASYNC110 - they come from another thread
            await anyio.sleep(0.02)
    await anyio.sleep(0.5)  # one too many would come now
    pings = [path for path in receiver.paths if path.startswith("/ping")]
    return pings, [each.json["event"] for each in receiver.requests if each.path == "/hook"]


async def test_a_failure_is_told_once_and_its_end_too(
    settings: ServiceSettings, receiver: Receiver, store_directory: Path
) -> None:
    """A good backup, a failed one, a good one again, a restore, changed settings."""
    async with Service(settings) as service:
        made = await ended(service, (await service.submit(new_backup())).id)
        gone = store_directory.rename(store_directory.with_name("gone"))  # noqa: ASYNC240 - at once
        failed = await ended(service, (await service.submit(new_backup())).id)
        gone.rename(store_directory)
        await ended(service, (await service.submit(new_backup())).id)
        await ended(service, (await service.submit(new_backup(kind="restore", archive=made.archive))).id)
        await service.settings.put({"retention_days": 7}, None, Actor("u-1", "ada", "", ""))
        pings, events = await told(receiver, 11)
    assert (made.status, failed.status) == ("completed", "failed")
    assert pings == ["/ping/start", "/ping", "/ping/start", "/ping/fail", "/ping/start", "/ping"]
    assert events == ["backup.failed", "backup.recovered", "restore.started", "restore.completed", "settings.changed"]
    hooks = [each.json for each in receiver.requests if each.path == "/hook"]
    assert hooks[0]["facts"]["error"] == failed.error
    assert (hooks[0]["facts"]["job"], hooks[0]["target"]) == (failed.id, "app")
    assert hooks[4]["facts"]["what"] == "Changed: retention_days."
    everything = b"".join(each.body for each in receiver.requests).decode()
    assert not [each for each in (PASSWORD, SECRET, "canary") if each in everything]


async def test_a_receiver_that_is_away(
    settings: ServiceSettings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job does not notice; what waited comes in order when it is back, under the same ids."""
    monkeypatch.setattr(outboxes, "BACKOFF", (0.3,) * 100)
    receiver.status = 503
    async with Service(settings) as service:
        assert (await ended(service, (await service.submit(new_backup())).id)).status == "completed"
        with anyio.fail_after(30):
            while len(receiver.requests) < 2:  # noqa: ASYNC110 - likewise
                await anyio.sleep(0.02)
        assert set(receiver.paths) == {"/ping/start"}  # the end waits for the start
        receiver.requests.clear()
        receiver.status = 200
        pings, events = await told(receiver, 2)
    assert (pings, events) == (["/ping/start", "/ping"], [])


async def test_a_message_is_given_up_at_last(
    settings: ServiceSettings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, after two more attempts, however many others have; the next one is not held up for ever."""
    monkeypatch.setattr(outboxes, "BACKOFF", (0.05,) * 100)
    receiver.status = 404
    hook = NotifySettings(webhook_url=f"{receiver.url}/hook", webhook_secret=SECRET)
    async with Service(replace(settings, notify=hook)) as service:
        for days in (7, 8):
            await service.settings.put({"retention_days": days}, None, Actor("u-1", "ada", "", ""))
        _, events = await told(receiver, 6)
        assert events == ["settings.changed"] * 6
        async with service.control.connection() as connection:
            cursor = await connection.execute(
                "SELECT attempts, error, ended_at IS NOT NULL FROM kleidia_backup.outbox ORDER BY id"
            )
            assert await cursor.fetchall() == [(3, "http_404", True), (3, "http_404", True)]


async def test_two_replicas_send_each_message_once(settings: ServiceSettings, receiver: Receiver) -> None:
    """Twenty changes, two replicas that both send: twenty messages, in order."""
    async with Service(settings) as first, Service(settings) as second:
        for days in range(1, 21):
            service = first if days % 2 else second
            await service.settings.put({"retention_days": days}, None, Actor(f"u-{days}", "ada", "", ""))
        _, events = await told(receiver, 20)
        assert events == ["settings.changed"] * 20
        ids = [each.json["id"] for each in receiver.requests]
        assert len(set(ids)) == 20
        async with first.control.connection() as connection:
            cursor = await connection.execute("SELECT message ->> 'id' FROM kleidia_backup.outbox ORDER BY id")
            assert ids == [each for (each,) in await cursor.fetchall()]


async def test_a_replica_that_died_while_it_sent(
    settings: ServiceSettings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had taken is sent by another one after a while, under the same id."""
    monkeypatch.setattr(outboxes, "LEASE", 0.5)
    async with Service(replace(settings, notify=None)) as service:
        outbox = Outbox(service.control, "app", Service(settings).outbox.channels)
        teller = Notifier(outbox, "app")
        async with service.control.connection() as connection:
            await outbox.add(a_test("app", "4c1b0d5e-0000-4000-8000-000000000000"), connection)
        taken = [await outbox.take(channel) for channel in outbox.channels]  # and then it died
        assert [each is not None for each in taken] == [True, True]
        await teller.tick()
        assert receiver.requests == []
        await anyio.sleep(0.6)
        await teller.tick()
        await teller.tick()
        assert sorted(receiver.paths) == ["/hook", "/ping/log"]


async def test_what_was_missed(settings: ServiceSettings, receiver: Receiver) -> None:
    """A schedule that stood still for three days: told once, and the last moment is made up for."""
    async with Service(settings) as service:
        await service.ticker.tick()
        async with service.control.connection() as connection:
            await connection.execute(
                "UPDATE kleidia_backup.schedules SET next_due = next_due - make_interval(days => 4)"
            )
        pings, events = await told(receiver, 3)
        assert (pings, events) == (["/ping/start", "/ping"], ["backup.missed"])
        (missed,) = [each.json for each in receiver.requests if each.path == "/hook"]
        assert datetime.fromisoformat(missed["facts"]["due"]) < datetime.now(UTC) - timedelta(days=2)


async def test_the_test_by_the_api(settings: ServiceSettings, receiver: Receiver) -> None:
    """Each channel by itself, the code of the one that fails; without any it is no success."""
    async with Service(settings) as service, admin_of(service) as admin:
        answer = await admin.post("/api/backup/notifications/test")
        assert answer.json() == {
            "ok": True,
            "channels": [{"channel": name, "ok": True, "error": ""} for name in ("ping", "webhook")],
        }
        assert sorted(receiver.paths) == ["/hook", "/ping/log"]
        assert "tells ping, webhook of jobs" in (await admin.get("/settings")).text
        form = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        assert "webhook: sent" in (await admin.post("/settings/notify", content="", headers=form)).text
        receiver.status = 500
        answer = await admin.post("/api/backup/notifications/test")
        assert [each["error"] for each in answer.json()["channels"]] == ["http_500", "http_500"]
        for _ in range(2):
            answer = await admin.post("/api/backup/notifications/test")
        assert (answer.json()["ok"], (await admin.post("/api/backup/notifications/test")).status_code) == (False, 429)
    async with Service(replace(settings, notify=None)) as service, admin_of(service) as admin:
        service.limits.take = _never  # type: ignore[method-assign, assignment]
        assert (await admin.post("/api/backup/notifications/test")).json() == {"ok": False, "channels": []}


async def _never(*_: object) -> None:
    """No limit."""
