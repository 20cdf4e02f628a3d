"""What a configuration of several systems says: which there are, and which cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config.targets.services import target_services
from ..stages.errors import ConfigurationError
from .console import tables
from .console.exit_codes import USAGE
from .serving.schedules import check_schedules

if TYPE_CHECKING:
    from .invocation import Invocation


def check_targets(invocation: Invocation) -> int:
    """Check every target. The exit status is that of a wrong configuration when one cannot be used.

    Raises ``ConfigurationError`` for what is wrong with all of it.
    """
    found = target_services(invocation.whole)
    broken = dict(found.broken)
    for name, settings in found.settings.items():
        try:
            check_schedules(settings)
        except ConfigurationError as exc:
            broken[name] = exc
    usable = {name: each for name, each in found.settings.items() if name not in broken}
    values = {
        "file": str(invocation.whole.file),
        "default": found.default,
        "targets": [
            *({"name": name, "ok": True, "labels": each.labels} for name, each in usable.items()),
            *(
                {"name": name, "ok": False, "error": error.message, "next_step": error.hint}
                for name, error in broken.items()
            ),
        ],
    }
    pairs = {name: ", ".join(("can be used", *each.labels)) for name, each in usable.items()}
    pairs |= {name: f"CANNOT BE USED: {error.message}" for name, error in broken.items()}
    shown = tables.facts(f"{len(pairs)} targets; the default is {found.default}", pairs)
    return invocation.terminal.result(values, [shown], USAGE if broken else 0)
