"""The command that does what the wizard's form asks for: to keep in a runbook, or to run where there is no page."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..api.models import Restore


def restore_arguments(wanted: Restore, target: str = "") -> list[str]:
    """What stands behind ``kleidia-backup``. No password and no reason: the command asks, or has its configuration's.

    ``target`` is named where there are several.
    """
    made = ["restore"]
    made += [f"--target={target}"] if target else []
    values = {
        "--only": wanted.only,
        "--as-of": None if wanted.as_of is None else wanted.as_of.isoformat(),
        "--from-copy": wanted.from_copy,
        "--table": ",".join(wanted.tables),
        "--as": wanted.copy_as,
        "--secret": ",".join(wanted.secrets),
        "--to": wanted.to,
        "--into-database": wanted.into_database,
        "--into-mount": wanted.into_mount,
        "--search-path": ",".join(wanted.search_path),
    }
    made += [f"{option}={value}" for option, value in values.items() if value]
    flags = {
        "--prune": wanted.prune,
        "--create": wanted.create_database,
        "--fresh": wanted.fresh,
        "--policies": wanted.policies,
        "--from-other-system": wanted.from_other_system,
        "--backup-first": wanted.backup_first and not wanted.copy_as,
    }
    made += [option for option, on in flags.items() if on]
    return [*made, "--", wanted.key] if wanted.key.startswith("-") else [*made, wanted.key]


def restore_command(wanted: Restore, target: str = "") -> str:
    """The line for a POSIX shell."""
    return shlex.join(["kleidia-backup", *restore_arguments(wanted, target)])
