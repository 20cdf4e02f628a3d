"""Why ``when=`` cannot wait for itself: what could is refused before anything runs, or enforced while it runs.

Stages joined by edges form trees. A stage of one tree that waits for an edge of another cannot hold that one up, unless
trees wait for each other in a circle. Within one tree two things are possible:

- A source that waits for the end of an edge which it meets at a fan-in. That stage has to read the other side to its
  end first; it is told at once when it does not. A source on that other side may not wait for something on this one.
- A sink that waits until the edge beside its own, from the same split, was consumed. The splitting stage has to mark
  that edge (``Outlet.end``) before it sends anything to the sink; it is told at once when it does not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .edges import EdgeEvent, Link
from .errors import WiringError

if TYPE_CHECKING:
    from .node import Node


class Order:
    """Looks at all waits of a wiring. Events that are no edge's are nobody's business but the caller's."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._held = [(node, node.when) for node in nodes if isinstance(node.when, EdgeEvent)]
        self._writers = {outlet.link: node for node in nodes for outlet in node.outlets}
        self._readers = {inlet.link: node for node in nodes for inlet in node.inlets}

    def check(self) -> None:
        """Raise ``WiringError`` for what could wait for ever."""
        waits: list[tuple[Node, Node]] = []
        inside: list[tuple[Node, Node, Link]] = []
        for node, event in self._held:
            if event.link not in self._writers:
                raise WiringError(f"{node.name} waits for edge {event.link.name} of another pipeline")
            writer = self._writers[event.link]
            route = self._route(node, writer)
            if route is None:
                waits.append((node, writer))
            elif not node.inlets and event.kind == "ended":
                inside.append((node, writer, self._read_before(node, route)))
            elif node.inlets and event.kind == "consumed" and self._beside(node.inlets[0].link, event.link):
                node.inlets[0].link.before = event.link
            else:
                raise _for_ever(node, event.link)
        for node, _, link in inside:
            for other, writer, _ in inside:
                if self._behind(link, node, other) and not self._behind(link, node, writer):
                    raise WiringError(f"{other.name} waits for {writer.name}, which can wait for {other.name}")
        for node, writer in waits:
            self._follow(node, writer, waits)

    def _route(self, start: Node, end: Node) -> list[Link] | None:
        """The edges between two stages, whatever their direction; None when nothing joins them."""
        came: dict[int, list[Link]] = {id(start): []}
        queue = deque([start])
        while queue:
            node = queue.popleft()
            if node is end:
                return came[id(node)]
            for link in (*(outlet.link for outlet in node.outlets), *(inlet.link for inlet in node.inlets)):
                other = self._readers[link] if self._writers[link] is node else self._writers[link]
                if id(other) not in came:
                    came[id(other)] = [*came[id(node)], link]
                    queue.append(other)
        return None

    def _beside(self, link: Link, other: Link) -> bool:
        """Whether two edges come from one split, and the second one's reader does not wait for the first."""
        return link is not other and self._writers[link] is self._writers[other] and other.before is not link

    def _behind(self, link: Link, node: Node, other: Node) -> bool:
        """Whether the way from one stage to the other leads over this edge."""
        return link in (self._route(node, other) or ())

    def _read_before(self, source: Node, route: list[Link]) -> Link:
        """Where the way from a source turns against the stream, the other inlet has to end first; gives its edge."""
        down = source.outlets[0].link
        for link in route:
            if self._writers[link] is not source:
                if (meeting := self._readers[link]) is not self._readers[down]:
                    break
                ends = {inlet.link: inlet for inlet in meeting.inlets}
                ends[down].after.append(ends[link])
                return link
            down, source = link, self._readers[link]
        raise _for_ever(source, down)

    def _follow(self, node: Node, writer: Node, waits: Sequence[tuple[Node, Node]]) -> None:
        """From tree to tree, as they wait for each other: none may come round to where it began."""
        seen: list[Node] = []
        queue = [writer]
        while queue:
            at = queue.pop()
            if self._route(at, node) is not None:
                raise WiringError(f"{node.name} waits for {writer.name}, which waits for it in turn")
            seen.append(at)
            for waiting, target in waits:
                if target not in seen and self._route(at, waiting) is not None:
                    queue.append(target)


def _for_ever(node: Node, link: Link) -> WiringError:
    return WiringError(f"{node.name} waits for edge {link.name}, which can wait for {node.name}")
