"""200 people who watch: how much longer a backup takes while their pages ask the service that runs it.

Each has a token and a connection of his own, and asks once a second, as a page does: in turns for the jobs that run and
for the job itself, so 200 requests a second in total. Progress is written every second, and an answer may be a second
old. Whoever asks has the same cores as the service, the database, the vault and the store: what he takes of them is in
the figure as well. ``poll_ms`` is the CPU time that the service takes for a request, while no job runs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import psutil
import pytest

from kleidia_backup import PostgresSettings, TokenAuth, VaultSettings

from .configuration import configuration
from .measuring import Measure
from .system import Sizes, System, secret_bodies

CLIENTS = 200
#: Seconds for which they ask before anything is measured.
WARM = 2.0


@dataclass
class Pollers:
    """Clients with a connection and a token each, in a process of their own; they have asked for a while already."""

    port: int
    tokens: list[str]
    seconds: list[float] = field(default_factory=list)
    cpu: float = 0.0

    @contextmanager
    def asking(self) -> Iterator[Callable[[int], None]]:
        """They ask until left, for the job that they are told. Every answer is 200, or leaving raises."""
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("pollers.py")), str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            tell = process.stdin
            print(f"{json.dumps(self.tokens)}\n1", file=tell, flush=True)
            assert process.stdout.readline() == "ready\n"
            time.sleep(WARM)
            yield lambda job: print(job, file=tell, flush=True)
            found = json.loads(process.communicate(timeout=30)[0])
            assert process.returncode == 0
        finally:
            process.kill()
            process.communicate()
        self.seconds, self.cpu = found["seconds"], found["cpu"]


@dataclass(frozen=True)
class Served:
    """A service as a process, a token for it, and where it keeps what it keeps."""

    url: str
    secret: str = field(repr=False)
    process: int
    control: PostgresSettings

    @property
    def token(self) -> str:
        """An administrator's."""
        return jwt.encode(claims(0), self.secret, "HS256")

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
        tokens = [jwt.encode(claims(number), self.secret, "HS256") for number in range(CLIENTS)]
        return Pollers(int(self.url.rpartition(":")[2]), tokens)

    def cpu(self) -> float:
        """Seconds of CPU time that the process has taken."""
        times = psutil.Process(self.process).cpu_times()
        return float(times.user + times.system)

    def poll(self, seconds: float = 6.0) -> float:
        """Seconds of CPU time for one request, while nothing else is to be done."""
        before = self.cpu()
        time.sleep(seconds / 2)
        idle = (self.cpu() - before) * 2
        pollers = self.pollers()
        with pollers.asking():
            before = self.cpu()
            time.sleep(seconds)
            spent = self.cpu() - before
        return (spent - idle) / (CLIENTS * seconds)

    def backup(self, began: Callable[[int], None] | None = None) -> float:
        """Trigger a backup and wait for its end; the seconds that the service says it took. Its archive is deleted."""
        job = self.ask("POST", "trigger")
        if began is not None:
            began(job["id"])
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
        yield Served(told["url"], jwt_secret(vault), process.pid, control)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()
        system.drop_database(control)


def claims(number: int) -> dict[str, Any]:
    """Those of an administrator; each number is somebody else."""
    return {"sub": f"{number}", "name": "Ada", "role": "admin", "exp": int(time.time()) + 3600}


def jwt_secret(vault: VaultSettings) -> str:
    """What signs tokens, as the vault was filled with it."""
    assert isinstance(vault.auth, TokenAuth)
    (body,) = [body for path, body in secret_bodies(0) if path == "jwt-secret"]
    return str(json.loads(body)["data"]["secret"])


@pytest.mark.timeout(1200)
def test_polling(measure: Measure, system: System, sizes: Sizes, tmp_path: Path) -> None:
    """Backups with and without them in turns, by one service."""
    rounds = 5 if measure.short else 3
    watched: list[float] = []
    answers: list[float] = []
    clients: list[float] = []

    with serving(system, sizes, tmp_path / "service.toml") as served:
        served.backup()  # what is made at the first is made

        def with_pollers() -> None:
            pollers = served.pollers()
            with pollers.asking() as start:
                started = time.perf_counter()
                watched.append(served.backup(start))
                spent = time.perf_counter() - started
            asked = len(pollers.seconds)
            assert asked >= 0.9 * CLIENTS * (spent - 1), f"only {asked} answers in {spent:.1f} s"
            answers.extend(pollers.seconds)
            clients.append(pollers.cpu / asked)

        measure.race(with_pollers, rounds=rounds, nobody=served.backup)
        poll = served.poll()

    answers.sort()
    measure.line(
        "polling",
        min(watched) / measure.best("nobody"),
        seconds=min(watched),
        nobody_asking=measure.best("nobody"),
        poll_ms=1000 * poll,
        poll_of_a_client_ms=1000 * min(clients),
        answers=len(answers),
        median_ms=1000 * answers[len(answers) // 2],
        slowest_ms=1000 * answers[-1],
    )
    measure.judge()
