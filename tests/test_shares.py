"""What README's test command leaves to the thorough set is there, and CI runs it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from . import shares

TESTS = Path(__file__).parent


@pytest.mark.parametrize("name", shares.SHARES)
def test_a_share_is_that_of_a_test(name: str) -> None:
    """Renamed, it fails here until it is renamed there."""
    file, _, function = name.partition("::")
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert function in {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_ci_runs_the_rest() -> None:
    """All that has the mark."""
    assert "-m pytest -q -m thorough" in (TESTS.parent / ".ci" / "run").read_text(encoding="utf-8")


def test_each_format_has_its_half() -> None:
    """Of the tests that are made for both and run here once, neither format has less than a third."""
    names = [f"pipelines/test_{number}.py::test_it" for number in range(300)]
    first = sum(shares.format_of(each) == "v1" for each in names)
    assert 100 < first < 200
