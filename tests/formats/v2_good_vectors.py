"""Archives of format V2 that must be read."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .v2_second_writer import (
    FACTS,
    PRIVATE,
    SIGNER,
    Archive,
    Json,
    b64,
    password_slot,
    to_json,
    x25519_slot,
)
from .v2_vector import AFTER, BEFORE, DATABASE, SECRETS, VAULT, Vector, chunks, good, kv, ok, rows, sql
from .v2_zstd import Run, expand, zstd_frame

KEY = PRIVATE.private_bytes_raw()
OTHER_COPY = b"COPY public.u (a) FROM stdin;\n"


def many_slots(digest: bytes) -> list[Json]:
    """One of each kind, and one that nobody knows; the hybrid one is for somebody else."""
    hybrid = {"type": "mlkem768-x25519", "key": "0123456789abcdef", "sealed": b64(bytes(1168))}
    transit = {"type": "transit", "mount": "transit", "name": "backup", "wrapped": "vault:v1:AAAA"}
    second = password_slot(digest, "the other one", salt=bytes(range(16, 32)), t=2, m=256, p=2)
    return [{"type": "later", "n": 1}, hybrid, transit, x25519_slot(digest), password_slot(digest), second]


def large(**changes: Any) -> Archive:
    """An archive of two segments; what fills them is made from a seed."""
    noise = random.Random(2).randbytes(150_000).hex().encode()  # a frame of raw blocks: 300,000 bytes
    lines = b"".join(b"%d\t%s\n" % (at, noise[at * 1000 : at * 1000 + 1000]) for at in range(300))
    return good(chunks=[sql(BEFORE), rows(lines), sql(AFTER), kv(SECRETS)]).but(**changes)


def good_vectors() -> Iterator[Vector]:
    """All of them."""
    yield ok("plain", "database and secrets; the bad files differ from this one in one thing", good())
    empty = [sql(b"--\n-- PostgreSQL database dump\n--\n\n--\n-- PostgreSQL database dump complete\n--\n")]
    yield ok("empty-database", "a database without a table", good(facts=DATABASE, chunks=empty))
    yield ok("database", "no secrets", good(facts=DATABASE, chunks=chunks()[:3]))
    yield ok("vault", "no database", good(facts=VAULT, chunks=chunks()[3:]))
    yield ok("nothing", "a vault without a secret", good(facts=VAULT, chunks=[]))
    yield ok("empty-copy", "a COPY statement without rows", good(chunks=[sql(BEFORE), rows(b""), sql(AFTER)]))

    cut = [sql(BEFORE), rows(b"1\ta\n"), rows(b"2\tb\n3\tc\n"), rows(b"4\td\n"), sql(AFTER), kv(SECRETS)]
    yield ok("copy-in-three", "one COPY statement, cut between rows into three chunks", good(chunks=cut))
    more = [
        sql(BEFORE[:20], more=True),
        sql(BEFORE[20:]),
        rows(b"1\ta\n2\tlong", tail=False, more=True),
        rows(b" and longer", head=False, tail=False, more=True),
        rows(b" and end\n3\tc\n", head=False),
        rows(b"4\td\n"),
        sql(AFTER),
    ]
    yield ok("more", "a statement and a row that are longer than a chunk", good(chunks=more))
    turns = [
        sql(BEFORE),
        rows(b"1\ta\n"),
        rows(b"x\n", t=1, copy=OTHER_COPY),
        rows(b"2\tb\n"),
        rows(b"y\n", t=1, copy=OTHER_COPY),
        rows(b"z\n", t=1, copy=OTHER_COPY),
        sql(AFTER),
    ]
    yield ok("taking-turns", "the chunks of two COPY statements alternate", good(chunks=turns))
    two_rooms = [*chunks(), kv({"a": b'{"n":123456789012345678901234567890}'}), kv({"b/c/": b"{}"})]
    yield ok("kv-chunks", "three chunks of secrets; a large integer, an empty value", good(chunks=two_rooms))
    listed = [
        replace(chunk, line={"paths": paths}) for chunk, paths in zip(two_rooms[4:], [["a"], ["b/c/"]], strict=True)
    ]
    yield ok(
        "kv-paths", "paths in the index for two of three chunks of secrets", good(chunks=[*two_rooms[:4], *listed])
    )
    gone = (
        b'{"path":"a","newest":"deleted","version":3,"oldest":2,"versions":[{"version":2,"value":{"b":1}}]}\n'
        b'{"metadata":{"custom_metadata":{"x":"y"}},"newest":"none","path":"b"}\n'
        b'{"path":"c","version":1,"newest":"destroyed"}\n'
    )
    yield ok(
        "kv-newest",
        "keys without a value: deleted, with an older version; metadata alone; destroyed",
        good(chunks=[*chunks()[:3], replace(kv({}), secrets=3, raw=gone)]),
    )
    older = (
        b'{"path":"a","value":{"b":1},"metadata":{},"version":1,"created":"2026-01-31T23:59:59.123456789Z"}\n'
        b'{"path":"b","value":{"c":[]},"metadata":{"custom_metadata":{"owner":"caf\xc3\xa9"},"max_versions":5,'
        b'"cas_required":true,"delete_version_after":"3h0m0s"},"version":7,"oldest":3,"versions":[{"version":3,'
        b'"destroyed":true},{"version":4,"deleted":true},{"version":6,"value":{"c":{}},'
        b'"created":"2026-01-30T00:00:00.000000001Z"}],"created":"2026-01-31T23:59:59.1Z"}\n'
        b'{"path":"c","value":{},"metadata":{"custom_metadata":{"x":"y"},"partial":true}}\n'
    )
    yield ok(
        "kv-members",
        "values with metadata, times, and older versions: destroyed, deleted, kept",
        good(chunks=[*chunks()[:3], replace(kv({}), secrets=3, raw=older)]),
    )
    spaces = b'{ "value" : {"a": [1e5, null]} , "later": 1, "path":"caf\\u00e9"}\n'
    line = replace(kv({}), secrets=1)
    yield ok(
        "kv-form",
        "members in another order, one that nobody knows, spaces, escapes, numbers of any form in the value",
        good(chunks=[*chunks()[:3], replace(line, raw=spaces)]),
    )

    yield ok("slots", "six slots: by the password", good(slots=many_slots, sign=SIGNER), trust=True)
    yield ok(
        "slots-second",
        "six slots: by the other",
        good(slots=many_slots, sign=SIGNER),
        password="the other one",
        trust=True,
    )
    yield ok("slots-key", "six slots: by the private key", good(slots=many_slots, sign=SIGNER), key=KEY, trust=True)
    wide = good(slots_text=lambda text: text + b" " * 4096)
    yield ok("slots-wide", "8,192 bytes of slots", wide)
    eight = [bytes([at]) * 16 for at in range(8)]
    yield ok(
        "slots-eight",
        "eight passwords, the last is it",
        good(
            slots=lambda digest: [
                password_slot(digest, f"{at}" if at < 7 else "it", salt=s) for at, s in enumerate(eight)
            ]
        ),
        password="it",
    )
    unicode = "p\u00e4ss w\u00f6rd \U0001f511"
    yield ok(
        "password-unicode",
        "a password of more than ASCII",
        good(slots=lambda d: [password_slot(d, unicode)]),
        password=unicode,
    )
    yield ok("signed", "a signature, and a password", good(sign=SIGNER), trust=True)

    facts = {**FACTS, "system": "s\u00fcd", "tool": "second writer", "about": "See SPEC.md.", "later": [1, {"a": None}]}
    yield ok("facts", "optional facts, and one that nobody knows", good(facts=facts))
    text = to_json(dict(reversed(FACTS.items()))).replace(b",", b" ,\n ").replace(b"full", b"f\\u0075ll")
    yield ok("facts-form", "another order, white space and escapes", good(facts_text=lambda _: text))
    yield ok("index-frames", "the index in three frames, each with a member that nobody knows", good(index=_frames))
    run = expand(Run(b"-", 200_000), b"\n")
    dense = [sql(run, frame=zstd_frame(Run(b"-", 200_000), b"\n"))]
    yield ok("dense", "a chunk of 200,000 bytes in 40", good(facts=DATABASE, chunks=dense))
    yield ok("two-segments", "a body of two segments", large())


def _frames(index: bytes) -> bytes:
    raw = index[13 + 3 :]  # the header of the frame, and of its one block
    lines = [line.replace(b'{"k"', b'{"later":true,"k"') for line in raw.splitlines(keepends=True)]
    return b"".join(zstd_frame(b"".join(part)) for part in (lines[:2], lines[2:3], lines[3:]))
