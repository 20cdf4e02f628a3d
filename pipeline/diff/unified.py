"""A unified diff of two schemas, statement by statement, and line by line where a statement changed."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate
from typing import TypeAlias

#: Lines before and behind a change.
_CONTEXT = 3
#: Lines of one changed place, multiplied with each other, up to which it is compared line by line.
_PLACE = 4_000_000

_Code: TypeAlias = tuple[str, int, int, int, int]


def unified(old: Sequence[str], new: Sequence[str], old_name: str, new_name: str) -> list[str]:
    """The lines of the diff, without line ends; none for equal schemas.

    Statements are matched first, of which each is there once: so the time hardly grows faster than the schema.
    """
    old_lines, new_lines = [each.split("\n") for each in old], [each.split("\n") for each in new]
    for lines in (*old_lines, *new_lines):
        lines.append("")
    before, after = _joined(old_lines), _joined(new_lines)
    codes = _merged(_line_codes(old, new, old_lines, new_lines, before, after))
    holder = SequenceMatcher(None, "", "")
    holder.opcodes = codes  # type: ignore[attr-defined]  # what it would compute
    found: list[str] = []
    for group in holder.get_grouped_opcodes(_CONTEXT):
        first, last = group[0], group[-1]
        spans = _span(first[1], last[2]), _span(first[3], last[4])
        found.append(f"@@ -{spans[0]} +{spans[1]} @@")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                found += [f" {line}" for line in before[i1:i2]]
            else:
                found += [f"-{line}" for line in before[i1:i2]]
                found += [f"+{line}" for line in after[j1:j2]]
    return [f"--- {old_name}", f"+++ {new_name}", *found] if found else []


def _joined(blocks: Sequence[Sequence[str]]) -> list[str]:
    return [line for block in blocks for line in block]


def _numbered(statements: Sequence[str]) -> list[tuple[str, int]]:
    """Each with how often it was there before, so that none is there twice."""
    seen: Counter[str] = Counter()
    found = []
    for each in statements:
        found.append((each, seen[each]))
        seen[each] += 1
    return found


def _statement_codes(old: Sequence[tuple[str, int]], new: Sequence[tuple[str, int]]) -> Iterator[_Code]:
    """What makes one of the other, with as many equal ones as there can be; no statement is there twice.

    Those that both have stand in ``new`` at certain places. The longest row of them that only rises is found by
    patience sorting, in n log n; ``SequenceMatcher`` looks at all of them again for each place that changed.
    """
    places = {each: at for at, each in enumerate(new)}
    both = [(at, places[each]) for at, each in enumerate(old) if each in places]
    lowest, ends = list[int](), list[int]()  # of the rows of each length that rise: the lowest last place, and whose
    before = list[int]()
    for number, (_, place) in enumerate(both):
        length = bisect_left(lowest, place)
        before.append(ends[length - 1] if length else -1)
        lowest[length : length + 1] = [place]
        ends[length : length + 1] = [number]
    equal = [(len(old), len(new))]
    number = ends[-1] if ends else -1
    while number >= 0:
        equal.append(both[number])
        number = before[number]
    i = j = 0
    for i_equal, j_equal in reversed(equal):
        if i < i_equal or j < j_equal:
            tag = "insert" if i == i_equal else "delete" if j == j_equal else "replace"
            yield tag, i, i_equal, j, j_equal
        i, j = i_equal + 1, j_equal + 1
        if i <= len(old):
            yield "equal", i_equal, i, j_equal, j


def _line_codes(
    old: Sequence[str],
    new: Sequence[str],
    old_lines: Sequence[Sequence[str]],
    new_lines: Sequence[Sequence[str]],
    before: Sequence[str],
    after: Sequence[str],
) -> Iterator[_Code]:
    at_old = [0, *accumulate(map(len, old_lines))]
    at_new = [0, *accumulate(map(len, new_lines))]
    for tag, i1, i2, j1, j2 in _statement_codes(_numbered(old), _numbered(new)):
        a1, a2, b1, b2 = at_old[i1], at_old[i2], at_new[j1], at_new[j2]
        if tag != "replace" or (a2 - a1) * (b2 - b1) > _PLACE:
            yield tag, a1, a2, b1, b2
            continue
        inside = SequenceMatcher(None, before[a1:a2], after[b1:b2], autojunk=False)
        for inner, k1, k2, m1, m2 in inside.get_opcodes():
            yield inner, a1 + k1, a1 + k2, b1 + m1, b1 + m2


def _merged(codes: Iterator[_Code]) -> list[_Code]:
    """Neighbours that are both equal become one, as what groups them expects."""
    found: list[_Code] = []
    for code in codes:
        if found and code[0] == found[-1][0] == "equal":
            tag, i1, _, j1, _ = found[-1]
            found[-1] = (tag, i1, code[2], j1, code[4])
        else:
            found.append(code)
    return found


def _span(start: int, stop: int) -> str:
    """A range of lines as diff writes it."""
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"
