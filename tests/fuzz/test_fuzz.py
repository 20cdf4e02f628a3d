"""Every harness on what is kept: its corpus, and what was found once and stays mended. None of it needs atheris."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup.formats.codecs.gzip import GzipDecoder
from kleidia_backup.formats.errors import ArchiveError
from kleidia_backup.formats.v1.payload_reader import PayloadReader
from kleidia_backup.formats.v2 import kv
from kleidia_backup.formats.v2.entries import Entries
from kleidia_backup.formats.v2.index import Index
from kleidia_backup.service.control.cron import Cron
from kleidia_backup.stages.vault.undo import journal

from ..formats import v2_archives, v2_second_writer
from .__main__ import NOT_RUN, ROOT
from .harnesses import archives_v1, archives_v2
from .kept import CORPUS, FINDINGS, inputs
from .registry import PLACES, harness

NAMES = pytest.mark.parametrize("name", PLACES)


@NAMES
def test_nothing_is_found_in_what_is_kept(name: str) -> None:
    """The corpus of every reader, and every input that was a finding."""
    kept = inputs(name)
    assert {path.name for path in kept if path.parent.parent == CORPUS} == set(harness(name).seeds())
    _replay(name)


def test_the_corpora_of_archives_are_read() -> None:
    """Most of them to their ends: a search that begins with what is refused at once gets nowhere."""
    for name, seed in archives_v1.seeds().items():
        assert name == "file" or archives_v1.read(*archives_v1.built(seed)).header["includes_db"]
    for name, seed in archives_v2.seeds().items():
        file, _, sizes = archives_v2.built(seed)
        assert name == "changed" or archives_v2.read(archives_v2.opened(file), file, sizes)


def test_what_is_kept_is_small_and_of_a_harness() -> None:
    """A few kilobytes each, and no directory that nobody reads."""
    for room in (CORPUS, FINDINGS):
        assert {path.name for path in room.iterdir() if path.is_dir()} <= set(PLACES)
    for name in PLACES:
        sizes = [path.stat().st_size for path in inputs(name)]
        assert max(sizes) <= harness(name).max_len
        assert sum(sizes) < 32 * 1024


def _no_end(*_: object) -> tuple[()]:
    return ()


def _later(self: Cron, moment: datetime) -> datetime:
    return next(due for due in self._times(moment + timedelta(days=1)) if due > moment)


#: A fault in a reader, and the harness that must notice it in its corpus.
PLANTED: list[tuple[str, Any, str, Any]] = [
    ("gzip", GzipDecoder, "finish", _no_end),
    ("v1", PayloadReader, "_null", lambda self: iter(())),
    ("v2", Index, "own", lambda self, number: (0, self.entries[number].raw)),
    ("v2-index", Entries, "append", lambda self, entry: None),
    ("v2-kv", kv, "_metadata", lambda text: None),
    ("cron", Cron, "after", _later),
    ("journal", journal, "fold", lambda entries, record: None),
]


@pytest.mark.parametrize(("name", "owner", "attribute", "fault"), PLANTED, ids=[each[0] for each in PLANTED])
def test_a_fault_in_a_reader_is_noticed(
    name: str, owner: Any, attribute: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A harness that finds nothing looks at something."""
    monkeypatch.setattr(owner, attribute, fault)
    with pytest.raises(Exception):  # noqa: B017, PT011 - a finding is whatever a harness lets through
        _replay(name)


def _replay(name: str) -> None:
    for path in inputs(name):
        harness(name).one(path.read_bytes())


@pytest.mark.anyio
async def test_the_harness_of_v2_reads_as_a_restore_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the engine's edges, threads and event loop; and what one refuses the other refuses for the same."""
    monkeypatch.setattr(v2_archives, "PASSWORD", v2_second_writer.PASSWORD)
    for path in inputs("v2"):
        file, _, sizes = archives_v2.built(path.read_bytes())
        seen, found, why, other = v2_archives.Seen(), None, "", ""
        try:
            found = archives_v2.read(archives_v2.opened(file), file, sizes)
        except ArchiveError as exc:
            why = exc.message
        try:
            await v2_archives.read(file, seen)
        except ArchiveError as exc:
            other = exc.message
        assert why == other
        assert found is None or (found.sql, found.secrets) == (b"".join(seen.sql), seen.secrets)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)


def test_an_input_that_is_a_finding_fails_the_command(tmp_path: Path) -> None:
    """Run again by itself, and in a search that begins with it: status 1, and where it lies."""
    good = next(iter(inputs("json")))
    assert _run("json", "--input", str(good)).returncode == 0
    if find_spec("atheris") is None:
        done = _run("json", "--seconds", "1")
        assert done.returncode == NOT_RUN
        assert done.stderr.startswith("NOT RUN: ")
        return
    done = _run("planted", "--seconds", "5", "--keep", str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    [saved] = tmp_path.iterdir()
    assert saved.read_bytes().startswith(b"{}")
    assert str(saved) in done.stdout


def test_the_short_search_finds_what_is_planted_and_the_same_each_time(tmp_path: Path) -> None:
    """In two processes, with the same input; a good reader passes."""
    saved = []
    for number in range(2):
        done = _run("planted", "--short", "--keep", str(tmp_path / str(number)))
        assert done.returncode == 1, done.stdout + done.stderr
        (found,) = (tmp_path / str(number)).iterdir()
        assert str(found) in done.stdout
        saved.append(found.read_bytes())
    assert saved[0] == saved[1]
    assert _run("csv", "--short", "--keep", str(tmp_path / "none")).returncode == 0
