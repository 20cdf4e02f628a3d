"""The demo's servers together: started at the same time in one directory, ended together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from .kv import KvMount, OpenBaoServer
from .openbao import start_openbao
from .postgres import PostgresServer, start_postgres
from .processes import Guardian, ServerProcess, stop_recorded
from .s3 import Bucket, S3Server, start_s3

__all__ = [
    "Bucket",
    "KvMount",
    "OpenBaoServer",
    "PostgresServer",
    "S3Server",
    "Servers",
    "start_servers",
    "stop_servers",
]


@dataclass(eq=False)
class Servers:
    """Running servers; a context manager that ends them. ``seconds`` says how long each took to start."""

    directory: Path
    seconds: dict[str, float]
    processes: dict[str, ServerProcess]
    _servers: dict[str, object] = field(repr=False)
    _guardian: Guardian | None = field(repr=False)

    @property
    def postgres(self) -> PostgresServer:
        """Where PostgreSQL answers; ``KeyError`` when it was not asked for."""
        return cast("PostgresServer", self._servers["postgres"])

    @property
    def openbao(self) -> OpenBaoServer:
        """Where OpenBao answers; ``KeyError`` when it was not asked for."""
        return cast("OpenBaoServer", self._servers["openbao"])

    @property
    def s3(self) -> S3Server:
        """Where the S3 server answers; ``KeyError`` when it was not asked for."""
        return cast("S3Server", self._servers["s3"])

    def alive(self) -> bool:
        """Whether every one of them still runs."""
        return all(process.alive() for process in self.processes.values())

    def stop(self) -> None:
        """End them all at the same time; returns when they are gone. May be called twice."""
        _together({name: process.stop for name, process in self.processes.items()})
        if self._guardian:
            self._guardian.dismiss()
            self._guardian = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_servers(
    directory: Path,
    *,
    postgres: bool = True,
    openbao: bool = True,
    s3: bool = True,
    fsync: bool = True,
    detached: bool = False,
    temporary: bool = False,
) -> Servers:
    """Start the servers in ``directory`` (made when missing; never twice in one) and return when all answer.

    They end with ``Servers.stop()``, and with this process however that dies. ``detached`` ones outlive it, until
    ``stop_servers(directory)``. A ``temporary`` directory goes too if this process dies; else its owner removes it.
    Without ``fsync`` PostgreSQL is faster, and its data does not survive a power cut.

    Raises:
        ConfigurationError: a wheel is missing (the demo extra brings it) or a server did not start; the message ends
            with its log. Those that did start are ended first.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    give_up = threading.Event()
    starters: dict[str, Callable[[], tuple[object, ServerProcess]]] = {}
    if postgres:
        starters["postgres"] = lambda: start_postgres(directory, fsync=fsync, give_up=give_up)
    if openbao:
        starters["openbao"] = lambda: start_openbao(directory, give_up=give_up)
    if s3:
        starters["s3"] = lambda: start_s3(directory, give_up=give_up)
    guardian = None if detached else Guardian(directory, remove=temporary)
    seconds: dict[str, float] = {}
    started: dict[str, tuple[object, ServerProcess]] = {}

    def start(name: str) -> None:
        begin = time.monotonic()
        started[name] = starters[name]()
        seconds[name] = time.monotonic() - begin

    try:
        _together({name: partial(start, name) for name in starters}, give_up)
    except BaseException:
        _together({name: process.stop for name, (_, process) in started.items()})
        if guardian:
            guardian.dismiss()
        raise
    processes = {name: process for name, (_, process) in started.items()}
    if detached:
        for process in processes.values():
            process.release()
    return Servers(directory, seconds, processes, {name: server for name, (server, _) in started.items()}, guardian)


def stop_servers(directory: Path) -> list[str]:
    """End the servers recorded in a directory, whoever started them; the names of those that ran."""
    return stop_recorded(directory.resolve())


def _together(calls: dict[str, Callable[[], Any]], give_up: threading.Event | None = None) -> None:
    """Call all at the same time and return when all have; the first failure tells the others, and is raised."""
    if not calls:
        return
    with ThreadPoolExecutor(len(calls), thread_name_prefix="servers") as pool:
        try:
            futures = [pool.submit(call) for call in calls.values()]
            for future in as_completed(futures):
                future.result()
        except BaseException:
            if give_up:
                give_up.set()
            raise
