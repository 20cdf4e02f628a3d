"""One search in a process of its own: ``python -m tests.fuzz.child NAME [libFuzzer's options]``; see ``__main__``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import clock
from .registry import harness, place


def _others(wanted: Sequence[str]) -> Iterator[str]:
    """The product's other modules: atheris takes whole packages, and no less."""
    spec = find_spec("kleidia_backup")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    for room in (path.parent for path in root.glob("*/__init__.py")):
        for path in room.rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(("kleidia_backup", *(part for part in parts if part != "__init__")))
            if not any(f"{name}.".startswith(f"{prefix}.") for prefix in wanted):
                yield name


def main() -> None:
    """Search until libFuzzer ends the process.

    With 0 when its time or its executions are over, with another status for a finding.
    """
    name, *options = sys.argv[1:]
    atheris: Any = import_module("atheris")
    clock.stop()
    wanted = place(name).instrument
    others = list(_others(wanted))
    with atheris.instrument_imports(include=list(wanted), exclude=others, enable_loader_override=False):
        one = harness(name).one
    atheris.Setup([f"tests.fuzz {name}", *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
