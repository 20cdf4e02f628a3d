"""Tests are repeated for each version of PostgreSQL that this machine has, and for each pair of them."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from kleidia_backup import DirectorySettings
from kleidia_backup.demo.servers.postgres import binaries

from ..clusters import find_installations

_SCHEMAS = Path(__file__).parent / "schema"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Nothing is between versions where there is one; the summary of the run says so."""
    return True if collection_path.name == "test_between.py" and len(find_installations().installed) < 2 else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``major``: every version that is there; ``older``, ``newer``: every pair; ``tool``: every pg_dump for a major."""
    installed = find_installations().installed
    if "tool" in metafunc.fixturenames:
        cases = [(major, binaries() / "pg_dump") for major in sorted(installed)]
        own = [(major, each.pg_dump) for major, each in sorted(installed.items()) if each.pg_dump]
        cases += [(major, path) for major, path in own if path != binaries() / "pg_dump"]
        names = [f"{major}-{'newest' if path.parent == binaries() else 'own'}" for major, path in cases]
        metafunc.parametrize(("major", "tool"), cases, ids=names)
    elif "major" in metafunc.fixturenames:
        metafunc.parametrize("major", sorted(installed))
    elif "older" in metafunc.fixturenames:
        metafunc.parametrize(("older", "newer"), list(combinations(sorted(installed), 2)))


def schema(major: int) -> str:
    """The statements that a version knows: those of its own and of all before it."""
    return "\n".join((_SCHEMAS / f"{each}.sql").read_text(encoding="utf-8") for each in range(13, major + 1))


@pytest.fixture
def store(store_directory: Path) -> DirectorySettings:
    """An empty directory for archives."""
    return DirectorySettings(store_directory)
