"""Runs a backup, a verification or a restore, and prints for each pipeline its memory bound and the real peak.

A program of its own, given its settings as JSON: what a process takes from the system is that of all that runs in it.
"""

from __future__ import annotations

import gc
import json
import re
import sys
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import anyio

from kleidia_backup import DirectorySettings, PostgresSettings, Root, TokenAuth, VaultSettings, backup, restore, verify
from kleidia_backup.pipeline.engine import Observer, Pipeline
from kleidia_backup.pipeline.engine.declares import working_set_of

PASSWORD = "correct horse battery staple"
_run = Pipeline.run


def memory(what: str) -> int:
    """Bytes: ``VmRSS`` is what the process has, ``VmHWM`` the most that it had."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found.group(1)) * 1024


def begin_anew() -> None:
    """The peak so far is forgotten."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


class Still:
    """Happens when no edge of a pipeline has moved for a second: each holds what it can."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def wait(self) -> None:
        before, times = None, 0
        while times < 20:
            await anyio.sleep(0.05)
            now = [(edge.items, edge.bytes, edge.buffered) for edge in self._pipeline.snapshot().edges]
            before, times = now, times + 1 if now == before else 0


async def measured(self: Pipeline, observer: Observer | None = None, *, fill: bool = False) -> None:
    """Run, and say what it took above what there was; ``fill``: what writes the archive begins when all is full.

    How full edges become else is a matter of which stage is the slowest at this moment.
    """
    if fill:
        for node in self._nodes:
            if not node.outlets:
                node.when = Still(self)
    gc.collect()
    begin_anew()
    before = memory("VmRSS")
    await _run(self, observer)
    stages = [stage.name for stage in self.snapshot().stages]
    bound = self.memory_bound()
    declared = sum(working_set_of(node.stage) for node in self._nodes)
    line = {"stages": stages, "bound": bound, "edges": bound - declared, "taken": memory("VmHWM") - before}
    sys.stdout.write(json.dumps(line) + "\n")


async def main(given: dict[str, Any]) -> None:
    database = PostgresSettings(given["conninfo"], pg_dump=given["pg_dump"])
    roots = tuple(Root(*each) for each in given["roots"])
    vault = VaultSettings(address=given["address"], auth=TokenAuth(given["token"]), roots=roots, workers=4)
    store = DirectorySettings(Path(given["directory"]), prefix="backups/")
    # The first time imports, connects and derives a key: that is the baseline.
    few = replace(vault, roots=tuple(Root(*each) for each in given["few"]))
    small = PostgresSettings(given["empty"], pg_dump=given["pg_dump"])
    first = (await backup(database=small, vault=few, store=store, password=PASSWORD, format=given["format"])).name
    await restore(first, database=small, vault=few, store=store, password=PASSWORD)
    Pipeline.run = partialmethod(measured, fill=given["job"] == "backup")  # type: ignore[assignment]
    parts: dict[str, Any] = (
        {"database": database} if given["database_alone"] else {"database": database, "vault": vault}
    )
    match given["job"]:
        case "backup":
            await backup(name=given["name"], store=store, password=PASSWORD, format=given["format"], **parts)
        case "verify":
            await verify(given["name"], store=store, password=PASSWORD)
        case "restore":
            await restore(given["name"], store=store, password=PASSWORD, **parts)


if __name__ == "__main__":
    anyio.run(main, json.load(sys.stdin))
