"""Amounts, moments and states as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ...stages.words import in_zone, per_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..control.jobs import Job

#: What stands before a state, for who does not see its colour.
ICONS = {
    "completed": "✓",
    "failed": "✗",
    "running": "▶",
    "pending": "…",
    "missed": "∅",
    "none": "·",
    "warning": "!",
}
KINDS = {"backup": "Backup", "restore": "Restore", "verify": "Verification", "drill": "Drill"}
TYPES = {"full": "full", "database": "database alone", "vault": "vault alone", "": "not known"}
#: What a restore does to a table.
ACTIONS = {
    "create": "is made",
    "replace": "is replaced",
    "preserve": "keeps its rows",
    "stay": "stays: the archive does not know it",
    "drop": "goes: the archive does not know it",
}
#: What of a job's load is shown, with what it is called and how it is written.
_LOAD = {
    "vault": {
        "requests": "requests",
        "rate": "requests a second",
        "at_once": "at the same time, at most",
        "p50_ms": "half of the answers within",
        "p99_ms": "99 of 100 answers within",
        "longest_ms": "longest answer",
        "least_at_once": "at the same time when answers became slower",
        "refused": "refused (429, 503)",
        "paused": "paused because of that",
        "lets_pass": "slowed down by the vault (429) to",
    },
    "database": {
        "longest_transaction": "longest transaction",
        "locks_held": "tables locked for",
        "exclusive_locks_held": "of it against everybody",
    },
}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_PHASES = {
    "prepare": "preparing",
    "plan": "looking at what is there and in the archive",
    "download": "fetching the archive",
    "backup": "dumping, sealing and uploading",
    "verify": "reading and verifying the archive; nothing has changed",
    "restore": "restoring; nothing is visible in the database until it commits",
    "commit": "committing",
    "prune": "removing secrets that the archive does not have",
    "undo": "taking back what it wrote",
}
#: What a restore does one after the other, from the archive to its end.
_STEPS = {
    "verify": "Read and verify the whole archive. Nothing is changed.",
    "restore": "Write rows and secrets. Until it commits, cancelling is safe.",
    "commit": "Commit. From here on it cannot be cancelled.",
    "prune": "Remove secrets that the archive does not have.",
}
#: Options of a restore of less than the whole, which reads only what it needs.
_SOME = ("tables", "secrets", "undo", "dismiss")
_CANCEL = {
    "backup": "Cancelling ends it and removes what was uploaded. The archives that are there stay.",
    "restore": "Until it commits nothing has changed, and secrets that it wrote are taken back: cancelling is safe.",
    "verify": "Cancelling ends the reading. It says nothing of the archive.",
    "drill": "Cancelling ends it and removes its scratch servers. It says nothing of the archive.",
}
_COMMITS = "It commits now. It cannot be cancelled any more: it ends by itself in a moment."


def size(count: float | None) -> str:
    """Bytes in a unit that fits."""
    if count is None:
        return "\u2013"
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 or count >= 100 else f"{count:.1f} {_UNITS[unit]}"


def number(count: float | None) -> str:
    """A whole number with its thousands apart."""
    return "\u2013" if count is None else f"{count:,.0f}"


def duration(seconds: float | None) -> str:
    """Seconds as hours, minutes and seconds."""
    if seconds is None:
        return "\u2013"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def when(moment: datetime | None, zone: ZoneInfo) -> str:
    """A moment in the target's time zone, to the minute."""
    return "\u2013" if moment is None else f"{in_zone(moment, zone):%Y-%m-%d %H:%M}"


def utc(moment: datetime | None) -> str:
    """The same in UTC, where several targets stand side by side."""
    return when(moment, ZoneInfo("UTC"))


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """How long ago, or in how long."""
    if moment is None:
        return "never"
    apart = (now or datetime.now(UTC)) - moment
    text = _about(abs(apart))
    return "now" if text == "0 s" else f"{text} ago" if apart > timedelta(0) else f"in {text}"


def _about(apart: timedelta) -> str:
    seconds = apart.total_seconds()
    for name, unit in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * unit or (name == "min" and seconds >= unit):
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds:.0f} s"


def phase(job: Job) -> str:
    """What a job does at the moment."""
    if job.status == "pending":
        return "waiting for a replica that is free"
    return _PHASES.get(job.phase or "", job.phase or "")


def steps(job: Job) -> list[tuple[str, str]]:
    """What a restore that runs has done, does, and has still to do: the state of each step, and what it is.

    Empty for other jobs, for a restore of some tables or secrets, and for one that takes back what it wrote.
    """
    if job.kind != "restore" or not job.active or job.phase == "undo" or any(map(job.options.get, _SOME)):
        return []
    names = [name for name in _STEPS if name != "prune" or job.options.get("prune")]
    at = names.index(job.phase) if job.phase in names else -1
    states = ["completed" if place < at else "running" if place == at else "pending" for place in range(len(names))]
    return [(state, _STEPS[name]) for state, name in zip(states, names, strict=True)]


def cancelling(job: Job) -> str:
    """What cancelling it means at the moment."""
    if job.status == "pending":
        return "It waits. Cancelled, it never begins."
    return _COMMITS if job.kind == "restore" and job.phase == "commit" else _CANCEL[job.kind]


def can_be_cancelled(job: Job) -> bool:
    """Whether asking for its end changes anything."""
    return job.active and not job.cancelled_by and not (job.kind == "restore" and job.phase == "commit")


def state(job: Job) -> str:
    """Its state as a person says it."""
    if job.status == "completed" and job.warnings:
        return "completed with warnings"
    if job.status == "running" and job.cancelled_by:
        return "being cancelled"
    return job.status


def done(job: Job) -> float | None:
    """How much of it is done, from 0 to 1, where that is known."""
    found = job.progress
    parts = [
        (found.get(name) or 0, total)
        for name in ("sql_bytes", "secrets", "archive_bytes")
        if (total := found.get(f"{name.removesuffix('_bytes')}_total"))
    ]
    return None if not parts else min(1.0, sum(min(1.0, part / total) for part, total in parts) / len(parts))


def load(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The load that a job's report tells of: server, what, and how much; nothing where it tells of none."""
    asked = report.get("load") or {}
    return [
        (server, what, _amount(name, figures[name]))
        for server, names in _LOAD.items()
        if (figures := asked.get(server))
        for name, what in names.items()
        if figures.get(name)
    ]


def _amount(name: str, value: float) -> str:
    if name.endswith("_ms"):
        return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.3g} ms"
    if name == "lets_pass":
        return per_time(value)
    whole = name in {"requests", "rate", "at_once", "least_at_once", "refused"}
    return number(value) if whole else duration(value)
