"""Write the test vectors and ``vectors.json`` (SPEC.md, section 9) into a directory, by default into ``vectors``.

    python -m tests.formats.make_vectors [DIRECTORY]

Run it in the checkout. It needs Python and cryptography, and nothing of this project.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .bad_vectors import bad_vectors
from .good_vectors import good_vectors


def main(target: Path) -> None:
    """Write every vector; remove those that are no longer made."""
    target.mkdir(exist_ok=True)
    vectors = [*good_vectors(), *bad_vectors()]
    files = {vector.file: vector.data for vector in vectors}
    if len(files) < len(vectors):
        raise SystemExit("two vectors of one name")
    for old in target.glob("*.enc"):
        if old.name not in files:
            old.unlink()
    for name, data in files.items():
        (target / name).write_bytes(data)
    entries = [json.dumps(vector.entry(), ensure_ascii=True) for vector in vectors]
    (target / "vectors.json").write_text("[\n" + ",\n".join(entries) + "\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "vectors")
