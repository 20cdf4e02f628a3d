"""The payload's writer: an archive of 1 TB, without its bytes."""

from __future__ import annotations

import hashlib
import random
import resource
import time

import pytest

from kleidia_backup.formats.v2.chunks import GROWN, ROWS, SqlChunks
from kleidia_backup.formats.v2.entries import Entry
from kleidia_backup.formats.v2.frames import Packed
from kleidia_backup.formats.v2.index import Index
from kleidia_backup.formats.v2.payload import PayloadWriter

from .v2_archives import COPY, TIME

TB = 10**12


def memory() -> int:
    """The most that this process ever needed, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_an_archive_of_a_terabyte() -> None:
    """Its index is under 64 MB, memory grows by that alone, and the last quarter is written as fast as the first.

    The chunks have the sizes that the cutter gives them, and SHA-256 of their own; what is stored of each is one block.
    """
    chance, writer, cutter = random.Random(1), PayloadWriter(TIME), SqlChunks()
    writer.begin(b"{}")
    before, total, number = memory(), 0, 0
    quarters = [time.process_time()]
    stored = bytes(400)
    while total < TB:
        cutter._total = total
        size = cutter._grown(ROWS) + chance.randrange(60_000)
        entry = Entry(
            "rows",
            chance.randrange(size // 8, size // 2),
            size,
            chance.randbytes(32).hex(),
            t=number // 1000,
            rows=chance.randrange(size // 200, size // 50),
            head=len(COPY) + 1,
            tail=3,
        )
        writer.add(Packed(entry, stored, COPY))
        total += size
        number += 1
        if total > TB // 4 * len(quarters):
            quarters.append(time.process_time())
    index = next(writer.finish())[512:]
    quarters.append(time.process_time())
    assert number > TB // (GROWN + 60_000)
    assert len(index) < 64 * 10**6
    assert memory() - before < 3 * len(index) // 2**20 + 8
    # A quarter has fewer chunks than the one before, since they grow; none may take longer.
    assert quarters[4] - quarters[3] < 1.5 * (quarters[1] - quarters[0])
    read = Index.parse(index.rstrip(b"\0"), hashlib.sha256(index.rstrip(b"\0")).digest())
    assert (len(read.entries), read.end.chunks) == (number, number)
    print(f"{number} chunks, index of {len(index)} bytes, {memory() - before} MiB more")  # noqa: T201
