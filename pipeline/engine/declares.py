"""What a stage may say of itself, beside being callable. Each is an attribute, and each may be left out.

Of a bound method, the attributes of its object count.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Named(Protocol):
    """A stage or transform with a name for reports; others are called as their function or class."""

    @property
    def name(self) -> str:
        """A short word."""


@runtime_checkable
class FansOut(Protocol):
    """A stage that sends from several tasks at once, each of which may hold one item; others send from one."""

    @property
    def senders(self) -> int:
        """How many tasks."""


@runtime_checkable
class HoldsItems(Protocol):
    """A stage whose senders together never hold so many of the largest items, for ``Pipeline.memory_bound``."""

    @property
    def in_hand(self) -> int:
        """Bytes of the items that its senders hold, at most."""


@runtime_checkable
class HoldsMemory(Protocol):
    """A stage or transform that holds more than the item in its hand; ``Pipeline.memory_bound`` adds it."""

    @property
    def working_set(self) -> int:
        """Bytes, at most."""


@runtime_checkable
class AsksServer(Protocol):
    """A stage that waits for somebody outside; ``Snapshot.waits_for`` names it when everything else waits for that."""

    @property
    def server(self) -> str:
        """What the server is called in a sentence."""


def name_of(stage: object) -> str:
    """Its name, else that of its function or class."""
    owner = _owner(stage)
    if isinstance(owner, Named) and owner.name:
        return owner.name
    return str(getattr(stage, "__name__", type(stage).__name__))


def senders_of(stage: object) -> int:
    """How many tasks of it send."""
    owner = _owner(stage)
    return owner.senders if isinstance(owner, FansOut) else 1


def in_hand_of(stage: object, max_item: int) -> int:
    """Bytes of the items that its senders hold, at most."""
    owner = _owner(stage)
    return owner.in_hand if isinstance(owner, HoldsItems) else senders_of(stage) * max_item


def working_set_of(stage: object) -> int:
    """Bytes that it holds, at most, besides the item in its hand."""
    owner = _owner(stage)
    return owner.working_set if isinstance(owner, HoldsMemory) else 0


def server_of(stage: object) -> str:
    """The server that it asks, or nothing."""
    owner = _owner(stage)
    return owner.server if isinstance(owner, AsksServer) else ""


def _owner(stage: object) -> object:
    return getattr(stage, "__self__", stage)
