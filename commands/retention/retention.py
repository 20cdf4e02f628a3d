"""The command ``retention``: what a service does after each backup, for timers and CronJobs."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ...config.build import retention_settings
from ...config.drills.reports import drill_settings, reports_directory
from ...pipeline.archives.opening import full_name
from ...pipeline.drills.proven import proven as reported
from ...pipeline.reports import words
from ...pipeline.retention.own import OwnArchives
from ...pipeline.retention.plan import Plan, carry_out, plan
from ...stages.errors import ConfigurationError
from ..console.exit_codes import WARNINGS
from ..console.tables import table
from ..records.control import NoTables, actor, open_records
from ..records.history import configured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from ...pipeline.retention.own import Made
    from ...pipeline.retention.rules import Aged, Rules
    from ...stages.stores.base import ObjectInfo
    from ..invocation import Invocation
    from ..records.control import Records

#: Archives that are tried to be opened where no job has recorded them, at most.
_OPENED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was planned, by the rules from where, and what became of it."""

    plan: Plan
    rules_from: str
    deleted: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    recorded: bool = False


def retention(invocation: Invocation) -> int:
    """Delete what the rules do not keep; exit status 8 when something could not be looked at, or deleted."""
    dry = invocation.arguments.dry_run
    job = _Retention(invocation)
    done = invocation.job(lambda _: job.run(), "looking")
    invocation.terminal.notes["recorded"] = done.recorded
    gone = [each.name for each in done.plan.going] if dry else done.deleted
    values = {
        "dry_run": dry,
        "rules": asdict(done.plan.rules),
        "rules_from": done.rules_from,
        "deleted": [] if dry else list(gone),
        "archives": [
            {
                "name": each.archive.name,
                "type": each.archive.backup_type,
                "created_at": each.archive.created_at,
                "goes": each.goes,
                "reasons": each.reasons,
            }
            for each in done.plan.decisions
        ],
        "left_alone": [*done.plan.others, *(name for name, _ in done.plan.unread)],
        "warnings": done.warnings,
    }
    status = invocation.terminal.result(values, _shown(done, dry=dry), WARNINGS if done.warnings else 0)
    for warning in done.warnings:
        invocation.terminal.warn(warning)
    return status


class _Retention:
    """One run. What is configured is read, and a password found, before anything is asked of a server."""

    def __init__(self, invocation: Invocation) -> None:
        self._config, self._store, self._keys = invocation.config, invocation.store, invocation.keys
        self._dry = invocation.arguments.dry_run
        self._file = retention_settings(self._config)
        self._password = invocation.password(needed=False)
        self._reports = reports_directory(drill_settings(self._config), invocation.limits.state)
        self._terminal = invocation.terminal
        self._deleted: list[str] = []

    async def run(self) -> Done:
        """Raises ``ConfigurationError`` without rules, and the trees of store and database."""
        async with AsyncExitStack() as stack:
            records = await self._records(stack)
            rules, source = await self._rules(records)
            store = await stack.enter_async_context(self._store.open())
            made = await plan(
                store,
                rules,
                datetime.now(UTC),
                OwnArchives(partial(_recorded, records), self._own_password, self._keys, most=_OPENED),
                proven=partial(self._proven, records),
                in_use=await self._in_use(records),
            )
            warnings = made.warnings
            if not self._dry:
                note, in_use = partial(self._note, records, rules), partial(self._in_use, records)
                warnings = await carry_out(store, made, note, in_use)
            return Done(
                plan=made,
                rules_from=source,
                deleted=tuple(self._deleted),
                warnings=tuple(warnings),
                recorded=records is not None and not self._dry,
            )

    async def _records(self, stack: AsyncExitStack) -> Records | None:
        """The control tables; None where nobody has any. One that does not answer may know what must not go."""
        if not configured(self._config):
            return None
        try:
            return await stack.enter_async_context(open_records(self._config, writes=not self._dry))
        except NoTables as exc:
            self._terminal.warn(f"This is not recorded in the control database: {exc.message} {exc.hint}")
            return None

    async def _rules(self, records: Records | None) -> tuple[Rules, str]:
        """Those of the service's settings where it has any, for they alone are kept up to date; else [retention]."""
        if records is not None:
            from ...service.control.settings_row import stored_rules

            async with records.control.connection() as connection:
                if (found := await stored_rules(connection, records.target)) is not None:
                    return found, "service"
        if self._file is None:
            raise ConfigurationError(
                "No rules say which archives are kept.",
                hint="Add a section [retention]; `kleidia-backup config --example` shows one.",
            )
        return self._file.rules, "configuration"

    async def _own_password(self) -> str | None:
        return self._password

    async def _proven(self, records: Records | None, infos: Sequence[ObjectInfo]) -> set[str]:
        """What a drill brought back: by the reports on this machine, and by the control tables."""
        proofs = reported(self._reports)
        found = {
            each.name for each in infos if each.name in proofs and proofs[each.name].holds(each.size, each.modified)
        }
        if records is not None:
            from ...service.work.retention import proven_in

            found |= await proven_in(records.verifications, infos)
        return found

    async def _in_use(self, records: Records | None) -> set[str]:
        running = [] if records is None else await records.jobs.running()
        return {full_name(self._store, job.archive) for job in running if job.archive}

    async def _note(self, records: Records | None, rules: Rules, deleted: Aged, info: ObjectInfo) -> None:
        self._deleted.append(deleted.name)
        if records is not None:
            from ...service.work.retention import note

            await note(records.audit, actor(), rules, None, deleted, info)


async def _recorded(records: Records | None) -> Mapping[str, Made]:
    return {} if records is None else await records.jobs.recorded()


def _shown(done: Done, *, dry: bool) -> Iterator[RenderableType]:
    """A line for each archive, and what became of all."""
    made = table("archive", "created", "type", "stays")
    for each in done.plan.decisions:
        what = ", ".join(each.reasons).replace("_", " ") if each.reasons else "no: goes"
        about: list[Any] = [words.printable(each.archive.name), words.moment(each.archive.created_at)]
        made.add_row(*about, each.archive.backup_type, what)
    if done.plan.decisions:
        yield made
    if done.plan.others:
        number = words.count(len(done.plan.others), "file")
        yield f"Left alone, since nothing here shows that they are ours: {number} with names of archives."
    number = words.count(len(done.plan.going) if dry else len(done.deleted), "archive")
    yield f"{number} would be deleted." if dry else f"{number} deleted."
