"""The pipeline: wiring by value, then one run.

The wiring is a Python expression over edges, so a cycle cannot be spelled; what else cannot work is refused before
anything runs. A wiring without branches that meet again is a tree, and a tree cannot deadlock on its buffers,
however small they are: a stuck stage waits for one full or one empty edge, and a circle of such waits would be a
cycle of the wiring. What ``when=`` adds to that is in ``order``.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any, TypeVar, overload

from . import declares
from .edges import Edge, Link
from .ends import Inlet, Outlet
from .errors import WiringError
from .events import Snapshot, StageSnapshot
from .node import Happens, Node
from .order import Order
from .running import Observer, Run
from .stages import Items
from .transform import MAX_CHUNK

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")
U = TypeVar("U")


class Pipeline:
    """A DAG of stages. Wire it with ``source``, ``pipe``, ``split`` and ``sink``, then ``await run()`` once.

    ``depth`` is the number of items an edge buffers, ``threads`` the size of the limiter that ``in_thread`` uses.

    A stage is called what it (see ``Named``) or its function or class is called, unless ``name`` says otherwise. An
    edge buffers ``depth`` items, each of at most ``max_item`` bytes. ``when`` is an event before which a source or sink
    does not begin, such as ``edge.ended``; what could wait for itself is refused (see ``order``).
    """

    def __init__(self, *, depth: int = 2, threads: int = 8) -> None:
        self._depth = depth
        self._threads = threads
        self._nodes: list[Node] = []
        self._links: list[Link] = []
        self._trees: list[int] = []
        self._ran = False
        #: What the observer raised when every stage had ended, and there was nothing left to stop.
        self.observer_failed: Exception | None = None

    # Wiring ---------------------------------------------------------------------------------------------------

    def source(
        self,
        stage: Callable[[Outlet[T]], Awaitable[None]] | AsyncIterable[T],
        *,
        when: Happens | None = None,
        name: str = "",
        depth: int | None = None,
        max_item: int = MAX_CHUNK,
    ) -> Edge[T]:
        """Add a stage that only writes, or an async iterable whose items are sent."""
        if isinstance(stage, AsyncIterable):
            stage = Items(stage)
        node = self._add(stage, (), name, when)
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

    @overload
    def pipe(
        self,
        stage: Callable[[Inlet[A], Inlet[B], Inlet[C], Inlet[D], Outlet[T]], Awaitable[None]],
        first: Edge[A],
        second: Edge[B],
        third: Edge[C],
        fourth: Edge[D],
        /,
        *,
        name: str = "",
        depth: int | None = None,
        max_item: int = MAX_CHUNK,
    ) -> Edge[T]: ...

    @overload
    def pipe(
        self,
        stage: Callable[[Sequence[Inlet[A]], Outlet[T]], Awaitable[None]],
        edges: Sequence[Edge[A]],
        /,
        *,
        name: str = "",
        depth: int | None = None,
        max_item: int = MAX_CHUNK,
    ) -> Edge[T]: ...

    def pipe(
        self,
        stage: Callable[..., Awaitable[None]],
        *edges: Edge[Any] | Sequence[Edge[Any]],
        name: str = "",
        depth: int | None = None,
        max_item: int = MAX_CHUNK,
    ) -> Edge[Any]:
        """Add a stage that reads one edge, or several (fan-in), and writes one. Raises ``WiringError``.

        Given a list of edges, of any length, the stage is called with a list of inlets.
        """
        together = [each for each in edges if not isinstance(each, Edge)]
        flat = tuple(together[0]) if together else tuple(each for each in edges if isinstance(each, Edge))
        node = self._add(stage, flat, name)
        node.together = bool(together)
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

    def sink(
        self,
        stage: Callable[[Inlet[A]], Awaitable[None]],
        edge: Edge[A],
        *,
        when: Happens | None = None,
        name: str = "",
    ) -> None:
        """Add a stage that only reads. Raises ``WiringError``."""
        self._add(stage, (edge,), name, when)

    def _add(
        self,
        stage: Callable[..., Awaitable[None]],
        edges: tuple[Edge[Any], ...],
        name: str,
        when: Happens | None = None,
    ) -> Node:
        if self._ran:
            raise WiringError("this pipeline ran already")
        name = self._unique(name or declares.name_of(stage))
        for edge in edges:
            if edge.link not in self._links:
                raise WiringError(f"{name} reads edge {edge.name} of another pipeline")
            if edge.taken:
                raise WiringError(f"{name} reads edge {edge.name}, which has a reader already; split it first")
            edge.taken = True
        self._join(name, edges)
        node = Node(name, stage, when, [Inlet(edge.link) for edge in edges])
        self._nodes.append(node)
        return node

    def _join(self, name: str, edges: tuple[Edge[Any], ...]) -> None:
        """Union-find over the trees that edges belong to: meeting one's own tree again would be a cycle."""
        roots = [self._root(edge.link.tree) for edge in edges]
        if len(set(roots)) != len(roots):
            raise WiringError(f"{name} joins branches of one split again: with bounded edges that can deadlock")
        for root in roots[1:]:
            self._trees[root] = roots[0]

    def _root(self, tree: int) -> int:
        while self._trees[tree] != tree:
            tree = self._trees[tree]
        return tree

    def _output(self, node: Node, depth: int | None, max_item: int) -> Edge[Any]:
        if node.inlets:
            tree = node.inlets[0].link.tree
        elif node.outlets:
            tree = node.outlets[0].link.tree
        else:
            tree = len(self._trees)
            self._trees.append(tree)
        link = Link(
            node.name if not node.outlets else f"{node.name}.{len(node.outlets) + 1}",
            depth=self._depth if depth is None else depth,
            max_item=max_item,
            senders=declares.senders_of(node.stage),
            in_hand=declares.in_hand_of(node.stage, max_item),
            tree=tree,
        )
        node.outlets.append(Outlet(link))
        self._links.append(link)
        return Edge(link, link.raw)

    def _unique(self, name: str) -> str:
        taken = sum(node.name == name or node.name.startswith(f"{name} ") for node in self._nodes)
        return f"{name} {taken + 1}" if taken else name

    def memory_bound(self) -> int:
        """Most bytes that the edges can hold, plus what stages and transforms declare as their ``working_set``."""
        edges = sum(link.memory_bound() for link in self._links)
        return edges + sum(declares.working_set_of(node.stage) for node in self._nodes)

    # Running --------------------------------------------------------------------------------------------------

    async def run(self, observer: Observer | None = None) -> None:
        """Run every stage to its end, or until a sink has had ``Enough``.

        Raises ``StageFailed`` when a stage or the observer raised (the root cause is its ``__cause__``),
        ``WiringError`` before anything runs, and nothing else; cancellation passes through after every stage has
        cleaned up. An observer that raises when every stage has ended stops nothing any more: ``observer_failed`` is
        what it raised.
        """
        if self._ran:
            raise WiringError("this pipeline ran already")
        read = {inlet.link for node in self._nodes for inlet in node.inlets}
        for link in self._links:
            if link not in read:
                raise WiringError(f"nobody reads edge {link.name}")
        Order(self._nodes).check()
        self._ran = True
        self.observer_failed = await Run(self._nodes, self._links, self.snapshot, observer).run(self._threads)

    def snapshot(self) -> Snapshot:
        """All counters, during the run or after it."""
        hosts = {inlet.link: node for node in self._nodes for inlet in node.inlets}
        stages: list[StageSnapshot] = []
        for node in self._nodes:
            stages.append(_stage_snapshot(node))
            for link in (outlet.link for outlet in node.outlets):
                host = node if link.making else hosts.get(link, node)
                stages += [
                    StageSnapshot(step.transform.name, host.state, step.seconds, 0.0, 0.0, step.bytes)
                    for step in link.steps
                ]
        return Snapshot(tuple(stages), tuple(link.snapshot() for link in self._links), _waits_for(self._nodes))


def _stage_snapshot(node: Node) -> StageSnapshot:
    ins, outs = [inlet.link for inlet in node.inlets], [outlet.link for outlet in node.outlets]
    # A stage waits for the transforms that run in its hop, as it does for those beyond the edge.
    before = sum(step.seconds for link in ins if not link.making for step in link.steps)
    behind = sum(step.seconds for link in outs if link.making for step in link.steps)
    return StageSnapshot(
        node.name,
        node.state,
        perf_counter() - node.started if node.state == "running" else node.seconds,
        before + sum(inlet.waited for inlet in node.inlets),
        behind + sum(outlet.waited / outlet.senders for outlet in node.outlets),
        sum(link.raw.bytes for link in outs) if outs else sum(link.last.bytes for link in ins),
    )


def _waits_for(nodes: Sequence[Node]) -> str:
    """The server of the last stage that runs, asks one, and waits for no other stage."""
    for node in reversed(nodes):
        if node.state == "running" and (server := declares.server_of(node.stage)):
            starved = any(inlet.link.snapshot().reader_waits for inlet in node.inlets)
            if not starved and not any(outlet.link.snapshot().writer_waits for outlet in node.outlets):
                return server
    return ""
