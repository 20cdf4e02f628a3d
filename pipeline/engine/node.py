"""A stage at its place in a pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .ends import Inlet, Outlet
    from .events import State


class Happens(Protocol):
    """An event of an edge, of anyio, or anything else that can be waited for."""

    async def wait(self) -> Any:
        """Return when it happened."""


@dataclass(eq=False)
class Node:
    """A stage at its place. For the engine alone."""

    name: str
    stage: Callable[..., Awaitable[None]]
    when: Happens | None = None
    inlets: list[Inlet[Any]] = field(default_factory=list)
    outlets: list[Outlet[Any]] = field(default_factory=list)
    state: State = "pending"
    started: float = 0.0
    seconds: float = 0.0
    #: Whether the stage is called with a list of its inlets.
    together: bool = False
