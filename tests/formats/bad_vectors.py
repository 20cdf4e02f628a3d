"""Archives with one fault each, and the layer that must notice it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from typing import Any

from .second_writer import (
    CHECKSUM,
    INNER,
    MAGIC,
    OUTER,
    Run,
    archive,
    deflate,
    document,
    gzip_member,
    seal,
    to_json,
)
from .vector import (
    SECRETS,
    SQL,
    Vector,
    bad_gzip,
    bad_header,
    bad_payload,
    good,
    good_ciphertext,
    good_payload,
    secret_payload,
    sql_payload,
)

MIB = 1024 * 1024


def bad_vectors() -> Iterator[Vector]:
    """All of them, in the order of the layers."""
    yield from _cuts()
    yield from _magic()
    yield from _header_length()
    yield from _header_json()
    yield from _header_members()
    yield from _inner_header()
    yield from _checksum()
    yield from _password()
    yield from _gzip()
    yield from _payload_structure()
    yield from _payload_text()
    yield from _payload_values()
    yield from _limits()


def _cuts() -> Iterator[Vector]:
    data, ciphertext = good(), good_ciphertext()
    start = len(data) - len(ciphertext)
    header = start - 12 - 32
    for name, end, expect in (
        ("empty", 0, "magic"),
        ("in-magic", 8, "magic"),
        ("after-magic", 17, "header"),
        ("in-length", 19, "header"),
        ("after-length", 21, "header"),
        ("in-header", (21 + header) // 2, "header"),
        ("after-header", header, "header"),
        ("in-salt", header + 16, "header"),
        ("after-salt", header + 32, "header"),
        ("in-nonce", header + 38, "header"),
        ("after-nonce", start, "checksum"),
        ("shorter-than-a-tag", start + 15, "checksum"),
        ("as-long-as-a-tag", start + 16, "checksum"),
        ("in-ciphertext", start + len(ciphertext) // 2, "checksum"),
        ("before-tag", len(data) - 16, "checksum"),
        ("in-tag", len(data) - 8, "checksum"),
        ("last-byte", len(data) - 1, "checksum"),
    ):
        yield Vector(f"cut-{name}", f"only the first {end} bytes", data[:end], expect)


def _magic() -> Iterator[Vector]:
    rest = good()[len(MAGIC) :]
    for name, magic in (
        ("v2", b"KLEIDIA_BACKUP_V2"),
        ("v0", b"KLEIDIA_BACKUP_V0"),
        ("no-digit", b"KLEIDIA_BACKUP_VX"),
        ("lower-case", MAGIC.lower()),
        ("bit-flip", b"KLEIDIA_BACKUP\x1eV1"),
        ("late", b"\n" + MAGIC),
        ("age", b"age-encryption.org/v1\n"),
    ):
        yield Vector(name, f"the file begins with {magic!r}", magic + rest, "magic")
    for version in (2, 0, 1.5, -1):
        yield bad_header(
            f"header-version-{version}", f"version is {version}", {**OUTER, "version": version}, expect="magic"
        )
    yield bad_header(
        "header-version-only", "a version 2 of which nothing else is known", {"version": 2}, expect="magic"
    )


def _header_length() -> Iterator[Vector]:
    header = to_json({**OUTER, "checksum": CHECKSUM.decode()})
    length = len(header) - len(CHECKSUM) + 64
    yield bad_header("length-0", "an empty header", b"")
    yield bad_header("length-short", "the length is one byte too small", header, length=length - 1)
    yield bad_header("length-long", "the length is one byte too large", header, length=length + 1)
    yield bad_header("length-65537", "a length of one byte too many", header, length=65_537)
    yield bad_header("length-4-gib", "a length of 4 GiB - 1", header, length=0xFFFFFFFF)
    yield bad_header("length-little-endian", "the length in another byte order", header, length=length << 16)


def _header_json() -> Iterator[Vector]:
    header = to_json({**OUTER, "checksum": CHECKSUM.decode()})
    for name, outer in (
        ("not-json", b"#" + header[1:]),
        ("array", b"[" + header + b"]"),
        ("null", b"null"),
        ("empty-object", b"{}"),
        ("ends-early", header[:-1]),
        ("something-after", header + b"x"),
        ("zero-byte-after", header + b"\0"),
        ("byte-order-mark", b"\xef\xbb\xbf" + header),
        ("utf-16", header.decode().encode("utf-16-le")),
        ("invalid-utf-8", header[:-1] + b',"x":"\xff"}'),
        ("control-character", header[:-1] + b',"x":"\n"}'),
        ("nan", header[:-1] + b',"x":NaN}'),
        ("checksum twice", header[:-1] + b',"checksum":"' + CHECKSUM + b'"}'),
        ("version twice", header[:-1] + b',"\\u0076ersion":1}'),
    ):
        yield bad_header(name.replace(" ", "-"), f"the header's JSON: {name}", outer)


def _header_members() -> Iterator[Vector]:
    for member in ("version", "created_at", "backup_type", "checksum"):
        left = {name: value for name, value in OUTER.items() if name != member}
        outer = left if member == "checksum" else {**left, "checksum": ""}
        yield bad_header(f"no-{member.replace('_', '-')}", f"no member {member}", outer)
    wrong: dict[str, tuple[Any, ...]] = {
        "version": ("1", True, None),
        "created_at": (20260117, None, "2026-01-17", "2026-01-17T12:00:00", "2026-13-17T12:00:00Z"),
        "backup_type": ("everything", "Full", ["full"]),
        "checksum": ("0" * 63, "0" * 65, "g" * 64, 0),
        "includes_db": ("true", None),
        "includes_kv": (1,),
        "includes_audit": ("",),
    }
    for member, values in wrong.items():
        for n, value in enumerate(values, 1):
            yield bad_header(
                f"wrong-{member.replace('_', '-')}-{n}", f"{member} is {json.dumps(value)}", {**OUTER, member: value}
            )


def _inner_header() -> Iterator[Vector]:
    names = {"includes_audit_logs": "includes_audit"}
    for member, value in (
        ("backup_type", "database"),
        ("backup_type", None),
        ("includes_db", False),
        ("includes_db", 1),
        ("includes_kv", False),
        ("includes_audit_logs", False),
        ("includes_audit_logs", None),
    ):
        payload = document({**INNER, member: value}, SQL, SECRETS)
        yield Vector(
            f"inner-{member.replace('_', '-')}-{json.dumps(value)}".replace('"', ""),
            f"{member} is {json.dumps(value)} in the payload, {json.dumps(OUTER[names.get(member, member)])} outside",
            archive(seal(gzip_member(payload))),
            "header",
        )


def _checksum() -> Iterator[Vector]:
    data, ciphertext = good(), good_ciphertext()
    start = len(data) - len(ciphertext)
    digest = data.index(b'"checksum":"') + 12
    yield Vector("digit", "another digit in the header's checksum", _digit(data, digest), "checksum")
    for name, at in (
        ("first-byte", start),
        ("middle", start + len(ciphertext) // 2),
        ("gzip-trailer", len(data) - 20),
        ("last-byte", len(data) - 17),
        ("tag-first", len(data) - 16),
        ("tag-last", len(data) - 1),
    ):
        yield Vector(f"flip-{name}", f"one bit is not as it was in byte {at}", _flip(data, at), "checksum")
    long = b'{"header":' + to_json(INNER) + b',"x":"', Run(b"0", 2 * MIB), b'"}'
    changed = bytearray(data := archive(seal(gzip_member(*long))))
    changed[start + 10 + 5 + long[0].index(b'"full"') + 1] ^= 1  # behind gzip's header and the stored block's
    comment = "a changed bit makes the inner header another one; gzip's CRC stands far behind it"
    yield Vector("flip-inner-header", comment, bytes(changed), "checksum")
    data = good()
    yield Vector("extended", "one zero byte more at the end", data + b"\0", "checksum")
    yield Vector("swapped", "two bytes of the ciphertext in each other's place", _swap(data, start + 40), "checksum")
    yield Vector("twice", "the whole file twice", data + data, "checksum")


def _password() -> Iterator[Vector]:
    data, ciphertext = good(), good_ciphertext()
    start = len(data) - len(ciphertext)
    for name, password in (
        ("other", "Tr0ub4dor&3"),
        ("case", "Correct horse battery staple"),
        ("newline", "correct horse battery staple\n"),
        ("zero", "correct horse battery staple\0"),
    ):
        yield Vector(name, "another password", data, "password", password)
    composed = "p\u00e4ssw\u00f6rd"
    other = unicodedata.normalize("NFD", composed)
    data = archive(seal(gzip_member(good_payload()), composed))
    yield Vector("normalisation", "the same letters in another Unicode normalisation form", data, "password", other)
    data = good()
    yield Vector("flip-salt", "one bit is not as it was in the salt", _flip(data, start - 44), "password")
    yield Vector("flip-nonce", "one bit is not as it was in the nonce", _flip(data, start - 1), "password")
    yield Vector("tag", "another tag, and the checksum over it", archive(_flip(ciphertext, -1)), "password")
    yield Vector(
        "ciphertext", "another ciphertext, and the checksum over it", archive(_flip(ciphertext, 99)), "password"
    )
    additional = archive(_flip(seal(b""), 0))
    yield Vector("empty", "no ciphertext, a wrong tag, and the checksum over it", additional, "password")


def _gzip() -> Iterator[Vector]:
    payload = good_payload()
    member = gzip_member(payload)
    deflated = len(member) - 8
    yield bad_gzip("nothing", "no gzip at all: only a tag", b"")
    yield bad_gzip("plain", "the payload, not compressed", payload)
    yield bad_gzip("zlib", "zlib's framing", b"\x78\x01" + deflate(payload) + b"\0\0\0\0")
    yield bad_gzip("raw", "DEFLATE without framing", deflate(payload))
    yield bad_gzip("method", "a compression method that is not 8", member[:2] + b"\x07" + member[3:])
    yield bad_gzip("reserved-flag", "a flag in gzip's header that has no meaning", member[:3] + b"\x20" + member[4:])
    yield bad_gzip("block-type", "a block of the reserved type", member[:10] + b"\x07" + member[11:])
    yield bad_gzip("stored-length", "a stored block whose length does not fit its complement", _flip(member, 11))
    yield bad_gzip("cut-in-header", "the stream ends inside gzip's header", member[:5])
    yield bad_gzip("cut-in-data", "the stream ends inside the data", member[:100])
    yield bad_gzip("cut-before-trailer", "no CRC and length", member[:deflated])
    yield bad_gzip("cut-in-trailer", "the stream ends inside the trailer", member[:-1])
    yield bad_gzip("crc", "another CRC", _flip(member, -8))
    yield bad_gzip("isize", "another length", _flip(member, -4))
    first = gzip_member(payload[:50])
    yield bad_gzip(
        "crc-of-first", "another CRC in the first of two members", _flip(first, -8) + gzip_member(payload[50:])
    )
    yield bad_gzip("cut-in-second", "the second member ends early", first + gzip_member(payload[50:])[:-8])
    yield bad_gzip("zero-after", "a zero byte follows", member + b"\0")
    yield bad_gzip("zeros-after", "zero bytes follow, as on a tape", member + bytes(512))
    yield bad_gzip("garbage-after", "something else follows", member + b"something else")
    yield bad_gzip("header-after", "the beginning of another member follows", member + member[:3])


def _payload_structure() -> Iterator[Vector]:
    good_one, sql = good_payload(), to_json(SQL)
    yield bad_payload("nothing", "a gzip member that holds nothing", b"")
    yield bad_payload("blank", "only white space", b" \n")
    yield bad_payload("array", "an array", b"[" + good_one + b"]")
    yield bad_payload("null", "null", b"null")
    yield bad_payload("string", "a string", sql)
    yield bad_payload("byte-order-mark", "a byte order mark", b"\xef\xbb\xbf" + good_one)
    yield bad_payload("utf-16", "UTF-16", good_one.decode().encode("utf-16-le"))
    yield bad_payload("no-end", "the last brace is missing", good_one[:-1])
    yield bad_payload("ends-in-sql", "ends in the middle of the SQL", good_one[: good_one.index(b"SELECT")])
    yield bad_payload("ends-in-escape", "ends in the middle of an escape", b'{"database_sql":"\\u00')
    yield bad_payload("ends-in-secret", "ends in the middle of a secret", good_one[: good_one.index(b"s3cr3t")])
    yield bad_payload("ends-in-name", "ends in the middle of a path", good_one[: good_one.index(b"yubi") + 2])
    yield bad_payload("ends-in-unknown", "ends in the middle of an unknown member", b'{"x":[1')
    yield bad_payload("object-after", "another object follows", good_one + b"{}")
    yield bad_payload("comma-after", "a comma follows", good_one + b",")
    yield bad_payload("brace-after", "a brace follows", good_one + b"}")
    yield bad_payload("zero-after", "a zero byte follows", good_one + b"\0")
    yield bad_payload("trailing-comma", "a comma behind the last member", good_one[:-1] + b",}")
    yield bad_payload("trailing-comma-secrets", "a comma behind the last secret", good_one[:-2] + b",}}")
    yield bad_payload("leading-comma", "a comma in front of the first member", b"{," + good_one[1:])
    yield bad_payload("no-comma", "no comma between two members", b'{"database_sql":"" "vault_secrets":{}}')
    yield bad_payload("no-comma-secrets", "no comma between two secrets", b'{"vault_secrets":{"a":1 "b":2}}')
    yield bad_payload("no-colon", "no colon behind a name", b'{"database_sql" ""}')
    yield bad_payload("no-value", "a member without a value", b'{"database_sql":}')
    yield bad_payload("number-name", "a name that is no string", b'{"database_sql":"",1:2}')
    yield bad_payload("bare-name", "a name without quotes", b'{database_sql:""}')
    yield bad_payload("single-quotes", "single quotes", b"{'database_sql':''}")
    yield bad_payload("comment", "a comment", b"{/* no */}")
    twice = b"{%b,%b}"
    for name, member in (
        ("header", b'"header":' + to_json(INNER)),
        ("sql", b'"database_sql":' + sql),
        ("secrets", b'"vault_secrets":{}'),
        ("null", b'"database_sql":null'),
    ):
        yield bad_payload(f"twice-{name}", "a member stands there twice", twice % (member, member))
    yield bad_payload(
        "twice-escaped", "twice, once escaped", twice % (b'"vault_secrets":{}', b'"vault\\u005fsecrets":{}')
    )
    yield bad_payload("twice-in-header", "a member of the inner header stands there twice", b'{"header":{"x":1,"x":1}}')
    yield bad_payload("no-path", "a secret whose path is empty", b'{"vault_secrets":{"":{}}}')
    for name, kind, text, secrets in (("sql-denied", "vault", SQL, {}), ("secrets-denied", "database", "", SECRETS)):
        outer = {**OUTER, "backup_type": kind, "includes_db": kind != "vault", "includes_kv": kind == "vault"}
        inner = {**INNER, "backup_type": kind, "includes_db": kind != "vault", "includes_kv": kind == "vault"}
        data = archive(seal(gzip_member(document(inner, text, secrets))), outer)
        yield Vector(name, "there is what both headers say is not there", data, "payload")
    for name, member in (
        ("header-array", b'"header":[]'),
        ("header-string", b'"header":""'),
        ("sql-number", b'"database_sql":1'),
        ("sql-array", b'"database_sql":["x"]'),
        ("sql-false", b'"database_sql":false'),
        ("secrets-array", b'"vault_secrets":[]'),
        ("secrets-string", b'"vault_secrets":""'),
        ("secrets-number", b'"vault_secrets":0'),
    ):
        yield bad_payload(name, "a member of the wrong type", b"{" + member + b"}")


def _payload_text() -> Iterator[Vector]:
    for name, text in (
        ("lone-high-surrogate", b"\\ud83d"),
        ("lone-high-surrogate-then-text", b"\\ud83dx"),
        ("lone-high-surrogate-then-escape", b"\\ud83d\\n"),
        ("lone-low-surrogate", b"\\ude00"),
        ("surrogates-swapped", b"\\ude00\\ud83d"),
        ("many-high-surrogates", b"\\ud83d" * 50 + b"\\ude00"),
        ("invalid-utf-8", b"\xff"),
        ("latin-1", b"caf\xe9"),
        ("cut-utf-8", b"\xf0\x9f\x98"),
        ("overlong-utf-8", b"\xc0\xaf"),
        ("surrogates-in-utf-8", b"\xed\xa0\xbd\xed\xb8\x80"),
        ("beyond-unicode", b"\xf4\x90\x80\x80"),
        ("zero-byte", b"\0"),
        ("newline", b"\n"),
        ("unit-separator", b"\x1f"),
        ("unknown-escape", b"\\x41"),
        ("escaped-quote", b"\\'"),
        ("short-escape", b"\\u41"),
        ("wrong-escape", b"\\u004g"),
        ("upper-case-escape", b"\\U0041"),
    ):
        yield bad_payload(f"sql-{name}", "wrong text in the SQL", *sql_payload(b"SELECT '", text, b"';"))
    for name, text in (
        ("lone-surrogate", b"\\ud83d"),
        ("invalid-utf-8", b"\xff"),
        ("control-character", b"\t"),
        ("unknown-escape", b"\\x41"),
    ):
        yield bad_payload(f"path-{name}", "wrong text in a path", b'{"vault_secrets":{"a' + text + b'":{}}}')
    for name, text in (("invalid-utf-8", b"\xff"), ("control-character", b"\t"), ("unknown-escape", b"\\x41")):
        for where, start, end in (
            ("value", b'{"a":"', b'"}'),
            ("value-name", b'{"', b'":0}'),
            ("value-deep", b'[["', b'"]]'),
        ):
            yield bad_payload(f"{where}-{name}", "wrong text in a secret", *secret_payload(start, text, end))
        yield bad_payload(f"unknown-{name}", "wrong text in an unknown member", b'{"x":"' + text + b'"}')
        yield bad_payload(f"unknown-deep-{name}", "wrong text in an unknown member", b'{"x":[{"":"' + text + b'"}]}')
    yield bad_payload("name-lone-surrogate", "half a pair in an unknown name", b'{"\\ud83d":1}')
    yield bad_payload(
        "inner-header-invalid-utf-8", "wrong text in the inner header", b'{"header":{"x":"\xed\xa0\x80"}}'
    )


def _payload_values() -> Iterator[Vector]:
    for name, value in (
        ("nan", b"NaN"),
        ("infinity", b"-Infinity"),
        ("leading-zero", b"01"),
        ("plus", b"+1"),
        ("no-integer", b".5"),
        ("no-fraction", b"1."),
        ("no-exponent", b"1e"),
        ("hexadecimal", b"0x10"),
        ("minus", b"-"),
        ("upper-case", b"True"),
        ("cut-word", b"nul"),
        ("trailing-comma", b"[1,]"),
        ("only-comma", b"[,]"),
        ("no-comma", b"[1 2]"),
        ("object-trailing-comma", b'{"a":1,}'),
        ("object-no-value", b'{"a"}'),
        ("object-number-name", b"{1:2}"),
        ("brackets", b"[}"),
        ("two-values", b"1 2"),
        ("comment", b"1 // one"),
    ):
        yield bad_payload(f"value-{name}", "a secret's value is no JSON", *secret_payload(value))
    for name, value in (("nan", b"NaN"), ("trailing-comma", b"[1,]"), ("brackets", b'{"a":[}]')):
        yield bad_payload(f"unknown-{name}", "an unknown member's value is no JSON", b'{"x":', value, b"}")


def _limits() -> Iterator[Vector]:
    deep = Run(b"[", 10_001), Run(b"]", 10_001)
    yield bad_payload("deep", "a value nested 10,001 levels", *secret_payload(*deep), limit=True)
    yield bad_payload("unknown-deep", "an unknown member nested 10,001 levels", b'{"x":', *deep, b"}", limit=True)
    large = b'"', Run(b"x", 8 * MIB - 1), b'"'
    yield bad_payload("large-secret", "a value of 8 MiB and one byte", *secret_payload(*large), limit=True)
    path = b'{"vault_secrets":{"', Run(b"p", 65_537), b'":{}}}'
    yield bad_payload("long-path", "a path of 65,537 bytes", *path, limit=True)
    header = b'{"header":{', Run(b" ", 65_535), b"}}"
    yield bad_payload("large-inner-header", "an inner header of 65,537 bytes", *header, limit=True)


# Damage ---------------------------------------------------------------------------------------------------------


def _flip(data: bytes, at: int) -> bytes:
    """The data with one bit changed."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def _digit(data: bytes, at: int) -> bytes:
    return data[:at] + (b"1" if data[at : at + 1] == b"0" else b"0") + data[at + 1 :]


def _swap(data: bytes, at: int) -> bytes:
    return data[:at] + data[at + 1 : at + 2] + data[at : at + 1] + data[at + 2 :]
