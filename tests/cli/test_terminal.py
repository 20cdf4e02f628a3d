"""What is shown while a job runs and when it ended."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kleidia_backup.cli import main
from kleidia_backup.commands.console.failure import Failure
from kleidia_backup.commands.console.progress import Bars, Lines
from kleidia_backup.commands.console.terminal import Terminal
from kleidia_backup.formats.v1.header import Header
from kleidia_backup.pipeline.engine import StageSnapshot
from kleidia_backup.pipeline.reports import words
from kleidia_backup.pipeline.reports.jobs import BackupReport, Phase, Progress, RestoreReport, VerifyReport
from kleidia_backup.stages.errors import StoreUnreachable

from .conftest import Outcome, command

Call = Callable[..., Outcome]
NAME = "backup-full-20260117-120005.enc"
MOMENT = datetime(2026, 1, 17, 12, 0, 5, tzinfo=UTC)
STAGE = StageSnapshot("pg_dump", "finished", seconds=10.0, waiting_in=0.0, waiting_out=4.0, bytes=12 << 20)


class Screen(io.StringIO):
    """A terminal that remembers what was written to it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1048575, "1.0 MiB"), (3 << 40, "3.0 TiB")],
)
def test_sizes_in_words(number: int, text: str) -> None:
    """Powers of 1024, one digit."""
    assert words.size(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (99.96, "1 min 40 s"), (187, "3 min 07 s"), (3725, "1 h 02 min")],
)
def test_times_in_words(number: float, text: str) -> None:
    """As exact as anybody needs."""
    assert words.seconds(number) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1234, "1,234 rows")])
def test_counts_in_words(number: int, text: str) -> None:
    """One of a thing has no s."""
    assert words.count(number, "row") == text


def test_a_line_every_ten_seconds() -> None:
    """Not on a terminal: a line when ten seconds of the job passed, with what is done of what is known."""
    stream = io.StringIO()
    with Lines(stream) as show:
        for second in range(35):
            show(
                Progress(
                    phase="backup",
                    seconds=second,
                    sql_bytes=second << 20,
                    sql_total=700 << 20,
                    secrets=second * 100,
                    archive_bytes=second << 18,
                )
            )
        show(Progress(phase="verify", seconds=0.1))  # another job, for the demo runs two
        show(Progress(phase="restore", seconds=10.5, archive_bytes=1 << 20, archive_total=2 << 20, secrets_total=50))
    assert stream.getvalue().splitlines() == [
        "backing up, 10 s: database 10.0 MiB of about 700.0 MiB, secrets 1,000, archive 2.5 MiB",
        "backing up, 20 s: database 20.0 MiB of about 700.0 MiB, secrets 2,000, archive 5.0 MiB",
        "backing up, 30 s: database 30.0 MiB of about 700.0 MiB, secrets 3,000, archive 7.5 MiB",
        "restoring, 10 s: secrets 0 of 50, archive 1.0 MiB of 2.0 MiB",
    ]


def test_when_pg_dump_ended_its_size_is_known() -> None:
    """The size of the database on disk is a guess of the SQL's; what is known takes its place (test_round_trip)."""
    guessed = Progress(phase="backup", seconds=1.0, sql_bytes=7 << 20, sql_total=18 << 20)
    known = Progress(phase="backup", seconds=1.0, sql_bytes=7 << 20, sql_total=7 << 20)
    assert words.amounts(guessed) == {"database": "7.0 MiB of about 18.0 MiB"}
    assert words.amounts(known) == {"database": "7.0 MiB of 7.0 MiB"}


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar for each quantity, new ones for a new phase, and none of them left at the end."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    screen = Screen()
    phases: list[tuple[Phase, int]] = [("prepare", 0), ("backup", 1 << 20), ("backup", 9 << 20), ("commit", 0)]
    with Bars(screen) as show:
        for phase, done in phases:
            show(Progress(phase=phase, seconds=1.0, sql_bytes=done, sql_total=(4 << 20) if done else None))
            show._rich.refresh()
        assert len(show._rich.tasks) == 1
        show.say("the next step")
        assert show._rich.tasks == []
    shown = screen.getvalue()
    for text in ("preparing", "backing up", "database", "1.0 MiB of about 4.0 MiB", "9.0 MiB", "committing"):
        assert text in shown
    assert "the next step" in shown
    assert re.search(r"\x1b\[2K(\x1b\[\?25h|\s)*$", shown)  # at last the line is erased, and the cursor shown


def test_quiet_and_verbose_choose_the_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars only on a terminal, and not together with a log; nothing at all when asked for quiet."""
    monkeypatch.setattr("sys.stderr", Screen())
    assert type(Terminal().progress()).__name__ == "Bars"
    assert type(Terminal(verbose=True).progress()).__name__ == "Lines"
    assert type(Terminal(quiet=True).progress()).__name__ == "Nothing"
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert type(Terminal().progress()).__name__ == "Lines"


_PLACES = {"back_up": "backup", "bring_back": "restores.restore", "read_all": "verify"}


@pytest.fixture
def reporting(monkeypatch: pytest.MonkeyPatch, configured: Callable[[str], Path]) -> Callable[[str, Any], None]:
    """A whole configuration, and a library that answers with the test's report."""
    configured(
        '[store]\ntype = "directory"\npath = "."\n[vault]\naddress = "https://v"\nroots = [{ mount = "secret" }]\n'
        '[vault.auth]\ntoken = "canary-token"\n[database]\nhost = "127.0.0.1"\npassword = "canary-database"\n'
        '[backup]\npart_size = "8MiB"\njob_timeout = "1h"\ninclude_audit_logs = false\n'
    )
    monkeypatch.setenv("KLEIDIA_BACKUP_PASSWORD", "canary-password")

    def answer(function: str, report: Any) -> None:
        async def library(*arguments: Any, **options: Any) -> Any:
            calls.append((arguments, options))
            return report

        monkeypatch.setattr(f"kleidia_backup.commands.{_PLACES[function]}.{function}", library)

    calls: list[Any] = []
    answer.calls = calls  # type: ignore[attr-defined]
    return answer


def _backup_report(**more: Any) -> BackupReport:
    return BackupReport(
        name="backups/backup-full-20260117-120005.enc",
        backup_type="full",
        created_at=MOMENT,
        size=3 << 20,
        checksum="ab" * 32,
        sql_bytes=12 << 20,
        secrets=1234,
        seconds={"prepare": 0.5, "backup": 10.0, "total": 10.5},
        stages=(STAGE,),
        **more,
    )


def _restore_report(**more: Any) -> RestoreReport:
    header = Header(
        created_at=MOMENT,
        backup_type="full",
        includes_db=True,
        includes_kv=True,
        includes_audit=True,
        checksum="0" * 64,
    )
    return RestoreReport(name="x", header=header, size=1, sql_bytes=2, secrets=100, seconds={"total": 1.0}, **more)


def test_a_backup_is_summed_up(reporting: Any, call: Call) -> None:
    """Sizes and seconds per phase; with ``--verbose`` for each stage where its time went."""
    reporting("back_up", _backup_report(deleted=3))
    short = call("backup")
    assert (short.status, short.err) == (0, "")
    shown = call("backup", "--verbose")
    assert "\n".join(shown.out.splitlines()[:6]) == short.out.strip()
    assert shown.out.splitlines() == [
        "Backup complete (full)",
        " archive                    backups/backup-full-20260117-120005.enc, 3.0 MiB",
        " SHA-256 of the ciphertext  " + "ab" * 32,
        " database                   12.0 MiB of SQL",
        " secrets                    1,234 (3 deleted)",
        " time                       10.5 s (prepare 0.5 s, backup 10.0 s)",
        "",
        " where the time went    busy   waiting for input   waiting for output      bytes",
        " ───────────────────────────────────────────────────────────────────────────────",
        " pg_dump               6.0 s               0.0 s                4.0 s   12.0 MiB",
        "",
    ]


def test_names_and_titles_stay_whole_on_a_narrow_terminal(
    call: Call, configured: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is copied from a listing is a name; nothing breaks a line but the terminal."""
    configured('[store]\ntype = "directory"\npath = "."\n[database]\nhost = "127.0.0.1"\n')
    names = ["backup-full-20260117-120005.enc", "a-name-that-somebody-chose-for-it-before-the-upgrade.enc"]
    for name in names:
        Path(name).touch()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    for arguments, expected in (("list", names), ("config", ["The configuration can be used"])):
        monkeypatch.setattr("sys.stdout", Screen())
        assert main([arguments]) == 0
        shown = re.sub(r"\x1b\[[0-9;]*m", "", sys.stdout.getvalue())  # type: ignore[union-attr]
        for text in expected:
            assert re.search(rf"^ *{re.escape(text)}( |$)", shown, re.MULTILINE)
        assert "…" not in shown


def test_a_backup_as_json(reporting: Any, call: Call) -> None:
    """One object on one line, with the report's own names; times are UTC, each stage has its busy seconds."""
    reporting("back_up", _backup_report())
    told = call("backup", "--json")
    assert told.err == ""
    assert len(told.out.splitlines()) == 1
    assert told.json == {
        "format": "v1",
        "name": "backups/backup-full-20260117-120005.enc",
        "backup_type": "full",
        "created_at": "2026-01-17T12:00:05Z",
        "size": 3 << 20,
        "checksum": "ab" * 32,
        "sql_bytes": 12 << 20,
        "secrets": 1234,
        "deleted": 0,
        "unreadable_count": 0,
        "unreadable": [],
        "own_secrets": [],
        "without_rows": [],
        "left_out": [],
        "aborted_uploads": [],
        "warnings": [],
        "incremental": None,
        "load": {"database": None, "vault": None},
        "seconds": {"prepare": 0.5, "backup": 10.0, "total": 10.5},
        "stages": [
            {
                "name": "pg_dump",
                "state": "finished",
                "seconds": 10.0,
                "waiting_in": 0.0,
                "waiting_out": 4.0,
                "bytes": 12 << 20,
                "busy": 6.0,
            }
        ],
        "recorded": False,
        "exit_code": 0,
    }


def test_options_and_configuration_reach_the_library(reporting: Any, call: Call) -> None:
    """What was configured, unless an option says otherwise."""
    reporting("back_up", _backup_report())
    call("backup")
    call("backup", "--audit-logs", "--type", "vault", "--name", "mine.enc", "--allow-unreadable", "--verbose")
    call("backup", "--no-audit-logs", "--type", "database")
    ((one,), quiet), ((two,), loud), ((three,), _) = reporting.calls
    assert (one.part_size, one.timeout, one.include_audit) == (8 << 20, 3600.0, False)
    assert (one.name, one.allow_unreadable, quiet["log"], one.password) == (None, False, None, "canary-password")
    assert one.database is not None
    assert one.vault is not None
    assert (two.database, two.include_audit, two.name, two.allow_unreadable) == (None, True, "mine.enc", True)
    assert loud["log"] is not None
    assert (three.vault, three.include_audit) == (None, False)


def test_a_backup_with_holes_has_a_status_of_its_own(reporting: Any, call: Call) -> None:
    """8, with every path that is not in the archive; other warnings are shown and change nothing."""
    reporting(
        "back_up", _backup_report(unreadable_count=2, unreadable=("a/b", "c\x1b[1m"), warnings=("2 unreadable.",))
    )
    shown = call("backup")
    assert shown.status == 8
    assert shown.err.splitlines() == [
        "warning: 2 unreadable.",
        "warning: not in the archive: a/b",
        "warning: not in the archive: c\\x1b[1m",
    ]
    assert call("backup", "--json").json["exit_code"] == 8
    reporting("back_up", _backup_report(warnings=("The vault root keys/ holds no secret.",)))
    told = call("backup")
    assert (told.status, told.err) == (0, "warning: The vault root keys/ holds no secret.\n")


def test_a_restore_with_failures_has_a_status_of_its_own(reporting: Any, call: Call) -> None:
    """8, with every path that was not written; without failures 0."""
    reporting("bring_back", _restore_report(written=98, failed_count=2, failed=("a", "b"), warnings=("2 of 100.",)))
    shown = call("restore", "x", "--yes")
    assert shown.status == 8
    assert "100 (98 written, 2 failed)" in shown.out
    assert shown.err.splitlines() == ["warning: 2 of 100.", "warning: not written: a", "warning: not written: b"]
    reporting("bring_back", _restore_report(unchanged=100))
    assert call("restore", "x", "--yes").status == 0


def test_nothing_that_is_configured_as_a_secret_is_shown(reporting: Any, call: Call) -> None:
    """Neither in results nor in logs, whatever the options."""
    reporting("back_up", _backup_report())
    reporting("bring_back", _restore_report())
    for arguments in ("backup", "restore x --yes", "restore x", "config", "list"):
        for option in ("--json", "--verbose", "--quiet"):
            assert "canary" not in call(*arguments.split(), option).everything


def test_a_reader_that_leaves_is_no_error() -> None:
    """``… | head -1``: what was done is done; no traceback, and the status says so."""
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run(
            command("config", "--example"), stdout=theirs, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(closed: str) -> None:
    """Who closes a stream does not want to read it: no traceback, and the status is that of the command."""
    for arguments, status in (("config --example", 0), ("--json config --example", 0), ("list", 2), ("nonsense", 2)):
        script = f"exec {shlex.join(command(*arguments.split()))} {closed}"
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == status
        assert "Traceback" not in done.stderr
        assert ("[vault.auth]" in done.stdout) == (status == 0 and ">&-" not in closed.replace("2>&-", ""))


def test_a_stream_that_lacks_characters_shows_escapes(configured: Callable[[str], Path]) -> None:
    """A name that ASCII cannot say is listed all the same."""
    configured('[store]\ntype = "directory"\npath = "."\n')
    Path("möwe.enc").touch()
    done = subprocess.run(
        command("list"), env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"m\\xf6we.enc" in done.stdout


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_a_result_that_cannot_be_written_is_a_warning(option: str) -> None:
    """A full disk under stdout: the status says that something is missing, and the warning what."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(option, "config", "--example"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 8
    assert done.stderr == "warning: The result cannot be written to stdout: No space left on device.\n"


@pytest.mark.parametrize("arguments", ["--help", "restore --help", "--version"])
def test_help_that_cannot_be_written_is_no_success(arguments: str) -> None:
    """A full disk under stdout is told; a reader that left early is not."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(*arguments.split()), stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    assert done.returncode == 8
    assert done.stderr == "warning: The result cannot be written to stdout: No space left on device.\n"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command(*arguments.split()), stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_a_result(call: Call) -> None:
    """It goes to stdout."""
    shown = call("--version")
    assert shown.status == 0
    assert shown.out.startswith("kleidia-backup ")
    assert shown.err == ""


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("", "database 1.0 MiB of 2.0 MiB, secrets 3 of 4, archive 5 B"),
        ("--only vault", "secrets 3 of 4, archive 5 B"),
        ("--only database", "database 1.0 MiB of 2.0 MiB, archive 5 B"),
    ],
)
@pytest.mark.parametrize("dry", [False, True])
def test_no_progress_of_what_a_restore_leaves_alone(
    arguments: str, shown: str, dry: bool, reporting: Any, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes pass through the pipeline all the same."""

    async def library(*_: Any, on_progress: Callable[[Progress], None], **__: Any) -> Any:
        on_progress(
            Progress(
                phase="restore",
                seconds=10.0,
                sql_bytes=1 << 20,
                sql_total=2 << 20,
                secrets=3,
                secrets_total=4,
                archive_bytes=5,
            )
        )
        raise StoreUnreachable("Enough was seen.")

    reporting("bring_back", None)
    monkeypatch.setattr("kleidia_backup.commands.restores.restore.bring_back", library)
    monkeypatch.setattr("kleidia_backup.commands.look.run_plan", library)
    told = call("restore", "x", *arguments.split(), "--dry-run" if dry else "--yes")
    assert told.status == 7
    assert f"restoring, 10 s: {shown}\n" in told.err


@pytest.mark.parametrize("arguments", ["backup", "restore x --yes", "verify x", "list", f"delete {NAME} --yes"])
def test_what_was_done_but_cannot_be_told_has_a_status(
    arguments: str, reporting: Any, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8, for every command; an error keeps its own, and is told on stderr."""
    header = _restore_report().header
    reporting("back_up", _backup_report(unreadable_count=1, unreadable=("a/b",), warnings=("1 unreadable.",)))
    reporting("bring_back", _restore_report())
    reporting("read_all", VerifyReport(name="x", header=header, size=1, sql_bytes=1, secrets=1, tables=1, rows=1))
    Path(NAME).touch()
    with Path("/dev/full").open("w") as full, Path("/dev/full").open("w") as again:
        monkeypatch.setattr("sys.stdout", full)
        told = call(*arguments.split(), "--json")
        assert (told.status, told.out) == (8, "")
        assert "cannot be written to stdout: No space left" in told.err
        assert ("warning: 1 unreadable." in told.err) == (arguments == "backup")
        monkeypatch.setattr("sys.stdout", again)
        failed = call("inspect", "gone.enc", "--json")
        assert (failed.status, failed.err.startswith("error: ")) == (7, True)


def test_no_job_fails_because_nobody_reads_its_progress_or_log(reporting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stderr may be a pipe whose reader left, or a terminal that is gone."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())
    terminal = Terminal(verbose=True)
    with terminal.progress() as show:
        show(Progress(phase="backup", seconds=20.0, secrets=1))
        show.say("a step")
    log = terminal.log()
    assert log is not None
    log.info("event", number=1)
    terminal.warn("a warning")
    terminal.failed(Failure(type="Kind", message="message", hint="hint", exit_code=1), ValueError())
