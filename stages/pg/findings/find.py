"""What a backup leaves out, and what no restore brings back as it is: asked of the catalog before the dump.

The session is read-only and waits for no lock. Nothing that users wrote is run: it would run with the rights of the
role that backs up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import psycopg

from ..server.connect import Connection, connect
from ..server.preflight import DatabaseFacts, tables_without_rows
from ..server.questions import answered
from ..server.rights import shortened
from .evaluated import find_evaluated
from .finding import Finding
from .left_out import find_left_out
from .operators import find_operators

if TYPE_CHECKING:
    from ..server.settings import PostgresSettings

#: Most findings of a kind; a sentence names the first of them.
_MOST = 1000


async def find(settings: PostgresSettings, facts: DatabaseFacts, *, include_audit: bool = True) -> tuple[Finding, ...]:
    """Everything worth a warning about a backup of this database by this role, alike objects together.

    A question that the server refuses is a finding as well. Raises ``DatabaseUnreachable`` when the connection is lost.
    """

    def ask() -> tuple[Finding, ...]:
        with connect(settings) as connection:
            return findings_in(connection, settings, facts, include_audit=include_audit)

    return await answered(ask, limit=settings.query_timeout)


def findings_in(
    connection: Connection, settings: PostgresSettings, facts: DatabaseFacts, *, include_audit: bool
) -> tuple[Finding, ...]:
    """What ``find`` finds, by a connection whose last questions these are; blocks. Raises what ``connect`` maps."""
    rowless = tables_without_rows(connection, settings, include_audit)
    connection.execute("SET search_path = ''")
    connection.execute("SET default_transaction_read_only = on")
    connection.execute("SET row_security = off")
    connection.execute("SET lock_timeout = 1000")
    connection.execute(f"SET statement_timeout = {math.ceil(settings.query_timeout * 1000)}")
    found = [
        *_tried(connection, find_left_out(connection, facts, rowless)),
        *_tried(connection, find_operators(connection)),
        *_tried(connection, find_evaluated(connection)),
    ]
    return tuple(_together(found))


def _tried(connection: Connection, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from islice(findings, _MOST)
    except psycopg.Error as exc:
        if connection.closed:
            raise
        code = exc.sqlstate or "no code"
        yield Finding(
            "unchecked",
            code,
            "Whether the backup leaves something out could not all be found out: the server refused a question ({}).",
            "Look into its log.",
        )


def _together(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Merge findings that differ in their object alone."""
    groups: dict[Finding, list[str]] = {}
    for each in findings:
        alike = Finding(each.kind, "", each.text, each.cure, each.lost)
        groups.setdefault(alike, []).append(each.object)
    for alike, objects in groups.items():
        names = shortened(list(dict.fromkeys(objects)))
        yield Finding(alike.kind, names, alike.text, alike.cure, alike.lost)
