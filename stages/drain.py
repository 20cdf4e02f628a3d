"""Ends for edges whose items nobody needs, and beginnings without items."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ..pipeline.engine import Inlet, Outlet

T = TypeVar("T")


async def drain(items: Inlet[object]) -> None:
    """Read to the end and keep nothing."""
    while await items.batch():
        pass


async def nothing(out: Outlet[T]) -> None:
    """Send no item."""
