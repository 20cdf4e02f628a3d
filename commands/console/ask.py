"""Questions to the operator. They go to stderr, the answers come from stdin; stdout holds results only."""

from __future__ import annotations

import getpass
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ...stages.errors import ConfigurationError, Effect, KleidiaError


class NotConfirmed(KleidiaError):
    """Something that cannot be undone was not confirmed; nothing was done."""

    effect: Effect | None = "nothing"


def confirm(question: str, *, yes: bool, option: str = "--yes") -> None:
    """Ask a question that only "yes" affirms; ``yes`` answers it beforehand. Raises ``NotConfirmed``."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotConfirmed(
            "This must be confirmed, and there is no terminal to ask at.",
            hint=f"Give {option} to confirm beforehand.",
        )
    with _line_ended():
        sys.stderr.write(f"{question}\nType yes to go on: ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
    if answer.strip().lower() != "yes":
        raise NotConfirmed("Not confirmed.", hint=f"Answer yes, or give {option}.")


def ask_password(prompt: str, *, twice: bool) -> str:
    """Ask for a password without echo, a second time when a typing error would cost the archive.

    Raises ``ConfigurationError`` when there is no terminal, or the two differ.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "There is no terminal to ask for the encryption password at.",
            hint="Set KLEIDIA_BACKUP_PASSWORD, or --password-file, or [password] in the configuration.",
        )
    password = _hidden(f"{prompt}: ")
    if twice and password and _hidden(f"{prompt}, again: ") != password:
        raise ConfigurationError("The two passwords differ.", hint="Start again.")
    return password


@contextmanager
def _line_ended() -> Iterator[None]:
    """End the question's line when Ctrl-C does not, so that a message begins on one of its own."""
    try:
        yield
    except KeyboardInterrupt:
        with suppress(OSError):
            sys.stderr.write("\n")
        raise


def _hidden(prompt: str) -> str:
    try:
        with warnings.catch_warnings(), _line_ended():
            warnings.simplefilter("error", getpass.GetPassWarning)  # never read it with echo
            return getpass.getpass(prompt, stream=None)
    except (EOFError, getpass.GetPassWarning):
        raise ConfigurationError("No password was given.", hint="Type it, or configure where it is.") from None
