"""What a command or a job that was stopped leaves behind: for the terminal and for the service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...stages.errors import Effect
    from .jobs import Phase


@dataclass(frozen=True, slots=True)
class Left:
    """What became of the user's data, as a field and as a sentence."""

    effect: Effect
    text: str


#: Where it does not depend on when it was stopped.
_LEFT = {
    "backup": Left("nothing", "No archive was made, and nothing is left in the store."),
    "convert": Left("nothing", "No new archive was made, and nothing is left in the store."),
    "download": Left("nothing", "No file was written."),
    "copies": Left("nothing", "No archive was changed; the next run goes on with the copy that broke off."),
    "delete": Left("unknown", "Whether the archive is gone, `kleidia-backup list` shows."),
    "drill": Left("nothing", "What it restored to was removed; the report says that it was stopped."),
    "demo": Left("nothing", "Its servers were ended."),
}
#: By the phase in which a restore was stopped.
_RESTORE: dict[Phase, Left] = {
    "prune": Left("done", "The restore is complete. Secrets that the archive does not have were being removed."),
    "commit": Left("unknown", "It was ending: look whether the data is restored."),
    "undo": Left("put back", "The database and the secrets are as before."),
}
_INCOMPLETE = Left("secrets", "The database is as before.")
_UNDOING = Left("secrets", "Secrets were being put back.")
_NOTHING = Left("nothing", "Nothing was changed.")


def left_by(command: str, phase: Phase | None, *, undoing: bool = False, incomplete: bool = False) -> Left:
    """What ``command`` leaves behind that was stopped in this phase, None when it had not begun.

    ``undoing``: it was to undo an earlier restore. ``incomplete``: an error says which secrets were not put back.
    """
    if command != "restore" or phase is None:
        return _LEFT.get(command, _NOTHING)
    if phase == "undo" and (undoing or incomplete):
        return _UNDOING if undoing else _INCOMPLETE
    return _RESTORE.get(phase, _NOTHING)
