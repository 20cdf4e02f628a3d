"""Archives that every reader must read, each with one thing that writers may do differently."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from .second_writer import CHECKSUM, INNER, OUTER, Run, document, expand, gzip_member, to_json
from .vector import SECRETS, SQL, Vector, good_payload, ok, secret_payload, text_of

MIB = 1024 * 1024


def good_vectors() -> Iterator[Vector]:
    """All of them."""
    yield from _headers()
    yield from _contents()
    yield from _compression()
    yield from _json()
    yield from _secrets()
    yield from _sizes()


def _headers() -> Iterator[Vector]:
    yield ok("plain", "as this project writes it; the bad files differ from this one in one thing")
    yield ok("header-order", "header members in another order", outer=dict(sorted(OUTER.items(), reverse=True)))
    yield ok(
        "header-spaces-escapes",
        "white space and escapes in the header",
        outer=b' {\r\n\t"\\u0076ersion" : 1 , "created_at":"2026-01-17T12:00:00\\u005a", "backup_type" :"\\u0066ull",'
        b'"checksum":"' + CHECKSUM + b'","includes_db":true,"includes_kv":true,"includes_audit":true}\n\n ',
    )
    yield ok(
        "header-unknown-members",
        "header members of the future, of every JSON type, one of them a known one in another case",
        outer={
            **OUTER,
            "Version": 2,
            "a": None,
            "b": [1, {"c": "\u00e9\U0001f600"}],
            "d": 1e300,
            "e": {},
            "f": "",
            "g": False,
        },
    )
    yield ok("header-version-1.0", "1.0 is 1", outer={**OUTER, "version": 1.0})
    plain = ok("", "")
    assert plain.content is not None
    upper = plain.content["header"]["checksum"].upper()
    yield ok("header-upper-case-checksum", "upper-case hex digits", outer={**OUTER, "checksum": upper})
    for name, written, utc in (
        ("nanoseconds", "2026-01-17T12:00:00.123456789Z", "2026-01-17T12:00:00.123456789Z"),
        ("one-digit", "2026-01-17T12:00:00.5Z", "2026-01-17T12:00:00.5Z"),
        ("offset-east", "2026-01-17T17:45:00+05:45", "2026-01-17T12:00:00Z"),
        ("offset-west", "2026-01-16T21:00:00.25-15:00", "2026-01-17T12:00:00.25Z"),
        ("lower-case", "2026-01-17t12:00:00z", "2026-01-17T12:00:00Z"),
        ("leap-second", "2016-12-31T15:59:60-08:00", "2016-12-31T23:59:60Z"),
    ):
        yield ok(f"time-{name}", f"created_at is {written}", outer={**OUTER, "created_at": written}, created_at=utc)
    required = {name: OUTER[name] for name in ("version", "created_at", "backup_type", "checksum")}
    yield ok("header-required-only", "no includes_ members: they follow from backup_type", outer=required)
    yield ok(
        "header-required-only-vault",
        "no includes_ members in a vault backup",
        document({"version": 1}, "", SECRETS),
        sql="",
        outer={**required, "backup_type": "vault"},
        backup_type="vault",
        includes_db=False,
        includes_audit=False,
    )
    yield ok(
        "password-unicode",
        "a password beyond ASCII, with spaces at both ends",
        password=" p\u00e4ssw\u00f6rd \U0001f511 ",
    )
    yield ok("password-long", "a password of 1,000 bytes", password="0123456789" * 100)


def _contents() -> Iterator[Vector]:
    database: dict[str, Any] = {"backup_type": "database", "includes_kv": False}
    yield ok(
        "database-only",
        "a backup of the database alone",
        document({**INNER, **database}, SQL, {}),
        secrets={},
        outer={**OUTER, **database},
        **database,
    )
    vault: dict[str, Any] = {"backup_type": "vault", "includes_db": False}
    yield ok(
        "vault-only",
        "a backup of the vault alone",
        document({**INNER, **vault, "includes_audit_logs": False}, "", SECRETS),
        sql="",
        outer={**OUTER, **vault, "includes_audit": False},
        **vault,
        includes_audit=False,
    )
    yield ok(
        "no-audit",
        "a backup without the audit tables' rows",
        document({**INNER, "includes_audit_logs": False}, SQL, SECRETS),
        outer={**OUTER, "includes_audit": False},
        includes_audit=False,
    )
    yield ok("empty-values", "an empty dump and no secrets", sql="", secrets={})
    yield ok("no-members", "{} is a payload", b"{}", sql="", secrets={})
    yield ok(
        "null-members",
        "null means none",
        b'{"header":null,"database_sql":null,"vault_secrets":null}',
        sql="",
        secrets={},
    )
    yield ok("no-inner-header", "nothing to compare", b'{"database_sql":"--\\n"}', sql="--\n", secrets={})
    yield ok("inner-header-partial", "only what is there is compared", document({"includes_kv": True}, SQL, SECRETS))
    yield ok(
        "inner-header-not-compared",
        "another version and time in the inner header, which are not compared",
        document({**INNER, "version": 2, "created_at": "now"}, SQL, SECRETS),
    )
    yield ok(
        "inner-header-longest",
        "an inner header of 65,536 bytes",
        b'{"header":{',
        Run(b" ", 65_534),
        b'},"database_sql":"--"}',
        sql="--",
        secrets={},
    )
    yield ok(
        "inner-header-unknown-members",
        "inner header members of the future",
        document({**INNER, "tool": "x", "more": [1, None, {"a": 1.5}]}, SQL, SECRETS),
    )


def _compression() -> Iterator[Vector]:
    payload = good_payload()
    yield ok(
        "gzip-two-members",
        "two gzip members",
        plaintext=gzip_member(payload[:50]) + gzip_member(payload[50:]),
    )
    empty = gzip_member(b"")
    yield ok(
        "gzip-empty-members",
        "empty members in front, between, and at the end",
        plaintext=empty + gzip_member(payload[:50]) + empty + empty + gzip_member(payload[50:]) + empty,
    )
    short = '{"database_sql":"-- \\u00e9 \U0001f600\\n","vault_secrets":{"\u00e9":1}}'.encode()
    yield ok(
        "gzip-member-per-byte",
        "a member for every byte: each character and each escape is cut",
        plaintext=b"".join(gzip_member(short[at : at + 1]) for at in range(len(short))),
        sql="-- \u00e9 \U0001f600\n",
        secrets={"\u00e9": b"1"},
    )
    escaped = json.dumps({"header": INNER, "database_sql": SQL, "vault_secrets": {}}).encode()
    emoji = escaped.index(b"\\ud83d")
    yield ok(
        "gzip-member-cuts-pair",
        "members end inside an escape, and between the halves of a surrogate pair",
        plaintext=gzip_member(escaped[: emoji + 3])
        + gzip_member(escaped[emoji + 3 : emoji + 6])
        + gzip_member(escaped[emoji + 6 :]),
        secrets={},
    )
    fields = b"\x1f\x8b\x08\x1f\x39\x30\x00\x00\x02\x03" + b"\x04\x00abcd" + b"a name.json\x00" + b"a comment\x00"
    fields += struct.pack("<H", zlib.crc32(fields) & 0xFFFF)
    yield ok(
        "gzip-header-fields",
        "every optional field in the gzip header: time, extra field, file name, comment, CRC",
        plaintext=gzip_member(payload, header=fields),
    )
    deflate = zlib.compressobj(0, zlib.DEFLATED, -15)  # level 0: stored, so the same bytes from every zlib
    body = deflate.compress(payload) + deflate.flush()
    trailer = struct.pack("<II", zlib.crc32(payload), len(payload))
    yield ok("gzip-one-block", "no empty block at the end", plaintext=b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + body + trailer)


def _json() -> Iterator[Vector]:
    inner, sql = to_json(INNER), to_json(SQL)
    secrets = document({}, "", SECRETS).partition(b'"vault_secrets":')[2][:-1]
    yield ok(
        "vault-first",
        "vault before database, the inner header last",
        b'{"vault_secrets":' + secrets + b',"database_sql":' + sql + b',"header":' + inner + b"}",
    )
    pretty = json.dumps(
        {"header": INNER, "database_sql": SQL, "vault_secrets": {p: json.loads(v) for p, v in SECRETS.items()}},
        ensure_ascii=False,
        indent="\t",
    )
    values = {
        "jwt-secret": b'{\r\n\t\t\t"secret": "s3cr3t"\r\n\t\t}',
        "yubikeys/abc123/piv": b'{\r\n\t\t\t"management_key": "0102",\r\n\t\t\t"slot": 154\r\n\t\t}',
    }
    white = " \r\n\t" + pretty.replace("\n", "\r\n").replace(":", " :").replace("12 :00 :00", "12:00:00") + "\n\r\t "
    yield ok(
        "white-space",
        "white space of all four kinds everywhere; inside a secret's value it belongs to the value",
        white.encode(),
        secrets={path: value.replace(b'":', b'" :') for path, value in values.items()},
    )
    everything = "".join(map(chr, (*range(1, 0x80), 0x85, 0x2028, 0x2029, 0xFEFF, 0xFFFD, 0xFFFF, 0x1F600, 0x10FFFF)))
    yield ok(
        "escapes",
        "every character that can be escaped is, with upper and lower-case digits",
        b'{"database_sql":"SELECT $q$'
        + b"".join(
            f"\\u{unit:04{'x' if n % 2 else 'X'}}".encode()
            for n, unit in enumerate(struct.unpack(f">{len(everything) + 2}H", everything.encode("utf-16-be")))
        )
        + b'\\"\\\\\\/\\b\\f\\n\\r\\t$q$;\\n","vault_secrets":{"\\u0061\\/\\ud83d\\ude00":"\\u0061"}}',
        sql="SELECT $q$" + everything + '"\\/\b\f\n\r\t$q$;\n',
        secrets={"a/\U0001f600": b'"\\u0061"'},
    )
    unescaped = everything[31:].replace("\\", "").replace('"', "")
    yield ok(
        "no-escapes",
        "every character that need not be escaped is not",
        b'{"database_sql":"SELECT $q$' + unescaped.encode() + b'$q$;\\n"}',
        sql=f"SELECT $q${unescaped}$q$;\n",
        secrets={},
    )
    yield ok(
        "escaped-names",
        "the names of the three members, escaped",
        b'{"\\u0068eader":' + inner + b',"database\\u005Fsql":"--","vault_secret\\u0073":{"a":1}}',
        sql="--",
        secrets={"a": b"1"},
    )
    yield ok(
        "go-html-escapes",
        "what Go's encoding/json escapes",
        b'{"database_sql":"-- \\u003cb\\u003e \\u0026 \\u2028","vault_secrets":{"a\\u003eb":{"\\u0026":"\\u003c"}}}',
        sql="-- <b> & \u2028",
        secrets={"a>b": b'{"\\u0026":"\\u003c"}'},
    )
    unknown = (
        b'"a":null,"b":true,"c":false,"d":-0.5e-7,"e":1e400,"f":"","g":"x\\n\\ud83d\\ude00","h":[],"i":{},'
        b'"j":[1,[2,[{"database_sql":"not this"}]],"]"],"k":{"vault_secrets":{"no":1},"header":[]},"":0,'
        b'"a":"a name that was there before","Header":1'
    )
    yield ok(
        "unknown-members",
        "unknown members of every type around the known ones, one name twice, one in another case",
        b"{" + unknown + b',"header":' + inner + b"," + unknown + b',"vault_secrets":' + secrets + b"," + unknown
        + b',"database_sql":' + sql + b"," + unknown + b"}",
    )  # fmt: skip
    yield ok(
        "unknown-members-lone-surrogates",
        "escaped surrogates need no partner in a value that is skipped",
        b'{"a":"\\ud800","b":["\\udc00\\ud800",{"\\udfff":"\\ud800x"}],"c":"'
        + b"\\ud83d" * 50
        + b'","database_sql":"--"}',
        sql="--",
        secrets={},
    )


def _secrets() -> Iterator[Vector]:
    numbers = (
        b'{"a":9007199254740993,"b":-18446744073709551616,"c":1e400,"d":-1E-400,"e":0.1000,"f":-0,"g":1.0,"h":1E+2,"i":',
        Run(b"7", 5000),
        b"}",
    )
    value = expand(*numbers)
    yield ok("numbers", "numbers a double cannot hold", *secret_payload(*numbers), sql="", secrets={"it": value})
    values = {"null": b"null", "true": b"true", "number": b"1.50", "string": b'""', "array": b"[]", "object": b"{}"}
    yield ok("secret-types", "values of every type, and empty ones", secrets=values)
    yield ok(
        "secret-and-folder", "a secret that is a folder as well", secrets={"foo/bar": b'{"a":1}', "foo": b'{"a":2}'}
    )
    paths = {
        path: b'{"v":%d}' % n for n, path in enumerate(("/", "a//b", "a/", "..", " ", "e\u0301", "\u00e9", "A", "a"))
    }
    yield ok("paths", "odd paths, all of them different", secrets=paths)
    yield ok("path-escapes", "characters that must be escaped in a path", secrets={'"\\\n\x01/': b"{}"})
    yield ok(
        "value-verbatim",
        "spacing, order, escapes, repeated members and lone surrogates of a value stay",
        secrets={"it": b'{ "b" : 1 ,"a":[ ] , "b":"\\u00e9\\/\\ud800","":{"a" :null}}'},
    )
    deep = Run(b"[", 10_000), Run(b"]", 10_000)
    yield ok("deep", "a value nested 10,000 levels", *secret_payload(*deep), sql="", secrets={"it": expand(*deep)})
    yield ok("unknown-deep", "an unknown member nested 10,000 levels", b'{"x":', *deep, b"}", sql="", secrets={})
    large = b'"', Run(b"x", 8 * MIB - 2), b'"'
    yield ok(
        "secret-8-mib", "the largest value, 8 MiB", *secret_payload(*large), sql="", secrets={"it": expand(*large)}
    )
    many = {f"folder/{n}": b'{"n":%d}' % n for n in range(40)}
    yield ok("many", "some more secrets", secrets=many)


def _sizes() -> Iterator[Vector]:
    """Memory must stay flat in these."""
    text = b"SELECT '", Run(b"x", 4 * MIB), b"';"
    yield ok(
        "large-sql",
        "4 MiB of SQL in one line",
        b'{"database_sql":"',
        *text,
        b'\\n"}',
        sql=text_of(*text, b"\n"),
        secrets={},
    )
    yield ok(
        "bomb-string",
        "an unknown string of 12 MiB",
        b'{"x":"', Run(b"0", 12 * MIB), b'","database_sql":"--"}',
        sql="--",
        secrets={},
    )  # fmt: skip
    yield ok(
        "bomb-inner-string",
        "an unknown object with a string of 9 MiB in it",
        b'{"x":{"y":["', Run(b"0", 9 * MIB), b'"]},"database_sql":"--"}',
        sql="--",
        secrets={},
    )  # fmt: skip
    yield ok(
        "bomb-white-space",
        "4 MiB of white space between two members",
        b'{"database_sql":"--",', Run(b" ", 4 * MIB), b'"vault_secrets":{}}',
        sql="--",
        secrets={},
    )  # fmt: skip
