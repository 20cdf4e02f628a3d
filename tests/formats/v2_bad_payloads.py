"""Archives of format V2 with one fault each, in their payload: what tar, zstd and the index say."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from .v2_second_writer import (
    FACTS,
    SIGNER,
    STRANGER,
    Archive,
    Hook,
    Json,
    flip,
    password_slot,
    tar_header,
    x25519_slot,
)
from .v2_vector import AFTER, BEFORE, COPY, DATABASE, ROWS, SECRETS, VAULT, Vector, bad, chunks, good, kv, rows, sql
from .v2_zstd import Run, zstd_frame

TIME = 1768651200


def bad_payloads() -> Iterator[Vector]:
    """All of them, in the order of the layers."""
    yield from _tar()
    yield from _zstd()
    yield from _chunk()
    yield from _kv()
    yield from _paths()
    yield from _locator()
    yield from _index_text()
    yield from _index_lines()
    yield from _index_order()
    yield from _signature()


def _at(chunk: int, **changes: Any) -> Archive:
    return good().with_chunk(chunk, **changes)


def _tar() -> Iterator[Vector]:
    size = len(chunks()[1].stored)
    for name, comment, header in (
        ("name", "another number in the name", tar_header("db/00000002.t0000.zst", size, TIME)),
        ("absolute", "an absolute name", tar_header("/db/00000001.t0000.zst", size, TIME)),
        ("size", "another size", tar_header("db/00000001.t0000.zst", size + 1, TIME)),
        ("time", "another time", tar_header("db/00000001.t0000.zst", size, TIME + 1)),
    ):
        yield bad("tar", name, comment, _at(1, header=lambda _, new=header: new))
    for name, at, new in (("link", 156, b"2"), ("directory", 156, b"5"), ("pax", 156, b"x"), ("mode", 105, b"4")):
        yield bad("tar", name, f"{name}, with a right checksum", _at(1, header=_patch(at, new)))
    for name, at in (("checksum", 150), ("user", 265), ("prefix", 345), ("end", 511), ("magic", 262)):
        yield bad("tar", f"flip-{name}", "one bit of a header", _at(1, header=lambda header, at=at: flip(header, at)))
    yield bad("tar", "begin", "the header of meta/begin.json", good(begin_header=lambda header: flip(header, 3)))
    yield bad("tar", "index-header", "the header of the index", good(index_header=lambda header: flip(header, 3)))
    more = good(zeros=lambda zeros: zeros + bytes(10240))
    yield bad("index", "zeros", "10,240 zero bytes more than needed", more)
    yield bad("tar", "padding", "a byte that is not zero behind a chunk", _at(0, padding=lambda zeros: flip(zeros, -1)))
    yield bad(
        "tar", "zeros", "a byte that is not zero in front of the locator", good(zeros=lambda zeros: flip(zeros, -1))
    )
    yield bad(
        "tar",
        "no-end",
        "a byte that is not zero in the two blocks of the end",
        good(zeros=lambda zeros: flip(zeros, 0)),
    )


def _patch(at: int, new: bytes) -> Hook:
    def patch(header: bytes) -> bytes:
        header = header[:at] + new + header[at + len(new) :]
        total = sum(header[:148]) + 8 * 32 + sum(header[156:])
        return header[:148] + b"%06o\0 " % total + header[156:]

    return patch


def _zstd() -> Iterator[Vector]:
    raw, whole = BEFORE, zstd_frame(BEFORE)
    for name, comment, frame in (
        ("no-size", "a frame without its content size", zstd_frame(raw, size=None)),
        ("size-less", "a content size that is one less than raw", zstd_frame(raw, size=len(raw) - 1)),
        ("size-more", "a content size that is one more than raw", zstd_frame(raw, size=len(raw) + 1)),
        ("short", "a right size, and one byte less inside", zstd_frame(raw[:-1], size=len(raw))),
        ("long", "a right size, and one byte more inside", zstd_frame(raw + b"\n", size=len(raw))),
        ("bomb", "a right size, and 64 MiB inside", _bomb(len(raw))),
        ("cut", "a frame without its last byte", whole[:-1]),
        ("trailing", "a byte behind the frame", whole + b"\0"),
        ("two", "two frames, together as large as raw", zstd_frame(raw[:20]) + zstd_frame(raw[20:])),
        ("skippable", "a skippable frame in front", b"\x50\x2a\x4d\x18\4\0\0\0abcd" + whole),
        ("skippable-after", "a skippable frame behind", whole + b"\x50\x2a\x4d\x18\4\0\0\0abcd"),
        ("magic", "another magic", flip(whole, 0)),
        ("reserved", "the reserved bit of the frame's header", flip(whole, 4, 8)),
        ("block-type", "a block of the reserved type", flip(zstd_frame(raw), 13, 6)),
        (
            "dictionary",
            "a dictionary's number",
            b"\x28\xb5\x2f\xfd\xe1\7" + whole[5:],
        ),
        ("gzip", "gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x03\0\0\0\0\0\0\0\0\0"),
        ("plain", "not compressed", raw),
    ):
        yield bad("zstd", name, comment, _at(0, frame=frame))


def _bomb(size: int) -> bytes:
    return zstd_frame(Run(b"-", 131_072 * 500), size=size)


def _chunk() -> Iterator[Vector]:
    for number, kind in enumerate(("sql", "rows", "more-sql", "kv")):
        damaged = _at(number, damage=lambda stored: flip(stored, -1))
        yield bad("chunk", f"flip-{kind}", "one bit of a chunk's stored bytes", damaged)
        yield bad("chunk", f"hash-{kind}", "another hash in the index", _at(number, line={"h": "0" * 64}))
    yield bad("chunk", "begin", "one bit of meta/begin.json", good(begin_damage=lambda begin: flip(begin, 20)))
    one_less = good(chunks=[sql(BEFORE), replace(rows(ROWS), rows=2), sql(AFTER), kv(SECRETS)])
    yield bad("payload", "rows", "one row more than listed, everywhere", one_less)
    head = replace(rows(ROWS), raw=b"copy public.t (id, name) FROM stdin;\n" + ROWS + b"\\.\n")
    other = good(chunks=[sql(BEFORE), head, sql(AFTER), kv(SECRETS)])
    yield bad(
        "payload",
        "copy-text",
        "the COPY statement is not the one that is listed",
        other.but(lines=_with(copy=COPY[:-1].decode())),
    )
    digest = good().but(lines=_with(h="0" * 64))
    yield bad("payload", "copy-digest", "another SHA-256 over the rows of a COPY, each chunk as listed", digest)
    tail = replace(rows(ROWS), raw=COPY + ROWS + b"\\,\n")
    yield bad("payload", "tail", "a tail that is none", good(chunks=[sql(BEFORE), tail, sql(AFTER), kv(SECRETS)]))
    early = replace(rows(ROWS), raw=COPY + ROWS[:4] + b"\\.\n" + ROWS[4:] + b"\\.\n")
    yield bad(
        "payload",
        "tail-early",
        "an end of the rows among the rows",
        good(chunks=[sql(BEFORE), early, sql(AFTER), kv(SECRETS)]),
    )
    half = replace(rows(ROWS), raw=COPY + ROWS[:-1] + b"\\.\n", rows=2)
    yield bad(
        "payload",
        "half-row",
        "a row without its end, and no more",
        good(chunks=[sql(BEFORE), half, sql(AFTER), kv(SECRETS)]),
    )


def _with(**changes: object) -> Callable[[list[Json]], list[Json]]:
    def change(lines: list[Json]) -> list[Json]:
        return [line | changes if line["k"] == "copy" else line for line in lines]

    return change


def _kv() -> Iterator[Vector]:
    line = b'{"path":"a","value":{"b":1}}\n'
    for name, comment, raw in (
        ("not-json", "a line that is no JSON", b"secret\n"),
        ("no-line-end", "a line without its end", line[:-1]),
        ("two-lines", "an object over two lines", b'{"path":"a",\n"value":{}}\n'),
        ("empty-line", "an empty line", b"\n"),
        ("no-path", "no path", b'{"value":{}}\n'),
        ("path-number", "a path that is a number", b'{"path":1,"value":{}}\n'),
        ("path-lone-surrogate", "half a surrogate pair in a path", b'{"path":"\\ud800","value":{}}\n'),
        ("no-value", "no value", b'{"path":"a"}\n'),
        ("value-null", "a value that is null", b'{"path":"a","value":null}\n'),
        ("value-array", "a value that is an array", b'{"path":"a","value":[]}\n'),
        ("value-text", "a value that is text", b'{"path":"a","value":"b"}\n'),
        ("value-nan", "NaN in a value", b'{"path":"a","value":{"b":NaN}}\n'),
        ("value-invalid-utf-8", "a value that is not UTF-8", b'{"path":"a","value":{"b":"\xff"}}\n'),
        ("path-twice-in-line", "path twice in a line", b'{"path":"a","path":"a","value":{}}\n'),
        ("newest-and-value", "a value and newest", b'{"path":"a","value":{},"newest":"deleted","version":1}\n'),
        ("newest-unknown", "a newest that nobody knows", b'{"path":"a","newest":"later","version":1}\n'),
        ("newest-no-version", "deleted, without its number", b'{"path":"a","newest":"deleted"}\n'),
        ("newest-none-version", "no version, and a number", b'{"path":"a","newest":"none","version":1}\n'),
        ("something-after", "something behind the object", line[:-1] + b",\n"),
        ("more-than-listed", "two secrets where one is listed", line + line.replace(b'"a"', b'"c"')),
    ):
        chunk = replace(kv({}), raw=raw, secrets=1)
        yield bad("payload", f"kv-{name}", comment, good(facts=VAULT, chunks=[chunk]))


def _paths() -> Iterator[Vector]:
    right = list(SECRETS)
    for layer, name, comment, paths in (
        ("payload", "other", "another path in the index than in the chunk", [right[0], right[1] + "x"]),
        ("payload", "order", "paths in another order than in the chunk", right[::-1]),
        ("index", "fewer", "a path fewer than secrets", right[:1]),
        ("index", "none", "no path, where there are secrets", []),
        ("index", "null", "paths that are null", None),
        ("index", "text", "paths that are text", "jwt-secret"),
        ("index", "number", "a path that is a number", [right[0], 1]),
    ):
        yield bad(layer, f"paths-{name}", comment, _at(3, line={"paths": paths}))
    yield bad("index", "paths-sql", "paths of a chunk of SQL", _at(0, line={"paths": []}))
    yield bad("index", "paths-rows", "paths of a chunk of rows", _at(1, line={"paths": right}))


def _locator() -> Iterator[Vector]:
    def field(at: int, value: int) -> Hook:
        return lambda locator: locator[:at] + struct.pack(">Q", value) + locator[at + 8 :]

    def add(at: int, value: int) -> Hook:
        return lambda locator: field(at, struct.unpack_from(">Q", locator, at)[0] + value)(locator)

    for name, comment, hook in (
        ("magic", "another magic", lambda locator: flip(locator, 0)),
        ("none", "zeros", lambda locator: bytes(len(locator))),
        ("offset", "an offset that is 512 more", add(8, 512)),
        ("offset-less", "an offset that is 512 less", add(8, -512)),
        ("offset-beyond", "an offset beyond the payload", field(8, 2**40)),
        ("offset-huge", "an offset of 2^64 - 512", field(8, 2**64 - 512)),
        ("size-more", "a size that is one more", add(16, 1)),
        ("size-0", "a size of 0", field(16, 0)),
        ("size-huge", "a size of 2^64 - 1", field(16, 2**64 - 1)),
        ("size-limit", "a size of 268,435,457", field(16, 268_435_457)),
        ("hash", "another hash", lambda locator: flip(locator, 30)),
        ("payload-size", "another size of the payload", add(56, 10240)),
        ("signature-size-63", "a signature of 63 bytes", field(64, 63)),
        ("reserved", "a byte that is not zero at the end", lambda locator: flip(locator, -1)),
    ):
        yield bad("index", f"locator-{name}", comment, good(locator=hook))


def _index_text() -> Iterator[Vector]:
    def text(name: str, comment: str, hook: Hook) -> Vector:
        return bad("index", name, comment, good(index_text=hook))

    yield bad("index", "flip", "one bit of the index", good(index_damage=lambda index: flip(index, 20)))
    yield bad("index", "not-zstd", "an index that is not compressed", good(index=lambda index: index[16:]))
    yield bad("index", "cut", "a frame without its last byte", good(index=lambda index: index[:-1]))
    yield bad("index", "trailing", "a byte behind the frame", good(index=lambda index: index + b"\0"))
    yield text("empty", "an index without a line", lambda _: b"")
    yield text("not-json", "a line that is no JSON", lambda raw: b"begin\n" + raw)
    yield text("no-line-end", "no line end at the end", lambda raw: raw[:-1])
    yield text("empty-line", "an empty line", lambda raw: raw + b"\n")
    yield text("invalid-utf-8", "not UTF-8", lambda raw: raw.replace(b'"k":"copy"', b'"later":"\xff","k":"copy"'))
    yield text("twice", "a member twice", lambda raw: raw.replace(b'"k":"kv"', b'"k":"kv","k":"kv"'))
    yield text("fraction", "a number with a fraction", lambda raw: raw.replace(b'"rows":3', b'"rows":3.0'))
    yield text("huge", "a number over 2^53", lambda raw: raw.replace(b'"secrets":2', b'"secrets":9007199254740993'))
    yield text("array", "a line that is an array", lambda raw: raw.replace(b"\n", b"\n[]\n", 1))
    run = good(index=_long_line)
    yield bad("index", "long-line", "a line of more than 1,048,576 bytes", run)


def _long_line(index: bytes) -> bytes:
    raw = index[13 + 3 :]  # the header of the frame, and of its one block
    return zstd_frame(b'{"later":"', Run(b"-", 1_048_576), b'",' + raw[1:])


def _index_lines() -> Iterator[Vector]:
    def line(number: int, name: str, comment: str, **changes: object) -> Vector:
        """One line changed; a member is left out for ``...``."""

        def change(lines: list[Json]) -> list[Json]:
            new = {key: value for key, value in (lines[number] | changes).items() if value is not ...}
            return [*lines[:number], new, *lines[number + 1 :]]

        return bad("index", name, comment, good(lines=change))

    # begin, sql, rows, sql, kv, copy, end
    for number, kind, members in (
        (0, "begin", ("k", "n", "h")),
        (1, "sql", ("k", "n", "raw", "h")),
        (2, "rows", ("t", "rows", "head", "tail")),
        (5, "copy", ("t", "copy", "rows", "bytes")),
        (4, "kv", ("secrets",)),
        (6, "end", ("chunks", "copies", "rows", "secrets", "sql_bytes")),
    ):
        for member in members:
            yield line(number, f"{kind}-no-{member.replace('_', '-')}", f"no {member}", **{member: ...})
            if member in {"rows", "secrets", "chunks", "copies", "sql_bytes", "bytes"}:
                name = f"{kind}-{member.replace('_', '-')}-more"
                yield line(number, name, f"{member} is one more", **{member: _one_more(number, member)})
    for number, name, member, value in (
        (1, "k-unknown", "k", "later"),
        (1, "n-0", "n", 0),
        (1, "n-negative", "n", -1),
        (1, "n-text", "n", "100"),
        (1, "n-true", "n", True),
        (1, "n-huge", "n", 2**53),
        (1, "n-more", "n", 600),
        (1, "raw-0", "raw", 0),
        (1, "raw-over-limit", "raw", 16_777_217),
        (1, "h-upper-case", "h", "A" * 64),
        (1, "h-short", "h", "a" * 63),
        (1, "more-false", "more", False),
        (1, "more-at-end-of-sql", "more", True),
        (2, "more-at-end-of-rows", "more", True),
        (4, "more-on-kv", "more", True),
        (2, "t-1", "t", 1),
        (2, "head-over-raw", "head", 1000),
        (2, "head-0", "head", 0),
        (2, "tail-0", "tail", 0),
        (5, "copy-other-t", "t", 1),
        (0, "begin-n-over-limit", "n", 1_048_577),
        (5, "copy-h-number", "h", 5),
    ):
        yield line(number, name, f"{member} is {value!r}", **{member: value})


def _one_more(number: int, member: str) -> int:
    value: int = good().entries()[number][member]
    return value + 1


def _index_order() -> Iterator[Vector]:
    def lines(name: str, comment: str, change: Callable[[list[Json]], list[Json]]) -> Vector:
        return bad("index", name, comment, good(lines=change))

    yield lines("no-begin", "no first line", lambda all_: all_[1:])
    yield lines("no-end", "no last line", lambda all_: all_[:-1])
    yield lines("begin-twice", "two first lines", lambda all_: [all_[0], *all_])
    yield lines("end-twice", "two last lines", lambda all_: [*all_, all_[-1]])
    yield lines("after-end", "a line behind the last", lambda all_: [*all_[:-2], all_[-1], all_[-2]])
    yield lines("chunk-missing", "a chunk that is not listed", lambda all_: [*all_[:3], *all_[4:]])
    yield lines("chunk-twice", "a chunk that is listed twice", lambda all_: [*all_[:4], *all_[3:]])
    yield lines("no-copy", "a COPY statement that is not listed", lambda all_: [*all_[:5], *all_[6:]])
    yield lines("copy-twice", "a COPY statement that is listed twice", lambda all_: [*all_[:6], *all_[5:]])

    def made(name: str, comment: str, *parts: Any, facts: Json = FACTS) -> Vector:
        return bad("index", name, comment, good(facts=facts, chunks=parts))

    before, copied, after, secrets = chunks()
    yield made("kv-first", "secrets in front of SQL", secrets, before, copied, after)
    yield made("kv-denied", "secrets that the facts deny", before, copied, after, secrets, facts=DATABASE)
    yield made("sql-denied", "SQL that the facts deny", before, secrets, facts=VAULT)
    yield made("rows-denied", "rows that the facts deny", copied, secrets, facts=VAULT)
    yield made("t-from-1", "numbers of COPY statements that begin at 1", before, rows(ROWS, t=1), after)
    order = (rows(b"1\ta\n", t=1), rows(b"2\tb\n", t=0))
    yield made("t-order", "numbers of COPY statements not in the order of their first chunks", before, *order, after)
    first = rows(b"1\ta\n2\tlo", tail=False, more=True)
    yield made("more-then-sql", "more, and then a chunk of another kind", before, first, after)
    yield made("more-then-other", "more, and then another COPY statement", before, first, rows(ROWS, t=1), after)
    yield made("more-then-head", "more, and then a chunk with a head", before, first, rows(b"ng\n"), after)
    yield made(
        "more-with-tail",
        "more, and a tail",
        before,
        replace(first, raw=first.raw + b"\\.\n", tail=3),
        rows(b"ng\n", head=False),
        after,
    )
    yield made("no-head", "no head, and no more in front of it", before, rows(ROWS, head=False), after)


def _signature() -> Iterator[Vector]:
    signed = good(sign=SIGNER)

    def bad_one(name: str, comment: str, archive: Archive) -> Vector:
        return bad("signature", name, comment, archive, trust=True)

    yield bad_one("flip-first", "one bit of the signature", signed.but(signature=lambda data: flip(data, 0)))
    yield bad_one("flip-last", "one bit of the signature", signed.but(signature=lambda data: flip(data, -2)))
    yield bad_one("missing", "a signer, and no signature", signed.but(signature=lambda _: b""))
    unsigned = good(signature=lambda _: bytes(64))
    yield bad_one("without-signer", "a signature, and no signer", unsigned)
    signer = signed.head_of_facts()[21:]
    by_stranger = good(sign=STRANGER, facts_text=lambda _: signer)
    yield bad_one("by-another", "by another key than the signer's", by_stranger)
    other = good(sign=SIGNER, chunks=chunks()[:3]).payload()
    at = other.rindex(b"meta/index.sig") + 512
    yield bad_one(
        "of-another",
        "of another archive of the same signer and facts",
        signed.but(signature=lambda _: other[at : at + 64]),
    )
    yield bad_one(
        "not-trusted",
        "right, by a signer that nobody told the reader to trust",
        good(sign=STRANGER, slots=lambda d: [x25519_slot(d), password_slot(d)]),
    )
    public = good(slots=lambda digest: [x25519_slot(digest), password_slot(digest)])
    yield bad_one("public-key-unsigned", "a slot of a public key, and no signature", public)
