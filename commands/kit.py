"""The command ``recovery-kit``: what opens archives where this program is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pipeline.recovery_kit import FOLDER, SUMS, store_recovery_kit, write_recovery_kit
from ..pipeline.reports import words

if TYPE_CHECKING:
    from .invocation import Invocation


def recovery_kit(invocation: Invocation) -> int:
    """Write the kit into a directory, or into the store; print the checksums."""
    directory = invocation.arguments.directory
    if directory is None:
        store = invocation.store
        sums = invocation.job(lambda _: store_recovery_kit(store))
        where = f"{store.where}, below {store.prefix}{FOLDER}"
    else:
        sums = invocation.job(lambda _: write_recovery_kit(directory))
        where = str(directory)
    lines = [
        f"The recovery kit is in {words.printable(where)}. Begin with HOW-TO.txt.",
        *(f"{digest}  {name}" for name, digest in sums.items()),
        f"Keep it beside the archives and away from them, and the checksum of {SUMS} on paper, with the password.",
    ]
    return invocation.terminal.result({"where": where, "files": sums}, lines)
