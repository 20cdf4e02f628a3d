"""Which test shows which sentence of the specification: the table is whole, and true to the tests there are."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .__main__ import PAGE, Line, lines, page

ROOT = Path(__file__).resolve().parent.parent.parent
#: SHA-256 of the specification's letters and digits, in their order: every one of them stands in the table.
SPECIFICATION = "73387d0f87ace1784db2c239182d58e117094054d78fdcf80e2a59fbb2ebfc1a"
#: What .ci/run runs, and which tests that is: by the folder they are in, and their markers.
SETS = {
    "README.md's test command": ('bash -euo pipefail "$work/test.sh"', "tests/", ()),
    "the thorough cases": ("-m pytest -q -m thorough", "tests/", ("thorough",)),
    "servers of other versions": ("-m pytest tests/versions tests/postgres_regress -m ''", "tests/versions/", ()),
    "PostgreSQL's own database": ("tests/postgres_regress -m ''", "tests/postgres_regress/", ("regress",)),
    "containers": ('deploy/try.sh "$bin/python"', "tests/images/", ("containers",)),
    "the benchmarks": ("-m pytest benchmarks --short", "benchmarks/", ()),
}
#: In a process of its own: the tests of the files that are named, a line each, with their markers.
_COLLECT = """
import sys
import pytest

class Print:
    def pytest_collection_finish(self, session):
        for item in session.items:
            print("::", item.nodeid, *sorted({mark.name for mark in item.iter_markers()}), sep="\\t")

sys.exit(pytest.main(["--collect-only", "-q", "-m", "", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[Print()]))
"""


def _sentences() -> list[Line]:
    return [line for line in lines() if line.kind == "says"]


def test_every_letter_of_the_specification_is_there() -> None:
    """In its order, with its headings: no sentence is missing, and none has other words."""
    text = re.sub(r"[\W_]+", "", "".join(line.text for line in lines()))
    assert hashlib.sha256(text.encode()).hexdigest() == SPECIFICATION


def test_every_sentence_is_shown_by_a_test() -> None:
    """One at least, and each once."""
    assert [line.text for line in _sentences() if not line.shown_by] == []
    assert [line.text for line in _sentences() if len(set(line.shown_by)) < len(line.shown_by)] == []
    assert [line.text for line in lines() if line.kind != "says" and line.shown_by] == []


@pytest.fixture(scope="module")
def found() -> dict[str, list[tuple[str, ...]]]:
    """The markers of each test that the table may name, one for each of its cases."""
    named = sorted({test.partition("::")[0] for line in _sentences() for test in line.shown_by})
    # In the first worker of xdist pytest-benchmark warns of benchmarks, and a warning is an error.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [sys.executable, "-c", _COLLECT, *named], cwd=ROOT, env=alone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    tests: dict[str, list[tuple[str, ...]]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("::\t"):
            _, name, *marks = line.split("\t")
            tests.setdefault(name.partition("[")[0], []).append(tuple(marks))
    return tests


def test_every_test_is_there_and_is_run(found: dict[str, list[tuple[str, ...]]]) -> None:
    """Each that is named is collected, in a set that .ci/run runs."""
    run = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert [name for name, (command, *_) in SETS.items() if command not in run] == []
    own = {mark for _, _, marks in SETS.values() for mark in marks}
    for test in sorted({test for line in _sentences() for test in line.shown_by}):
        assert test in found, f"there is no test {test}"
        sets = {
            name
            for name, (_, folder, wanted) in SETS.items()
            for marks in found[test]
            if test.startswith(folder) and own & set(marks) == set(wanted)
        }
        assert sets, f"no set of .ci/run has {test}"
        skipped = [word for word in ("million", "polling", "many_tables") if "benchmarks" in test and word in test]
        assert not skipped, f".ci/run leaves {test} out"


def test_the_page_is_made_of_the_table() -> None:
    """``python -m tests.promises`` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()
