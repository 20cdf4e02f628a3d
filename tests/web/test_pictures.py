"""The pictures in docs/page are those that docs/page.md shows, each in every look."""

from __future__ import annotations

import re
from pathlib import Path

from .looks import LOOKS

_DOCS = Path(__file__).resolve().parents[2] / "docs"
#: Bytes of all of them: they are in every clone.
_MOST = 3_000_000


def test_every_view_has_a_picture_in_every_look() -> None:
    """None is missing, none is left over, and together they are small."""
    files = {each.name: each.stat().st_size for each in (_DOCS / "page").iterdir()}
    shown = re.findall(r"\]\(page/([a-z-]+)-([a-z]+)\.png\)", (_DOCS / "page.md").read_text(encoding="utf-8"))
    views = {view for view, _ in shown}
    assert {*files} == {f"{view}-{look}.png" for view in views for look in LOOKS}
    assert {f"{view}-{look}.png" for view, look in shown} == {*files}
    assert sum(files.values()) < _MOST
