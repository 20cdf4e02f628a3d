"""Numbers of things and names of servers in sentences."""

from __future__ import annotations

#: What the servers that a job waits for are called.
STORE, DATABASE, VAULT = "the store", "PostgreSQL", "the vault"


def count(number: int, noun: str) -> str:
    """A number of things: ``1 secret``, ``1,234 secrets``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def one_or_more(number: int, one: str, more: str) -> str:
    """The word for one thing, or that for any other number of them: ``was`` or ``were``."""
    return one if number == 1 else more
