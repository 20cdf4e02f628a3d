"""Results for people, as rich renderables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from . import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from ..formats.v1 import Header
    from ..pipeline.archives import ArchiveInfo, Check
    from ..pipeline.engine import StageSnapshot
    from ..pipeline.plan_report import RestorePlan
    from ..pipeline.report import BackupReport, RestoreReport, UndoReport, VerifyReport


#: The checksum in an archive's header: not that of the file.
SHA256 = "SHA-256 of the ciphertext"


def facts(title: str, pairs: Mapping[str, str]) -> RenderableType:
    """Names and values, one pair a line, below a title."""
    made = Table(box=None, show_header=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs.items():
        made.add_row(name, Text(words.printable(value)))
    # Not the table's own title, which would be as narrow as the table.
    return Group(Text(words.printable(title), style="bold", no_wrap=True, overflow="ignore"), made)


def backed_up(report: BackupReport) -> Iterator[RenderableType]:
    """What a backup made."""
    pairs = {"archive": f"{report.name}, {words.size(report.size)}", SHA256: report.checksum}
    if report.backup_type != "vault":
        pairs["database"] = f"{words.size(report.sql_bytes)} of SQL"
    if report.without_rows:
        pairs["left out"] = f"the rows of {', '.join(report.without_rows)}, which a restore preserves"
    if report.backup_type != "database":
        pairs["secrets"] = _counted(report.secrets, {"deleted": report.deleted, "unreadable": report.unreadable_count})
    yield facts(f"Backup complete ({report.backup_type})", {**pairs, "time": _time(report.seconds)})
    yield stages(report.stages)


def verified(report: VerifyReport) -> Iterator[RenderableType]:
    """What an archive holds, all of it checked."""
    pairs = {"archive": f"{report.name}, {words.size(report.size)}", **contents(report.header)}
    if report.header.includes_db:
        pairs["database"] = sql(report)
    if report.header.includes_kv:
        pairs["secrets"] = f"{report.secrets:,}"
    yield facts("The archive is whole: checksum, tag, gzip and JSON", {**pairs, "time": _time(report.seconds)})
    yield stages(report.stages)


def restored(report: RestoreReport) -> Iterator[RenderableType]:
    """What a restore wrote."""
    pairs = {"archive": f"{report.name}, {words.size(report.size)}", **contents(report.header)}
    if report.sql_bytes:
        pairs["database"] = sql(report)
    if report.preserved:
        pairs["preserved"] = f"the rows of {', '.join(report.preserved)}"
    if report.secrets:
        counts = {"written": report.written, "unchanged": report.unchanged, "failed": report.failed_count}
        pairs["secrets"] = _counted(report.secrets, counts)
    if report.pruned_count:
        pairs["removed"] = f"{words.count(report.pruned_count, 'secret')} that the archive does not have"
    yield facts("Restore complete", {**pairs, "time": _time(report.seconds)})
    yield stages(report.stages)


def undone(report: UndoReport) -> Iterator[RenderableType]:
    """What an undo put back."""
    pairs = {"archive": report.archive, "restore begun": report.started}
    if report.committed:
        pairs["database"] = "PostgreSQL says that the restore was committed: nothing was put back"
        title = "The restore is complete"
    else:
        counts = {
            "with their former value": report.put_back,
            "removed": report.removed,
            "as before already": report.unchanged,
            "not put back": report.left_count,
        }
        pairs["secrets"] = _counted(sum(counts.values()), counts)
        title = "NOT everything was put back" if report.left_count else "The restore is undone"
    yield facts(title, {**pairs, "time": _time(report.seconds)})


def sql(report: VerifyReport | RestoreReport | RestorePlan) -> str:
    """How much an archive holds of a database."""
    tables, rows = words.count(report.tables, "table"), words.count(report.rows, "row")
    return f"{words.size(report.sql_bytes)} of SQL, {tables}, {rows}"


def contents(header: Header) -> dict[str, str]:
    """An archive's header in words."""
    audit = "with" if header.includes_audit else "without"
    return {
        "made": words.moment(header.created_at),
        "type": header.backup_type + (f", {audit} audit logs" if header.includes_db else ""),
    }


def stages(snapshots: Sequence[StageSnapshot]) -> RenderableType:
    """Where the time went. Stages work side by side, so the rows do not add up to the whole."""
    made = table("where the time went", "busy", "waiting for input", "waiting for output")
    for stage in snapshots:
        made.add_row(stage.name, *(words.seconds(each) for each in (stage.busy, stage.waiting_in, stage.waiting_out)))
    return made if snapshots else ""


def archives(found: Sequence[ArchiveInfo]) -> RenderableType:
    """The list of archives."""
    made = table("archive", "size", "stored", "type")
    for each in found:
        made.add_row(
            Text(words.printable(each.name)),
            words.size(each.size),
            words.moment(each.modified),
            each.backup_type or "?",
        )
    return made if found else "There are no archives."


def checks(found: Sequence[Check]) -> Iterator[RenderableType]:
    """What the test of the connections found."""
    for check in found:
        pairs = {"": check.detail, "missing": ", ".join(check.missing), "hint": check.hint}
        title = f"{check.part}: {'ok' if check.ok else 'not ok'}"
        yield facts(title, {name: text for name, text in pairs.items() if text})


def table(first: str, *others: str) -> Table:
    """An empty table with these columns; the first holds names, which stay whole, the others numbers."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    made.add_column(first, no_wrap=True)
    for name in others:
        made.add_column(name, justify="right", no_wrap=True)
    return made


def _counted(total: int, parts: Mapping[str, int]) -> str:
    said = [f"{number:,} {name}" for name, number in parts.items() if number]
    return f"{total:,}" + (f" ({', '.join(said)})" if said else "")


def _time(seconds: Mapping[str, Any]) -> str:
    phases = [f"{name} {words.seconds(each)}" for name, each in seconds.items() if name != "total"]
    return words.seconds(seconds.get("total", 0.0)) + (f" ({', '.join(phases)})" if phases else "")
