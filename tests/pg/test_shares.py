"""How tables are divided among pg_dumps, and what those that dump rows alone may write."""

from __future__ import annotations

import pytest

from kleidia_backup.stages.errors import DumpFailed
from kleidia_backup.stages.pg.dumps.reading import RowsChunks
from kleidia_backup.stages.pg.dumps.snapshot import divide
from kleidia_backup.stages.pg.server.settings import Table


def test_tables_go_to_who_has_least() -> None:
    """The largest first; the main one has its other tables already, and one of the large ones if it has no other."""
    a, b, c, d = (Table("public", name) for name in "abcd")
    assert divide([(a, 9), (b, 5), (c, 4), (d, 1)], 2) == ((a, d),)
    assert divide([(a, 9), (b, 5), (c, 4), (d, 1)], 3, rest=100) == ((b, c), (a, d))
    assert divide([(a, 9), (b, 9), (c, 9), (d, 9)], 4) == ((c,), (b,), (a,))
    assert divide([(a, 9)], 2) == ((a,),)
    assert divide([(a, 9)], 4, alone=True) == ()
    assert divide([(a, 9), (b, 5)], 2, alone=True) == ((a,),)
    assert divide([], 4) == ()


@pytest.mark.parametrize("statement", ["SELECT 1;", "CREATE TABLE a ();", "INSERT INTO a VALUES (1);", "ANALYZE a;"])
def test_rows_alone_are_nothing_else(statement: str) -> None:
    """What only prepares the session is passed over."""
    rows = RowsChunks()
    chunks = rows.feed(
        b"\\restrict x\nSET statement_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n"
        b"COPY a (id) FROM stdin;\n1\n\\.\n\nSELECT pg_catalog.setval('a_id_seq', 7, true);\n"
    )
    assert [chunk.kind for chunk in chunks] == ["sql", "rows"]
    assert rows.copies == 1
    with pytest.raises(DumpFailed, match="another statement"):
        list(rows.feed(statement.encode() + b"\n"))
