"""A transform inserted into a backup, as ``docs/engine.md`` says."""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kleidia_backup import verify

from .conftest import PASSWORD, System

pytestmark = pytest.mark.anyio

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "engine.md"


async def test_a_transform_in_a_backup(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """One word in the wiring, and the archive is written through it, counted, and as good as before."""
    text = DOCUMENT.read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(import time\n.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(program.partition("async def main")[0], names)
    line = "writer.wire(pipeline, sql, secrets, rows)"
    inserted = f"{line}.through(Throttle(rate))"
    source = inspect.getsource(import_module("kleidia_backup.pipeline.backup"))
    of_v1 = inspect.getsource(import_module("kleidia_backup.pipeline.archives.v1"))
    quoted = re.findall(
        r"^    (.*= pipeline\..*|.*\bpipeline\..*|.*writer\.wire.*)$",
        text.partition("## A transform in a backup")[2],
        re.MULTILINE,
    )
    *wiring, _source, _sink, _run = quoted  # those of the program come last
    assert len(wiring) == 5
    assert all(each in source for each in wiring[:4])
    assert wiring[4].strip() in of_v1
    assert (text.count(line), text.count(inserted), source.count(line)) == (2, 1, 1)

    changed = ModuleType("kleidia_backup.pipeline.throttled")
    changed.__dict__.update(Throttle=names["Throttle"], rate=100_000_000, __package__="kleidia_backup.pipeline")
    monkeypatch.setitem(sys.modules, changed.__name__, changed)
    exec(compile(source.replace(line, inserted), "throttled.py", "exec"), changed.__dict__)
    made = await changed.backup(database=system.postgres, vault=system.vault, store=system.store, password=PASSWORD)
    stages = {stage.name: stage for stage in made.stages}
    assert list(stages)[-3:] == ["sha256", "throttle", "upload"]
    assert stages["throttle"].bytes == stages["upload"].bytes == stages["sha256"].bytes > 0
    assert stages["throttle"].busy > 0
    assert (await verify(made.name, store=system.store, password=PASSWORD)).secrets == made.secrets
