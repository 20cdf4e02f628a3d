"""A service ends even where a cancellation gets lost: before Python 3.12 ``asyncio.wait_for`` may swallow one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kleidia_backup.config.service import ServiceSettings
from kleidia_backup.service.service import Service
from kleidia_backup.service.work import queue
from kleidia_backup.service.work.periodic import every
from kleidia_backup.stages import background

pytestmark = pytest.mark.anyio


def losing_the_first(work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """``work``, when it is told to end for the first time, goes on as if nothing were."""
    lost = False

    async def loses(*values: Any, **more: Any) -> Any:
        nonlocal lost
        if not lost:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                lost = True
        return await work(*values, **more)

    return loses


async def nothing() -> None:
    """Work that is done at once."""


async def test_what_repeats_is_cancelled_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reaper and the ticker wait for the control database, where the cancellation was lost."""
    monkeypatch.setattr(background.end, "__defaults__", (0.05,))
    async with asyncio.timeout(30):
        async with every("test", 0.01, losing_the_first(nothing)):
            await asyncio.sleep(0.1)


async def test_the_worker_is_cancelled_again(
    service_settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that registers itself at that moment would go on, and take the next job."""
    monkeypatch.setattr(queue, "AGAIN", 0.05)
    service = Service(service_settings)
    manager = service.queue._app.job_manager
    monkeypatch.setattr(manager, "register_worker", losing_the_first(manager.register_worker))
    async with asyncio.timeout(30):
        async with service:
            await asyncio.sleep(0.2)
