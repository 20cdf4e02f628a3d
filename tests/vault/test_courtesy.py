"""How a job asks a vault: no faster than was set, and with fewer requests at once while answers are slow."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from aiohttp import web

from kleidia_backup.pipeline.engine.testing import collect
from kleidia_backup.stages.errors import ConfigurationError
from kleidia_backup.stages.load.limit import FEW
from kleidia_backup.stages.load.meter import Meter, measured
from kleidia_backup.stages.vault.kv.backoff import BURST
from kleidia_backup.stages.vault.kv.client import VaultClient
from kleidia_backup.stages.vault.kv.settings import Root
from kleidia_backup.stages.vault.source import VaultSource

from .stub import StubVault, settings

pytestmark = pytest.mark.anyio
ROOTS = (Root("", "secret"),)


async def test_no_more_a_second_than_was_set(stub: StubVault) -> None:
    """200 requests a second: in no span of time more than that, and what may pass at once."""
    stub.fill(150)
    async with VaultClient(settings(stub, max_rate=200, adaptive=True)) as client:
        assert len(await collect(VaultSource(client, ROOTS))) == 150
    times = [when for when, *_ in stub.seen]
    assert len(times) >= 150
    # The stub sees them a little later than they are sent, and not all as much later: hence the whole, and not pieces.
    assert times[-1] - times[0] >= (len(times) - 200 * BURST - 2) / 200 * 0.95


async def test_a_server_that_works_on_one_at_a_time_is_not_given_twenty(stub: StubVault) -> None:
    """A few wait there, whatever the number of workers."""
    stub.fill(300)
    one = asyncio.Lock()
    running: list[int] = []

    async def fault(_request: web.Request) -> None:
        running.append(stub.running)
        async with one:
            await asyncio.sleep(0.003)

    stub.fault = fault
    async with VaultClient(settings(stub, adaptive=True)) as client:
        assert len(await collect(VaultSource(client, ROOTS))) == 300
    late = sorted(running[150:])
    assert late[len(late) // 2] <= 10, "half of the time more than a few waited"


async def test_a_server_that_becomes_slow_is_given_less(stub: StubVault) -> None:
    """And the report says so: how often, and how few were under way."""
    stub.fill(600)
    one = asyncio.Lock()

    async def fault(_request: web.Request) -> None:
        if len(stub.seen) < 200:
            await asyncio.sleep(0.02)
        else:
            async with one:
                await asyncio.sleep(0.01)

    stub.fault = fault
    counting = Meter()
    with measured(counting):
        async with VaultClient(settings(stub, adaptive=True)) as client:
            assert len(await collect(VaultSource(client, ROOTS))) == 600
    vault = counting.load().vault
    assert vault is not None
    assert vault.at_once > 4
    assert vault.slowed > 0
    assert vault.least_at_once is not None
    assert FEW <= vault.least_at_once < vault.at_once
    assert vault.requests >= 600


async def test_it_can_be_turned_off(stub: StubVault) -> None:
    """Then twenty are under way at once, as slow as the answers may be."""
    stub.fill(100)
    one = asyncio.Lock()

    async def fault(_request: web.Request) -> None:
        async with one:
            await asyncio.sleep(0.004)

    stub.fault = fault
    counting = Meter()
    with measured(counting):
        async with VaultClient(settings(stub, adaptive=False)) as client:
            assert len(await collect(VaultSource(client, ROOTS))) == 100
    assert stub.most_running == 20
    vault = counting.load().vault
    assert vault is not None
    assert (vault.at_once, vault.slowed, vault.least_at_once) == (20, 0, None)


async def test_what_is_refused_is_in_the_report(stub: StubVault) -> None:
    """With how long nothing was sent because of it."""
    stub.fill(40)
    left = [3]

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if "/data/" not in request.path or not left[0]:
            return None
        left[0] -= 1
        return web.json_response({"errors": ["rate limit quota exceeded"]}, status=429)

    stub.fault = fault
    counting = Meter()
    with measured(counting):
        async with VaultClient(settings(stub, adaptive=True)) as client:
            assert len(await collect(VaultSource(client, ROOTS))) == 40
    vault = counting.load().vault
    assert vault is not None
    assert vault.refused == 3
    assert vault.paused > 0


async def test_a_closed_gate_holds_up_who_waits_for_the_rate(stub: StubVault) -> None:
    """What was to be sent while the server wants nothing is sent afterwards."""
    stub.fill(60)
    refused: list[float] = []

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if len(stub.reads()) < 30 or "/data/" not in request.path or refused:
            return None
        refused.append(stub.seen[-1][0])
        return web.json_response({"errors": ["no"]}, status=429, headers={"Retry-After": "1"})

    stub.fault = fault
    async with VaultClient(settings(stub, max_rate=100, retry_budget=5)) as client:
        assert len(await collect(VaultSource(client, ROOTS))) == 60
    gaps = [second - first for first, second in pairwise(when for when, *_ in stub.seen)]
    assert max(gaps) >= 0.9, "somebody did not wait"


def test_limits_that_make_no_sense(stub: StubVault) -> None:
    """Are refused with the setting's name."""
    with pytest.raises(ConfigurationError, match="max_rate"):
        settings(stub, max_rate=-1)
