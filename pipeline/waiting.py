"""Which server a pipeline waits for: told by the stages that speak with one, when they wait for no other stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine import Snapshot

STORE, DATABASE, VAULT = "the store", "PostgreSQL", "the vault"

#: Stage, server, and the edge at whose end the stage stands, and whether it reads there. The vault's stage also waits
#: for that of the database, and so comes last.
_OUTSIDE = (
    ("upload", STORE, "seal", True),
    ("download", STORE, "download", False),
    ("pg_dump", DATABASE, "pg_dump", False),
    ("psql", DATABASE, "open", True),
    ("vault", VAULT, "vault", False),
    ("vault", VAULT, "open.2", True),
)


def waits_for(snapshot: Snapshot) -> str:
    """The server that a pipeline waits for at that moment; empty when nobody can tell."""
    running = {stage.name for stage in snapshot.stages if stage.state == "running"}
    edges = {edge.name: edge for edge in snapshot.edges}
    for name, server, edge, reads in _OUTSIDE:
        if name in running and edge in edges:
            idle = edges[edge].reader_waits if reads else edges[edge].writer_waits
            if not idle:
                return server
    return ""
