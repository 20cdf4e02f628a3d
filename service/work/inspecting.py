"""Inspections run here, in the process that was asked: few at a time, for a limited time, beside all jobs.

They read an archive and, for comparisons and dry runs, the servers; they write nowhere. No value of a secret is in
what they find; paths are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import structlog

from ...pipeline.archives.full_contents import full_contents
from ...pipeline.diff.run import diff
from ...pipeline.fresh import find_missing
from ...pipeline.plan import run_plan
from ...pipeline.reports import words
from ...pipeline.tables.dry_run import plan_tables
from ...stages.errors import KleidiaError
from ..control.audit import AuditEntry
from ..control.views.inspections import busy
from .passwords import stored_password
from .restoring import restore_request, store_of, tables_request

if TYPE_CHECKING:
    from ...config.service import ServiceSettings
    from ...stages.stores.base import StoreSettings
    from ..control.audit import Actor, Audit
    from ..control.settings import SettingsStore
    from ..control.views.inspections import Inspection, InspectionKind, Inspections

#: Inspections that one process runs at the same time, of all targets: each takes memory as a verification does.
AT_ONCE = 1
#: Seconds that one has at most.
LIMIT = 1800.0
#: Seconds between two looks whether it is still wanted, and for the end of one to be written.
_LOOK, _END = 2.0, 20.0
#: Lines of one list in a result; the others are counted.
MOST_LINES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What is asked of an archive, by its full name. ``options`` are those of a restore; ``as_of`` of each kind.

    ``secrets`` of contents: whether the paths of secrets are listed.
    """

    kind: InspectionKind
    archive: str
    other: str | None = None
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)


class Inspector:
    """Runs the inspections of one target."""

    running: ClassVar[int] = 0

    def __init__(
        self, config: ServiceSettings, inspections: Inspections, settings: SettingsStore, audit: Audit
    ) -> None:
        self._config, self._inspections, self._settings, self._audit = config, inspections, settings, audit
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, asked: Inspected, actor: Actor) -> Inspection:
        """Begin, and say so in the audit log.

        Raises ``ConfigurationError`` when it has no password or may not open such an archive, ``Busy`` when another one
        runs, and what ``Control.connection`` and ``SettingsStore`` raise.
        """
        own = asked.password is not None
        if own:
            self._settings.check_requests_password()
        # A dry run of tables runs an archive's SQL; and an archive of somebody's own, held against the secrets as they
        # are, says whether he guessed one.
        if asked.kind == "dry-run" or (asked.kind == "diff" and asked.other is None):
            await self._settings.check_restore(own=own)
        password = asked.password or await stored_password("verify", self._settings, self._config.keys)
        store = store_of(asked, await self._settings.store(), self._config)
        if Inspector.running >= AT_ONCE:
            raise busy()
        Inspector.running += 1
        try:
            limit = min(LIMIT, self._config.job_timeout)
            made = await self._inspections.begin(asked.kind, asked.archive, asked.other, actor.user_name, limit + _END)
            try:
                entry = AuditEntry.by(actor, "archive.inspected", archive=asked.archive, details=_said(asked))
                await self._audit.write(entry)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self._inspections.remove(made.id)
                raise
            work = self._work(replace(asked, password=password), store, limit)
            task = asyncio.create_task(self._run(made.id, work), name=f"inspection {made.id}")
        except BaseException:
            Inspector.running -= 1
            raise
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return made

    async def close(self) -> None:
        """End what runs here."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        Inspector.running -= 1
        self._tasks.discard(task)

    async def _run(self, number: int, work: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        log = structlog.get_logger("kleidia_backup.inspection").bind(inspection=number)
        end: dict[str, Any] = {"code": "stopped", "error": "The service was stopped.", "hint": "Ask again."}
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._wanted, number, tasks.cancel_scope)
                try:
                    end = {"result": await work()}
                except KleidiaError as exc:
                    if exc.said:
                        log.warning("what the server said", said=exc.said)
                    end = {"code": type(exc).__name__, "error": exc.summary, "hint": exc.hint}
                except Exception as exc:
                    log.exception("it failed in a way nobody expected")
                    said = f"It failed in a way nobody expected: {type(exc).__name__}."
                    end = {"code": "InternalError", "error": said}
                    end["hint"] = "Please report this, with the service's log."
                tasks.cancel_scope.cancel()
        finally:
            with anyio.move_on_after(_END, shield=True):
                try:
                    await self._inspections.end(number, **end)
                except KleidiaError as exc:  # its deadline ends it
                    log.warning("what it found could not be written", error=exc.message)

    async def _wanted(self, number: int, scope: anyio.CancelScope) -> None:
        """End it when it was deleted."""
        while True:
            await anyio.sleep(_LOOK)
            try:
                found = await self._inspections.get(number)
            except KleidiaError:
                continue
            if found is None:
                scope.cancel()

    def _work(self, asked: Inspected, store: StoreSettings, limit: float) -> Callable[[], Awaitable[dict[str, Any]]]:
        config, password = self._config, asked.password

        async def contents() -> dict[str, Any]:
            secrets = bool(asked.options.get("secrets"))
            found = await full_contents(
                asked.archive, store=store, password=password, keys=config.keys, secrets=secrets, timeout=limit
            )
            return _shown(words.as_json(found))

        async def compared() -> dict[str, Any]:
            live = asked.other is None
            found = await diff(
                asked.archive,
                asked.other,
                store=store,
                database=config.database if live else None,
                vault=config.vault if live else None,
                password=password,
                keys=config.keys,
                timeout=limit,
            )
            return _shown(words.as_json(found))

        async def planned() -> dict[str, Any]:
            limited = replace(config, job_timeout=limit)
            if asked.options.get("tables"):
                some = tables_request(asked, limited, store, password, None)
                return _shown(words.as_json(await plan_tables(some)))
            request = restore_request(asked, limited, store, password, None)
            found: dict[str, Any] = words.as_json(await run_plan(request))
            if asked.options.get("fresh"):
                missing = await find_missing(request, policies=bool(asked.options.get("policies")))
                found["missing"] = {
                    "mounts": [each.path for each in missing.mounts],
                    "roles": [each.name for each in missing.roles],
                    "policies": [each.name for each in missing.policies],
                    "other_policies": [*missing.other_policies],
                }
            return _shown(found)

        return {"contents": contents, "diff": compared, "dry-run": planned}[asked.kind]


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    """Of long lists the beginning, and how many lines each lacks."""
    left: dict[str, int] = {}

    def cut(value: Any, name: str) -> Any:
        if isinstance(value, dict):
            return {key: cut(each, f"{name}.{key}".lstrip(".")) for key, each in value.items()}
        if isinstance(value, list) and len(value) > MOST_LINES:
            left[name] = len(value) - MOST_LINES
            return value[:MOST_LINES]
        return value

    shown: dict[str, Any] = cut(found, "")
    return {**shown, "left_out": left}


def _said(asked: Inspected) -> str:
    """What the audit log says."""
    if asked.kind == "contents":
        return "Contents, with the paths of secrets." if asked.options.get("secrets") else "Contents."
    if asked.kind == "diff":
        return f"Compared with {asked.other or 'the database and the vault as they are'}."
    return "Dry run of a restore."
