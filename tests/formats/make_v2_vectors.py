"""Write the test vectors of format V2: ``vectors.json`` and ``vectors.tar.xz`` (or the files themselves).

    python -m tests.formats.make_v2_vectors            into tests/formats/v2_vectors
    python -m tests.formats.make_v2_vectors DIRECTORY  one file each, and vectors.json

Run it in the checkout. It needs Python and cryptography, and nothing of this project. The vectors differ in a few
bytes each, so that together they take a tenth of their size.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

from .v2_bad_vectors import bad_vectors
from .v2_good_vectors import good_vectors
from .v2_vector import Vector

HERE = Path(__file__).parent / "v2_vectors"


def listing(vectors: Iterable[Vector]) -> str:
    """What ``vectors.json`` says."""
    return "[\n" + ",\n".join(json.dumps(vector.entry(), ensure_ascii=True) for vector in vectors) + "\n]\n"


def all_vectors() -> list[Vector]:
    """Every vector, each of a name of its own."""
    vectors = [*good_vectors(), *bad_vectors()]
    if len({vector.file for vector in vectors}) < len(vectors):
        raise SystemExit("two vectors of one name")
    return vectors


def write(vectors: Iterable[Vector], file: Path) -> None:
    """All of them into one compressed tar."""
    with tarfile.open(file, "w:xz", preset=9, format=tarfile.USTAR_FORMAT) as archive:
        for vector in vectors:
            member = tarfile.TarInfo(vector.file)
            member.size = len(vector.data)
            archive.addfile(member, io.BytesIO(vector.data))


def main(target: Path | None) -> None:
    """Write every vector."""
    vectors = all_vectors()
    where = target or HERE
    where.mkdir(exist_ok=True, parents=True)
    (where / "vectors.json").write_text(listing(vectors))
    if target is None:
        write(vectors, HERE / "vectors.tar.xz")
    else:
        for vector in vectors:
            (target / vector.file).write_bytes(vector.data)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
