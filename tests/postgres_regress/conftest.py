"""Databases that hold every kind of object: PostgreSQL's own regression database, and statements of ours."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from kleidia_backup import DirectorySettings

from ..clusters import Version, find_installations, running
from .regression import find_regression

#: The versions whose regression scripts can be had.
REGRESSION = (15, 18)


@dataclass(frozen=True)
class LeftBehind:
    """A regression database: how many scripts made it, and which of them gave other output than PostgreSQL's own."""

    version: Version
    conninfo: str
    scripts: int
    others: list[str]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``major``: every version that is there; ``regression``: every one whose scripts are there."""
    if "major" in metafunc.fixturenames:
        metafunc.parametrize("major", sorted(find_installations().installed))
    elif "regression" in metafunc.fixturenames:
        there = [major for major in REGRESSION if major in find_installations().installed and find_regression(major)]
        metafunc.parametrize("regression", there)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which regression scripts were not to be had, when this set was asked for."""
    if "not regress" not in (config.option.markexpr or ""):
        missing = [str(major) for major in REGRESSION if not find_regression(major)]
        terminalreporter.line(
            f"PostgreSQL's own regression scripts: MISSING for {', '.join(missing)}"
            if missing
            else "PostgreSQL's own regression scripts: none is missing"
        )


@pytest.fixture(scope="session")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], LeftBehind]]:
    """The regression database of a major version, on a server of its own; made when it is first asked for."""
    made: dict[int, LeftBehind] = {}
    with ExitStack() as stack:

        def get(major: int) -> LeftBehind:
            if major not in made:
                installation, scripts = find_installations().installed[major], find_regression(major)
                assert scripts is not None
                server = stack.enter_context(running(tmp_path_factory.mktemp(f"regress{major}"), installation))
                results = Path(tempfile.mkdtemp(prefix="kleidia-regress-"))  # the server's account writes there
                stack.callback(shutil.rmtree, results, ignore_errors=True)
                for directory in (results, results / "results"):
                    directory.mkdir(exist_ok=True)
                    directory.chmod(0o777)
                ran, others = scripts.leave_behind(server, "regression", results)
                made[major] = LeftBehind(Version(server, installation), server.conninfo("regression"), ran, others)
            return made[major]

        yield get


@pytest.fixture
def store(store_directory: Path) -> DirectorySettings:
    """An empty directory for archives."""
    return DirectorySettings(store_directory)
