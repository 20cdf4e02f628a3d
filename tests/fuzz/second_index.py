"""A second look at the lines of an index of format V2, made from section 8 of the page alone."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

_MEMBERS: dict[str, dict[str, type]] = {
    "begin": {"n": int, "h": str},
    "sql": {"n": int, "raw": int, "h": str},
    "rows": {"n": int, "raw": int, "h": str, "t": int},
    "kv": {"n": int, "raw": int, "h": str, "secrets": int},
    "copy": {"t": int, "copy": str, "rows": int, "bytes": int},
    "end": {"chunks": int, "copies": int, "rows": int, "secrets": int, "sql_bytes": int},
}
_OPTIONAL: dict[str, dict[str, type]] = {
    "sql": {"more": bool},
    "rows": {"more": bool, "rows": int, "head": int, "tail": int},
    "kv": {"paths": list, "more": bool},
    "copy": {"h": str},
}
_HASH = re.compile("[0-9a-f]{64}")
_PLAIN_COPY = re.compile(r"COPY [a-z]+(\.[a-z]+)?( \([a-z]+(, [a-z]+)*\))? FROM stdin;")
_COPY = re.compile(r"copy\b.*\bfrom\s+stdin\s*;", re.IGNORECASE | re.DOTALL)
_LIMITS = {"n": 16_842_752, "raw": 16_777_216, "secrets": 65_536}


class Refused(ValueError):
    """The page refuses it."""


class Open(Exception):
    """The page leaves open what a reader does."""


def no(why: str) -> NoReturn:
    raise Refused(why)


def strict(text: bytes) -> dict[str, Any]:
    """An object by the rules of section 3. Raises ``Refused``."""

    def whole(digits: str) -> int:
        number = int(digits) if len(digits) < 20 else no("a number")
        return number if -(2**53) <= number <= 2**53 else no("a number")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(pairs) if len(dict(pairs)) == len(pairs) else no("a member twice")

    try:
        found = json.loads(text.decode(), parse_constant=no, parse_float=no, parse_int=whole, object_pairs_hook=once)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
        raise Refused(str(exc)) from None
    if depth(found) > 64:
        no("nested too deep")
    return found if isinstance(found, dict) else no("no object")


def depth(value: object) -> int:
    """Levels of objects and arrays."""
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth, inside), default=0)


def check(text: bytes) -> None:
    """Go through an index as it is decompressed. Raises ``Refused``, and ``Open``."""
    lines = text.split(b"\n")
    if lines.pop() or len(lines) < 2:
        no("no lines")
    found = list(map(strict, lines))
    loose = False
    for line in found:
        loose |= _check_members(line)
    begin, *middle, end = found
    if begin["k"] != "begin" or end["k"] != "end" or not 1 <= begin["n"] <= 2**20:
        no("begin or end")
    chunks = [line for line in middle if line["k"] in ("sql", "rows", "kv")]
    copies = [line for line in middle if line["k"] == "copy"]
    if chunks + copies != middle or any(line is not other for line, other in zip(middle, chunks + copies, strict=True)):
        no("another order")
    _check_chunks(chunks, copies)
    body = [line["raw"] - line.get("head", 0) - line.get("tail", 0) for line in chunks]
    sql_bytes = sum(line["raw"] for line in chunks if line["k"] == "sql")
    for line in copies:
        own = [at for at, chunk in enumerate(chunks) if chunk["k"] == "rows" and chunk["t"] == line["t"]]
        if line["rows"] != sum(chunks[at].get("rows", 0) for at in own) or line["bytes"] != sum(body[at] for at in own):
            no("totals of a COPY")
        sql_bytes += len(line["copy"].encode()) + 1 + line["bytes"] + 3
    secrets, rows = sum(line.get("secrets", 0) for line in chunks if line["k"] == "kv"), sum(c["rows"] for c in copies)
    totals = {"chunks": len(chunks), "copies": len(copies), "rows": rows, "secrets": secrets, "sql_bytes": sql_bytes}
    if any(end[name] != total for name, total in totals.items()):
        no("totals")
    if loose or any(line.get("rows", 0) > size for line, size in zip(chunks, body, strict=True)):
        raise Open
    if not all(_PLAIN_COPY.fullmatch(line["copy"]) for line in copies):
        raise Open


def _check_members(line: dict[str, Any]) -> bool:
    """Types and limits of one line; whether it has a member that only other lines have."""
    kind = line.get("k")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        no("k")
    known = _MEMBERS[kind] | {name: type_ for name, type_ in _OPTIONAL.get(kind, {}).items() if name in line}
    for name, wanted in known.items():
        if type(line.get(name)) is not wanted or (wanted is int and line[name] < 0):
            no(name)
    for name in ("h",) if "h" in known else ():
        if not _HASH.fullmatch(line[name]):
            no(name)
    if kind in ("sql", "rows", "kv") and (not line["n"] or not line["raw"] or (kind == "kv" and not line["secrets"])):
        no("nothing")
    if kind in ("sql", "rows", "kv") and any(
        line.get(name, 0) > most for name, most in _LIMITS.items() if name in known
    ):
        no("a limit")
    if "more" in line and (line["more"] is not True or kind == "kv"):
        no("more")
    if (
        kind == "kv"
        and "paths" in line
        and (len(line["paths"]) != line["secrets"] or not all(type(path) is str for path in line["paths"]))
    ):
        no("paths")
    if kind == "copy" and not _COPY.match(line["copy"]):
        no("copy")
    elsewhere = {name for group in (*_MEMBERS.values(), *_OPTIONAL.values()) for name in group}
    return bool(line.keys() & elsewhere - known.keys())


def _check_chunks(chunks: list[dict[str, Any]], copies: list[dict[str, Any]]) -> None:
    before: dict[str, Any] = {}
    seen = 0
    for line in chunks:
        inside = before.get("more") is True
        if inside and (line["k"], line.get("t")) != (before["k"], before.get("t")):
            no("it does not go on")
        if before.get("k") == "kv" and line["k"] != "kv":
            no("SQL behind secrets")
        if line["k"] == "rows":
            if line["t"] > seen:
                no("T")
            seen = max(seen, line["t"] + 1)
            if line["t"] >= len(copies):
                no("a COPY is missing")
            head = 0 if inside else len(copies[line["t"]]["copy"].encode()) + 1
            tail = 0 if line.get("more") else 3
            if (line.get("head", 0), line.get("tail", 0)) != (head, tail) or line["raw"] < head + tail:
                no("head or tail")
        before = line
    if before.get("more") or [line["t"] for line in copies] != list(range(seen)):
        no("the end")
