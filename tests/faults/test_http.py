"""Vault and store behind a proxy that breaks things, at the first, a middle and the last request of each job."""

from __future__ import annotations

from itertools import product
from typing import Any, Literal, TypeAlias

import anyio
import pytest

from kleidia_backup import ConfigurationError, KleidiaError, StoreError, VaultError
from kleidia_backup.pipeline.parts.request import Format

from ..archive_format import FORMATS, current, writing
from ..stores.faults import Fault
from .conftest import hurry
from .judging import Job, Settings, blames, judge, run
from .proxy import CONNECTION, HttpProxy, Strike, answer, elsewhere, http_proxy, vault_operation
from .site import Site

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick", "nothing_left")]

Server: TypeAlias = Literal["vault", "store"]
JSON, XML = "application/json", "application/xml"


def _xml(code: str) -> str:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>As told.</Message></Error>"


FAULTS: dict[Server, dict[str, Fault]] = {
    "vault": {
        **CONNECTION,
        "429": answer(429, '{"errors":["too many requests"]}', JSON),
        "429, Retry-After": answer(429, '{"errors":["too many requests"]}', JSON, Retry_After="0.1"),
        "500": answer(500, '{"errors":["internal error"]}', JSON),
        "503": answer(503, '{"errors":["no active node"]}', JSON),
    },
    "store": {
        **CONNECTION,
        "429": answer(429, _xml("TooManyRequests"), XML),
        "429, Retry-After": answer(429, _xml("TooManyRequests"), XML, Retry_After="0.1"),
        "500": answer(500, _xml("InternalError"), XML),
        "503": answer(503, _xml("SlowDown"), XML),
    },
}
TREES: dict[Server, type[KleidiaError]] = {"vault": VaultError, "store": StoreError}
#: What a second attempt is not worth: an address that leads elsewhere, a server that is something else.
LASTING: dict[Server, set[str]] = {"vault": {"redirect"}, "store": {"redirect", "not JSON"}}
JOBS: tuple[Job, ...] = ("backup", "restore")


def through(site: Site, server: Server, proxy: HttpProxy, fault: str, *, ever: bool = False) -> Settings:
    """Settings that lead to one server through the proxy; who waits for an answer that never comes waits briefly."""
    seconds, attempts = (0.3, 2) if fault == "stall" else (10.0, 3)
    database = site.database.settings() if has_database(fault) else None
    if server == "store":
        return Settings(
            database,
            site.vault_settings(),
            site.store_settings(proxy.endpoint, read_timeout=seconds, attempts=attempts),
        )
    budget = 0.2 if ever else 3.0
    vault = site.vault_settings(proxy.endpoint, request_timeout=seconds, start_budget=budget, retry_budget=budget)
    return Settings(database, vault, site.store_settings())


def has_database(fault: str) -> bool:
    """Most jobs are about the vault alone: what becomes of pg_dump and psql does not depend on the fault."""
    return fault in {"reset", "stall", "500"}


def proxy_for(site: Site, server: Server) -> Any:
    if server == "vault":
        return http_proxy(site.vault.address, vault_operation)
    return http_proxy(site.bucket.server.endpoint)


Traces: TypeAlias = dict[tuple[Format, Job, Server, bool], list[str]]


@pytest.fixture(scope="session")
def traces(sites: list[Site]) -> Traces:
    """What each job asks of each server, in order, when nothing is wrong; with a database and without."""
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        return anyio.run(undisturbed, sites[0])


async def undisturbed(site: Site) -> Traces:
    found: Traces = {}
    for written, server, job, fault in product(FORMATS, FAULTS, JOBS, ("reset", "")):
        with writing(written):
            async with proxy_for(site, server) as proxy:
                settings = through(site, server, proxy, fault)
                name, outcome = await run(job, site, settings)
                assert outcome.error is None
                await judge(job, site, settings, name, outcome)
                found[written, job, server, settings.database is not None] = proxy.trace
    return found


@pytest.mark.parametrize("fault", [*FAULTS["vault"], "redirect"])
@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(
    ("server", "archive_format"),
    [("vault", "v1"), pytest.param("vault", "v2", marks=pytest.mark.thorough), ("store", "v1"), ("store", "v2")],
    indirect=["archive_format"],
)
async def test_fault(
    server: Server,
    job: Job,
    fault: str,
    sites: list[Site],
    traces: Traces,
    request: pytest.FixtureRequest,
) -> None:
    """Once: the job succeeds (unless it cannot). For ever: it fails, and says why. Either way all is as it must be."""
    trace = traces[current(), job, server, has_database(fault)]
    first, middle, last = 0, len(trace) // 2, len(trace) - 1
    names = {first: "first", middle: "middle", last: "last"}
    problems: list[str] = []

    async def strike(site: Site, places: set[int], *, ever: bool = False) -> None:
        where = ", ".join(names[place] for place in sorted(places))
        async with proxy_for(site, server) as proxy:
            plan = Strike(set(places), ever)
            proxy.plan = (plan, act)
            settings = through(site, server, proxy, fault, ever=ever)
            name, outcome = await run(job, site, settings, timeout=20)
            proxy.plan = None
            try:
                assert plan.struck.is_set()
                assert ever or not plan.places
                await judge(job, site, settings, name, outcome, store_is_dead=ever and server == "store")
                if outcome.error is not None:
                    blames(outcome.error, TREES[server], *([ConfigurationError] if fault == "redirect" else []))
                if not ever:
                    assert outcome.error is None or fault in LASTING[server]
            except (AssertionError, KleidiaError) as exc:
                problems.append(f"{where} {ever=}: {outcome}: {str(exc)[:1500]}")
        how = f"{'for ever' if ever else 'once'} {where}"
        request.node.user_properties.append((how, f"{trace[min(places)]} | {outcome}"))

    async def once(site: Site) -> None:
        if fault in LASTING[server]:
            for place in names:
                await strike(site, {place})
        else:
            await strike(site, set(names))

    async def for_ever(site: Site, *places: int) -> None:
        for place in places:
            await strike(site, {place}, ever=True)

    async with elsewhere() as other:
        act = FAULTS[server].get(fault) or answer(302, "", "text/html", Location=other.address)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(once, sites[0])
            tasks.start_soon(for_ever, sites[1], first, middle)
            tasks.start_soon(for_ever, sites[2], last)
    assert other.visits == 0
    assert not problems, "\n".join(problems)
