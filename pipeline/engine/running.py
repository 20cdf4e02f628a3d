"""One run of a pipeline: its stages as tasks, its edges closed, its errors made one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from . import events, threads
from .errors import Enough, StageBug, StageFailed, UnreadInput
from .threads import root_cause

if TYPE_CHECKING:
    from .edges import Link
    from .ends import End
    from .node import Node

Observer: TypeAlias = Callable[[events.Event], None]

#: Seconds between two snapshots, and before the first.
INTERVAL = 0.25
FIRST = 0.05


class Run:
    """Runs stages. Here alone are edges closed, and only after their stage returned: an end means success."""

    def __init__(
        self,
        nodes: Sequence[Node],
        links: Sequence[Link],
        snapshot: Callable[[], events.Snapshot],
        observer: Observer | None,
    ) -> None:
        self._nodes = nodes
        self._links = links
        self._snapshot = snapshot
        self._observer = observer
        self._failures: list[tuple[str, Exception]] = []
        self._enough = False

    async def run(self, size: int) -> Exception | None:
        """Run every stage to its end, with ``size`` threads; what the observer raised when nothing was left to stop.

        Raises ``StageFailed``.
        """
        for link in self._links:
            link.open()
        token = threads.limiter.set(anyio.CapacityLimiter(size))
        try:
            async with anyio.create_task_group() as outer:
                if self._observer:
                    outer.start_soon(self._observe, outer.cancel_scope)
                async with anyio.create_task_group() as stages:
                    for node in self._nodes:
                        stages.start_soon(self._drive, node, stages.cancel_scope)
                outer.cancel_scope.cancel()
        finally:
            threads.limiter.reset(token)
            for link in self._links:
                link.close()
        if not self._failures:
            self._tell(self._snapshot)
        if not self._failures:
            return None
        name, cause = self._failures[0]
        if self._enough or all(node.state == "finished" for node in self._nodes):
            return cause  # of the observer, for no stage failed: what was to be made visible is
        raise StageFailed(name, cause, tuple(exc for _, exc in self._failures[1:])) from cause

    async def _drive(self, node: Node, scope: anyio.CancelScope) -> None:
        try:
            if node.when is not None:
                await node.when.wait()
            node.started = perf_counter()
            node.state = "running"
            if not self._tell(lambda: events.StageStarted(node.name)):
                self._settle(node, "cancelled")
                scope.cancel()
                return
            await self._work(node)
            self._settle(node, "finished")
            if not self._tell(lambda: events.StageEnded(node.name, node.seconds)):
                scope.cancel()
                return  # what is behind it is being stopped, and must see no end
        except Exception as exc:  # noqa: BLE001 - whatever a stage raises is reported as StageFailed
            self._ended(node, root_cause(exc))
            scope.cancel()
        except BaseExceptionGroup as group:  # on trio: errors, and cancellations beside them
            errors, others = group.split(Exception)
            if errors is None or others is None:
                self._settle(node, "cancelled")
                raise
            self._ended(node, root_cause(errors))
            scope.cancel()
            raise others from None
        except BaseException:
            self._settle(node, "cancelled")
            raise
        else:
            for outlet in node.outlets:
                outlet.link.send_stream.close()
                outlet.link.ended.set()
            for inlet in node.inlets:
                inlet.link.consumed.set()

    async def _work(self, node: Node) -> None:
        await (node.stage(node.inlets, *node.outlets) if node.together else node.stage(*node.inlets, *node.outlets))
        ends: list[End] = [*node.inlets, *node.outlets]
        for end in ends:
            if end.failed:
                raise end.failed
        for inlet in node.inlets:
            if not inlet.ended:
                raise UnreadInput(f"{node.name} returned before its input {inlet.name} ended")
        if node.outlets:
            await checkpoint_if_cancelled()  # a stage that returns because it was cancelled has not succeeded
        for outlet in node.outlets:
            await outlet.finish()

    def _ended(self, node: Node, cause: Exception) -> None:
        """A stage raised."""
        if self._enough or (isinstance(cause, Enough) and self._failures):
            self._settle(node, "cancelled")  # it was being stopped
            return
        if isinstance(cause, Enough) and node.outlets:
            cause = StageBug(f"{node.name} has had enough, which only a sink can say")
        if isinstance(cause, Enough):
            self._enough = True
            self._settle(node, "finished")
            self._tell(lambda: events.StageEnded(node.name, node.seconds))
        else:
            self._settle(node, "failed")
            self._failures.append((node.name, cause))
            self._tell(lambda: events.StageEnded(node.name, node.seconds, cause))

    def _settle(self, node: Node, state: events.State) -> None:
        if node.state == "running":
            node.seconds = perf_counter() - node.started
        node.state = state

    async def _observe(self, scope: anyio.CancelScope) -> None:
        await anyio.sleep(FIRST)
        while self._tell(self._snapshot):  # noqa: ASYNC110 - snapshots at intervals, which wait for nothing
            await anyio.sleep(INTERVAL)
        scope.cancel()

    def _tell(self, event: Callable[[], events.Event]) -> bool:
        """Whether the observer took it: one that fails stops the run as a stage would, and hides no earlier cause.

        Who asks does the stopping.
        """
        if self._observer:
            try:
                self._observer(event())
            except Exception as exc:  # noqa: BLE001 - it may raise anything
                self._failures.append(("observer", exc))
                return False
        return True
