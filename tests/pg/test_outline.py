"""What of a dump is contents, and what counts as schema: nothing that is more than contents hides among them."""

from __future__ import annotations

import hashlib
import subprocess
from typing import Any

import pytest

from kleidia_backup.demo.servers.postgres import binaries
from kleidia_backup.formats.sql.cut import HEAD
from kleidia_backup.stages.pg.outline import Measured, Outline
from kleidia_backup.stages.pg.server.settings import Table

_OFF = "SET standard_conforming_strings = off;"


def outline(text: str | bytes) -> Outline:
    """Of a whole text."""
    made = Outline()
    made.feed(text.encode() if isinstance(text, str) else text)
    made.finish()
    return made


@pytest.mark.parametrize(
    "statement",
    [
        r"""SELECT pg_catalog.setval('public."a\b;''"', -7, false);""",
        "REFRESH MATERIALIZED VIEW public.m;",
        'REFRESH MATERIALIZED VIEW "My schema"."a;""b";',
        "SELECT pg_catalog.lo_unlink('4711');",
        "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = '4711';",
        "SELECT pg_catalog.lo_create('4711');",
        r"BEGIN; SELECT pg_catalog.lo_open('1', 131072); SELECT pg_catalog.lowrite(0, '\x78'); COMMIT;",
        "SELECT pg_catalog.lo_close(0);",
        'ALTER LARGE OBJECT 4711 OWNER TO "a role";',
        "GRANT ALL ON LARGE OBJECT 4711 TO PUBLIC;",
        "GRANT SELECT,UPDATE ON LARGE OBJECT 4711 TO reader WITH GRANT OPTION;",
        "REVOKE SELECT ON LARGE OBJECT 4711 FROM owner;",
        r"COMMENT ON LARGE OBJECT 4711 IS 'it''s \ a; --';",
        "SECURITY LABEL FOR dummy ON LARGE OBJECT 4711 IS 'secret';",
        "SET SESSION AUTHORIZATION other;\nGRANT SELECT ON LARGE OBJECT 1 TO x;\nRESET SESSION AUTHORIZATION;",
        f"COMMENT ON LARGE OBJECT 4711 IS '{'long ' * HEAD}';",
        f"{_OFF}\nSELECT pg_catalog.setval('public.\"a\\\\b''\"', 7, true);",
    ],
)
def test_what_fills_is_no_schema(statement: str) -> None:
    """In each form that pg_dump has for it, behind the comment that names the object."""
    found = outline(f"-- Name: x; Type: MATERIALIZED VIEW DATA; Schema: public; Owner: o\n\n{statement}\n")
    assert found.statements == ([_OFF] if statement.startswith(_OFF) else [])
    assert found.kinds == {}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_catalog.setval('public.s', 7, true), evil();",
        r"SELECT pg_catalog.setval(E'public.\'', 7, true);",
        "SELECT pg_catalog.setval('public.s', 7, true) /* ' */;",
        "REFRESH MATERIALIZED VIEW public.m WITH NO DATA;",
        "REFRESH MATERIALIZED VIEW public.m /* x */;",
        "CREATE MATERIALIZED VIEW m AS SELECT 1;",
        "SELECT pg_catalog.lo_unlink(evil());",
        "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = '1' OR evil();",
        "SELECT pg_catalog.lo_create('4711') FROM evil();",
        "ALTER LARGE OBJECT 4711 OWNER TO one, two;",
        "GRANT SELECT ON TABLE t TO x;",
        "GRANT reader TO writer;",
        "ALTER DEFAULT PRIVILEGES FOR ROLE o GRANT SELECT ON LARGE OBJECTS TO x;",
        "COMMENT ON TABLE t IS 'COMMENT ON LARGE OBJECT 4711 IS ''x''';",
        "COMMENT ON LARGE OBJECT 4711 IS 'x' || evil();",
        "SELECT * FROM pg_catalog.pg_restore_relation_stats('version', evil());",
        "SELECT * FROM pg_catalog.pg_restore_relation_stats('version', '1'::integer) WHERE evil();",
        "INSERT /* x */ INTO t VALUES (1);",
        "SET SESSION AUTHORIZATION other;",
        "RESET SESSION AUTHORIZATION;",
    ],
)
def test_what_is_more_than_contents_counts(statement: str) -> None:
    """Also where a comment calls it contents."""
    found = outline(f"-- Name: x; Type: SEQUENCE SET; Schema: public; Owner: o\n\n{statement}\n")
    assert found.statements == [statement]


def test_nothing_hides_among_large_objects() -> None:
    """Between BEGIN and COMMIT each statement is looked at too."""
    hidden = "SELECT pg_catalog.lo_create(evil());"
    assert outline(f"BEGIN;\n{hidden}\nSELECT pg_catalog.lo_close(0);\nCOMMIT;\n").statements == [hidden]


def test_a_backslash_is_read_as_the_server_reads_it() -> None:
    """Where it escapes, the quote behind it ends nothing: so pg_dump doubles it, and a single one counts."""
    value = r"SELECT pg_catalog.setval('a\', 7, true);"
    assert outline(value).statements == []
    hidden = r"SELECT pg_catalog.setval('a\', 7, true);', 7, true);"
    assert outline(f"{_OFF}\n{hidden}\n").statements == [_OFF, hidden]
    on = _OFF.replace("off", "on")
    assert outline(f"{_OFF}\n{on}\n{value}").statements == [_OFF, on]


def test_a_role_counts_with_what_it_does() -> None:
    """A change of the role goes with the grants on large objects that it is for, and with nothing else."""
    other, back = "SET SESSION AUTHORIZATION other;", "RESET SESSION AUTHORIZATION;"
    large, grant = "GRANT SELECT ON LARGE OBJECT 1 TO x;", "GRANT SELECT ON TABLE t TO x;"
    cases = {
        (other, large, back, grant): [grant],
        (other, grant, back, large): [other, grant, back],
        (other, large, grant, large, back): [other, grant, back],
        (other, grant, other, large, back): [other, grant, other, back],
        (other, other, large, back, other): [other, other, back, other],
        (other, large, back, back): [back],
    }
    for statements, expected in cases.items():
        found = outline("\n".join(f"-- Name: t; Type: ACL; Schema: s; Owner: o\n{each}\n" for each in statements))
        assert found.statements is not None
        assert [each.splitlines()[-1] for each in found.statements] == expected
        assert found.digest == outline("\n".join(found.statements)).digest


def test_several_copies_of_a_table_are_measured_together() -> None:
    """In any order; one alone has the digest of its rows, and INSERT statements of any length are measured whole."""
    copies = ["COPY public.t (a) FROM stdin;\n1\n2\n\\.\n", "COPY public.t (a) FROM stdin;\n3\n\\.\n"]
    table = Table("public", "t")
    one, two = (outline(each).tables[table] for each in copies)
    assert one.digest == hashlib.sha256(b"1\n2\n").hexdigest()
    both = outline("".join(copies)).tables[table]
    assert both.digest == outline("".join(reversed(copies))).tables[table].digest
    assert both.digest not in {one.digest, two.digest}
    assert both.bytes == 6
    by_index = Measured()
    for size, digest in ((2, two.digest), (4, one.digest)):
        by_index.add(size, digest)
    assert (by_index.bytes, by_index.digest) == (both.bytes, both.digest)
    by_index.add(0, "")
    assert by_index.digest == ""
    insert = f"INSERT INTO public.t VALUES ('{'x' * 2 * HEAD}');"
    inserted = outline(insert).tables[table]
    assert (inserted.bytes, inserted.digest) == (len(insert), hashlib.sha256(insert.encode()).hexdigest())


def test_statistics_are_contents(db: Any) -> None:
    """As PostgreSQL 18 dumps them when it is asked to."""
    db.execute(
        r"""CREATE TABLE "a\b" (n int, x text[], "c'\d" float8 GENERATED ALWAYS AS (1.5) STORED)""",
        r"""INSERT INTO "a\b" SELECT n % 10, ARRAY['it''s \ "', 'b'] FROM generate_series(1, 1000) n""",
        r"""CREATE INDEX ON "a\b" ((n + 1))""",
        "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a",
        "ANALYZE",
    )

    def dumped(*options: str) -> bytes:
        command = [binaries() / "pg_dump", "--no-sync", *options, db.settings.conninfo]
        return subprocess.run(command, check=True, capture_output=True).stdout

    with_them, schema = dumped("--statistics"), dumped("--schema-only")
    assert b"pg_restore_attribute_stats(" in with_them
    assert outline(with_them).statements == outline(schema).statements
