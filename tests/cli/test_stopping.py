"""Ctrl-C, SIGTERM and hang-up, at any time: one line that says truly what is left, and the status of the signal."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from kleidia_backup.commands.console.progress import Lines
from kleidia_backup.commands.console.stopping import Stopped, Stopper
from kleidia_backup.pipeline.reports.jobs import Progress
from kleidia_backup.stages.errors import DumpFailed, UnfinishedRestore

from .conftest import Outcome, command

Call = Callable[..., Outcome]
SIGNALS = [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "hang-up")]


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        yield listening


def _address(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def _stopped(server: socket.socket, number: int, *arguments: str | Path) -> Outcome:
    """Start the command, wait until it waits for ``server``, send it a signal."""
    with subprocess.Popen(
        command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(60)
                connection.recv(1)  # a request is under way
                process.send_signal(number)
                out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    return Outcome(process.returncode, out, err)


@pytest.mark.parametrize(("number", "status", "name"), SIGNALS)
def test_a_backup_that_is_stopped_leaves_nothing(
    number: int, status: int, name: str, silent: socket.socket, configured: Callable[[str], Path], alone: Path
) -> None:
    """While it waits for a vault: no archive, no temporary file, one line, no traceback."""
    (alone / "store").mkdir()
    (alone / "password").write_text("correct horse battery staple", encoding="utf-8")
    configured(
        f'[vault]\naddress = "{_address(silent)}"\nroots = [{{ mount = "secret" }}]\n[vault.auth]\ntoken = "t"\n'
        '[store]\ntype = "directory"\npath = "store"\n[password]\nfile = "password"\n'
    )
    outcome = _stopped(silent, number, "backup", "--type", "vault")
    assert (outcome.status, outcome.out) == (status, "")
    line, hint = outcome.err.splitlines()
    assert line == f"error: Stopped by {name}. No archive was made, and nothing is left in the store."
    assert hint.startswith("hint: ")
    assert list((alone / "store").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        ("restore x --yes", "Nothing was changed."),
        ("verify x", "Nothing was changed."),
        ("list", "Nothing was changed."),
        ("delete x.enc --yes", "Whether the archive is gone"),
        ("download x y", "No file was written."),
    ],
)
def test_other_commands_say_what_they_leave(
    arguments: str, left: str, silent: socket.socket, configured: Callable[[str], Path], alone: Path
) -> None:
    """With ``--json`` as one object on stdout; while a store does not answer."""
    (alone / "password").write_text("correct horse battery staple", encoding="utf-8")
    path = configured(
        f'[store]\nbucket = "b"\nendpoint = "{_address(silent)}"\naccess_key_id = "a"\nsecret_access_key = "s"\n'
        '[database]\nhost = "127.0.0.1"\n[password]\nfile = "password"\n'
    )
    outcome = _stopped(silent, signal.SIGTERM, *arguments.split(), "--json")
    assert (outcome.status, outcome.err) == (143, "")
    assert outcome.json["error"]["message"].startswith(f"Stopped by SIGTERM. {left}")
    assert (outcome.json["error"]["type"], outcome.json["error"]["exit_code"]) == ("Stopped", 143)
    assert sorted(each.name for each in alone.iterdir()) == sorted([path.name, "password"])


@pytest.fixture
def restoring(
    monkeypatch: pytest.MonkeyPatch, configured: Callable[[str], Path]
) -> Callable[[Callable[[Any], Any]], None]:
    """A configuration with a vault, and a library whose restore is what the test gives."""
    configured(
        '[store]\ntype = "directory"\npath = "."\n[vault]\naddress = "https://v"\nroots = [{ mount = "secret" }]\n'
        '[vault.auth]\ntoken = "t"\n'
    )
    monkeypatch.setenv("KLEIDIA_BACKUP_PASSWORD", "secret")

    def use(restore: Callable[[Any], Any]) -> None:
        async def library(*_: Any, on_progress: Any, **__: Any) -> Any:
            return await restore(on_progress)

        monkeypatch.setattr("kleidia_backup.commands.restores.restore.bring_back", library)

    return use


@pytest.mark.parametrize("left", [False, True])
def test_a_restore_says_what_it_left(restoring: Callable[[Callable[[Any], Any]], None], call: Call, left: bool) -> None:
    """The database rolls back, the secrets are put back; those that could not be are named, with what to do."""

    async def restore(on_progress: Any) -> None:
        on_progress(Progress(phase="restore", seconds=1.0, secrets=1234))
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await anyio.sleep_forever()
        finally:
            on_progress(Progress(phase="undo", seconds=1.0, secrets=1234))
            if left:
                raise UnfinishedRestore("The restore was stopped. One could not be put back.", hint="Look at it.")

    restoring(restore)
    outcome = call("restore", "x", "--yes")
    assert outcome.status == 143
    if left:
        said = "error: Stopped by SIGTERM. The database is as before."
        assert outcome.err == f"{said} The restore was stopped. One could not be put back.\nhint: Look at it.\n"
    else:
        said = "error: Stopped by SIGTERM. The database and the secrets are as before."
        assert outcome.err == f"{said}\nhint: Run the command again when it suits.\n"


def test_a_signal_while_committing_comes_too_late(
    restoring: Callable[[Callable[[Any], Any]], None], monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    """What is committing is done a moment later, and is reported as done."""
    ended = []

    async def restore(on_progress: Any) -> None:
        on_progress(Progress(phase="commit", seconds=1.0))
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        ended.append(True)
        raise DumpFailed("an error of its own")  # which is told as such, not as a stop

    restoring(restore)
    outcome = call("restore", "x", "--yes")
    assert ended
    assert (outcome.status, "error: an error of its own" in outcome.err) == (5, True)


def test_what_cleaning_up_had_to_say_is_told(restoring: Callable[[Callable[[Any], Any]], None], call: Call) -> None:
    """An error that the signal caused, in a child process for example, is part of the one line."""

    async def restore(_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await anyio.sleep_forever()
        finally:
            raise DumpFailed("pg_dump ended early.")

    restoring(restore)
    outcome = call("restore", "x", "--yes")
    assert outcome.status == 130
    assert "Stopped by Ctrl-C. Nothing was changed. pg_dump ended early." in outcome.err


def test_cleaning_up_is_waited_for_and_a_second_signal_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """The job's own clean-up runs to its end, whoever is impatient."""
    events = []

    async def job() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                events.append("cleaning")
                os.kill(os.getpid(), signal.SIGINT)
                await anyio.lowlevel.checkpoint()
                events.append("clean")

    with Stopper() as stopper, pytest.raises(Stopped) as caught:
        stopper.run(job)
    assert events == ["cleaning", "clean"]
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == "Cleaning up; please wait.\n"


def test_between_jobs_a_signal_stops_at_once_and_after_the_last_one_nothing() -> None:
    """A prompt is left by Ctrl-C; a result that is being printed is printed."""

    async def job() -> int:
        return 7

    with Stopper() as stopper, pytest.raises(Stopped):
        os.kill(os.getpid(), signal.SIGTERM)
    with Stopper() as stopper:
        assert stopper.run(job) == 7
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
    with Stopper() as stopper:
        assert stopper.run(job, last=True) == 7
        os.kill(os.getpid(), signal.SIGTERM)


def test_signals_are_given_back_and_ignored_ones_stay_ignored() -> None:
    """``nohup`` and ``&`` of a shell are respected; a program that embeds us gets its handlers back."""
    before = {number: signal.getsignal(number) for number, _, _ in SIGNALS}
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stopper():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, previous)
    assert {number: signal.getsignal(number) for number, _, _ in SIGNALS} == before


def test_a_signal_that_another_thread_gets_ends_the_job() -> None:
    """The loop waits in the kernel, which does not wake it for such a signal: nor for one just before it waits."""
    ended, woken = threading.Event(), []

    def send() -> None:
        time.sleep(0.2)  # the loop waits by now
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        woken.append(ended.wait(20))

    sender = threading.Thread(target=send)

    async def job() -> None:
        sender.start()
        try:
            await anyio.sleep(25)
        finally:
            ended.set()

    with Stopper() as stopper, pytest.raises(Stopped):
        stopper.run(job)
    sender.join()
    assert woken == [True]
    assert signal.set_wakeup_fd(-1) == -1  # given back


def test_a_result_that_nobody_reads_ends_with_the_second_signal() -> None:
    """The pipe is full and stays so: the first signal lets the result be printed, the second does not."""
    program = (
        "import os, sys, anyio\n"
        "from kleidia_backup.commands.console.stopping import Stopper\n"
        "with Stopper() as stopper:\n"
        "    stopper.run(anyio.lowlevel.checkpoint, last=True)\n"
        "    sys.stderr.write('printing\\n')\n"
        "    while True:\n"  # a signal ends a write early
        "        os.write(1, b'x' * 2**16)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "printing\n"
            process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)  # the system makes one of two signals that come before a busy process looks
                process.send_signal(signal.SIGTERM)
            assert process.poll() == -signal.SIGTERM
        finally:
            process.kill()


def test_ctrl_c_while_it_is_imported_says_nothing() -> None:
    """The program that is installed ends by the signal, without a traceback, whatever it was importing."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["kleidia-backup"].partition(":")
    program = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == os.environ['AT']: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"from {module} import {function} as main\n"
        "sys.argv[1:] = ['config']\n"
        "sys.exit(main())\n"
    )
    for name in ("kleidia_backup.cli", "kleidia_backup.commands.invocation"):
        command_line, env = [sys.executable, "-c", program], {**os.environ, "AT": name}
        done = subprocess.run(command_line, capture_output=True, text=True, timeout=60, check=False, env=env)
        assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", ""), name


def test_a_pipe_that_nobody_empties_holds_up_no_job() -> None:
    """Lines of progress are left out then: waiting for the pipe, the loop could not even be stopped."""
    reads, writes = os.pipe()
    try:
        os.set_blocking(writes, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writes, b"x" * 4096)
        os.set_blocking(writes, True)
        with open(writes, "w", encoding="utf-8", closefd=False) as stream:
            Lines(stream).say("nobody reads this")
            os.read(reads, 65536)
            Lines(stream).say("this fits again")
    finally:
        os.set_blocking(reads, False)
        left = b"".join(iter(lambda: os.read(reads, 1 << 20) if select.select([reads], [], [], 0)[0] else b"", b""))
        os.close(reads)
        os.close(writes)
    assert left.endswith(b"this fits again\n")
    assert b"nobody" not in left
