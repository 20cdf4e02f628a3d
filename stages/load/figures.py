"""What a report says of a job's load. Plain frozen data, ready for JSON; times are as this side saw them."""

from __future__ import annotations

from dataclasses import dataclass

from .histogram import RESOLUTION


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultLoad:
    """The requests to a vault, from sending one to the last byte of its answer; each attempt counts, logins do not.

    Milliseconds include the network and, where this side is busy, the wait for it. ``p50_ms`` and ``p99_ms`` come from
    a histogram: each is at most ``resolution`` of itself too large. ``rate`` is requests a second between the first and
    the last, ``at_once`` the most that were under way together. ``refused`` were answered 429 or 503; ``paused`` are
    the seconds in which none was sent because of them. ``slowed`` says how often fewer were let under way because
    answers became slower, ``least_at_once`` how few that were; None: it never was. ``lets_pass`` is the requests a
    second that a rate limit (429) let pass at last; None: none was met.
    """

    requests: int
    p50_ms: float
    p99_ms: float
    longest_ms: float
    rate: float
    at_once: int
    refused: int = 0
    paused: float = 0.0
    slowed: int = 0
    least_at_once: int | None = None
    lets_pass: float | None = None
    resolution: float = RESOLUTION


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLoad:
    """What a job held in PostgreSQL, in seconds; every number is an upper bound, measured around it on this side.

    ``longest_transaction`` is the longest time for which one transaction of ours was open, ``locks_held`` that in which
    it locked tables at all: ACCESS SHARE in a dump, which lets everybody read and write and makes only changes of the
    tables' definitions wait. ``exclusive_locks_held`` is that of ACCESS EXCLUSIVE, in which nobody else even reads what
    a restore replaces: from its first statement to the end of the transaction.
    """

    longest_transaction: float
    locks_held: float = 0.0
    exclusive_locks_held: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The load of one job, together with those that it began; None where a server was not asked."""

    vault: VaultLoad | None = None
    database: DatabaseLoad | None = None


#: That of a job that asked no server but the store.
NO_LOAD = Load()
