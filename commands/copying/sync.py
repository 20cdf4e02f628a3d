"""The command ``copies``: how each copy is, and filling them; and the copies of an archive that was just made."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...pipeline.reports import words
from ...stages.errors import ConfigurationError, KleidiaError
from ..console import tables
from ..console.exit_codes import WARNINGS
from ..records.recorded import proven_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...pipeline.copies.sync import CopyReport
    from ..invocation import Invocation


def copies(invocation: Invocation) -> int:
    """Say how the copies are; ``sync`` fills them. Exit status 8 when one of them lacks something."""
    given, copies = invocation.arguments, invocation.copies
    if not copies:
        raise ConfigurationError(
            "No copies are configured.", hint="Write [[copies]] for each store that gets one; see docs/copies.md."
        )
    from ...pipeline.copies.sync import by_full_names, sync_copies

    dry_run = given.dry_run or given.action is None
    reports: list[CopyReport] = invocation.job(
        lambda on_progress: sync_copies(
            invocation.present_store,
            copies,
            new_slots=given.new_slots,
            dry_run=dry_run,
            proven=by_full_names(partial(proven_of, invocation), invocation.present_store.prefix),
            on_progress=on_progress,
            log=invocation.terminal.log(),
            timeout=invocation.limits.job_timeout,
        ),
        "copying",
    )
    status = 0 if all(each.ok for each in reports) else WARNINGS
    shown = [
        tables.facts(f"Copy {each.number}: {words.printable(each.copy)}", _pairs(each, dry_run)) for each in reports
    ]
    status = invocation.terminal.result(
        {"dry_run": dry_run, "copies": [_values(each) for each in reports]}, shown, status
    )
    for each in reports:
        for warning in _warnings(each):
            invocation.terminal.warn(warning)
    return status


def copy_new(invocation: Invocation, name: str) -> list[CopyReport]:
    """Copy the archive that was just made; what goes wrong is a warning, for the backup is made."""
    try:
        copies, store = invocation.copies, invocation.present_store
        if not copies:
            return []
        from ...pipeline.copies.sync import sync_copies  # few have any, and every backup comes here

        reports: list[CopyReport] = invocation.job(
            lambda on_progress: sync_copies(
                store,
                copies,
                only=name.removeprefix(store.prefix),
                new_slots=True,  # of a rewrap that has just ended; a new archive has no other copy
                on_progress=on_progress,
                log=invocation.terminal.log(),
                timeout=invocation.limits.job_timeout,
            ),
            "copying",
            last=False,
        )
    except KleidiaError as exc:
        invocation.terminal.warn(f"Nothing was copied: {exc.message} {exc.hint}")
        return []
    for each in reports:
        for warning in _warnings(each):
            invocation.terminal.warn(warning)
    return reports


def copy_values(reports: Sequence[CopyReport], name: str) -> dict[str, object]:
    """What a backup's result says of the copies of its archive; nothing where there are none."""
    found = [state for each in reports for state in each.states if name.endswith(state.archive)]
    return {"copies": words.as_json(found)} if reports else {}


def _warnings(report: CopyReport) -> list[str]:
    error = [f"The copy {report.copy} failed: {report.error} {report.hint}".rstrip()] if report.error else []
    return [*error, *report.warnings]


def _values(report: CopyReport) -> dict[str, object]:
    return {**words.as_json(report), "ok": report.ok}


def _pairs(report: CopyReport, dry_run: bool) -> dict[str, str]:
    counts = {
        state: sum(each.state == state for each in report.states)
        for state in ("ok", "missing", "copying", "differs", "failed")
    }
    nothing = "not known" if report.error else "none"  # of a copy that cannot be listed nobody knows what it has
    copied = f"{len(report.copied):,}, {words.size(report.bytes)}"
    pairs = {
        "where": words.printable(report.where),
        "archives": ", ".join(f"{count:,} {state}" for state, count in counts.items() if count) or nothing,
        "to be copied" if dry_run else "copied": copied if report.copied or not report.error else "",
        "to be deleted" if dry_run else "deleted": f"{len(report.deleted):,}" if report.deleted else "",
        "behind by": words.seconds(report.lag) if report.lag else "",
    }
    return {name: text for name, text in pairs.items() if text}
