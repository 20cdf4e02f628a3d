"""Names in the bodies of routines, read as text."""

from __future__ import annotations

import time

import pytest

from kleidia_backup.stages.pg.findings.bodies import names_in


@pytest.mark.parametrize(
    ("body", "kind", "found"),
    [
        ("SELECT f(x)", "function", {"f"}),
        ("SELECT s.f(x), o.f", "function", set()),
        ('SELECT "F g"(x)', "function", {"F g"}),
        ("SELECT 'f(x)', $$g(x)$$, $a$h(x)$a$ -- i(x)\n /* j(x) */", "function", set()),
        ("SELECT * FROM a, b AS c JOIN d USING (x) WHERE y = z", "relation", {"a", "b", "d"}),
        ("SELECT * FROM (SELECT 1 FROM ONLY e) AS f, LATERAL (SELECT 1) g, h", "relation", {"e", "h"}),
        ("WITH a AS (SELECT 1), b AS MATERIALIZED (SELECT 2) SELECT * FROM a, b, c", "relation", {"c"}),
        (
            "SELECT extract(year FROM a), trim(both FROM b), substring(c FROM 2), d IS DISTINCT FROM e",
            "relation",
            set(),
        ),
        ("INSERT INTO a (b) SELECT 1; SELECT 1 INTO c", "relation", {"a"}),
        ("BEGIN FOR r IN SELECT * FROM a LOOP NULL; END LOOP; END", "relation", {"a"}),
        ("BEGIN EXECUTE 'SELECT FROM a'; EXECUTE format('SELECT FROM b, %I', x); END", "relation", {"a", "b"}),
        ("SELECT nextval('a'), 'b'::regclass, nextval('s.c')", "relation", {"a", "b"}),
        ("DECLARE x a%ROWTYPE; BEGIN NULL; END", "relation", {"a"}),
        ("DECLARE x a; y CONSTANT b := 'c'; BEGIN x := z; END", "type", {"a", "b"}),
        ("SELECT x::a, CAST(y AS b), c 'd', e::s.f", "type", {"a", "b", "c"}),
        ("SELECT a <#> b, c OPERATOR(s.@@@) d", "operator", {"<#>"}),
        ("SELECT to_tsvector('a', b), unaccent('c', d), to_tsvector('e')", "text search", {"a", "c"}),
    ],
)
def test_names_by_their_use(body: str, kind: str, found: set[str]) -> None:
    """What has a schema, is quoted as text, or stands in a comment is not among them."""
    keywords = {"using", "operator", "cast", "as", "materialized", "from", "distinct", "exists"}
    built_in = {"extract", "trim", "substring", "nextval", "to_tsvector", "unaccent", "format", "*", "="}
    assert {name for each, name in names_in(body).bare if each == kind} - keywords - built_in == found


@pytest.mark.parametrize(
    "body",
    ["SET LOCAL search_path = public", "PERFORM set_config('search_path', 'x', true)", "EXCEPTION WHEN OTHERS THEN"],
)
def test_bodies_that_care_for_themselves(body: str) -> None:
    """They set the path, or catch the error."""
    assert names_in(body).careful


@pytest.mark.parametrize("piece", ["/*", "'", '"', "$a$ $b$", "$$ ", "E'\\'", "(", "- -", "''", "a.", "EXECUTE '"])
def test_no_body_takes_long(piece: str) -> None:
    """Whoever may create a function must not be able to keep a backup busy."""
    began = time.monotonic()
    names_in(piece * (200_000 // len(piece)))
    names_in(f"x{piece * 50_000}" + "y")
    assert time.monotonic() - began < 10
