"""What a view of the page costs: bytes over the wire, and questions to the control database of ten jobs and 10,000."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpx
import psycopg
import pytest

from kleidia_backup.service.api.app import create_app
from kleidia_backup.service.service import Service

from .asking import asking, backed_up
from .conftest import PASSWORD

pytestmark = pytest.mark.anyio

#: What a first view may cost (issue 15), and what a browser may be sent that takes nothing compressed: bytes.
FIRST_VIEW, PLAIN = 60_000, 130_000
#: Of each view: questions to the control database, and rows that they may read altogether however many jobs there are.
QUESTIONS, ROWS = 12, 2_000
LISTS = (
    "",
    "?kind=backup",
    "?kind=restore",
    "?status=failed",
    "?kind=drill&status=failed",
    "?kind=restore&status=failed",
)
VIEWS = (*(f"/history{each}" for each in LISTS), "/restore", "/settings", "/audit", "/targets")
#: Ten thousand jobs as years leave them, a few of them failed, ten of them restores; as many of another target; with
#: what is audited.
MANY = """
INSERT INTO kleidia_backup.jobs (kind, backup_type, target, status, archive, size, requested_by, requested_by_name,
    created_at, started_at, finished_at, error)
SELECT CASE WHEN n % 997 = 0 THEN 'restore' ELSE (ARRAY['backup', 'verify', 'backup', 'drill'])[n % 4 + 1] END,
    'full', (ARRAY['app', 'other'])[n % 2 + 1],
    CASE WHEN n % 97 = 0 THEN 'failed' ELSE 'completed' END, 'backups/a-' || n || '.enc', 1000000 + n, 'u-1', 'ada',
    at, at, at + interval '1 minute', CASE WHEN n % 97 = 0 THEN 'The store does not answer.' END
FROM (SELECT n, now() - (20000 - n) * interval '1 hour' AS at FROM generate_series(1, 20000) n) made;
INSERT INTO kleidia_backup.audit (action, target, at, user_id, user_name, ip, workstation, job_id, archive, details)
SELECT 'backup.completed', (ARRAY['app', 'other'])[n % 2 + 1], now(), 'u-1', 'ada', '192.0.2.9', '', n, '', 'Made.'
FROM generate_series(1, 20000) n;
ANALYZE kleidia_backup.jobs, kleidia_backup.audit
"""

_noted: ContextVar[list[tuple[Any, Any]] | None] = ContextVar("noted", default=None)


@contextmanager
def noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, Any]]]:
    """The queries of the requests that are sent meanwhile, without those of the service's own tasks."""
    found: list[tuple[Any, Any]] = []
    execute = psycopg.AsyncCursor.execute

    async def noting(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        if (noting_here := _noted.get()) is not None and query:  # an empty one asks whether the connection lives
            noting_here.append((query, params))
        return await execute(self, query, params, **more)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.AsyncCursor, "execute", noting)
        token = _noted.set(found)
        yield found
        _noted.reset(token)


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator at the page, after ten jobs."""
    async with asking(create_app(service)) as client:
        assert (await client.put("/api/backup/settings", json={"encryption_password": PASSWORD})).status_code == 200
        for _ in range(2):
            await backed_up(client)
        yield client


async def _shown(client: httpx.AsyncClient, path: str) -> str:
    answer = await client.get(path)
    assert answer.status_code in {200, 286}, answer.text
    return answer.text


def _rows_read(plan: dict[str, Any]) -> int:
    """Rows that were taken from tables and indexes, whether they were of use or not."""
    below = sum(_rows_read(each) for each in plan.get("Plans", ()))
    if "Relation Name" not in plan:
        return below
    gone = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
    rows: float = (plan["Actual Rows"] + gone) * plan["Actual Loops"]
    return below + round(rows)


async def test_a_view_asks_as_much_of_ten_jobs_as_of_ten_thousand(
    browser: httpx.AsyncClient, service: Service, control_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same number of questions, which read no more rows than a page has room for, by an index."""
    few: dict[str, int] = {}
    for path in VIEWS:
        await _shown(browser, path)  # what is asked once is known then
        with noted(monkeypatch) as queries:
            await _shown(browser, path)
        few[path] = len(queries)
    assert all(0 < count <= QUESTIONS for count in few.values()), few
    with psycopg.connect(service.config.control.full_conninfo(), autocommit=True) as connection:
        connection.execute(MANY.encode())
        ((first,),) = connection.execute(
            "SELECT id FROM kleidia_backup.jobs WHERE target = 'app' ORDER BY id OFFSET 100 LIMIT 1"
        )
        for path in (*VIEWS, f"/history?before={first}", "/history/running", f"/jobs/{first}"):
            with noted(monkeypatch) as queries:
                await _shown(browser, path)
            # One more may be asked where there are older jobs; never one for each.
            assert len(queries) <= few.get(path, len(queries)) + 1, path
            read = 0
            for query, params in queries:
                text = query if isinstance(query, str) else query.decode()
                if not text.lstrip().upper().startswith(("SELECT", "WITH")):
                    continue
                ((explained,),) = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}".encode(), params)
                read += _rows_read(explained[0]["Plan"])
            assert read <= ROWS, (path, read)


async def test_a_first_view_is_small(browser: httpx.AsyncClient, service: Service) -> None:
    """The longest page of the history with every file that it names, as a browser asks for it; and without gzip."""
    with psycopg.connect(service.config.control.full_conninfo(), autocommit=True) as connection:
        connection.execute(MANY.encode())
    for path in ("/history", "/restore", "/settings"):
        sizes, bodies = dict[str, int](), dict[str, bytes]()
        for accepted in ("gzip, deflate, br, zstd", "identity"):
            size = 0
            found = {path}
            text = await _shown(browser, path)
            found |= set(re.findall(r'(?:src|href)="(/static/[^"]+)"', text))
            assert len(found) == 5, found
            for each in found:
                async with browser.stream("GET", each, headers={"Accept-Encoding": accepted}) as answer:
                    body = b"".join([part async for part in answer.aiter_raw()])
                    assert answer.status_code == 200
                    size += len(body) + sum(len(name) + len(value) + 4 for name, value in answer.headers.raw)
                    assert len(body) == int(answer.headers["Content-Length"])
                    assert answer.headers["Vary"] == "Accept-Encoding"
                    encoded = answer.headers.get("Content-Encoding")
                    assert encoded == ("gzip" if "gzip" in accepted else None), each
                    whole = gzip.decompress(body) if encoded else body
                    assert bodies.setdefault(each, whole) == whole or not each.startswith("/static/")
            sizes[accepted] = size
        compressed, plain = sizes.values()
        assert compressed <= FIRST_VIEW, (path, compressed)
        assert compressed < plain <= PLAIN, (path, plain)
