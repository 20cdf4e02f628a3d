"""How long the page takes on the server: a first view, and a history of 10,000 jobs beside small ones.

The time is that of requests to a service that runs as a process, at a client on loopback: what the service, its control
database and the sending take. A browser's own work is not in it.
"""

from __future__ import annotations

import gzip
import json
import re
from contextlib import ExitStack, closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import psycopg

from kleidia_backup import PostgresSettings

from .measuring import Measure
from .system import Sizes, System
from .test_polling import Served, serving

#: Jobs of a history: a few, as many as the page shows (50 in its list, and 90 backups in its charts), and many.
TEN, FULL, MANY = 10, 200, 10_000
#: As years leave them: backups, verifications and a drill now and then, a hundredth of them failed, all audited.
_JOBS = """
INSERT INTO kleidia_backup.jobs (kind, backup_type, target, status, archive, size, requested_by, requested_by_name,
    created_at, started_at, finished_at, error)
SELECT (ARRAY['backup', 'verify', 'backup', 'drill'])[n %% 4 + 1], 'full', %(target)s,
    CASE WHEN n %% 97 = 0 THEN 'failed' ELSE 'completed' END, 'backups/a-' || n || '.enc', 1000000 + n, 'u-1', 'ada',
    at, at, at + interval '1 minute', CASE WHEN n %% 97 = 0 THEN 'The store does not answer.' END
FROM (SELECT n, now() - (%(count)s - n) * interval '1 hour' AS at FROM generate_series(1, %(count)s) n) made
"""


class Client:
    """Somebody with a connection, who takes what browsers take."""

    def __init__(self, served: Served) -> None:
        parts = urlsplit(served.url)
        assert parts.hostname is not None
        self._connection = HTTPConnection(parts.hostname, parts.port, timeout=60)
        self._headers = {"Authorization": f"Bearer {served.token}", "Accept-Encoding": "gzip"}

    def get(self, path: str) -> bytes:
        """What is sent, as it is sent; every answer is 200, or it raises."""
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status, body)
        return body

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def _files(shown: bytes) -> list[str]:
    """The files that a page names."""
    return sorted({*re.findall(r'(?:src|href)="(/static/[^"]+)"', gzip.decompress(shown).decode())})


def _fill(client: Client, control: PostgresSettings, count: int) -> None:
    """So many jobs of the service's one target."""
    (target,) = json.loads(client.get("/api/targets"))["targets"]
    with psycopg.connect(control.full_conninfo(), autocommit=True) as connection:
        connection.execute(_JOBS, {"count": count, "target": target["name"]})
        connection.execute("VACUUM ANALYZE kleidia_backup.jobs")


def test_page(measure: Measure, system: System, sizes: Sizes, tmp_path: Path) -> None:
    """Three services in turns, whose requests come one after another on open connections; a first view opens one."""
    rounds = 40 if measure.short else 300
    small = replace(sizes, keys=10, audit_rows=10)
    with ExitStack() as stack:
        served = {
            count: stack.enter_context(serving(system, small, tmp_path / f"{count}.toml"))
            for count in (TEN, FULL, MANY)
        }  # all of them before any connection is opened, for one that is idle is closed
        many = served[MANY]
        clients = {count: stack.enter_context(closing(Client(each))) for count, each in served.items()}
        for count, client in clients.items():
            _fill(client, served[count].control, count)
        of_many = clients[MANY]
        files = _files(of_many.get("/history"))
        assert len(files) == 4, files
        middle = f"/history?before={MANY // 2}"
        assert b"?before=" in gzip.decompress(of_many.get(middle))

        def first_view() -> None:
            with closing(Client(many)) as client:
                for path in ("/history", *files):
                    client.get(path)

        def health() -> float:
            started = perf_counter()
            with closing(Client(many)) as client:
                for _ in range(1 + len(files)):
                    client.get("/healthz")
            return perf_counter() - started

        def pages_of(client: Client, *paths: str) -> None:
            for path in paths:
                client.get(path)

        for client in clients.values():
            pages_of(client, "/history", "/history")  # warm
        measure.race(
            first_view,
            rounds=rounds,
            health=health,
            many=lambda: pages_of(of_many, "/history", middle),
            full=lambda: pages_of(clients[FULL], "/history", "/history"),
            ten=lambda: pages_of(clients[TEN], "/history", "/history"),
        )
    milliseconds = {name: 1000 * measure.best(name) for name in ("ours", "health")}
    measure.line(
        "page_first",
        milliseconds["ours"],
        median=1000 * measure.median(),
        five_of_healthz_ms=milliseconds["health"],
    )
    measure.ratio("page_many", "full", ours="many")
    measure.ratio("page_ten", "ten", ours="many")
    measure.judge()
