"""Archives of format V2, sealed by a second writer: our reader, ``recover.py``, and Python's tarfile behind it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

import zstandard

from kleidia_backup.formats.errors import ArchiveError, DamagedArchive
from kleidia_backup.formats.secret import Secret
from kleidia_backup.formats.sql.pieces import Rows
from kleidia_backup.formats.v2 import recover
from kleidia_backup.formats.v2.body import OpenSpans
from kleidia_backup.formats.v2.head import MAGIC
from kleidia_backup.formats.v2.recorded import read_begin
from kleidia_backup.pipeline.archives import contents, opening, slots, v2
from kleidia_backup.stages.archive.unpack import Unpack
from kleidia_backup.stages.pg.survey import SqlSurvey

from ...formats import v2_second_writer as writer
from ...formats.v2_archives import MemoryStore
from ..direct import Given, Taken, at_once, run, through
from ..harness import SEPARATOR, Finding, Harness, expect_same, joined, parts, pieces, replaced, words
from .archives_v1 import layer_in

#: What a letter at a chunk's beginning says: its kind, whether it has a head, whether it goes on. Rows of r are of
#: another COPY, the others go on with the one before.
_LETTERS = {
    b"s": ("sql", False, False),
    b"S": ("sql", False, True),
    b"k": ("kv", False, False),
    b"r": ("rows", True, False),
    b"R": ("rows", True, True),
    b"a": ("rows", True, False),
    b"A": ("rows", True, True),
    b"c": ("rows", False, False),
    b"C": ("rows", False, True),
}
#: The layers that a change can be made in, by the letter before its place.
_LAYERS = {b"f": "whole", b"p": "payload_hook", b"i": "index_text", b"x": "index", b"l": "locator", b"g": "signature"}


@dataclass(frozen=True)
class Content:
    """What our reader gave."""

    sql: bytes
    secrets: list[Secret]


def built(data: bytes) -> tuple[bytes, bytes | None, bytes]:
    """``sizes ␞ facts ␞ changes ␞ begin ␞ lines ␞ chunk ␞ …``: an archive, its payload, and the sizes of pieces.

    ``facts`` are members that replace those of the facts, and s before them signs. ``changes`` are texts such as
    ``p 512 ff``: byte 512 of the payload becomes another. ``lines`` have members that replace those of the index.
    """
    if data.startswith(MAGIC):
        return data, None, b""
    sizes, facts, changes, begin, lines, *chunks = parts(data, max(5, data.count(SEPARATOR) + 1))
    signed = facts.startswith(b"s")
    archive = writer.Archive(
        facts={**writer.FACTS, **_object(facts[signed:])},
        chunks=list(_chunks(chunks)),
        begin=_object(begin),
        sign=writer.SIGNER if signed else None,
        lines=lambda found: _merged(found, lines),
    )
    payload: list[bytes] = []

    def seen(data: bytes) -> bytes:
        payload.append(change(data))
        return payload[-1]

    hooks: dict[str, Any] = {**_hooks(changes)}
    change: writer.Hook = hooks.pop("payload_hook", writer.same)
    return replace(archive, payload_hook=seen, **hooks).build(), payload[0], sizes


def _object(text: bytes) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()
        if isinstance(found, dict):
            return found
    return {}


def _merged(found: list[dict[str, Any]], lines: bytes) -> list[dict[str, Any]]:
    changes = [_object(line) for line in lines.split(b"\n")] if lines else []
    return [line | change for line, change in zip(found, changes, strict=False)] + found[len(changes) :]


def _chunks(texts: Sequence[bytes]) -> Iterator[writer.Chunk]:
    head, table = b"COPY t FROM stdin;\n", -1
    for text in texts:
        kind, first, more = _LETTERS.get(text[:1], ("sql", False, False))
        raw = text[1:]
        if kind == "rows":
            if text[:1] in b"rR" or table < 0:
                head, line_end, raw = raw.partition(b"\n")
                # The second writer has it in the index, as text.
                head, table = (head + line_end).decode(errors="replace").encode(), table + 1
            content = (head if first else b"") + raw + (b"" if more else b"\\.\n")
            size = len(head) if first else 0
            yield writer.Chunk("rows", content, more, table, _rows(raw), size, 0 if more else 3, frame=_frame(content))
        else:
            count = raw.count(b"\n") if kind == "kv" else 0
            yield writer.Chunk(kind, raw, more, secrets=count, frame=_frame(raw))


def _frame(raw: bytes) -> bytes:
    return zstandard.compress(raw, 1)


def _rows(text: bytes) -> int:
    """Ends of lines before which the row has an even number of backslashes in a row."""
    count = slashes = 0
    for byte in text:
        count += byte == 0x0A and slashes % 2 == 0
        slashes = slashes + 1 if byte == 0x5C else 0
    return count


def _hooks(changes: bytes) -> dict[str, writer.Hook]:
    found: dict[str, list[tuple[int, int]]] = {}
    for change in changes.split(b","):
        words = change.split()
        with suppress(ValueError):
            layer, place, value = words
            found.setdefault(_LAYERS.get(layer, "whole"), []).append((int(place), int(value, 16)))

    def hook(edits: list[tuple[int, int]]) -> writer.Hook:
        def change(data: bytes) -> bytes:
            out = bytearray(data)
            for place, value in edits:
                if out:
                    out[place % len(out)] ^= value & 0xFF
            return bytes(out)

        return change

    return {layer: hook(edits) for layer, edits in found.items()}


def opened(file: bytes, password: str = writer.PASSWORD) -> v2.OpenV2:
    """The head, the key and the index. Raises ``ArchiveError``."""
    with replaced(v2, in_thread=at_once), replaced(slots, in_thread=at_once):
        found = run(opening.open_archive(cast("Any", MemoryStore(file)), "backup-1", password))
    assert isinstance(found, v2.OpenV2)
    return found


def read(archive: v2.OpenV2, file: bytes, sizes: bytes, look: Any = None) -> Content:
    """All of it. Raises ``ArchiveError``."""
    chunks = range(len(archive.index.entries))
    spans = archive._body.spans(map(archive._layout.span, chunks))
    places = [archive._body.place(*span) for span in spans]
    ciphertext = (piece for start, end in places for piece in pieces(file[start:end], sizes))
    unpack = Unpack(archive._layout, chunks, spans, look=look)
    sql, secrets = Taken(), Taken()
    payload = Given(through(ciphertext, OpenSpans(archive._segments, archive._body, spans)))
    run(unpack(cast("Any", payload), cast("Any", sql), cast("Any", secrets)))
    texts = [text.data if isinstance(text, Rows) else text for text in sql.items]
    return Content(b"".join(texts), secrets.items)


def one(data: bytes) -> None:
    """Nothing but the documented errors; and what is read is what others find in it."""
    file, payload, sizes = built(data)
    theirs = recovered(file)
    try:
        archive = opened(file)
    except ArchiveError as exc:
        _refused(exc, theirs)
        return
    if not isinstance(theirs, bytes):
        raise Finding(f"only our reader opens it; recover.py: {theirs}")
    if payload is not None:
        expect_same(theirs, payload, "the payload")
    contents._listed(archive, archive.index)
    try:
        with replaced(v2, in_thread=at_once):
            begin = run(archive._begin())
        found = read(archive, file, sizes)
    except ArchiveError:
        return
    _compare(theirs, begin, found)
    for work in (lambda: read_begin(begin), lambda: _survey(archive, file, sizes)):
        with suppress(DamagedArchive):
            work()


def _survey(archive: v2.OpenV2, file: bytes, sizes: bytes) -> None:
    survey = SqlSurvey(characters=True)
    read(archive, file, sizes, survey.feed)
    survey.finish()


def _refused(exc: ArchiveError, theirs: bytes | str) -> None:
    """``recover.py`` leaves to others what is inside the payload; what is before it, it refuses as well."""
    inside = isinstance(exc, DamagedArchive) and exc.layer in {"index", "tar", "chunk", "zstd", "payload", "signature"}
    if isinstance(theirs, bytes) and not inside:
        raise Finding(f"only recover.py opens it; our reader: {exc}") from exc


def recovered(file: bytes) -> bytes | str:
    """The payload by ``recover.py``, or the layer in its only line."""
    try:
        return b"".join(recover.segments(cast("Any", io.BytesIO(file)), writer.PASSWORD.encode()))
    except SystemExit as refused:
        return layer_in(str(refused.code))


def _compare(payload: bytes, begin: bytes, found: Content) -> None:
    """What a stock tar and zstd make of the payload is what our reader gave."""
    members: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(payload)) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            members[member.name] = content.read()
    expect_same(members.pop("meta/begin.json"), begin, "the beginning")
    index = zstandard.ZstdDecompressor().decompressobj().decompress(members.pop("meta/index.jsonl.zst"))
    members.pop("meta/index.sig", None)
    lines = [line for line in map(json.loads, index.split(b"\n")[:-1]) if line["k"] in ("sql", "rows", "kv")]
    expect_same(len(members), len(lines), "the number of chunks")
    texts = [zstandard.ZstdDecompressor().decompress(text, max_output_size=1 << 24) for text in members.values()]
    chunks = [
        writer.Chunk(line["k"], text, t=line.get("t", -1), head=line.get("head", 0), tail=line.get("tail", 0))
        for line, text in zip(lines, texts, strict=True)
    ]
    expect_same(found.sql, writer.script(chunks), "the script")
    secrets = b"".join(chunk.raw for chunk in chunks if chunk.kind == "kv").split(b"\n")[:-1]
    expect_same([secret.path for secret in found.secrets], [json.loads(line)["path"] for line in secrets], "paths")


_SQL = b"s--\nSET standard_conforming_strings = on;\nCREATE TABLE t (a text);\n"
_KV = b'k{"path":"a/b","value":{"b":[1,{"c":null}]}}\n{"path":"c","value":{"x":"y"},"metadata":{"partial":true}}\n'
_COPY = b"COPY t FROM stdin;\n"


def seeds() -> Mapping[str, bytes]:
    """Archives that are right: of every kind of chunk, signed, with lines and bytes that are others."""
    rows = b"r" + _COPY + b"1\ta\n2\t\\N\nx\\\ny\n"
    more = [
        b"SCREATE TABLE ",
        b"st (a text);\n",
        b"R" + _COPY + b"1\tlo",
        b"Cng",
        b"cer\n2\n",
        b"r" + _COPY + b"3\n",
        b"a4\n",
    ]
    database = b'{"backup_type":"database","includes_kv":false}'
    begin = b'{"mounts":[{"path":"kv","version":2}],"roles":[{"name":"a"}],"policies":[{"name":"p","text":""}]}'
    return {
        "plain": joined(b"", b"", b"", b"{}", b"", _SQL, rows, b"sALTER TABLE t ADD PRIMARY KEY (a);\n", _KV),
        "signed": joined(b"", b"s", b"", begin, b"", _SQL, _KV),
        "more": joined(b"\7", database, b"", b"{}", b"", *more, b"a4\n"),
        "nothing": joined(b"", b"", b"", b"{}", b""),
        "lines": joined(b"\1\xff", b"", b"", b"{}", b'{}\n{"x":1}\n{"paths":["a/b","c"]}', _SQL, _KV),
        "changed": joined(b"", b"", b"p 700 1,l 9 ff,i 30 20,x 9 1", b"{}", b"", _SQL),
    }


_WORDS = words(
    rb"""
    {"path":" {"rows":0} {"t":1} {"head":0} {"tail":0} {"raw":1} {"n":1} {"secrets":2} {"more":true} {"paths":[]}
    "includes_db":false "includes_kv":false "signer":"A" ' $$ ; -- /* BEGIN; COMMIT; "mounts":[ "roles":[
    """,
    b"\x1es",
    b"\x1ek",
    b"\x1er",
    b"\x1eR",
    b"\x1ec",
    b"\x1eC",
    b"\x1ea",
    b"\x1eS",
    _COPY,
    b"\\.\n",
    b"\\\n",
    b'"value":{}}\n',
    b"p 512 1",
    b"l 8 1",
    b"f 21 1",
    b"i 5 1",
    b"x 0 1",
    b"g 0 1",
    b"\\restrict a\n",
    b"\x00",
    b"\xc3\xa9",
)
_READER = ("kleidia_backup.formats", "kleidia_backup.stages.archive", "kleidia_backup.pipeline.archives.v2")
HARNESSES = {
    "v2": Harness(one, seeds, _WORDS),
    "recover-v2": Harness(one, seeds, _WORDS),
}
