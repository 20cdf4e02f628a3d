"""Results for people, as rich renderables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...pipeline.reports import incremental, words

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from ...formats.facts import Facts
    from ...pipeline.archives.checks import Check
    from ...pipeline.engine import StageSnapshot
    from ...pipeline.reports.contents import ArchiveContents, ConvertReport
    from ...pipeline.reports.jobs import BackupReport, RestoreReport, UndoReport, VerifyReport
    from ...pipeline.reports.plan import RestorePlan
    from ...pipeline.reports.tables import TablesReport


#: The checksum in an archive's header: not that of the file.
SHA256 = "SHA-256 of the ciphertext"


def facts(title: str, pairs: Mapping[str, str]) -> RenderableType:
    """Names and values, one pair a line, below a title."""
    # Who is answered in JSON waits for none of it.
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, show_header=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs.items():
        made.add_row(name, Text(words.printable(value)))
    # Not the table's own title, which would be as narrow as the table.
    return Group(Text(words.printable(title), style="bold", no_wrap=True, overflow="ignore"), made)


def backed_up(report: BackupReport, *, verbose: bool = False) -> Iterator[RenderableType]:
    """What a backup made."""
    pairs = {"archive": f"{report.name}, {words.size(report.size)}", digest(report.format): report.checksum}
    if report.backup_type != "vault":
        pairs["database"] = f"{words.size(report.sql_bytes)} of SQL"
    if report.without_rows:
        pairs["left out"] = f"the rows of {', '.join(report.without_rows)}, which a restore preserves"
    if report.backup_type != "database":
        pairs["secrets"] = _counted(report.secrets, {"deleted": report.deleted, "unreadable": report.unreadable_count})
    if report.incremental is not None:
        pairs["incremental"] = incremental.said(report.incremental)
    pairs |= own_secrets(report.own_secrets)
    if report.aborted_uploads:
        pairs["aborted"] = f"uploads that earlier runs left unfinished: {', '.join(report.aborted_uploads)}"
    yield facts(f"Backup complete ({report.backup_type})", {**pairs, **ended(report)})
    if verbose:
        yield stages(report.stages)


def verified(report: VerifyReport, *, verbose: bool = False) -> Iterator[RenderableType]:
    """What an archive holds, all of it checked."""
    pairs = {"archive": f"{report.name}, {words.size(report.size)}", **contents(report.header)}
    if report.header.includes_db:
        pairs["database"] = sql(report)
    if report.header.includes_kv:
        pairs["secrets"] = f"{report.secrets:,}"
    if report.signer:
        known = "trusted here" if report.trusted else "NOT trusted here: a restore may refuse it"
        pairs["signer"] = f"{report.signer} ({known})"
    yield facts("The archive is whole, to its last byte", {**pairs, **ended(report)})
    if verbose:
        yield stages(report.stages)


def restored(report: RestoreReport, *, verbose: bool = False) -> Iterator[RenderableType]:
    """What a restore wrote."""
    pairs = {"archive": f"{report.name}, {words.size(report.size)}", **contents(report.header)}
    if report.backup:
        pairs["backup before"] = report.backup
    if report.into:
        pairs["into"] = ", ".join(report.into)
    if report.sql_bytes:
        pairs["database"] = sql(report)
    if report.preserved:
        pairs["preserved"] = f"the rows of {', '.join(report.preserved)}"
    if report.secrets:
        counts = {"written": report.written, "unchanged": report.unchanged, "failed": report.failed_count}
        pairs["secrets"] = _counted(report.secrets, counts)
    pairs |= own_secrets(report.own_secrets)
    if report.pruned_count:
        pairs["removed"] = f"{words.count(report.pruned_count, 'secret')} that the archive does not have"
    yield facts("Restore complete", {**pairs, **ended(report)})
    if verbose:
        yield stages(report.stages)


def converted(report: ConvertReport, *, verbose: bool = False) -> Iterator[RenderableType]:
    """What a conversion made, and of what."""
    pairs = {
        "archive": f"{report.name}, {words.size(report.size)}, format {report.format}",
        "made of": f"{report.source}, {words.size(report.source_size)}, which stays",
        digest(report.format): report.checksum,
    }
    if report.backup_type != "vault":
        pairs["database"] = f"{words.size(report.sql_bytes)} of SQL"
    if report.backup_type != "database":
        pairs["secrets"] = f"{report.secrets:,}"
    yield facts("Converted", {**pairs, "time": spent(report.seconds)})
    if verbose:
        yield stages(report.stages)


def listed(found: ArchiveContents) -> Iterator[RenderableType]:
    """What an archive holds by its index."""
    pairs = {"archive": f"{found.name}, {words.size(found.size)}", **contents(found.header)}
    if found.header.includes_db:
        number, rows = words.count(len(found.tables), "table"), words.count(found.rows, "row")
        pairs["database"] = f"{_packed(found.sql_bytes, found.sql_stored)} of SQL, {number} with rows listed, {rows}"
    if found.header.includes_kv:
        pairs["secrets"] = f"{found.secrets:,}, {_packed(found.secrets_bytes, found.secrets_stored)}"
    pairs["note"] = "By its index alone: `kleidia-backup verify` reads the rest."
    yield facts("The archive's index lists", pairs)
    if found.tables:
        from rich.text import Text

        made = table("table", "rows", "bytes")
        for each in found.tables:
            made.add_row(Text(words.printable(each.name)), f"{each.rows:,}", words.size(each.bytes))
        yield made


def _packed(size: int, stored: int) -> str:
    return f"{words.size(size)} ({words.size(stored)} compressed)"


def digest(format: str) -> str:  # noqa: A002 - what everybody calls it
    """What the checksum in a report is one of."""
    return SHA256 if format == "v1" else "SHA-256 of the file"


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
    yield facts(title, {**pairs, **ended(report)})


def sql(report: VerifyReport | RestoreReport | RestorePlan) -> str:
    """How much an archive holds of a database."""
    tables, rows = words.count(report.tables, "table"), words.count(report.rows, "row")
    return f"{words.size(report.sql_bytes)} of SQL, {tables}, {rows}"


def own_secrets(paths: Sequence[str]) -> dict[str, str]:
    """What was passed over because the product itself needs it; nothing when nothing was."""
    return {"left as it is": f"{', '.join(paths)}: secrets of kleidia-backup itself"} if paths else {}


def contents(header: Facts) -> dict[str, str]:
    """An archive's header in words."""
    audit = "with" if header.includes_audit else "without"
    return {
        "made": words.moment(header.created_at),
        "system": getattr(header, "system", "") or "not said: only the prefix of the name tells",
        "type": header.backup_type + (f", {audit} audit logs" if header.includes_db else ""),
    }


def stages(snapshots: Sequence[StageSnapshot]) -> RenderableType:
    """Where the time went. Stages work side by side, so the rows do not add up to the whole."""
    made = table("where the time went", "busy", "waiting for input", "waiting for output", "bytes")
    for stage in snapshots:
        times = (words.seconds(each) for each in (stage.busy, stage.waiting_in, stage.waiting_out))
        made.add_row(stage.name, *times, words.size(stage.bytes))
    return made if snapshots else ""


def checks(found: Sequence[Check]) -> Iterator[RenderableType]:
    """What the test of the connections found."""
    for check in found:
        pairs = {"": check.detail}
        for purpose, lacks in (("backup", check.backup_lacks), ("restore", check.restore_lacks)):
            if lacks is not None:
                pairs[purpose] = f"lacks {', '.join(lacks)}" if lacks else "ok"
        pairs |= {"hint": check.hint, "it said": check.said}
        title = (
            f"{f'copy {words.printable(check.copy)}' if check.copy else check.part}: {'ok' if check.ok else 'not ok'}"
        )
        yield facts(title, {name: text for name, text in pairs.items() if text})


def table(first: str, *others: str) -> Table:
    """An empty table with these columns; the first holds names, which stay whole, the others numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    made.add_column(first, no_wrap=True)
    for name in others:
        made.add_column(name, justify="right", no_wrap=True)
    return made


def _counted(total: int, parts: Mapping[str, int]) -> str:
    said = [f"{number:,} {name}" for name, number in parts.items() if number]
    return f"{total:,}" + (f" ({', '.join(said)})" if said else "")


def ended(report: BackupReport | RestoreReport | VerifyReport | UndoReport | TablesReport) -> dict[str, str]:
    """What a job asked of servers, and its time."""
    return {**words.loads(report.load), "time": spent(report.seconds)}


def spent(seconds: Mapping[str, Any]) -> str:
    """The whole time, and that of each phase."""
    phases = [f"{name} {words.seconds(each)}" for name, each in seconds.items() if name != "total"]
    return words.seconds(seconds.get("total", 0.0)) + (f" ({', '.join(phases)})" if phases else "")
