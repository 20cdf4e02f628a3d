"""200 people who watch: how much longer a backup takes while their pages ask the service that runs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest

from kleidia_backup import TokenAuth, VaultSettings

from .limits import LIMITS, Limit
from .measuring import Measure
from .system import Sizes, System, configuration, secret_bodies

CLIENTS = 200
#: Seconds between two requests of one client to one address.
EVERY = 1.0
LIMIT = Limit(
    what=f"backup while {CLIENTS} clients ask for the running jobs and for this one, each every second",
    reference="the same backup by the same service, nobody asking",
    unit="× its time",
    must=1.1,
    room=1,
)


@dataclass
class Pollers:
    """Clients with a connection each, in a thread of this process; the service is another one."""

    port: int
    token: str
    job: int = 1
    seconds: list[float] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _failed: list[BaseException] = field(default_factory=list)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """They ask until left. Every answer is 200, or leaving raises."""
        thread = threading.Thread(target=self._run, name="pollers")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
        if self._failed:
            raise self._failed[0]

    def _run(self) -> None:
        try:
            asyncio.run(self._all())
        except BaseException as exc:  # noqa: BLE001 - raised again where it is waited for
            self._failed.append(exc)

    async def _all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self._client(number * EVERY / CLIENTS))

    async def _client(self, offset: float) -> None:
        await asyncio.sleep(offset)  # not all in the same instant
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        due = time.perf_counter()
        while not self._stop.is_set():
            for path in ("running", str(self.job)):
                started = time.perf_counter()
                writer.write(
                    f"GET /api/backup/jobs/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                    f"Authorization: Bearer {self.token}\r\n\r\n".encode()
                )
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 "), head
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                self.seconds.append(time.perf_counter() - started)
            due += EVERY
            await asyncio.sleep(due - time.perf_counter())
        writer.close()


@dataclass(frozen=True)
class Served:
    """A service as a process, and a token for it."""

    url: str
    token: str

    def ask(self, method: str, path: str) -> Any:
        """One request; the JSON of its answer, if there is any."""
        request = urllib.request.Request(
            f"{self.url}/api/backup/{path}", method=method, headers={"Authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def pollers(self) -> Pollers:
        """Clients of it."""
        return Pollers(int(self.url.rpartition(":")[2]), self.token)

    def backup(self, pollers: Pollers | None = None) -> float:
        """Trigger a backup and wait for its end; the seconds that the service says it took. Its archive is deleted."""
        job = self.ask("POST", "trigger")
        if pollers is not None:
            pollers.job = job["id"]
        while (now := self.ask("GET", f"jobs/{job['id']}"))["status"] in {"pending", "running"}:
            time.sleep(0.25)
        assert now["status"] == "completed", now
        self.ask("DELETE", now["archive"])
        return float(now["duration"])


@contextmanager
def serving(system: System, sizes: Sizes, file: Path) -> Iterator[Served]:
    """A service on servers that are filled; its own tables and secrets are not among what it backs up."""
    vault = system.vault(sizes.keys)
    database = system.database(sizes.keys, sizes.audit_rows)
    configuration(file, database=database, vault=vault, store=system.store(), state=system.state())
    control = system.empty_database()
    process = subprocess.Popen(
        [sys.executable, "-m", "kleidia_backup.cli", "--config", str(file), "--json", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd="/",
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "KLEIDIA_SERVICE_CONTROL_CONNINFO": control.full_conninfo(),
            "KLEIDIA_SERVICE_SECRETS_PATH": "service",
        },
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        yield Served(told["url"], jwt.encode(claims(), jwt_secret(vault), "HS256"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()
        system.drop_database(control)


def claims() -> dict[str, Any]:
    """Those of an administrator."""
    return {"sub": "1", "name": "Ada", "role": "admin", "exp": int(time.time()) + 3600}


def jwt_secret(vault: VaultSettings) -> str:
    """What signs tokens, as the vault was filled with it."""
    assert isinstance(vault.auth, TokenAuth)
    (body,) = [body for path, body in secret_bodies(0) if path == "jwt-secret"]
    return str(json.loads(body)["data"]["secret"])


@pytest.mark.timeout(1200)
def test_polling(
    measure: Measure, system: System, sizes: Sizes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backups with and without them in turns, by one service."""
    monkeypatch.setitem(LIMITS, "polling", LIMIT)
    rounds = 5 if measure.short else 3
    watched: list[float] = []
    answers: list[float] = []

    with serving(system, sizes, tmp_path / "service.toml") as served:
        served.backup()  # what is made at the first is made

        def with_pollers() -> None:
            pollers = served.pollers()
            with pollers.asking():
                started = time.perf_counter()
                watched.append(served.backup(pollers))
                spent = time.perf_counter() - started
            asked = len(pollers.seconds)
            assert asked >= 0.9 * 2 * CLIENTS * (spent - EVERY) / EVERY, f"only {asked} answers in {spent:.1f} s"
            answers.extend(pollers.seconds)

        measure.race(with_pollers, rounds=rounds, nobody=served.backup)

    answers.sort()
    measure.line(
        "polling",
        min(watched) / measure.best("nobody"),
        seconds=min(watched),
        nobody_asking=measure.best("nobody"),
        answers=len(answers),
        median_ms=1000 * answers[len(answers) // 2],
        slowest_ms=1000 * answers[-1],
    )
    measure.judge()
