"""How long the page takes on the server: a first view, and a history of 10,000 jobs beside one of ten.

The time is that of requests to a service that runs as a process, at a client on loopback: what the service, its control
database and the sending take. A browser's own work is not in it.
"""

from __future__ import annotations

import gzip
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

FEW, MANY = 10, 10_000
#: As years leave them: backups, verifications and a drill now and then, a hundredth of them failed, all audited.
_JOBS = """
INSERT INTO kleidia_backup.jobs (kind, backup_type, target, status, archive, size, requested_by, requested_by_name,
    created_at, started_at, finished_at, error)
SELECT (ARRAY['backup', 'verify', 'backup', 'drill'])[n %% 4 + 1], 'full', target,
    CASE WHEN n %% 97 = 0 THEN 'failed' ELSE 'completed' END, 'backups/a-' || n || '.enc', 1000000 + n, 'u-1', 'ada',
    at, at, at + interval '1 minute', CASE WHEN n %% 97 = 0 THEN 'The store does not answer.' END
FROM (SELECT n, target, now() - (%(count)s - n) * interval '1 hour' AS at
    FROM generate_series(1, %(count)s) n, (SELECT DISTINCT target FROM kleidia_backup.schedules) known) made
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


def _fill(control: PostgresSettings, count: int) -> None:
    with psycopg.connect(control.full_conninfo(), autocommit=True) as connection:
        connection.execute(_JOBS, {"count": count})
        connection.execute("VACUUM ANALYZE kleidia_backup.jobs")


def test_page(measure: Measure, system: System, sizes: Sizes, tmp_path: Path) -> None:
    """Two services in turns, whose requests come one after another on open connections; a first view opens one."""
    rounds = 60 if measure.short else 300
    small = replace(sizes, keys=10, audit_rows=10)
    with ExitStack() as stack:
        many, few = (stack.enter_context(serving(system, small, tmp_path / f"{name}.toml")) for name in ("many", "few"))
        _fill(many.control, MANY)
        _fill(few.control, FEW)
        of_many, of_few = (stack.enter_context(closing(Client(each))) for each in (many, few))
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

        for each in (of_many, of_few):
            pages_of(each, "/history", "/history")  # warm
        measure.race(
            first_view,
            rounds=rounds,
            health=health,
            many=lambda: pages_of(of_many, "/history", middle),
            few=lambda: pages_of(of_few, "/history", "/history"),
        )
    milliseconds = {name: 1000 * measure.best(name) for name in ("ours", "health")}
    measure.line(
        "page_first",
        milliseconds["ours"],
        median=1000 * measure.median(),
        five_of_healthz_ms=milliseconds["health"],
    )
    measure.ratio("page_many", "few", ours="many")
    measure.judge()
