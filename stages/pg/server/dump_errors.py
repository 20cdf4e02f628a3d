"""pg_dump's stderr as our errors and warnings: which table, what to do, and no value of a row.

Its own words are English, for we ask it so; the server's are in the language of the server. So what a hint needs that
is known otherwise (a standby) is not looked for in them.
"""

from __future__ import annotations

import re

from ...errors import DumpFailed
from .refusal import LOCKED

#: What a message may show between quotes: the name of an object. Anything else there may be a value.
_OBJECTS = (
    "collation|column|configuration|constraint|conversion|database|dictionary|encoding|extension|file|function|index|"
    "language|library|object|operator|parameter|policy|procedure|provider|publication|relation|role|rule|schema|"
    "sequence|server|signal|slot|statistics|subscription|table|tablespace|trigger|type|user|view|wrapper"
)
_QUOTED = re.compile(rf'(?<![\w"])(?P<object>(?:{_OBJECTS}) )?"(?:[^"]|"")*"', re.IGNORECASE)
_BYTES = re.compile(r"(?:0x[0-9a-f]{2} ?)+", re.IGNORECASE)

_SERVER_SAID = re.compile(r"(?:Error message from server: |query failed: )(?:ERROR: *|FATAL: *)?(.*)")
_NAME = r'(?:"(?:[^"]|"")+"|[^\s".(]+)'
_COPYING = re.compile(rf"Command was: COPY ({_NAME}(?:\.{_NAME})?) ")
_CONTENTS = re.compile(r'Dumping the contents of table ("(?:[^"]|"")*") failed')

_AGAIN = "Check the server's log; then try again."
_TEXT = "The database holds text that is not UTF-8, as SQL_ASCII allows: repair those rows, or convert it."
_LOCKS = "Raise max_locks_per_transaction on the server: a dump locks every table at once."
_TOO_LARGE = (
    "PostgreSQL writes a row as text of less than 1 GB, in which a bytea has twice its size: split the value, keep it "
    "as a large object, or give the server more memory if that is what it lacks."
)
_STANDBY = (
    "The server is a standby, which cancels what stands in the way of its primary's changes: set hot_standby_feedback "
    "= on there, or a max_standby_streaming_delay that is longer than a dump, or back up the primary."
)


def dump_error(status: int, said: str, *, standby: bool, lock_timeout: float) -> DumpFailed:
    """The error for a pg_dump that ended with this exit status (negative: a signal), and the end of its stderr.

    ``standby``: the server follows a primary. ``lock_timeout`` is the setting, in seconds.
    """
    how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
    lines = [line.removeprefix("pg_dump: ") for line in said.splitlines() if line.strip()]
    what = next((line for line in lines if line.startswith("error: ")), lines[-1] if lines else "it gave no reason")
    if reason := _SERVER_SAID.search(said):
        what = reason.group(1)
    what = without_values(what.removeprefix("error: "))
    hint = _AGAIN
    if standby:
        hint = _STANDBY
    if "invalid byte sequence" in said:
        hint = _TEXT
    elif "out of shared memory" in said:
        hint = _LOCKS
    elif "invalid memory alloc request size" in said or "out of memory" in said or "string buffer" in said:
        hint = _TOO_LARGE
    elif "LOCK TABLE" in said and "timeout" in said:
        what, hint = f"a table is locked, for {lock_timeout:g} seconds now", LOCKED
    table = _COPYING.search(said) or _CONTENTS.search(said)
    where = f" (while it read the table {table.group(1)})" if table else ""
    return DumpFailed(f"pg_dump {how}: {what.rstrip('.')}{where}.", hint=hint)


def dump_warnings(said: str) -> list[str]:
    """The warnings on a pg_dump's stderr, each on a line."""
    return [without_values(line) for line in said.splitlines() if "warning:" in line]


def without_values(message: str) -> str:
    """A message of PostgreSQL's in which only names of objects are left between quotes, and no bytes of a text."""
    message = _QUOTED.sub(lambda found: found.group() if found.group("object") else '"…"', message)
    return _BYTES.sub("…", message)
