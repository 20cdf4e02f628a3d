"""Says where the CPU time of a backup, a verification and a restore of a database goes: ``python -m benchmarks.cpu``.

Seconds of user and system time of this process, of the programs that it ran and of the server: figures that depend less
on what else the machine does than those of the clock. Below this process stand its event loop, what its stages had done
in threads, and the rest: threads between two pieces of work, and those of libraries. ``--bare`` adds the references.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import anyio
import psutil
from anyio import to_thread

from kleidia_backup import PostgresSettings, backup, restore, verify
from kleidia_backup.commands.console.memory import settle_malloc
from kleidia_backup.demo.servers.together import start_servers
from kleidia_backup.pipeline.engine.running import Run
from kleidia_backup.pipeline.parts.request import Format

from . import bare, pipes
from .configuration import PASSWORD
from .measuring import timed
from .system import SHORT, System


@dataclass
class Used:
    """Seconds of CPU time; pairs are of user and system time."""

    ours: tuple[float, float] = (0, 0)
    programs: tuple[float, float] = (0, 0)
    server: tuple[float, float] = (0, 0)
    loop: float = 0
    stages: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def show(self, title: str, seconds: float) -> None:
        """Print it."""
        print(f"\n{title}: {seconds:.2f} s by the clock")
        for name, part in {"this process": self.ours, "programs": self.programs, "PostgreSQL": self.server}.items():
            print(f"  {name:<20} {sum(part):6.2f} s  (user {part[0]:.2f}, system {part[1]:.2f})")
            if name == "this process" and self.stages:
                print(f"    {'event loop':<18} {self.loop:6.2f} s")
                for stage, spent in sorted(self.stages.items(), key=lambda each: -each[1]):
                    print(f"    {stage:<18} {spent:6.2f} s  in threads")
                print(f"    {'the rest':<18} {sum(part) - self.loop - sum(self.stages.values()):6.2f} s")


@contextmanager
def using(server: int) -> Iterator[Used]:
    """What is used until left; ``server`` is the first process of PostgreSQL."""
    used, process, postgres = Used(), psutil.Process(), psutil.Process(server)
    own, servers, loop = process.cpu_times(), _all_of(postgres), time.thread_time()
    with _counted(used.stages):
        yield used
    used.loop = time.thread_time() - loop
    now, then = process.cpu_times(), _all_of(postgres)
    used.ours = now.user - own.user, now.system - own.system
    used.programs = now.children_user - own.children_user, now.children_system - own.children_system
    used.server = then[0] - servers[0], then[1] - servers[1]


def _all_of(postgres: psutil.Process) -> tuple[float, float]:
    """User and system time of the server's processes, of those that ended as well."""
    first = postgres.cpu_times()
    living = []
    for each in postgres.children():
        with suppress(psutil.NoSuchProcess):  # it ended just now, and is among the first one's children that did
            living.append(each.cpu_times())
    return (
        first.user + first.children_user + sum(each.user for each in living),
        first.system + first.children_system + sum(each.system for each in living),
    )


@contextmanager
def _counted(stages: dict[str, float]) -> Iterator[None]:
    """Note the CPU time of what stages have done in threads, each with the transforms on its edges."""
    run_sync, drive = to_thread.run_sync, Run._drive  # noqa: SLF001 - where a stage's tasks begin
    stage = ContextVar("stage", default="before and after")

    async def named(running: Run, node: Any, *arguments: Any) -> None:
        stage.set(node.name)
        await drive(running, node, *arguments)

    async def counted(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        def work() -> Any:
            started = time.thread_time()
            try:
                return function(*arguments)
            finally:
                stages[stage.get()] += time.thread_time() - started

        return await run_sync(work, **options)

    with patch.object(Run, "_drive", named), patch.object(to_thread, "run_sync", counted):
        yield


def measured(title: str, server: int, work: Callable[[], Any]) -> Any:
    """Run it, and print what it used; what it returned."""
    made: list[Any] = []
    with using(server) as used:
        seconds = timed(lambda: made.append(work()))
    used.show(title, seconds)
    return made[0]


def main() -> None:
    """Fill a database, then back it up, verify the archive and restore it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=get_args(Format), default="v2")
    parser.add_argument("--rows", type=int, default=SHORT.audit_rows, help="of 700 bytes (default: %(default)s)")
    parser.add_argument("--bare", action="store_true", help="show what pg_dump, psql and the pipes use, too")
    given = parser.parse_args()
    settle_malloc()  # as the command does
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        with start_servers(Path(directory) / "servers", openbao=False, s3=False) as servers:
            system = System(servers, Path(directory))
            database, server = system.database(1_000, given.rows), servers.processes["postgres"].pid
            _ours(system, database, server, given.format)
            if given.bare:
                _references(system, database, server, Path(directory))


def _ours(system: System, database: PostgresSettings, server: int, form: Format) -> None:
    store, into = system.store(), system.empty_database()
    run = partial(backup, database=database, store=store, password=PASSWORD, format=form)
    anyio.run(run)  # what is loaded and cached at the first
    made = measured(f"backup, {form}", server, partial(anyio.run, run))
    check = partial(verify, made.name, store=store, password=PASSWORD)
    measured(f"verify, {form}", server, partial(anyio.run, check))
    back = partial(restore, made.name, database=into, store=store, password=PASSWORD, state=system.state())
    measured(f"restore, {form}", server, partial(anyio.run, back))


def _references(system: System, database: PostgresSettings, server: int, directory: Path) -> None:
    plain, compact = directory / "dump.sql", directory / "dump.zst"
    measured("pg_dump", server, lambda: bare.pg_dump(database, plain))
    measured("pg_dump | zstd | openssl", server, lambda: pipes.zstd(database, compact))
    measured("psql -1", server, lambda: bare.psql(system.empty_database(), plain))
    measured("openssl | zstd -d | psql -1", server, lambda: pipes.restore(system.empty_database(), compact))


if __name__ == "__main__":
    main()
