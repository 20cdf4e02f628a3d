"""The command ``audit``: the service's audit log, shown, exported, and checked for what was changed in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from ...config.service_build import service_settings
from ...pipeline.reports import words
from ..console import tables
from .control import require_tables
from .extra import service_extra

if TYPE_CHECKING:
    from ...service.control.audit import AuditEntry
    from ...service.control.chain.verify import Broken, ChainReport
    from ...service.control.database import Control
    from ..invocation import Invocation

T = TypeVar("T")

_LOG = "The service's audit log"
#: Entries that are shown.
_SHOWN = 50
#: The exit status for a log that is not what was written: PostgreSQL has it.
_BROKEN = 5
_FAULTS = {
    "missing": "an entry is missing",
    "changed": "the entry was changed, or it is not ours",
    "added": "an entry was added that is not ours",
    "cut off": "entries were cut off",
    "end changed": "the end was changed",
    "begun again": "the log was emptied, and begun again",
    "another key": "the chain has another key than the vault",
}


def audit(invocation: Invocation) -> int:
    """Show the newest entries; or all as CSV; or verify the chain: exit status 5 when it is broken."""
    if invocation.arguments.action:
        return _verify(invocation)
    with service_extra(_LOG):
        from ...service.control.audit import Audit
        from ...service.control.chain.export import all_entries, as_csv

    target = service_settings(invocation.config).target

    async def read(control: Control) -> list[AuditEntry]:
        log = Audit(control, target)
        return await (all_entries(log) if invocation.arguments.csv else log.page(_SHOWN))

    entries = _ask(invocation, read)
    if invocation.arguments.csv:
        lines = list(as_csv(entries))
        return invocation.terminal.result({"csv": "\r\n".join((*lines, ""))}, lines)
    return invocation.terminal.result({"entries": entries}, [_line(each) for each in entries])


def _verify(invocation: Invocation) -> int:
    with service_extra(_LOG):
        from ...service.control.chain.verify import verify_chain
        from ...service.control.secrets import ServiceSecrets

    settings, noted = service_settings(invocation.config), invocation.arguments.noted or ""

    async def check(control: Control) -> ChainReport:
        secrets = ServiceSecrets(settings.vault, settings.secrets_mount, settings.secrets_path)
        found = await secrets.chain_key(create=False)
        return await verify_chain(control, settings.target, found.key, found.chain, noted=noted)

    report = _ask(invocation, check)
    title = "BROKEN: the audit log is not what was written" if report.broken else "The audit log is as it was written"
    pairs = {
        "entries": f"{report.entries:,}",
        "chained late": f"{report.late:,} (written while nobody had the key; what they were then is not known)",
        "not chained": f"{report.unchained:,} (likewise)",
        "end": f"{report.end or 'none'} (note it elsewhere, and ask for it by --noted)",
    }
    if not report.late:
        del pairs["chained late"]
    if not report.unchained:
        del pairs["not chained"]
    status = _BROKEN if report.broken else 0
    status = invocation.terminal.result(words.as_json(report), [tables.facts(title, pairs)], status)
    for each in report.broken:
        invocation.terminal.warn(_told(each))
    return status


def _told(broken: Broken) -> str:
    entry = "" if broken.entry is None else f" (entry {broken.entry})"
    return f"at place {broken.place}{entry}: {_FAULTS[broken.fault]}"


def _ask(invocation: Invocation, question: Callable[[Control], Awaitable[T]]) -> T:
    """Ask the control database, without making its tables. Raises as ``Control`` does, and ``NoTables``."""
    with service_extra(_LOG):
        from ...service.control.database import Control

    settings = service_settings(invocation.config)

    async def work() -> T:
        async with Control(settings.control, connections=1, migrates=False) as control:
            await require_tables(settings.control)
            return await question(control)

    return invocation.job(lambda _: work())


def _line(entry: AuditEntry) -> str:
    when = "" if entry.at is None else words.moment(entry.at)
    parts = [when, entry.action, entry.user_name, entry.ip, entry.archive, entry.details]
    return "  ".join(words.printable(each) for each in parts if each)
