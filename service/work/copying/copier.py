"""Fills the copies of a target in the background: every replica has one, and each copy is filled by one at a time."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import anyio
import structlog

from ....pipeline.copies.sync import CopyReport, by_full_names, sync_copies
from ....stages.errors import KleidiaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ....config.service import ServiceSettings
    from ....pipeline.archives.copied import CopyState
    from ....pipeline.copies.settings import Copy
    from ....stages.stores.base import ObjectInfo, StoreSettings
    from ...control.copies.runs import CopyRuns
    from ...control.copies.states import CopyStates
    from ...control.database import Connection, Control
    from ...control.proofs.verifications import Verifications


class Copier:
    """The copies of one target; ``tick`` is called every few seconds, and returns when nothing is due."""

    def __init__(
        self,
        config: ServiceSettings,
        *,
        replica: str,
        control: Control,
        runs: CopyRuns,
        states: CopyStates,
        verifications: Verifications,
        store: Callable[[], Awaitable[StoreSettings]],
        tell: Callable[[Copy, str, str, Connection], Awaitable[None]],
    ) -> None:
        self._config, self._replica, self._control = config, replica, control
        self._runs, self._states, self._store, self._tell = runs, states, store, tell
        self._verifications = verifications
        self._copies = {each.name: each for each in config.copies}
        self._log = structlog.get_logger("kleidia_backup.copies").bind(target=config.target)

    async def register(self) -> None:
        """Let what is configured be filled. Raises what ``Control.connection`` raises."""
        await self._runs.register(self._copies)

    async def tick(self) -> None:
        """Fill what is due, one copy after the other. Raises what ``Control.connection`` raises."""
        while self._copies and (name := await self._runs.take(self._replica, self._config.intervals.dead)) is not None:
            if (copy := self._copies.get(name)) is None:  # another replica has a newer configuration
                await self._runs.release(name, self._replica)
                return
            await self._held(copy)

    async def _held(self, copy: Copy) -> None:
        """Fill a copy that is ours as long as we say so."""
        ended = False
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._beats, copy, tasks.cancel_scope)
                report = await self._filled(copy)
                await self._end(copy, report)
                ended = True
                tasks.cancel_scope.cancel()
        finally:
            if not ended:
                with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                    try:
                        await self._runs.release(copy.name, self._replica)
                    except KleidiaError as exc:
                        self._log.warning("a copy was not given back", copy=copy.name, error=exc.message)

    async def _filled(self, copy: Copy) -> CopyReport:
        watcher = _Watcher(self._states, copy.name)
        try:
            store = await self._store()
            (report,) = await sync_copies(
                store,
                [copy],
                watcher=watcher,
                proven=by_full_names(self._verifications.proven, store.prefix),
                timeout=self._config.job_timeout,
                log=self._log.bind(copy=copy.name),
            )
        except KleidiaError as exc:  # of the first store, or of the settings
            report = CopyReport(number=copy.number, copy=copy.name, where="", error=exc.message, hint=exc.hint)
        if report.error:
            self._log.warning("a copy cannot be filled", copy=copy.name, error=report.error, hint=report.hint)
        for warning in report.warnings:
            self._log.warning("a copy is not as it should be", copy=copy.name, warning=warning)
        if report.copied or report.deleted:
            counts = {"copied": len(report.copied), "bytes": report.bytes, "deleted": len(report.deleted)}
            self._log.info("a copy was filled", copy=copy.name, **counts)
        return report

    async def _end(self, copy: Copy, report: CopyReport) -> None:
        async with self._control.connection() as connection, connection.transaction():
            if report.states or not report.error:
                await self._states.settle(copy.name, report.states, connection)
            said = await self._runs.end(
                copy.name,
                self._replica,
                report.error,
                report.hint,
                well=report.ok,
                lag=copy.lag,
                connection=connection,
            )
            if said:
                await self._tell(copy, said, report.error, connection)

    async def _beats(self, copy: Copy, scope: anyio.CancelScope) -> None:
        """Say that the run goes on. When nobody could hear that for long, another replica has begun."""
        heard = monotonic()
        while True:
            await anyio.sleep(self._config.intervals.beat)
            try:
                ours = await self._runs.beat(copy.name, self._replica)
                heard = monotonic()
            except KleidiaError:
                ours = monotonic() - heard < self._config.intervals.dead / 2
            if not ours:
                self._log.warning("another replica fills the copy", copy=copy.name)
                scope.cancel()


class _Watcher:
    """Notes what becomes of each archive as it happens."""

    def __init__(self, states: CopyStates, copy: str) -> None:
        self._states, self._copy = states, copy

    async def listed(self, archives: Mapping[str, ObjectInfo]) -> None:
        """They belong there."""
        await self._states.expect(self._copy, {name: info.modified for name, info in archives.items()})

    async def begins(self, state: CopyState) -> bool:
        """Whether it is tried now."""
        return await self._states.may_begin(state)

    async def ended(self, state: CopyState) -> None:
        """Note it."""
        await self._states.note(state)
