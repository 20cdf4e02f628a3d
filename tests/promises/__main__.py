"""Writes docs/promises.md out of sentences.toml: the specification, sentence by sentence, and what shows it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

_SENTENCES = Path(__file__).parent / "sentences.toml"
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "promises.md"
_HEAD = """# What users were promised, and which test shows it

Each sentence of the specification of backups and restores, in its order and its words, with the tests that show it.
Where the product does it in another way than the words say, or does more, a remark says so.
Made of `tests/promises/sentences.toml` by `python -m tests.promises`. A test fails when a sentence has no test, when a
test that is named does not exist, and when `.ci/run` runs none of its cases. Paths are below `tests/`, those of
benchmarks below the checkout.
"""


@dataclass(frozen=True)
class Line:
    """A line of the specification. ``kind`` is ``heading``, ``columns`` (of a table) or ``says``.

    ``shown_by`` are pytest's names of tests, below the checkout.
    """

    kind: str
    text: str
    shown_by: tuple[str, ...] = ()
    remark: str = ""


def lines() -> list[Line]:
    """The specification, in its order. Raises ``ValueError`` for a key that is none."""
    found = []
    for entry in tomllib.loads(_SENTENCES.read_text(encoding="utf-8"))["line"]:
        (kind,) = entry.keys() - {"shown_by", "remark"}
        if kind not in {"heading", "columns", "says"}:
            raise ValueError(f"{kind} is no kind of line")
        tests = tuple(test if test.startswith("benchmarks/") else f"tests/{test}" for test in entry.get("shown_by", ()))
        found.append(Line(kind, entry[kind], tests, entry.get("remark", "")))
    return found


def page() -> str:
    """The page: a table under each heading that has sentences."""
    text, begun, number = _HEAD, False, 0
    for line in lines():
        if line.kind == "heading":
            text, begun = f"{text}\n## {line.text}\n", False
        elif line.kind == "says":
            number += 1
            text += "" if begun else "\n| | sentence | shown by |\n| --- | --- | --- |\n"
            tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in line.shown_by)
            remark = f"<br>*{_cell(line.remark)}*" if line.remark else ""
            text, begun = f"{text}| {number} | {_cell(line.text)}{remark} | {tests} |\n", True
    return text


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;").replace("*", r"\*")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
