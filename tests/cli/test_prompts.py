"""Questions: asked on a terminal, refused without one, never with echo for a password."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kleidia_backup.commands.console.password import encryption_password
from kleidia_backup.commands.console.stopping import Stopper
from kleidia_backup.config.reader import load
from kleidia_backup.stages.errors import ConfigurationError

from .conftest import Outcome

SECRET = "canary-typed-in"
Call = Callable[..., Outcome]

_MAIN = (
    "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "from kleidia_backup.cli import main; sys.exit(main(sys.argv[1:]))"
)


class Session:
    """The command on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        self._theirs = theirs
        self.text = ""

    def expect(self, text: str) -> None:
        """Read until the command says ``text``, again if it did before."""
        begun = len(self.text)
        while text not in self.text[begun:]:
            assert select.select([self._ours], [], [], 60)[0], self.text
            self.text += os.read(self._ours, 4096).decode()

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._ours, text.encode())

    def hides(self) -> bool:
        """Whether what is typed is not shown."""
        return not termios.tcgetattr(self._theirs)[3] & termios.ECHO

    def end(self) -> int:
        """Wait for the end; the exit status."""
        while self._process.poll() is None:
            if select.select([self._ours], [], [], 0.05)[0]:
                self.text += os.read(self._ours, 4096).decode()
        while select.select([self._ours], [], [], 0)[0]:
            self.text += os.read(self._ours, 4096).decode()
        return self._process.returncode

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def terminal(configured: Callable[[str], Path], alone: Path) -> Iterator[Callable[..., Session]]:
    """Starts the command on a terminal; there is a store with one file of ours, and a vault that nobody serves."""
    (alone / "store").mkdir()
    (alone / "store" / "backup-full-20260101-000000.enc").write_bytes(b"damaged")
    configured(
        '[store]\ntype = "directory"\npath = "store"\n[vault]\naddress = "http://127.0.0.1:9"\n'
        'roots = [{ mount = "secret" }]\n[vault.auth]\ntoken = "t"\n'
    )
    sessions = []

    def start(*arguments: str) -> Session:
        sessions.append(Session(*arguments))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()


def test_a_backup_asks_for_its_password_twice(terminal: Callable[..., Session]) -> None:
    """A typing error would make an archive that nobody can open; nothing typed is shown."""
    session = terminal("backup", "--type", "vault")
    session.expect("Encryption password: ")
    assert session.hides()
    session.type(f"{SECRET}\n")
    session.expect("Encryption password, again: ")
    session.type("another\n")
    assert session.end() == 2
    assert "The two passwords differ." in session.text
    assert SECRET not in session.text


def test_what_is_typed_twice_is_used(terminal: Callable[..., Session], monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the work begins, and here ends at a store that is not there."""
    monkeypatch.setenv("KLEIDIA_STORE_PATH", "gone")
    session = terminal("backup", "--type", "vault")
    for prompt in ("Encryption password: ", "Encryption password, again: "):
        session.expect(prompt)
        session.type(f"{SECRET}\n")
    assert session.end() == 7
    assert SECRET not in session.text


def test_reading_asks_once(terminal: Callable[..., Session]) -> None:
    """A wrong password shows by itself; here the archive is no archive."""
    session = terminal("verify", "backup-full-20260101-000000.enc", "--ask-password")
    session.expect("Encryption password: ")
    session.type(f"{SECRET}\n")
    assert session.end() == 3
    assert SECRET not in session.text


def test_ctrl_c_leaves_a_prompt_with_the_terminal_as_it_was(terminal: Callable[..., Session]) -> None:
    """Status 130, one line, and the terminal shows what is typed again."""
    session = terminal("verify", "x")
    session.expect("Encryption password: ")
    assert session.hides()
    session.type("\x03")
    assert session.end() == 130
    assert "\nerror: Stopped by Ctrl-C. Nothing was changed." in session.text
    assert "Traceback" not in session.text
    assert not session.hides()
    session = terminal("delete", "backup-full-20260101-000000.enc")
    session.expect("Type yes to go on: ")
    session.type("\x03")
    assert session.end() == 130
    assert "\nerror: Stopped by Ctrl-C." in session.text


@pytest.mark.parametrize("empty", ["\n", "\x04"])
def test_an_empty_password_is_refused(empty: str, terminal: Callable[..., Session]) -> None:
    """Neither an empty line nor the end of input is a password."""
    session = terminal("verify", "backup-full-20260101-000000.enc")
    session.expect("Encryption password: ")
    session.type(empty)
    assert session.end() == 2
    assert "password" in session.text.rpartition("error: ")[2]


@pytest.mark.parametrize(("answer", "status", "left"), [("no", 9, 1), ("", 9, 1), ("y", 9, 1), ("yes", 0, 0)])
def test_deleting_asks_first(
    answer: str, status: int, left: int, terminal: Callable[..., Session], alone: Path
) -> None:
    """Only the whole word affirms."""
    session = terminal("delete", "backup-full-20260101-000000.enc")
    session.expect("Type yes to go on: ")
    session.type(f"{answer}\n")
    assert session.end() == status
    assert "backup-full-20260101-000000.enc will be deleted" in session.text
    assert len(list((alone / "store").iterdir())) == left


@pytest.mark.parametrize(("name", "status", "why"), [("notes.txt", 3, "no kleidia-backup archive"), ("x.enc", 7, "")])
def test_nobody_is_asked_about_what_is_not_deleted(
    name: str, status: int, why: str, terminal: Callable[..., Session], alone: Path
) -> None:
    """A file of others, or none at all, is refused before the question."""
    (alone / "store" / "notes.txt").touch()
    session = terminal("delete", name)
    assert session.end() == status
    assert "Type yes" not in session.text
    assert why in session.text
    assert (alone / "store" / "notes.txt").exists()


def test_without_a_terminal_nothing_is_asked(call: Call, terminal: Callable[..., Session], alone: Path) -> None:
    """What must be confirmed is refused, a password that must be typed is an error; both say what to do."""
    refused = call("delete", "backup-full-20260101-000000.enc")
    assert (refused.status, "--yes" in refused.err) == (9, True)
    assert call("delete", "backup-full-20260101-000000.enc", "--json").json["error"]["exit_code"] == 9
    assert len(list((alone / "store").iterdir())) == 1
    no_password = call("verify", "x")
    assert (no_password.status, "KLEIDIA_BACKUP_PASSWORD" in no_password.err) == (2, True)


def _password(**options: Path | bool) -> str | None:
    return encryption_password(load(), lambda _: pytest.fail("there is no vault"), **options)  # type: ignore[arg-type]


def test_where_a_password_comes_from(
    configured: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An option's file, then KLEIDIA_BACKUP_PASSWORD, then the configured variable or file."""
    option, file = tmp_path / "option", tmp_path / "file"
    option.write_text("option\n", encoding="utf-8")
    file.write_bytes("pässword \n\n".encode())
    configured(f'[password]\nfile = "{file}"\n')
    assert _password() == "pässword \n"
    configured('[password]\nenv = "OTHER"\n')
    monkeypatch.setenv("OTHER", "from OTHER")
    assert _password() == "from OTHER"
    monkeypatch.setenv("KLEIDIA_PASSWORD_FILE", str(file))
    assert _password() == "pässword \n"
    monkeypatch.setenv("KLEIDIA_BACKUP_PASSWORD", "variable")
    assert _password() == "variable"
    assert _password(file=option) == "option"


@pytest.mark.parametrize("text", [f'env = "{SECRET}"', f'file = "{SECRET}"', "", 'vault = { mount = "m", path = "p" }'])
def test_a_password_that_is_nowhere(text: str, configured: Callable[[str], Path]) -> None:
    """The message does not repeat what stands in ``env``: people put the password itself there."""
    configured(f"[password]\n{text}\n")
    with pytest.raises(ConfigurationError) as caught:
        encryption_password(load(), Stopper().run)
    assert ("env" in text) <= (SECRET not in str(caught.value))
