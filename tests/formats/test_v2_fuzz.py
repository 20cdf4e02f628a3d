"""Each reader of format V2 against mutated input that once was right: no error but the documented ones, no growth.

The same mutations in every run; for a search of others set KLEIDIA_TEST_FUZZ_SECONDS, the seconds that each takes.
"""

from __future__ import annotations

import hashlib
import random
import resource
from collections.abc import Callable

import pytest
import zstandard

from kleidia_backup.formats.errors import ArchiveError
from kleidia_backup.formats.v2.chunks import ChunkTexts, SqlChunks
from kleidia_backup.formats.v2.entries import Entry
from kleidia_backup.formats.v2.floe import HEADER, Opener, Segments, shape
from kleidia_backup.formats.v2.frames import check, decompress
from kleidia_backup.formats.v2.head import Head, payload_key
from kleidia_backup.formats.v2.index import Index
from kleidia_backup.formats.v2.keys.slots import parse
from kleidia_backup.formats.v2.kv import read_secrets
from kleidia_backup.formats.v2.payload import Layout, take_end
from kleidia_backup.formats.v2.tar import BLOCK, Locator

from .chances import chances
from .test_v2_attacks import SMALL
from .test_v2_index import MORE_SQL, TWO_ROWS
from .v2_archives import FACTS, HEAD, TIME, payload, sealed
from .v2_heads import DATA_KEY, digest, facts, password, slots
from .v2_indexes import GOOD, stored, text

#: Mutations of each, the same in every run.
ROUNDS = 10_000
#: What stands in every one of these texts, and what hurts readers.
TOKENS = [
    *(
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\n",
        b"\r",
        b"\0",
        b"\\.\n",
        b"\n\\.\n",
        b"\xff",
        b"\xed\xa0\x80",
    ),
    *(
        b"null",
        b"true",
        b"1.0",
        b"1e9",
        b"-1",
        b"9007199254740993",
        b"9" * 400,
        rb"\ud800",
        b'"k":"rows"',
        b'"more":true',
    ),
    *(
        b"[" * 2000,
        b"\xff\xff\xff\xff",
        b"\x28\xb5\x2f\xfd",
        b"\x50\x2a\x4d\x18",
        b"COPY t FROM stdin;\n",
        b"'",
        b"$$",
        b";",
    ),
]


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """A few changes: bits, tokens put in or over, pieces doubled, moved and taken out."""
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at, size = chance.randrange(len(data) + 1), chance.choice((1, 1, 2, 4, 16, 200))
        match chance.randrange(6):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                data[at:at] = chance.choice(TOKENS)
            case 2:
                token = chance.choice(TOKENS)
                data[at : at + len(token)] = token
            case 3:
                del data[at : at + size]
            case 4:
                other = chance.randrange(len(data) + 1)
                data[at:at] = data[other : other + size]
            case _:
                del data[at:]
    return bytes(data)


_PLAIN = payload(SMALL)
_ARCHIVE = sealed(_PLAIN)
_BODY = _ARCHIVE[len(HEAD) :]
_LINES = b'{"path":"a/b","value":{"b":[1,{"c":null}]}}\n{"value":{"\\u00e9":1.5},"path":"\\ud83d\\ude00"}\n'
_SQL = b"SET a = 'x';\nCOPY t FROM stdin;\n1\\\n2\n\\.\nCREATE FUNCTION f() AS $a$;$a$;\n/* ; */ SELECT E'\\'';\n"


def index(raw: bytes) -> None:
    whole = stored(raw)
    Index.parse(whole, hashlib.sha256(whole).digest())


def index_as_stored(raw: bytes) -> None:
    Index.parse(raw, hashlib.sha256(raw).digest())


def chunk(raw: bytes) -> None:
    entry = Entry("sql", len(raw), len(_LINES), hashlib.sha256(raw).hexdigest())
    check(entry, raw)
    decompress(entry, raw)


def cut(raw: bytes) -> None:
    chunks = SqlChunks()
    reader = ChunkTexts()
    for one in (*chunks.feed(raw[:20]), *chunks.feed(raw[20:]), *chunks.finish()):
        if one.kind == "sql":
            reader.sql(one.data, more=one.more)
        else:
            reader.rows(one.data[one.head : len(one.data) - one.tail], inside=not one.head, more=one.more)


def body(raw: bytes) -> None:
    count, _ = shape(len(raw))
    segments = Segments(payload_key(DATA_KEY), digest(FACTS), raw[:HEADER])
    opener = Opener(segments, first=0, last=count - 1)
    for _ in (*opener.feed(raw[HEADER:]), *opener.finish()):
        pass


def tar(raw: bytes) -> None:
    """The whole payload, as whoever has the key may write it."""
    if len(raw) < BLOCK:
        return
    locator = Locator.parse(raw[-BLOCK:], len(raw))
    content = raw[locator.index : locator.index + locator.size]
    layout = Layout(Index.parse(content, locator.digest), locator, TIME)
    take_end(raw[locator.index - BLOCK : -BLOCK], locator, TIME)
    for number, entry in enumerate(layout.index.entries):
        start, end = layout.span(number)
        decompress(entry, layout.content(number, raw[start:end]))


READERS: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
    "head": (Head.parse, [_ARCHIVE[: len(HEAD) + 200]]),
    "slots": (parse, [slots(password(facts()).members(), {"type": "new"}).rstrip()]),
    "index": (index, [text(GOOD), text(MORE_SQL), text(TWO_ROWS)]),
    "index as stored": (index_as_stored, [stored(text(GOOD)), zstandard.compress(text(TWO_ROWS))]),
    "secrets": (read_secrets, [_LINES]),
    "chunk": (chunk, [zstandard.compress(_LINES), zstandard.compress(bytes(len(_LINES)))]),
    "SQL": (cut, [_SQL]),
    "body": (body, [_BODY]),
    "tar": (tar, [_PLAIN]),
}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", READERS)
def test_no_error_but_the_documented_ones(name: str) -> None:
    """And memory does not follow the number of tries."""
    reader, seeds = READERS[name]
    for seed in seeds:
        reader(seed)
    before = 0
    for tries, chance in enumerate(chances(ROUNDS)):
        data = mutated(chance.choice(seeds), chance)
        try:
            reader(data)
        except ArchiveError:
            pass
        except Exception as exc:
            raise AssertionError(f"{type(exc).__name__} for {data[:2000]!r}") from exc
        if tries == 100:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
