"""Who runs the command, and whether it is a job. Light: every command imports it."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace


def user() -> str:
    """The name of the user of this process; a container's user may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def is_job(given: Namespace) -> bool:
    """Whether a command is a job that is recorded: it does something, or says whether an archive is whole."""
    looks = ("dry_run", "dismiss", "password_only", "check_reports")
    return given.command in {"backup", "restore", "verify", "drill"} and not any(getattr(given, x, 0) for x in looks)
