"""The unified diff of statements: ``patch`` makes one schema of the other by it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from kleidia_backup.pipeline.diff.unified import unified
from kleidia_backup.stages.pg.outline import Outline

_STATEMENTS = st.lists(st.sampled_from(["a;", "b (\n  x,\n  y\n);", "b (\n  x,\n  z\n);", "c\nd\ne\nf\ng\nh;", "a;"]))


def _text(statements: list[str]) -> str:
    return "".join(f"{each}\n\n" for each in statements)


def _patched(tmp: Path, old: list[str], new: list[str]) -> str:
    (tmp / "schema").write_text(_text(old), encoding="utf-8")
    lines = unified(old, new, "schema", "schema")
    (tmp / "diff").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    done = subprocess.run(
        ["patch", "--silent", str(tmp / "schema"), str(tmp / "diff")], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, (lines, done.stdout)
    return (tmp / "schema").read_text(encoding="utf-8") if (tmp / "schema").exists() else ""


def test_a_change_inside_a_statement_is_a_change_of_its_line(tmp_path: Path) -> None:
    """With three lines around it, as ``diff -u`` writes it."""
    old = ["a;", "b (\n  x,\n  y\n);", "c;", "d;"]
    new = ["a;", "b (\n  x,\n  z\n);", "c;", "d;"]
    expected = ["--- 1", "+++ 2", "@@ -2,7 +2,7 @@", " ", " b (", "   x,", "-  y", "+  z", " );", " ", " c;"]
    assert unified(old, new, "1", "2") == expected
    assert unified(old, old, "1", "2") == []
    assert _patched(tmp_path, old, new) == _text(new)


def test_half_of_a_large_schema_may_be_another() -> None:
    """Of 5,000 statements, most of them alike."""
    old = [f"CREATE TABLE t{n % 100} (id int);" for n in range(5_000)]
    new = [each if n % 2 else f"{each[:-2]}, n int);" for n, each in enumerate(old)]
    found = unified(old, new, "old", "new")
    assert sum(line.startswith("-") for line in found) >= 2_500


class Looked(str):
    """A statement that counts how often one is looked for."""

    __slots__ = ()
    times = 0

    def __hash__(self) -> int:
        Looked.times += 1
        return str.__hash__(self)


def test_many_changed_places_take_no_square_of_them() -> None:
    """Of 2,000 statements every second is another: each is looked for a few times, not a thousand."""
    old = [Looked(f"CREATE TABLE t{n} (id int);") for n in range(2_000)]
    new = [each if n % 2 else Looked(f"CREATE TABLE t{n} (n int);") for n, each in enumerate(old)]
    assert len(unified(old, new, "old", "new")) > 4_000
    assert Looked.times < 20 * len(old)


@given(old=st.lists(st.integers(0, 9), max_size=12), new=st.lists(st.integers(0, 9), max_size=12))
def test_as_many_statements_as_can_be_are_equal(old: list[int], new: list[int]) -> None:
    """As the longest common subsequence has."""
    longest = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    numbered = [[(each, side[:at].count(each)) for at, each in enumerate(side)] for side in (old, new)]
    for i, one in enumerate(numbered[0], 1):
        for j, other in enumerate(numbered[1], 1):
            same = longest[i - 1][j - 1] + 1 if one == other else 0
            longest[i][j] = max(same, longest[i - 1][j], longest[i][j - 1])
    found = unified([f"s{n};" for n in old], [f"s{n};" for n in new], "old", "new")
    removed = sum(line.startswith("-s") for line in found)
    assert len(old) - removed >= longest[-1][-1]


@settings(max_examples=60, deadline=None)
@given(old=_STATEMENTS, new=_STATEMENTS)
def test_patch_understands_it(tmp_path_factory: object, old: list[str], new: list[str]) -> None:
    """Whatever was added, removed or changed."""
    if not old or old == new:
        return
    tmp = tmp_path_factory.mktemp("patch")  # type: ignore[attr-defined]
    assert _patched(tmp, old, new) == _text(new)


def test_an_outline_keeps_a_limit() -> None:
    """Beyond it there is no text, but the digest, which is of all."""
    outlines = [Outline(most=40), Outline(most=40), Outline(most=1000)]
    for outline, last in zip(outlines, ("three", "four", "three"), strict=True):
        outline.feed(f"CREATE TABLE one ();\nCREATE TABLE two ();\nCREATE TABLE {last} ();\n".encode())
        outline.finish()
    assert [each.statements is None for each in outlines] == [True, True, False]
    assert outlines[0].digest == outlines[2].digest != outlines[1].digest
    assert outlines[2].statements == ["CREATE TABLE one ();", "CREATE TABLE two ();", "CREATE TABLE three ();"]


def test_no_statement_hides_behind_a_comment_or_a_value() -> None:
    """What calls itself a sequence's value and is more stays in the text, and the digest."""
    outline = Outline()
    outline.feed(
        b"-- Name: s; Type: SEQUENCE SET; Schema: public; Owner: o\n\n"
        b"SELECT pg_catalog.setval('public.s', 7, true);\n"
        b"-- Name: s; Type: SEQUENCE SET; Schema: public; Owner: o\n\nCREATE TABLE hidden ();\n"
        b"SELECT pg_catalog.setval('public.s', evil(), true);\n"
        b"COPY public.t (a) FROM stdin;\nCREATE TABLE row ();\n\\.\n"
    )
    outline.finish()
    expected = ["CREATE TABLE hidden ();", "SELECT pg_catalog.setval('public.s', evil(), true);"]
    assert outline.statements == expected
    assert outline.kinds == {}
