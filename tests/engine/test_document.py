"""The programs of ``docs/engine.md`` run as they stand there, on asyncio and trio; a stranger's mypy takes them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "engine.md").read_text(encoding="utf-8")
#: The programs, each with what it prints.
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)
TITLES = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
(LINE,) = re.findall(r"`yes '(.*)' \| head -7000 > words.txt`", TEXT)

#: What a stranger's type checker has to find, each on a line of its own.
MISTAKES = """\
from collections.abc import Sequence

from kleidia_backup.engine import Edge, Inlet, Map, Outlet, Pipeline


async def numbers(out: Outlet[int]) -> None:
    await out.send("one")  # wrong


async def lengths(texts: Inlet[str], out: Outlet[int]) -> None:
    async for text in texts:
        await out.send(len(text))


async def both(texts: Inlet[str], numbers: Inlet[int], out: Outlet[int]) -> None: ...


async def many(inlets: Sequence[Inlet[str]], out: Outlet[str]) -> None: ...


def double(number: int) -> int:
    return 2 * number


pipeline = Pipeline()
edge: Edge[int] = pipeline.source(numbers)
pipeline.pipe(lengths, edge)  # wrong
pipeline.pipe(both, edge, edge)  # wrong
pipeline.pipe(many, [edge])  # wrong
pipeline.pipe(Map(double), edge).through(object())  # wrong
text: Edge[str] = pipeline.pipe(Map(double), edge)  # wrong
pipeline.source(numbers, when=edge)  # wrong
"""


def test_the_document_has_the_programs_that_it_should() -> None:
    """Each program prints something, and nothing that looks like one is left out."""
    assert len(PROGRAMS) == TEXT.count("```python") == TEXT.count("```text") == 7
    assert TITLES[:5] == [
        "Stages, edges and one run",
        "Transforms",
        "In parallel, in order",
        "Many into one",
        "One into two",
    ]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_prints_what_the_document_says(number: int, backend: str, tmp_path: Path) -> None:
    """In a directory of its own, in which nothing is left but what it makes."""
    code, printed = PROGRAMS[number]
    assert code.count("anyio.run(main)") == 1
    (tmp_path / "words.txt").write_text(f"{LINE}\n" * 7000)
    code = code.replace("anyio.run(main)", f"anyio.run(main, backend={backend!r})")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == (printed, "")
    assert not list(tmp_path.glob("*.part"))


def check(directory: Path, *files: Path) -> list[str]:
    """What mypy says, strictly and without any setting of this project, of files that see the package as installed."""
    (directory / "site").mkdir()
    (directory / "site" / "kleidia_backup").symlink_to(ROOT)
    options = ["--strict", "--config-file=", "--no-error-summary", "--follow-imports=silent"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, f"--cache-dir={directory / 'cache'}", *map(str, files)],
        cwd=directory,
        env={"MYPYPATH": str(directory / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_strangers_may_check_their_types(tmp_path: Path) -> None:
    """Strictly, mypy has nothing to say of the programs, and finds every mistake of another one."""
    programs = [tmp_path / f"program_{number}.py" for number in range(len(PROGRAMS))]
    for path, (code, _) in zip(programs, PROGRAMS, strict=True):
        path.write_text(code, encoding="utf-8")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(MISTAKES, encoding="utf-8")
    said = check(tmp_path, *programs, wrong)
    lines = [number for number, line in enumerate(MISTAKES.splitlines(), 1) if line.endswith("# wrong")]
    errors = [line for line in said if ": error: " in line]
    assert {int(line.split(":")[1]) for line in errors} == set(lines), said
    assert all(line.startswith("wrong.py:") for line in errors)
