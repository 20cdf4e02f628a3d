"""Sizes, times, counts and progress in words, and reports as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...stages.errors import Right
from ...stages.words import count as count  # noqa: PLC0414 - offered here as well
from ...stages.words import per_time

if TYPE_CHECKING:
    from ...stages.load.figures import Load
    from .jobs import Progress

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(number: float) -> str:
    """Bytes for people: ``1.5 MiB``."""
    unit = 0
    while number >= 1023.95 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.1f} {_UNITS[unit]}" if unit else f"{number:.0f} B"


def seconds(number: float) -> str:
    """Seconds for people: ``0.4 s``, ``3 min 07 s``, ``1 h 02 min``."""
    if number < 99.95:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def moment(time: datetime) -> str:
    """A time in UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def printable(text: object) -> str:
    """A text on one line, without anything that a terminal would obey: names come from servers and archives."""
    line = " ".join(str(text).split())
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


def prune_question(roots: Sequence[object]) -> str:
    """What a prune removes, for the one who decides."""
    below = ", ".join(printable(root) for root in roots)
    return (
        f"Afterwards every secret below {below} that the archive does not have will be removed, also one that\n"
        "could not be read when the archive was made. In KV version 2 it can be undeleted, in version 1 it is gone.\n"
        "`restore --dry-run` names them."
    )


def amounts(progress: Progress) -> dict[str, str]:
    """What is done, of each quantity that the job has: ``{"database": "1.5 MiB of about 2.0 MiB", "secrets": …}``."""
    total = progress.sql_total
    # The total of a backup is the size of the database on disk, which may be far from that of its SQL, until it ends.
    about = "about " if progress.phase == "backup" and total != progress.sql_bytes else ""
    found = {
        "database": _of(progress.sql_bytes, total, size, about),
        "secrets": _of(progress.secrets, progress.secrets_total, lambda number: f"{number:,}", ""),
        "archive": _of(progress.archive_bytes, progress.archive_total, size, ""),
    }
    if progress.vault_lets_pass is not None:
        found["secrets"] = f"{found['secrets'] or 0}, {slowed_down(progress.vault_lets_pass)}"
    return {name: text for name, text in found.items() if text}


def _of(done: int, total: int | None, words: Any, about: str) -> str:
    if not done and not total:
        return ""
    return f"{words(done)} of {about}{words(total)}" if total and total >= done else str(words(done))


def loads(load: Load) -> dict[str, str]:
    """What a job asked of servers, one line for each: ``{"load on vault": "1,204 requests, …", …}``."""
    lines: dict[str, str] = {}
    if (vault := load.vault) is not None:
        lines["load on vault"] = (
            f"{count(vault.requests, 'request')}, {vault.rate:,.0f} a second, at most {vault.at_once} at once; "
            f"answered in {milliseconds(vault.p50_ms)} (median), {milliseconds(vault.p99_ms)} (99 %)"
        )
        if vault.slowed:
            lines["load on vault"] += f"; {vault.least_at_once} at once as answers became slower"
        if vault.refused:
            lines["load on vault"] += f"; {vault.refused:,} refused (429, 503), paused for {seconds(vault.paused)}"
        if vault.lets_pass is not None:
            lines["load on vault"] += f"; {slowed_down(vault.lets_pass)}"
    if (database := load.database) is not None:
        held, exclusive = database.locks_held, database.exclusive_locks_held
        lines["load on database"] = f"longest transaction {seconds(database.longest_transaction)}"
        if held:
            lines["load on database"] += f", tables locked for {seconds(held)}"
            lines["load on database"] += (
                f", {seconds(exclusive)} of it against everybody (ACCESS EXCLUSIVE)"
                if exclusive
                else " against changes of their definition alone (ACCESS SHARE)"
            )
    return lines


def slowed_down(lets_pass: float) -> str:
    """That a rate limit of the vault is what a job waits for; ``lets_pass`` is requests a second, 0 not known yet."""
    return "slowed down by the vault (429)" + (f" to {per_time(lets_pass)}" if lets_pass else "")


def milliseconds(number: float) -> str:
    """Milliseconds for people: ``0.42 ms``, ``17 ms``, ``1.2 s``."""
    if number >= 1000:
        return seconds(number / 1000)
    return f"{number:.0f} ms" if number >= 10 else f"{number:.2g} ms"


def as_json(value: Any) -> Any:
    """Reports and what they hold, as what JSON knows. Bytes (salts, nonces) become hex digits, rights words."""
    if isinstance(value, Right):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        if hasattr(value, "waiting_in"):
            names.append("busy")
        return {name: as_json(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(name): as_json(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return round(value, 3)
    return str(value) if isinstance(value, Path) else value
