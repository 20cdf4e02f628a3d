"""Another client of the servers that are backed up, as a process of its own: ``neighbour.py KIND``.

It takes one line, JSON with ``every`` (seconds between two requests) and ``url`` and ``token`` (KIND ``vault``: reads a
secret) or ``conninfo`` (KIND ``database``: reads a row by its key). It asks until its input ends, then prints as JSON
how long each request took in seconds. A request that was due while another one was under way counts from when it was
due, so that one long wait does not hide the others.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import psycopg


def vault(about: dict[str, Any]) -> Callable[[], None]:
    """Reads one secret, always the same."""
    parts = urlsplit(about["url"])
    assert parts.hostname is not None
    connection = HTTPConnection(parts.hostname, parts.port)

    def ask() -> None:
        connection.request("GET", parts.path, headers={"X-Vault-Token": about["token"]})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status

    return ask


def database(about: dict[str, Any]) -> Callable[[], None]:
    """Reads one row by its key, another one each time, in transactions of their own."""
    connection = psycopg.connect(about["conninfo"], autocommit=True)
    number = 0

    def ask() -> None:
        nonlocal number
        number += 1
        connection.execute("SELECT count(*) FROM audit_logs WHERE id = %s", (1 + number * 7919 % 10_000,))

    return ask


def main() -> None:
    """Ask until the input ends."""
    about = json.loads(sys.stdin.readline())
    ask = {"vault": vault, "database": database}[sys.argv[1]](about)
    ask()
    print("ready", flush=True)
    seconds: list[float] = []
    due = time.perf_counter() + about["every"]
    while True:
        if select.select([sys.stdin], [], [], max(0.0, due - time.perf_counter()))[0]:
            break
        ask()
        seconds.append(time.perf_counter() - due)
        due += about["every"]
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
