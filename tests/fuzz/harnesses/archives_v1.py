"""Archives of format V1: our reader, and ``recover.py``, which was made from the page alone."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from kleidia_backup.formats.codecs.gzip import GzipDecoder
from kleidia_backup.formats.crypto.digest import Sha256
from kleidia_backup.formats.crypto.seal import Opener
from kleidia_backup.formats.errors import ArchiveError, DamagedArchive, NotAnArchive, UnsupportedArchive
from kleidia_backup.formats.secret import Secret
from kleidia_backup.formats.v1 import recover
from kleidia_backup.formats.v1.header import MAGIC, MAX_PREAMBLE, Header, Preamble
from kleidia_backup.formats.v1.peek import PEEK, opens
from kleidia_backup.pipeline.archives import v1
from kleidia_backup.stages.archive.split import Split
from kleidia_backup.stages.pg.survey import SqlSurvey
from kleidia_backup.stages.stores.base import ObjectInfo

from ...formats import second_writer as writer
from ..direct import Given, Taken, at_once, run, through
from ..harness import Finding, Harness, expect_same, joined, parts, pieces, replaced, words
from ..room import MEMORY

#: Bytes of a payload above which a reader may refuse what another one takes (section 6.3).
_LIMITS = 60_000
_TIME = datetime(2026, 1, 17, 12, tzinfo=UTC)
_LINE = re.compile(r"recover\.py: (\w+): .+; .+")
_FLAGS = ("backup_type", "includes_db", "includes_kv", "includes_audit")


@dataclass
class Content:
    """What an archive holds."""

    header: dict[str, Any]
    sql: bytes
    secrets: bytes


@cache
def _key() -> bytes:
    return writer._key(writer.PASSWORD)


def built(data: bytes) -> tuple[bytes, bytes]:
    """``header ␞ how ␞ payload``, sealed as it is: an archive, and the sizes of the pieces in which it is read.

    ``how`` begins with p for a payload that is still to be compressed; the rest of it are the sizes. An input that
    begins like an archive is one.
    """
    if data.startswith(MAGIC):
        return data, b""
    outer, how, plain = parts(data, 3)
    if how.startswith(b"p"):
        plain = gzip.compress(plain, 1, mtime=0)
    return writer.archive(writer.seal(plain), outer or writer.OUTER), how[1:]


def read(file: bytes, sizes: bytes) -> Content:
    """Our reader, to the last byte. Raises ``ArchiveError``."""
    preamble = Preamble.parse(file[:MAX_PREAMBLE])
    info = ObjectInfo("it", len(file), _TIME)
    with replaced(v1, in_thread=at_once, derive_key=lambda *_: _key()):
        archive = run(v1.OpenV1.open(cast("Any", None), info, preamble, writer.PASSWORD))
    header, ciphertext = preamble.header, file[preamble.size :]
    digest, opener = Sha256(expect=header.checksum), Opener(archive.key, preamble.nonce)
    split = Split(check_header=archive.check_inner_header)
    sql, secrets = Taken(), Taken()
    payload = Given(through(pieces(ciphertext, sizes), digest, opener, GzipDecoder()))
    run(split(cast("Any", payload), cast("Any", sql), cast("Any", secrets)))
    if (sql.items and not header.includes_db) or (secrets.items and not header.includes_kv):
        raise DamagedArchive("payload", "what the header denies")
    if len(ciphertext) < PEEK and not opens(archive.key, preamble.nonce, ciphertext):
        raise Finding("the quick look refuses the password of a good archive")
    return Content(_facts(header), b"".join(sql.items), b"".join(map(line, secrets.items)))


def line(secret: Secret) -> bytes:
    """A secret as ``recover.py`` writes it."""
    path = json.dumps(secret.path, ensure_ascii=False).encode()
    return b'{"path": ' + path + b', "value": ' + re.sub(rb"[\r\n]", b" ", secret.value) + b"}\n"


def _facts(header: Header) -> dict[str, Any]:
    return {name: getattr(header, name) for name in (*_FLAGS, "checksum")}


def recovered(file: bytes) -> Content | str:
    """What ``recover.py`` writes, or the layer in its only line."""
    with (
        replaced(recover, hash_secret_raw=lambda *_: _key()),
        TemporaryDirectory(dir=MEMORY) as place,
    ):
        out = Path(place)
        try:
            found = recover.check(cast("Any", BytesIO(file)))
            recover.recover(cast("Any", BytesIO(file)), found, writer.PASSWORD.encode(), out)
        except SystemExit as refused:
            return layer_in(str(refused.code))
        sql, secrets = out / "database.sql", out / "secrets.jsonl"
        header = {name: found[0][name] for name in _FLAGS} | {"checksum": found[0]["checksum"].lower()}
        return Content(header, *(path.read_bytes() if path.exists() else b"" for path in (sql, secrets)))


def layer_in(message: str) -> str:
    """The layer in a refusal, which is one line in one form."""
    match = _LINE.fullmatch(message)
    if match is None:
        raise Finding(f"recover.py says {message!r}")
    return match[1]


def one(data: bytes) -> None:
    """Both read the same, or both refuse; and what our reader gives is surveyed as a restore does."""
    file, sizes = built(data)
    theirs = recovered(file)
    try:
        ours = read(file, sizes)
    except ArchiveError as exc:
        if isinstance(theirs, Content):
            if _size(file) < _LIMITS:
                raise Finding(f"only recover.py reads it; our reader: {exc}") from exc
            return
        magic = isinstance(exc, NotAnArchive | UnsupportedArchive)
        expect_same(magic, theirs == "magic", "whether it is an archive of this version")
        return
    if not isinstance(theirs, Content):
        if _size(file) < _LIMITS:
            raise Finding(f"only our reader reads it; recover.py: {theirs}")
        return
    for name in ("header", "sql", "secrets"):
        expect_same(getattr(ours, name), getattr(theirs, name), name)
    survey = SqlSurvey(characters=True)
    try:
        for piece in pieces(ours.sql, sizes):
            survey.feed(piece)
        survey.finish()
    except DamagedArchive:
        pass


def _size(file: bytes) -> int:
    """Bytes of the payload, as far as they are enough to be beyond a limit."""
    preamble, size = Preamble.parse(file[:MAX_PREAMBLE]), 0
    try:
        for some in through([file[preamble.size :]], Opener(_key(), preamble.nonce), GzipDecoder()):
            size += len(some)
            if size > _LIMITS:
                break
    except ArchiveError:
        pass
    return size


def header(data: bytes) -> None:
    """The clear-text header by both."""
    try:
        ours: Header | None = Header.decode(data)
    except (DamagedArchive, UnsupportedArchive):
        ours = None
    try:
        theirs: dict[str, Any] | None = recover.check_header(data)
    except (ValueError, RecursionError, SystemExit):
        theirs = None
    if ours is None or theirs is None:
        expect_same(ours is None, theirs is None, f"whether a header is right ({ours or theirs})")
        return
    expect_same(_facts(ours) | {"checksum": ""}, {n: theirs[n] for n in _FLAGS} | {"checksum": ""}, "a header")
    expect_same(_facts(Header.decode(ours.encode())), _facts(ours), "a header written again")


_DOCUMENT = writer.document(
    writer.INNER, "-- caf\u00e9 \U0001f600\nSELECT 'a\\b';\n", {"a/b": b'{"n":1.50}', "c": b"{}"}
)
_OUTER = writer.to_json({**writer.OUTER, "checksum": writer.CHECKSUM.decode()})


def seeds() -> Mapping[str, bytes]:
    """Payloads that are right, in other forms, and nearly right."""
    return {
        "plain": joined(b"", b"p", _DOCUMENT),
        "cut": joined(b"", b"p\1\2\3", _DOCUMENT),
        "header": joined(_OUTER, b"p", b'{"header":null,"vault_secrets":{"x":null}}'),
        "order": joined(
            b"", b"p\7", b' { "vault_secrets" : {"\\u00e9": {"a":[1,{"b":null}]}} , "x":[1,"\\n"],\n"database_sql":"1"}'
        ),
        "escapes": joined(b"", b"p\5", rb'{"database_sql":"\ud83d\ude00\\\"\/\b\f\n\r\t\u0041","vault_secrets":{}}'),
        "unknown": joined(
            b"", b"p\4", b'{"a":{"b":[true,false,null,-1.5e+3,"' + b"x" * 60 + b'"]},"database_sql":null}'
        ),
        "stream": joined(
            b"", b"g", gzip.compress(_DOCUMENT[:90], 0, mtime=0) + gzip.compress(_DOCUMENT[90:], 9, mtime=0)
        ),
        "file": writer.archive(b"short"),
    }


def header_seeds() -> Mapping[str, bytes]:
    """Headers in several forms."""
    checksum = "0123456789ABCDEF" * 4
    return {
        "plain": writer.to_json({**writer.OUTER, "checksum": checksum}),
        "least": writer.to_json(
            {
                "version": 1.0,
                "created_at": "2026-01-17t12:00:60.123456789+05:30",
                "backup_type": "vault",
                "checksum": checksum,
            }
        ),
        "more": b' {"x":[{"y":null}],' + writer.to_json({**writer.OUTER, "checksum": checksum})[1:] + b"\n",
    }


_WORDS = words(
    rb"""
    "header": "database_sql":" "vault_secrets":{ "includes_db": "includes_kv": "backup_type": null true false -0
    1e9 1.0 \ud800 \udc00 \u0000 \n \" ":" {} [[
    """,
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\\\\",
    b"\r",
    b"\xf0\x9f\x98\x80",
    writer.CHECKSUM,
    b"9" * 60,
)
_READER = ("kleidia_backup.formats", "kleidia_backup.stages.archive.split", "kleidia_backup.pipeline.archives.v1")
HARNESSES = {
    "v1": Harness(one, seeds, _WORDS),
    "recover-v1": Harness(one, seeds, _WORDS),
    "v1-header": Harness(
        header,
        header_seeds,
        (
            *_WORDS,
            b'"created_at":"',
            b'"checksum":"',
            b'"version":1',
            b"0000-",
            b"+23:59",
            b":60Z",
            b"NaN",
            b"Infinity",
        ),
        1024,
    ),
}
