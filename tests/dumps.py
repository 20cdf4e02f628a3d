"""What a database holds, as the newest pg_dump says it, so that two states of it can be compared."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from itertools import islice

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from kleidia_backup.demo.servers.postgres import binaries

_COPY = re.compile(r"(COPY [^(]*?)(?:\((.*)\))? FROM stdin;$")
_COLUMN = re.compile(r'"(?:[^"]|"")*"|[^", ]+')
_VOLATILE = re.compile(r"\\(un)?restrict \w+$|-- (Dumped from database|Dumped by pg_dump) version ")
_SHOWN = 60


def dump(conninfo: str, *options: str, any_column_order: bool = False) -> list[str]:
    """The lines of a dump by the newest pg_dump, the rows inside each COPY sorted, without what differs by itself.

    With ``any_column_order`` columns are compared by name, not by place, in COPY and in tables that inherit: pg_dump
    puts a column that a child had before its parent behind those of the parent, and PostgreSQL's own tests of
    pg_dump leave that out of the comparison too.
    """
    password = str(conninfo_to_dict(conninfo).get("password", ""))
    done = subprocess.run(
        [binaries() / "pg_dump", "--dbname", make_conninfo(conninfo, password=None), *options],
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
        # The same strings are written the same, whatever the database has as its own setting.
        env={**os.environ, "PGPASSWORD": password, "PGOPTIONS": "-c standard_conforming_strings=on"},
    )
    assert done.returncode == 0, done.stderr
    lines = list(_arranged(done.stdout.split("\n"), by_name=any_column_order))
    return _with_columns_sorted(lines) if any_column_order else lines


def _arranged(lines: Iterable[str], *, by_name: bool) -> Iterator[str]:
    rows: list[str] | None = None
    order: list[int] = []
    for line in lines:
        if rows is None:
            if (match := _COPY.match(line)) is None:
                if not _VOLATILE.match(line):
                    yield line
                continue
            rows = []
            columns = _COLUMN.findall(match.group(2) or "")
            order = sorted(range(len(columns)), key=columns.__getitem__) if by_name else []
            yield f"{match.group(1)}({', '.join(columns[n] for n in order)}) FROM stdin;" if order else line
        elif line == "\\.":
            yield from sorted(rows)
            yield line
            rows = None
        else:
            values = line.split("\t")
            rows.append("\t".join(values[n] for n in order) if order else line)


def _with_columns_sorted(lines: list[str]) -> list[str]:
    """The definitions of tables that inherit with their columns sorted."""
    for at, line in enumerate(lines):
        if line.startswith("INHERITS (") and lines[at - 1] == ")":
            begin = next(n for n in range(at, 0, -1) if lines[n - 1].startswith("CREATE "))
            lines[begin : at - 1] = sorted(each.rstrip(",") for each in lines[begin : at - 1])
    return lines


def count_rows(lines: Iterable[str]) -> int:
    """How many rows a dump copies."""
    found, inside = 0, False
    for line in lines:
        if inside:
            inside = line != "\\."
            found += inside
        else:
            inside = _COPY.match(line) is not None
    return found


def rows(conninfo: str) -> list[str]:
    """The rows of every table, the values of every sequence and the large objects, in an order that no version sets."""
    found: list[str] = []
    table = ""
    for line in dump(conninfo, "--data-only"):
        table = line if _COPY.match(line) else "" if line == "\\." else table
        if line and not line.startswith(("--", "SET ")):
            found.append(f"{table} {line}" if table else line)
    return sorted(found)


def difference(before: list[str], after: list[str]) -> str:
    """The first lines in which two dumps differ; empty when they are the same."""
    if before == after:
        return ""
    return "\n".join(islice(difflib.unified_diff(before, after, "before", "after", n=2, lineterm=""), _SHOWN))


def run_script(conninfo: str, script: str) -> None:
    """Execute statements as one message of the simple protocol, as one transaction."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(script.encode())
