"""What one of our writers takes, our reader of that format gives back: an archive that nobody can restore is none."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from kleidia_backup.formats.errors import DamagedArchive, PayloadError
from kleidia_backup.formats.secret import Secret
from kleidia_backup.formats.v1.header import Header
from kleidia_backup.formats.v1.payload import PayloadWriter as PayloadWriterV1
from kleidia_backup.formats.v1.payload_reader import PayloadReader
from kleidia_backup.formats.v2.chunks import SqlChunks
from kleidia_backup.formats.v2.facts import ArchiveFacts
from kleidia_backup.formats.v2.frames import Compress
from kleidia_backup.formats.v2.kv import SecretChunks, read_secrets
from kleidia_backup.formats.v2.payload import PayloadWriter
from kleidia_backup.formats.v2.recorded import Recorded

from ...formats import v2_archives as v2
from ...formats.v2_heads import FACTS, PASSWORD, facts
from ..harness import Finding, Harness, expect_same, joined, parts, pieces, words
from .archives_v2 import opened, read
from .sql import _unfinished

_TIME = datetime(2026, 1, 17, 12, tzinfo=UTC)
_HEADER = Header(created_at=_TIME, backup_type="full", includes_db=True, includes_kv=True, includes_audit=True)
_compress = Compress()


def one(data: bytes) -> None:
    """``sizes ␞ script ␞ lines of secrets``."""
    sizes, script, lines = parts(data, 3)
    try:
        secrets = read_secrets(lines)
    except DamagedArchive:
        secrets = []
    _v1(script, [secret for secret in secrets if not secret.gone], sizes)  # that format has no place for the others
    _v2(script, secrets, sizes)


def _v1(script: bytes, secrets: list[Secret], sizes: bytes) -> None:
    writer = PayloadWriterV1(_HEADER)
    try:
        text = [writer.begin(), *map(writer.sql, pieces(script, sizes)), writer.end_sql()]
    except PayloadError:
        try:
            script.decode()
        except UnicodeDecodeError:
            return
        raise
    payload = b"".join((*text, writer.secrets(secrets[:1]), writer.secrets(secrets[1:]), writer.finish()))
    reader, sql, found = PayloadReader(), list[bytes](), list[Secret]()
    for piece in pieces(payload, sizes[::-1]):
        read_parts = reader.update(piece)
        sql += read_parts.sql
        found += read_parts.secrets
    reader.finish()
    expect_same(b"".join(sql), script, "the script in V1")
    # An archive of V1 has paths and values alone.
    expect_same(
        [(each.path, each.value) for each in found], [(each.path, each.value) for each in secrets], "secrets in V1"
    )


def _v2(script: bytes, secrets: list[Secret], sizes: bytes) -> None:
    chunks, groups = SqlChunks(), SecretChunks()
    writer = PayloadWriter(_TIME)
    plain = [writer.begin(Recorded().begin(facts()))]
    try:
        for piece in pieces(script, sizes):
            plain += [writer.add(_compress(chunk)) for chunk in chunks.feed(piece)]
        plain += [writer.add(_compress(chunk)) for chunk in chunks.finish()]
        for secret in secrets:
            plain += [writer.add(_compress(chunk)) for chunk in groups.feed(secret)]
        plain += [writer.add(_compress(chunk)) for chunk in groups.finish()]
        plain += writer.finish()
    except PayloadError:
        return
    file = v2.sealed(b"".join(plain))
    archive = opened(file, PASSWORD)
    try:
        found = read(archive, file, sizes[::-1])
    except DamagedArchive as exc:
        if not _unfinished(script):
            raise Finding(f"it is written, and not read: {exc}") from exc
        return
    expect_same(found.sql, script, "the script in V2")
    wanted = [
        (each.path, each.metadata, each.version, each.gone, [older.number for older in each.older]) for each in secrets
    ]
    got = [
        (each.path, each.metadata, each.version, each.gone, [older.number for older in each.older])
        for each in found.secrets
    ]
    expect_same(got, wanted, "secrets in V2")
    expect_same(archive.index.end.sql_bytes, len(script), "the size of the script")
    with suppress(PayloadError):
        expect_same(ArchiveFacts.decode(archive.header.encode()).id, FACTS["id"], "the id")


def seeds() -> Mapping[str, bytes]:
    """A script and secrets."""
    script = b"SET a = 'x';\nCOPY t (a) FROM stdin;\n1\\\n2\n\xc3\xa9\n\\.\nCOPY u FROM stdin;\n\\.\nSELECT '\\';\n"
    lines = b'{"path":"a/b","value":{"b":[1.50,{"c":null}]}}\n{"path":"\\ud83d\\ude00","value":{}}\n'
    older = b'{"path":"v","value":{"x":"y"},"version":3,"versions":[{"version":1,"value":{}}]}\n'
    return {
        "both": joined(b"", script, lines),
        "pieces": joined(b"\1\2\5", script, older),
        "script": joined(b"\7", b"-- x\n\n" + script * 2, b""),
        "nothing": joined(b"", b"", b""),
    }


_WORDS = words(
    rb"""
    ' $$ -- /* */ ; E' {"path":" ","value":{ \ud83d \u0000
    """,
    b"\\",
    b"\n",
    b"\r\n",
    b"\\.\n",
    b"\\\n",
    b"COPY t FROM stdin;\n",
    b"COPY t FROM stdin; ",
    b"BEGIN;\n",
    b"COMMIT;\n",
    b"\\restrict a\n",
    b"}}\n",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    b"\x00",
    b"\x7f",
    b"SET standard_conforming_strings = off;\n",
    b"SELECT pg_catalog.setval('s', 1);\n",
    b"\xff",
)
HARNESSES = {"write-read": Harness(one, seeds, _WORDS)}
