"""Many small blocking requests at once: twenty threads, each with one connection that is kept open."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from .servers.kv import Connection, KvMount

T = TypeVar("T")
R = TypeVar("R")

#: Threads, as many as the product has workers.
WORKERS = 20


@contextmanager
def each_mount(*mounts: KvMount) -> Iterator[Callable[[KvMount], KvMount]]:
    """A function that gives the mount over the calling thread's own connection; all are closed at the end."""
    mine = threading.local()
    with ExitStack() as stack:

        def here(mount: KvMount) -> KvMount:
            if not hasattr(mine, "server"):
                mine.server = stack.enter_context(Connection(mounts[0].server))
            return replace(mount, server=mine.server)

        yield here


def in_parallel(items: Iterable[T], work: Callable[[T], R]) -> list[R]:
    """Call ``work`` for every item, ``WORKERS`` at a time; the results in order. Raises the first failure."""
    iterator = iter(items)
    results: list[R] = []
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="demo") as pool:
        while batch := list(islice(iterator, 1000)):  # so that a long iterator is not read ahead
            results += pool.map(work, batch)
    return results
