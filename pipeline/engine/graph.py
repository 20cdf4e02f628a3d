"""The pipeline: wiring by value, then one run.

The wiring is a Python expression over edges, so a cycle cannot be spelled; what else cannot work is refused before
anything runs. A wiring without branches that meet again is a tree, and a tree cannot deadlock on its buffers,
however small they are: a stuck stage waits for one full or one empty edge, and a circle of such waits would be a
cycle of the wiring.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeAlias, TypeVar, overload

import anyio

from . import events, threads
from .edges import MAX_CHUNK, Edge, Inlet, Outlet
from .errors import StageFailed, UnreadInput, WiringError

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T = TypeVar("T")
U = TypeVar("U")

Observer: TypeAlias = Callable[[events.Event], None]

#: Seconds between two snapshots.
INTERVAL = 0.25


@dataclass
class _Node:
    name: str
    stage: Callable[..., Awaitable[None]]
    inlets: list[Inlet[Any]] = field(default_factory=list)
    outlets: list[Outlet[Any]] = field(default_factory=list)
    outputs: list[Edge[Any]] = field(default_factory=list)
    state: events.State = "pending"
    started: float = 0.0
    seconds: float = 0.0


class Pipeline:
    """A DAG of stages. Wire it with ``source``, ``pipe``, ``split`` and ``sink``, then ``await run()`` once.

    ``depth`` is the number of items an edge buffers, ``threads`` the size of the limiter that ``in_thread`` uses.
    """

    def __init__(self, *, depth: int = 2, threads: int = 8) -> None:
        self._depth = depth
        self._threads = threads
        self._nodes: list[_Node] = []
        self._edges: list[Edge[Any]] = []
        self._trees: list[int] = []
        self._ran = False
        self._failures: list[tuple[str, Exception]] = []

    # Wiring ---------------------------------------------------------------------------------------------------

    def source(
        self,
        stage: Callable[[Outlet[T]], Awaitable[None]],
        *,
        name: str = "",
        depth: int | None = None,
        max_item: int = MAX_CHUNK,
    ) -> Edge[T]:
        """Add a stage that only writes."""
        node = self._add(stage, (), name)
        return self._output(node, depth, max_item)

    @overload
    def pipe(
        self,
        stage: Callable[[Inlet[A], Outlet[T]], Awaitable[None]],
        edge: Edge[A],
        /,
        *,
        name: str = "",
        depth: int | None = None,
        max_item: int = MAX_CHUNK,
    ) -> Edge[T]: ...

    @overload
    def pipe(
        self,
        stage: Callable[[Inlet[A], Inlet[B], Outlet[T]], Awaitable[None]],
        first: Edge[A],
        second: Edge[B],
        /,
        *,
        name: str = "",
        depth: int | None = None,
        max_item: int = MAX_CHUNK,
    ) -> Edge[T]: ...

    @overload
    def pipe(
        self,
        stage: Callable[[Inlet[A], Inlet[B], Inlet[C], Outlet[T]], Awaitable[None]],
        first: Edge[A],
        second: Edge[B],
        third: Edge[C],
        /,
        *,
        name: str = "",
        depth: int | None = None,
        max_item: int = MAX_CHUNK,
    ) -> Edge[T]: ...

    def pipe(
        self,
        stage: Callable[..., Awaitable[None]],
        *edges: Edge[Any],
        name: str = "",
        depth: int | None = None,
        max_item: int = MAX_CHUNK,
    ) -> Edge[Any]:
        """Add a stage that reads one edge, or several (fan-in), and writes one. Raises ``WiringError``."""
        node = self._add(stage, edges, name)
        return self._output(node, depth, max_item)

    def split(
        self,
        stage: Callable[[Inlet[A], Outlet[T], Outlet[U]], Awaitable[None]],
        edge: Edge[A],
        *,
        name: str = "",
        depth: int | None = None,
        max_items: tuple[int, int] = (MAX_CHUNK, MAX_CHUNK),
    ) -> tuple[Edge[T], Edge[U]]:
        """Add a stage that reads one edge and writes two, which must not meet again. Raises ``WiringError``."""
        node = self._add(stage, (edge,), name)
        return self._output(node, depth, max_items[0]), self._output(node, depth, max_items[1])

    def sink(self, stage: Callable[[Inlet[A]], Awaitable[None]], edge: Edge[A], *, name: str = "") -> None:
        """Add a stage that only reads. Raises ``WiringError``."""
        self._add(stage, (edge,), name)

    def _add(self, stage: Callable[..., Awaitable[None]], edges: tuple[Edge[Any], ...], name: str) -> _Node:
        if self._ran:
            raise WiringError("this pipeline ran already")
        name = self._unique(name or _name_of(stage))
        for edge in edges:
            if edge not in self._edges:
                raise WiringError(f"{name} reads edge {edge.name} of another pipeline")
            if edge.taken:
                raise WiringError(f"{name} reads edge {edge.name}, which has a reader already; split it first")
            edge.taken = True
        self._join(name, edges)
        node = _Node(name, stage, [Inlet(edge) for edge in edges])
        self._nodes.append(node)
        return node

    def _join(self, name: str, edges: tuple[Edge[Any], ...]) -> None:
        """Union-find over the trees that edges belong to: meeting one's own tree again would be a cycle."""
        roots = [self._root(edge.tree) for edge in edges]
        if len(set(roots)) != len(roots):
            raise WiringError(f"{name} joins branches of one split again: with bounded edges that can deadlock")
        for root in roots[1:]:
            self._trees[root] = roots[0]

    def _root(self, tree: int) -> int:
        while self._trees[tree] != tree:
            tree = self._trees[tree]
        return tree

    def _output(self, node: _Node, depth: int | None, max_item: int) -> Edge[Any]:
        if node.inlets:
            tree = node.inlets[0].tree
        elif node.outputs:
            tree = node.outputs[0].tree
        else:
            tree = len(self._trees)
            self._trees.append(tree)
        name = node.name if not node.outputs else f"{node.name}.{len(node.outputs) + 1}"
        edge: Edge[Any] = Edge(
            name,
            depth=self._depth if depth is None else depth,
            max_item=max_item,
            senders=getattr(node.stage, "senders", 1),
            tree=tree,
        )
        node.outputs.append(edge)
        node.outlets.append(Outlet(edge))
        self._edges.append(edge)
        return edge

    def _unique(self, name: str) -> str:
        taken = sum(node.name == name or node.name.startswith(f"{name} ") for node in self._nodes)
        return f"{name} {taken + 1}" if taken else name

    def memory_bound(self) -> int:
        """Most bytes that edges can hold, plus what stages declare as their ``working_set``."""
        edges = sum(edge.memory_bound() for edge in self._edges)
        return edges + sum(getattr(node.stage, "working_set", 0) for node in self._nodes)

    # Running --------------------------------------------------------------------------------------------------

    async def run(self, observer: Observer | None = None) -> None:
        """Run every stage to its end.

        Raises ``StageFailed`` when a stage raised (the root cause is its ``__cause__``), ``WiringError`` before
        anything runs, and nothing else; cancellation passes through after every stage has cleaned up.
        """
        self._check()
        self._ran = True
        for edge in self._edges:
            edge.open()
        token = threads.limiter.set(anyio.CapacityLimiter(self._threads))
        try:
            async with anyio.create_task_group() as outer:
                if observer:
                    outer.start_soon(self._observe, observer, outer.cancel_scope)
                async with anyio.create_task_group() as stages:
                    for node in self._nodes:
                        stages.start_soon(self._drive, node, observer, stages.cancel_scope)
                outer.cancel_scope.cancel()
        finally:
            threads.limiter.reset(token)
            for edge in self._edges:
                edge.close()
        if self._failures:
            name, cause = self._failures[0]
            raise StageFailed(name, cause, tuple(exc for _, exc in self._failures[1:])) from cause
        if observer:
            try:
                observer(self.snapshot())
            except Exception as exc:
                raise StageFailed("observer", exc) from exc

    def _check(self) -> None:
        if self._ran:
            raise WiringError("this pipeline ran already")
        for edge in self._edges:
            if not edge.taken:
                raise WiringError(f"nobody reads edge {edge.name}")

    async def _drive(self, node: _Node, observer: Observer | None, scope: anyio.CancelScope) -> None:
        """Run one stage. Only here are edges closed, and only after the stage returned: an end means success."""
        node.started = perf_counter()
        node.state = "running"
        try:
            if observer:
                observer(events.StageStarted(node.name))
            await node.stage(*node.inlets, *node.outlets)
            for inlet in node.inlets:
                if not inlet.ended:
                    raise UnreadInput(f"{node.name} returned before its input {inlet.name} ended")
            self._settle(node, "finished")
            if observer:
                observer(events.StageFinished(node.name, node.seconds))
        except Exception as exc:  # noqa: BLE001 - whatever a stage raises is reported as StageFailed
            self._fail(node, _root_cause(exc), observer)
            scope.cancel()
        except BaseException:
            self._settle(node, "cancelled")
            raise
        else:
            for edge in node.outputs:
                edge.send_stream.close()

    def _fail(self, node: _Node, cause: Exception, observer: Observer | None) -> None:
        self._settle(node, "failed")
        self._failures.append((node.name, cause))
        if observer:
            try:
                observer(events.StageFailed(node.name, cause))
            except Exception as exc:  # noqa: BLE001 - an observer must not hide the cause
                self._failures.append(("observer", exc))

    def _settle(self, node: _Node, state: events.State) -> None:
        node.state = state
        node.seconds = perf_counter() - node.started

    async def _observe(self, observer: Observer, scope: anyio.CancelScope) -> None:
        while True:
            await anyio.sleep(INTERVAL)
            try:
                observer(self.snapshot())
            except Exception as exc:  # noqa: BLE001 - a failing observer stops the run, as a stage would
                self._failures.append(("observer", exc))
                scope.cancel()
                return

    def snapshot(self) -> events.Snapshot:
        """All counters, during the run or after it."""
        return events.Snapshot(
            tuple(self._stage_snapshot(node) for node in self._nodes),
            tuple(_edge_snapshot(edge) for edge in self._edges),
        )

    def _stage_snapshot(self, node: _Node) -> events.StageSnapshot:
        seconds = perf_counter() - node.started if node.state == "running" else node.seconds
        return events.StageSnapshot(
            node.name,
            node.state,
            seconds,
            sum(inlet.waited for inlet in node.inlets),
            sum(outlet.waited / outlet.senders for outlet in node.outlets),
        )


def _edge_snapshot(edge: Edge[Any]) -> events.EdgeSnapshot:
    stats = edge.send_stream.statistics()
    return events.EdgeSnapshot(
        edge.name,
        edge.items,
        edge.bytes,
        stats.current_buffer_used,
        stats.tasks_waiting_send > 0,
        stats.tasks_waiting_receive > 0,
    )


def _name_of(stage: object) -> str:
    return getattr(stage, "name", "") or getattr(stage, "__name__", "") or type(stage).__name__


def _root_cause(exc: Exception) -> Exception:
    """The first leaf of the groups that task groups inside a stage make."""
    while isinstance(exc, ExceptionGroup):
        exc = exc.exceptions[0]
    return exc
