"""What ended a drill, as a verdict: a drill environment that is unfit says nothing about the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...stages.errors import ArchiveError, JobTimeout, KleidiaError, RestoreFailed, WrongPassword
from ...stages.pg.server.refusal import StatementRefused

if TYPE_CHECKING:
    from .report import Cause, Verdict

NEXT_STEP: dict[Cause, str] = {
    "": "",
    "archive": "Do not rely on this archive: make a new backup, drill that one, and find out what happened.",
    "password": "Give the password or the key of the time of this backup, and drill again.",
    "environment": "Mend the drill's servers and drill again. This says nothing about the archive.",
    "check": "Look at the check that failed: at its own SQL first, then at the data.",
    "time limit": "Give the drill more time (job_timeout in [backup]) or faster servers.",
    "cancelled": "Drill again when it suits.",
}


def judge(error: KleidiaError) -> tuple[Verdict, Cause]:
    """The verdict on a drill that an error ended."""
    if isinstance(error, WrongPassword):
        return "inconclusive", "password"
    if isinstance(error, ArchiveError):
        return "failed", "archive"
    if isinstance(error, JobTimeout):
        return "inconclusive", "time limit"
    if isinstance(error, RestoreFailed) and not _of_server(error):
        return "failed", "archive"
    return "inconclusive", "environment"


def _of_server(error: BaseException) -> bool:
    """Whether a server refused for a reason of its own."""
    seen: list[BaseException] = []  # a chain of errors may be a ring
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        if isinstance(cause, StatementRefused):
            return cause.of_server
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return False
