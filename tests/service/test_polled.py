"""What pages poll: the copy of an answer is the answer, is never old, and only for those whose token was verified."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from kleidia_backup.service.api import polled
from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.api.identity.remembered import RememberedTokens
from kleidia_backup.service.api.identity.roles import Principal
from kleidia_backup.service.api.polled import PolledAnswers
from kleidia_backup.service.control.changes import Changes
from kleidia_backup.service.control.jobs import Jobs
from kleidia_backup.service.service import Service

from .asking import asking, bearer
from .conftest import new_backup

pytestmark = pytest.mark.anyio

ADA = Principal("1", "Ada", "admin")


@dataclass
class App:
    """An app that answers with a number, another one each time; it waits when it is told to."""

    status: int = 200
    asked: int = 0
    go_on: anyio.Event | None = None

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        self.asked += 1
        number = self.asked
        if self.go_on is not None:
            await self.go_on.wait()
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"n", b"%d" % number)]})
        await send({"type": "http.response.body", "body": b"%d" % number})


@dataclass
class Layer:
    """The layer around such an app; ``Bearer known`` is known to it."""

    app: App = field(default_factory=App)
    changes: Changes = field(default_factory=Changes)

    def __post_init__(self) -> None:
        self.layer = PolledAnswers(
            self.app,
            paths=[re.compile("^/api/backup/(jobs/running|jobs/[1-9][0-9]*|restore/status)$")],
            may=lambda value, _: value == "Bearer known",
            changes=self.changes,
            prefix="/prefix",
        )

    async def get(self, path: str = "/api/backup/jobs/running", **changes: Any) -> str:
        """The body of an answer; ``changes`` are members of the request's scope."""
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            sent.append(message)
            if message["type"] == "http.response.start":
                message["headers"].append((b"by", b"whoever is outside"))  # must not come back with the next

        scope = {
            "type": "http",
            "method": "GET",
            "path": f"/mounted/prefix{path}",
            "root_path": "/mounted",
            "query_string": b"",
            "headers": [(b"authorization", b"Bearer known")],
        }
        await self.layer(scope | changes, receive, send)
        start, body = sent
        assert len(start["headers"]) == 2
        assert start["headers"][0] == (b"n", body["body"])
        return str(body["body"].decode())


async def test_an_answer_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second, for each path on its own; not after a change of this replica's, nor when it is old."""
    now = 1000.0
    monkeypatch.setattr(polled, "monotonic", lambda: now)
    layer = Layer()
    assert [await layer.get() for _ in range(3)] == ["1", "1", "1"]
    assert [await layer.get("/api/backup/jobs/7"), await layer.get("/api/backup/restore/status")] == ["2", "3"]
    assert [await layer.get("/api/backup/jobs/7"), await layer.get("/api/backup/restore/status")] == ["2", "3"]
    layer.changes.add()
    assert [await layer.get() for _ in range(2)] == ["4", "4"]
    now += polled.KEPT
    assert [await layer.get() for _ in range(2)] == ["5", "5"]


@pytest.mark.parametrize(
    "different",
    [
        {"headers": []},
        {"headers": [(b"authorization", b"Bearer other")]},
        {"headers": [(b"authorization", b"Bearer known")] * 2},
        {"headers": [(b"authorization", b"Bearer known"), (b"content-length", b"1")]},
        {"method": "HEAD"},
        {"query_string": b"x"},
        {"path": "/mounted/prefix/api/backup/jobs"},
        {"path": "/mounted/prefix/api/backup/jobs/07"},
        {"path": "/mounted/prefix/api/backup/jobs/7/cancel"},
        {"path": "/mounted/prefix/api/backup/list"},
    ],
)
async def test_what_goes_to_the_app_each_time(different: dict[str, Any]) -> None:
    """Whoever is not known, and whatever is not exactly what is polled."""
    layer = Layer()
    await layer.get()
    assert [await layer.get(**different) for _ in range(2)] == ["2", "3"]
    assert await layer.get() == "1"


async def test_an_error_is_not_kept() -> None:
    """The next request asks again."""
    layer = Layer(App(status=503))
    assert [await layer.get() for _ in range(2)] == ["1", "2"]


@pytest.mark.parametrize(("status", "asked"), [(200, 1), (503, 5)])
async def test_those_who_ask_at_once_share_an_answer(status: int, asked: int) -> None:
    """While one is made the others wait for it; when it is none, each asks for himself, and nobody waits in turn."""
    layer = Layer(App(status, go_on=anyio.Event()))
    assert layer.app.go_on is not None
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(layer.get)
        await anyio.wait_all_tasks_blocked()
        assert layer.app.asked == 1
        layer.app.go_on.set()
    assert layer.app.asked == asked


async def test_a_change_while_an_answer_is_made() -> None:
    """Whoever asks after it gets another answer, made after it."""
    layer = Layer(App(go_on=anyio.Event()))
    assert layer.app.go_on is not None
    found: list[str] = []

    async def ask() -> None:
        found.append(await layer.get())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        layer.changes.add()
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        layer.app.go_on.set()
    assert sorted(found) == ["1", "2"]
    assert await layer.get() == "2"


def test_a_token_is_remembered_as_long_as_it_would_be_taken() -> None:
    """Not beyond its exp, nor when the keys were read again or must be; nothing of it is kept but a digest."""
    now, keys = 1000.0, object()
    current: object | None = keys
    tokens = RememberedTokens(lambda: current, lambda: now)
    tokens.add("canary", ADA, 1010.0)
    assert tokens.get("canary") is ADA
    assert tokens.get("canarY") is None
    assert "canary" not in repr(tokens.__dict__)
    now = 1010.0
    assert tokens.get("canary") is None
    now = 1000.0
    for later in (None, object()):
        current = keys
        tokens.add("canary", ADA, 1010.0)
        current = later
        assert tokens.get("canary") is None
    current = None
    tokens.add("canary", ADA, 1010.0)
    current = keys
    assert tokens.get("canary") is None


@pytest.fixture
async def watcher(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A viewer's client."""
    async with asking(create_app(service), "viewer") as client:
        yield client


async def test_the_copy_is_the_answer(
    service: Service, watcher: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, with every header, what the app itself answers (asked with a query, it is never polled)."""
    monkeypatch.setattr(polled, "KEPT", 60.0)
    job = await service.jobs.create(new_backup(kind="restore", archive="backups/no.enc"))
    with anyio.fail_after(20):
        while (await service.jobs.get(job.id)).active:  # type: ignore[union-attr]  # noqa: ASYNC110 - another task
            await anyio.sleep(0.05)
    for path in ("jobs/running", f"jobs/{job.id}", "restore/status"):
        made = await watcher.get(f"/api/backup/{path}")
        copy = await watcher.get(f"/api/backup/{path}")
        assert (made.status_code, made.headers.raw, made.content) == (200, copy.headers.raw, copy.content)
        slow = await watcher.get(f"/api/backup/{path}?slow")
        assert (slow.status_code, slow.headers.raw, slow.content) == (200, copy.headers.raw, copy.content)
        assert slow.headers["X-Content-Type-Options"] == "nosniff"
    refused = await watcher.get("/api/backup/jobs/running", headers=bearer("nobody"))
    expired = await watcher.get("/api/backup/jobs/running", headers=bearer(exp=int(time.time()) - 60))
    assert (refused.status_code, expired.status_code) == (403, 401)


async def test_changes_are_seen(service: Service, watcher: httpx.AsyncClient) -> None:
    """A job of this replica's at once, whoever asked before; another replica's within a second or so."""
    assert (await watcher.get("/api/backup/jobs/running")).json() == {"jobs": []}
    assert (await watcher.get("/api/backup/jobs/running")).json() == {"jobs": []}
    job = await service.jobs.create(new_backup(kind="restore", archive="backups/no.enc"))
    with anyio.fail_after(20):
        while (await watcher.get(f"/api/backup/jobs/{job.id}")).json()["status"] != "failed":  # noqa: ASYNC110
            await anyio.sleep(0.01)
    assert (await watcher.get("/api/backup/restore/status")).json()["running"] is False
    other = Jobs(service.control, "app")  # as another replica has it: it notes its changes elsewhere
    assert (await watcher.get("/api/backup/jobs/running")).json() == {"jobs": []}
    queued = await other.create(new_backup(kind="restore", archive="backups/no.enc"))
    with anyio.fail_after(polled.KEPT + 1):
        while (await watcher.get("/api/backup/restore/status")).json()["job"]["id"] != queued.id:  # noqa: ASYNC110
            await anyio.sleep(0.05)
