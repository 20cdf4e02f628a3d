"""Arguments of ``pin``, ``unpin`` and ``retention``. Light: ``--help`` imports it."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from .common import add_name, add_password


def add_retention(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """The commands about which archives are kept."""
    pin = command("pin", "keep an archive: retention and `delete` leave it alone")
    add_name(pin)
    pin.add_argument("--reason", metavar="TEXT", help="why, for those who wonder later")
    add_name(command("unpin", "leave an archive to retention again"))
    retention = command("retention", "delete the archives that the rules of [retention] do not keep, for timers")
    retention.add_argument(
        "--dry-run", action="store_true", help="only say what would be deleted, and why each of the others stays"
    )
    add_password(retention)
