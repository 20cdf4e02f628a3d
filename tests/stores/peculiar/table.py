"""The table of docs/stores.md, from what was found out and is kept in ``known.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

KNOWN = Path(__file__).with_name("known.json")
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "stores.md"
_BEGIN, _END = "<!-- peculiarities -->\n", "<!-- /peculiarities -->"


def known() -> dict[str, dict[str, Any]]:
    """By the store's name: ``version``, ``date``, and the answers (``answers``)."""
    found: dict[str, dict[str, Any]] = json.loads(KNOWN.read_text(encoding="utf-8")) if KNOWN.exists() else {}
    return found


def rendered(stores: dict[str, dict[str, Any]]) -> str:
    """The table."""
    questions = list(dict.fromkeys(question for each in stores.values() for question in each["answers"]))
    rows = [
        ["what is asked", *stores],
        ["---"] * (len(stores) + 1),
        ["version", *(each["version"] for each in stores.values())],
        ["tried", *(each["date"] for each in stores.values())],
        *([question, *(each["answers"].get(question, "?") for each in stores.values())] for question in questions),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def documented() -> str:
    """What stands in the document."""
    return DOCUMENT.read_text(encoding="utf-8").partition(_BEGIN)[2].partition(_END)[0]


def write(stores: dict[str, dict[str, Any]]) -> None:
    """Keep all of it, and write the table."""
    text = json.dumps(stores, indent=2, ensure_ascii=False) + "\n"
    KNOWN.write_text(text, encoding="utf-8")
    head, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(_BEGIN)
    tail = rest.partition(_END)[2]
    DOCUMENT.write_text(f"{head}{_BEGIN}{rendered(stores)}{_END}{tail}", encoding="utf-8")
