"""Another client of the same servers: how long it waits while a backup runs, and while none does.

It reads a secret, or a row, a hundred times a second (``neighbour.py``). Everybody has the same two processors here, so
that a part of what it waits for is the processor, and neither server. Each way to back up is measured in turns with the
others, several times, and what the client met in all of its turns is put together.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from kleidia_backup import backup

from .configuration import PASSWORD
from .measuring import Measure
from .system import Sizes, System, placed, secret_bodies

pytestmark = pytest.mark.timeout(1800)

#: Seconds between two requests of the other client, and for which it asks while nothing else runs.
EVERY, IDLE = 0.01, 3.0
#: Turns.
ROUNDS = 4


@contextmanager
def neighbour(kind: str, **about: Any) -> Iterator[list[float]]:
    """Another client asks until this is left; then the list has the seconds of each of its requests."""
    seconds: list[float] = []
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("neighbour.py")), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        print(json.dumps(about | {"every": EVERY}), file=process.stdin, flush=True)
        assert process.stdout.readline() == "ready\n"
        yield seconds
        seconds += json.loads(process.communicate(timeout=60)[0])
    finally:
        process.kill()
        process.communicate()


def p99(seconds: list[float]) -> float:
    """99 of 100 took no longer."""
    return sorted(seconds)[int(0.99 * (len(seconds) - 1))]


def taken(measure: Measure, ways: dict[str, Callable[[], object]], kind: str, **about: Any) -> dict[str, float]:
    """The other client's p99 while nothing runs (``idle``), and while each way runs, in turns; seconds."""
    met: dict[str, list[float]] = {name: [] for name in ("idle", *ways)}

    def one(name: str, way: Callable[[], object]) -> None:
        with neighbour(kind, **about) as seconds:
            begun = time.perf_counter()
            way()
            measure.times.setdefault(name, []).append(time.perf_counter() - begun)
        met[name] += seconds

    def all_but_the_last() -> None:
        one("idle", lambda: time.sleep(IDLE))
        for name, way in list(ways.items())[:-1]:
            one(name, way)

    last, way = list(ways.items())[-1]
    measure.race(lambda: one(last, way), rounds=ROUNDS, others=all_but_the_last)
    return {name: p99(seconds) for name, seconds in met.items()}


def test_beside_a_backup_of_the_vault(measure: Measure, system: System, sizes: Sizes) -> None:
    """With 20 workers whatever the server says, with as many as it works on (the default), and with ``max_rate``."""
    vault = system.vault(sizes.keys)
    path = next(iter(placed(vault, secret_bodies(sizes.keys))))[0]

    def way(**changes: Any) -> Callable[[], object]:
        settings = replace(vault, **changes)
        return lambda: anyio.run(partial(backup, vault=settings, store=system.store(), password=PASSWORD))

    backup_rate = sizes.keys * 2 / 50  # a backup of some fifty seconds: one listing and one read for each key
    ways = {"twenty": way(adaptive=False), "limited": way(max_rate=int(backup_rate)), "adaptive": way(adaptive=True)}
    met = taken(measure, ways, "vault", url=f"{vault.address}/v1/{path}", token=system.servers.openbao.root_token)
    shown = {f"{name}_ms": 1000 * value for name, value in met.items()}
    measure.line("neighbour_vault", met["adaptive"] / met["twenty"], **shown)
    measure.line("neighbour_vault_rate", met["limited"] / met["idle"], **shown)
    best = {name: measure.best(name) for name in ways}
    measure.line("adaptive", best["adaptive"] / best["twenty"], twenty=best["twenty"], ours=best["adaptive"])
    measure.judge()


def test_beside_a_backup_of_the_database(measure: Measure, system: System, sizes: Sizes) -> None:
    """As it is, and with ``nice`` and ``max_rate``."""
    database = system.database(1000, sizes.audit_rows)

    def way(**changes: Any) -> Callable[[], object]:
        settings = replace(database, **changes)
        return lambda: anyio.run(partial(backup, database=settings, store=system.store(), password=PASSWORD))

    rate = sizes.audit_rows * 700 // 15  # a backup of some fifteen seconds
    ways = {"plain": way(), "courteous": way(nice=19, max_rate=rate)}
    met = taken(measure, ways, "database", conninfo=database.full_conninfo())
    shown = {f"{name}_ms": 1000 * value for name, value in met.items()}
    measure.line("neighbour_database", met["courteous"] / met["plain"], **shown)
    measure.judge()
